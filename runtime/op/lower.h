// How an operator becomes dispatches: views of device memory, and the calls with which lower asks
// for inputs, makes outputs and adds dispatches. The planner implements them (plan/lower.c).
//
// A value on the device is a strided view of a buffer, so Transpose, Slice, Expand and the like
// move nothing, and a layout (channels-last, say) is only a choice of strides. A kernel that wants
// its input dense asks for it and the planner copies once where that is not already so.
// Dispatches whose inputs are all constants run once, when the session is made.
#ifndef RUNTIME_OP_LOWER_H_
#define RUNTIME_OP_LOWER_H_

#include "base/shader.h"
#include "op/caps.h"
#include "op/op.h"

struct view {
    uint32_t buffer;            // the planner's; VIEW_NONE for "no buffer"
    espy_dtype dtype;
    enum storage storage;
    uint32_t rank;
    int64_t dims[ESPY_RANK_MAX];
    int64_t strides[ESPY_RANK_MAX]; // in elements of storage; may be 0 or negative
    int64_t offset;             // elements from the buffer's start to element [0, 0, ...]
};
#define VIEW_NONE UINT32_MAX

struct op_lower {
    const struct host *host;
    const struct caps *caps;
    const struct op_node *node;
    const void *attrs;
    uint32_t input_count, output_count;
    const struct op_type *inputs, *outputs; // dtype NONE where absent or unwanted
    const struct tensor *values; // inputs' data on the host, NULL where only the device has it
    const struct op_step *steps; // the epilogue, for operators with OP_EPILOGUE
    uint32_t step_count;
    bool bends;                  // espy_steps_bend is true of some node of the plan
    const struct lower_tail *tail; // plan/plan_tail.c; NULL: none
    bool tail_taken;
    bool map_taken; // espy_lower_take_factors: input 0 is the planner's value map
    uint32_t map;
    struct arena *arena;         // lives as long as the plan is being built
    struct planner *planner;
};

bool espy_lower_has(const struct op_lower *c, uint32_t i); // input i was given
bool espy_lower_wants(const struct op_lower *c, uint32_t o); // output o is there (not "")
// Input i is the same in every run: known on the host, or in memory before the first run, as
// weights that a Cast makes of narrow ones.
bool espy_lower_is_constant(const struct op_lower *c, uint32_t i);
// The elements of constant input i are the host's, so that espy_lower_constant_part can take them.
bool espy_lower_has_parts(const struct op_lower *c, uint32_t i);

// ---- inputs: each may add a copy dispatch or an upload; failure is sticky (see below) ---------------

// Any strides. Constants are uploaded when first asked for.
struct view espy_lower_input(struct op_lower *c, uint32_t i);
// Row-major dense, offset anything.
struct view espy_lower_dense_input(struct op_lower *c, uint32_t i);
// The same, but integers of at most 16 bits that are constant stay as small as they are on the
// host: then the view's storage is STORAGE_PACKED, an element has espy_dtype_bits, the first of a
// word is in its lowest bits, and strides and the offset count elements.
struct view espy_lower_packed_input(struct op_lower *c, uint32_t i);
// How the elements that a view sees lie on the host, which may be narrower than in memory (weights
// of 16 bits that a Cast widens); NONE: they are not straight from there.
espy_dtype espy_lower_host_dtype(const struct op_lower *c, const struct view *view);
// Entries [first, first + count) along a dimension of a constant that is larger than the device binds
// at once: dense, in a buffer of its own. Elements have whole bytes.
struct view espy_lower_constant_part(struct op_lower *c, uint32_t i, uint32_t axis, int64_t first,
                                     int64_t count);
// NCHW-shaped (rank >= 3) and channels-last dense: strides of N, D.., H, W, C descending.
struct view espy_lower_channels_last_input(struct op_lower *c, uint32_t i);

// ---- views ---------------------------------------------------------------------------------------

size_t espy_view_count(const struct view *view); // elements
bool espy_view_dense(const struct view *view);   // row-major dense (dims of 1 do not matter)
bool espy_view_channels_last(const struct view *view);
// Four neighbours along dimension `along` can be read at once, whatever the other indices are. padded:
// the last four may reach past the end of the dimension.
bool espy_view_vectors(const struct view *view, uint32_t along, bool padded);
// Gives a dense view (rank >= 3) the strides of channels-last.
void espy_view_make_channels_last(struct view *view);
// Dense in some order of its dimensions, without gaps: elementwise kernels may run flat over it.
bool espy_view_contiguous(const struct view *view);
bool espy_view_same_strides(const struct view *a, const struct view *b); // where dims > 1
// Strides 0 where view has 1 (or no) dimension and dims has more.
struct view espy_view_broadcast(const struct view *view, const struct shape *shape);
struct view espy_view_reshaped_dense(const struct view *view, const struct shape *shape); // view dense
// A reshape without a copy where strides allow it; false: it does not.
bool espy_view_reshape(const struct view *view, const struct shape *shape, struct view *result);

// Merges neighbouring dimensions that are contiguous in all views at once and drops dims of 1, so
// that kernels decode fewer indices. All views have the same dims. Returns the merged rank (>= 1),
// dims and strides written to every view. Outermost first.
uint32_t espy_view_collapse(struct view *views, uint32_t count);

// ---- outputs -------------------------------------------------------------------------------------

// Makes output o: row-major dense in a new buffer. VIEW_NONE when it is not wanted.
struct view espy_lower_output(struct op_lower *c, uint32_t o);
// Makes output o dense with the order of dimensions of like (which has the same rank): what is
// channels-last stays channels-last.
struct view espy_lower_output_like(struct op_lower *c, uint32_t o, const struct view *like);
// Makes output o channels-last (rank >= 3).
struct view espy_lower_channels_last_output(struct op_lower *c, uint32_t o);
// The same, but pixels may lie further apart than they have channels (by whole vectors of four), and
// start later: a Concat finds its part in its place then. For kernels that take any strides[] and
// offset of that form.
struct view espy_lower_placed_output(struct op_lower *c, uint32_t o);
// The same, but where channels do not come in fours and what reads the output does not mind
// (OP_GAPS), each pixel has room for whole vectors, and the kernel writes finite numbers to all of it:
// espy_view_vectors(&y, 1, true) is true then.
struct view espy_lower_padded_output(struct op_lower *c, uint32_t o);
// Input i has such room.
bool espy_lower_padded_input(struct op_lower *c, uint32_t i);
// For Concat: makes output 0 where some of its inputs are in their places already, and copies the
// others there. false: none is, and nothing was done.
bool espy_lower_joined_output(struct op_lower *c);
// Output o is a view of memory that exists already, usually an input's; nothing is dispatched.
void espy_lower_alias(struct op_lower *c, uint32_t o, const struct view *view);
// Memory used only between this operator's own dispatches: dense, of this type and shape.
struct view espy_lower_temporary(struct op_lower *c, espy_dtype dtype, const struct shape *shape);
// Of an operator with OP_DATA_SHAPE: one uint32, in which its dispatches leave how much they found.
// Its outputs have room for the largest that there can be; what is found is written from their start
// on as a dense tensor of the true shape.
struct view espy_lower_count(struct op_lower *c);
// Constant data made by lower (tables, repacked scalars): dense; bytes are copied.
struct view espy_lower_constant(struct op_lower *c, espy_dtype dtype, const struct shape *shape,
                                const void *bytes);
// Weights that are kept in a form that takes `size` bytes more than they have in the file: false where
// all such forms together would make the network more than a quarter (and 2 MiB) larger. true takes
// it.
bool espy_lower_spare(struct op_lower *c, uint64_t size);
// A copy of src's elements to dst: same dims and storage, any strides. The planner's own kernel.
void espy_lower_copy(struct op_lower *c, const struct view *src, const struct view *dst);

// ---- dispatches ----------------------------------------------------------------------------------

enum { DISPATCH_BINDINGS_MAX = SHADER_BINDINGS_MAX };

struct op_dispatch {
    const struct shader *shader;
    // In order of binding number, as the shader declares them. One with VIEW_NONE that is only read
    // (an absent bias) gets some valid buffer. One that is written must be given: an output that
    // espy_lower_wants denies needs a temporary, or a specialization that does not write it.
    struct view bindings[DISPATCH_BINDINGS_MAX];
    uint32_t binding_count;
    const void *push;      // struct <kernel>_push; copied
    size_t push_size;
    const void *spec;      // struct <kernel>_spec; copied
    size_t spec_size;
    uint32_t groups[3];    // workgroups; 0 in any: the dispatch is dropped (nothing to compute)
};

// Adds a dispatch. Which bindings it reads and writes comes from the shader. Checks counts, sizes
// and caps->groups_max.
void espy_lower_dispatch(struct op_lower *c, const struct op_dispatch *dispatch);

// Workgroups for `count` invocations of local_size each, spread over x and y so that no dimension
// passes the device's limit. Pairs with linear_id() of shaders/include/index.glsl, which is >= count
// for the overhang.
void espy_lower_grid(const struct op_lower *c, size_t count, uint32_t local_size,
                     uint32_t groups[3]);

// How many neighbouring elements of the innermost dimension one invocation should take, for views
// that are collapsed: CPU drivers want long invocations, GPUs neighbouring ones side by side. With
// one dimension the last invocation's run may pass the end; with more it divides the innermost.
uint32_t espy_lower_run(const struct op_lower *c, const struct view *collapsed);

// The variant that computes with this storage (VARIANT_F32...) or that moves its words (VARIANT_W32...).
enum shader_variant espy_variant(enum storage storage);
// The same, but VARIANT_T32 on CPU drivers that can bind all of a buffer as texels, where reading
// those costs a quarter of what a storage buffer's elements do: for shaders that have it.
enum shader_variant espy_reading_variant(const struct op_lower *c, enum storage storage);
enum shader_variant espy_word_variant(enum storage storage);
// Kernels for CPU drivers may take float32 in whole vectors, read as espy_reading_variant says.
bool espy_lower_reads_vectors(const struct op_lower *c, enum storage storage);
// Which of such a kernel's variants, T32 and F32, that is.
const struct shader *espy_vector_shader(const struct op_lower *c, const struct shader_set *shaders);
// How a type lies in this device's memory.
enum storage espy_lower_storage(const struct op_lower *c, espy_dtype dtype);
// 1 or 2: how many 32-bit words an integer view's element has, for kernels that read indices
// through a uint buffer whatever their width.
uint32_t espy_index_words(const struct view *view);

// ---- choices ------------------------------------------------------------------------------------

// Where a kernel has several forms of which only a measurement tells the fastest (tiles, columns
// per lane), lowering asks which of `count` to take; `fallback` is what it takes by its own
// estimate. kind names the kernel and its forms, the rest is printed after it: numbers without
// spaces that tell apart whatever the time depends on. The answer is what the plan was given for
// the problem (plan/choices.h), or fallback. Every form must be right on this device. To be asked
// when inputs and outputs are there: the plan notes how they lie, for the tuner to lay them so too.
uint32_t espy_lower_choose(struct op_lower *c, uint32_t count, uint32_t fallback, const char *kind,
                           const char *format, ...) ESPY_PRINTF(5, 6);

// ---- epilogue --------------------------------------------------------------------------------------

// Fills what shaders/include/epilogue.glsl declares: spec is a struct <kernel>_spec *, push a
// struct <kernel>_push *.
#define LOWER_EPILOGUE(c, spec, push)                                                              \
    do {                                                                                           \
        (spec)->step_0 = espy_lower_step((c), 0, (push)->step_a, (push)->step_b);                  \
        (spec)->step_1 = espy_lower_step((c), 1, (push)->step_a, (push)->step_b);                  \
        (spec)->step_2 = espy_lower_step((c), 2, (push)->step_a, (push)->step_b);                  \
        (spec)->step_3 = espy_lower_step((c), 3, (push)->step_a, (push)->step_b);                  \
    } while (0)
// The same for kernels that take long to compile and of which networks have many: on CPU drivers
// those with different cheap functions, or none, share a pipeline (espy_steps_share).
#define LOWER_SHARED_EPILOGUE(c, spec, push)                                                       \
    do {                                                                                           \
        LOWER_EPILOGUE((c), (spec), (push));                                                       \
        uint32_t steps_[4] = {(spec)->step_0, (spec)->step_1, (spec)->step_2, (spec)->step_3};     \
        if ((c)->caps->cpu)                                                                        \
            espy_steps_share(steps_, (push)->step_a, (push)->step_b, (c)->bends);                  \
        (spec)->step_0 = steps_[0];                                                                \
        (spec)->step_1 = steps_[1];                                                                \
    } while (0)
// Returns the function of step i (0 past the last) and writes its parameters to a[i] and b[i].
uint32_t espy_lower_step(const struct op_lower *c, uint32_t i, float *a, float *b);

// The nodes after this one may do nothing but change its output's shape and add or multiply, element
// by element, a tensor that is there already: a residual connection, a gate. A kernel that can do
// that in its epilogue says so before it makes output 0. true: the steps have the operation among
// them from then on, and output 0 is the output of the last of those nodes, seen in the shape that
// this operator gives it. dense: the kernel makes it row-major, so that the shape may change.
bool espy_lower_take_tail(struct op_lower *c, bool dense);
// The other tensor, in the shape of output 0 and lying as it does, from element 0 of its buffer on;
// VIEW_NONE where no tail was taken.
struct view espy_lower_tail_operand(struct op_lower *c, const struct view *output);
// The nodes after this one may put its channels and those of another tensor of its shape, which is
// there already, in turns: the other's first, its first, the other's second (a Concat, and the
// Reshape, Transpose, Reshape of a channel shuffle in two groups). A kernel that can write both says
// so before it makes output 0. true: *y is this operator's share of the output of the last of those
// nodes, channels-last with a step of 2 from channel to channel, and *other is what has to be written
// before each of its elements, channels-last from element 0 of its buffer on; pixels of it may lie
// further apart than they have channels.
bool espy_lower_take_shuffle(struct op_lower *c, struct view *y, struct view *other);

// ---- gates ---------------------------------------------------------------------------------------

// A layer of small size: step(in * weights + bias); or with taps a convolution along the channels.
struct lower_layer {
    int64_t in, out;
    int64_t taps, pad;
    struct op_step step;
    uint32_t weights, bias; // the planner's values; bias may be GRAPH_NONE
    uint32_t w_in;          // the dimension of the weights that goes along the numbers in
};

enum { GATE_LAYERS_MAX = 2, GATE_NODES_MAX = 24 };

// What makes one factor per channel (or another number of them) of the mean of every channel of an
// image. both: the mean and the largest element go through the first layer, and the second one is
// given the sum of what that makes: its bias counts twice.
struct lower_gate {
    bool largest; // this node makes the largest element, and the one that is joined the mean
    bool both;
    int64_t images, channels;
    uint32_t layer_count;
    struct lower_layer layers[GATE_LAYERS_MAX];
    uint32_t output;                // the value that the last of its nodes makes
    uint32_t done_count;
    uint32_t done[GATE_NODES_MAX];  // the nodes after this one
};

// For poolings: this node pools every channel of its input to one number, and what follows is a
// gate whose weights are constant. Nothing is taken yet.
bool espy_lower_find_gate(const struct op_lower *c, struct lower_gate *gate);
// This node's kernels make all of the gate, so that the nodes after it need not be lowered. Returns
// its output, dense, an image after the other, and fills weights[layer], which see [in, out] or
// [taps, 1] in any strides, and biases[layer], dense with any offset, or VIEW_NONE.
struct view espy_lower_take_gate(struct op_lower *c, const struct lower_gate *gate,
                                 struct view weights[], struct view biases[]);

// The mean and the largest element along the channels of a map, and a Concat of both.
struct lower_pair {
    bool largest_first;
    uint32_t other, concat; // nodes after this one
};

// For reductions: this node makes one of the two, and what makes the other and joins them follows.
bool espy_lower_find_pair(const struct op_lower *c, struct lower_pair *pair);
// This node's kernel makes both: the output of the Concat, channels-last.
struct view espy_lower_take_pair(struct op_lower *c, const struct lower_pair *pair);

// Input 0 may be the product, not computed yet, of a feature map and a factor for each of its
// channels and images. A kernel that can multiply as it reads says so before it asks for input 0.
// Returns the factors, dense [images, channels] from element 0 of their buffer on, and then input 0
// is the map; VIEW_NONE: it is no such product.
struct view espy_lower_take_factors(struct op_lower *c);

// ---- failing -------------------------------------------------------------------------------------

// Failure in any call above is remembered: later calls do nothing and give views with VIEW_NONE, and
// the planner fails after lower returns. So lower needs no checks between calls, and ends with
// `return espy_lower_status(c)`.
espy_status espy_lower_status(const struct op_lower *c);
// Says that this node has to run on the host on this device, and why ("float64 index", "no int64").
// Must be called before any other call that adds something. Return its result from lower.
espy_status espy_lower_on_host(struct op_lower *c, const char *why);
// Logs "node 'x' (Op): ..." and remembers ESPY_UNSUPPORTED.
espy_status espy_lower_unsupported(struct op_lower *c, const char *format, ...) ESPY_PRINTF(2, 3);

#endif // RUNTIME_OP_LOWER_H_
