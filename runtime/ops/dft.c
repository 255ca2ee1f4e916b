// DFT and STFT: discrete Fourier transforms along an axis, and of windows that move along a signal.
#include <assert.h>
#include <math.h>
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/plain_input.h"
#include "shaders/dft.spv.h"

// All loops of one invocation together stop silently after 65535 iterations on some software
// drivers.
enum { SAMPLES_MAX = 60000 };
enum { DFT_LENGTH = 1, DFT_AXIS = 2, STFT_STEP = 1, STFT_WINDOW = 2, STFT_LENGTH = 3 };

struct dft_attrs {
    bool inverse, onesided;
};

// What infer has checked: transforms of `size` samples, at x[outer * x_outer + frame * x_frame +
// sample * x_step + inner * x_inner], counted in numbers of the dense input.
struct transform {
    int64_t outer, frames, inner;
    int64_t size, samples, bins; // samples: that are there, the others are zero
    int64_t x_outer, x_frame, x_step, x_inner;
    bool complex_in, real_out, inverse, has_window;
    uint32_t axis; // DFT's
};

static const double pi = 3.14159265358979323846;

// ---- shapes and types ---------------------------------------------------------------------------

// Input i, one integer; *value keeps its content where the input is absent. ESPY_UNSUPPORTED
// without a log line: not known before the run (espy_infer_wait).
static espy_status read_integer(struct op_infer *c, uint32_t i, int64_t *value)
{
    if (!espy_infer_has(c, i))
        return ESPY_OK;
    const espy_dtype dtype = c->inputs[i].dtype;
    size_t count = 0;
    if (dtype != ESPY_INT32 && dtype != ESPY_INT64)
        return espy_infer_fail(c, "input %u is %s, needs int32 or int64", i,
                               espy_dtype_name(dtype));
    if (!espy_shape_count(&c->inputs[i].shape, &count) || count != 1)
        return espy_infer_fail(c, "input %u is not one number", i);
    const struct tensor *tensor = espy_infer_value(c, i);
    if (tensor == NULL)
        return espy_infer_wait(c);
    *value = espy_tensor_integer(tensor, 0);
    return ESPY_OK;
}

static espy_status check_input(const struct op_infer *c, bool *complex_in)
{
    const struct shape *x = &c->inputs[0].shape;
    if (!espy_dtype_is_float(c->inputs[0].dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(c->inputs[0].dtype));
    if (x->rank < 2)
        return espy_infer_fail(c, "an input of rank %u, needs at least 2", x->rank);
    const int64_t parts = x->dims[x->rank - 1];
    if (parts != 1 && parts != 2)
        return espy_infer_fail(c, "the last dimension is %lld, needs 1 (real) or 2 (complex)",
                               (long long)parts);
    *complex_in = parts == 2;
    return ESPY_OK;
}

static espy_status check_size(const struct op_infer *c, int64_t size)
{
    if (size < 1 || size > GRAPH_DIM_MAX / 2)
        return espy_infer_fail(c, "a transform of %lld samples", (long long)size);
    return ESPY_OK;
}

static espy_status dft_init(struct op_infer *c, struct transform *t)
{
    const struct dft_attrs *attrs = c->attrs;
    const struct shape *x = &c->inputs[0].shape;
    *t = (struct transform){.outer = 1, .frames = 1, .inner = 1, .inverse = attrs->inverse};
    TRY(check_input(c, &t->complex_in));
    int64_t axis = -2;
    TRY(read_integer(c, DFT_AXIS, &axis));
    TRY(espy_infer_axis(c, axis, x->rank, &t->axis));
    if (t->axis + 1 == x->rank)
        return espy_infer_fail(c, "the last dimension holds parts of numbers, it is no axis");
    if (attrs->onesided && attrs->inverse != t->complex_in)
        return espy_infer_fail(c, "one half of a spectrum belongs to a real signal");
    const int64_t given = x->dims[t->axis];
    t->real_out = attrs->onesided && attrs->inverse;
    t->size = t->real_out ? 2 * (given - 1) : given;
    TRY(read_integer(c, DFT_LENGTH, &t->size));
    TRY(check_size(c, t->size));
    const int64_t half = t->size / 2 + 1, most = t->real_out ? half : t->size;
    t->samples = given < most ? given : most;
    t->bins = attrs->onesided && !attrs->inverse ? half : t->size;
    for (uint32_t d = 0; d + 1 < x->rank; d++) {
        if (d < t->axis)
            t->outer *= x->dims[d];
        else if (d > t->axis)
            t->inner *= x->dims[d];
    }
    t->x_inner = t->complex_in ? 2 : 1;
    t->x_step = t->x_inner * t->inner;
    t->x_outer = t->x_step * given;
    return ESPY_OK;
}

static espy_status infer_dft(struct op_infer *c)
{
    struct transform t;
    TRY(dft_init(c, &t));
    espy_infer_copy(c, 0, 0);
    struct shape *y = &c->outputs[0].shape;
    y->dims[t.axis] = t.bins;
    y->dims[y->rank - 1] = t.real_out ? 1 : 2;
    return ESPY_OK;
}

static espy_status stft_init(struct op_infer *c, struct transform *t)
{
    const struct dft_attrs *attrs = c->attrs;
    const struct shape *x = &c->inputs[0].shape;
    *t = (struct transform){.outer = x->dims[0], .inner = 1, .has_window = espy_infer_has(c, 2)};
    TRY(check_input(c, &t->complex_in));
    if (x->rank != 3)
        return espy_infer_fail(c, "a signal of rank %u, needs 3", x->rank);
    if (attrs->onesided && t->complex_in)
        return espy_infer_fail(c, "one half of a spectrum belongs to a real signal");
    if (t->has_window) {
        const struct shape *window = &c->inputs[STFT_WINDOW].shape;
        if (window->rank != 1 || c->inputs[STFT_WINDOW].dtype != c->inputs[0].dtype)
            return espy_infer_fail(c, "the window is no list of the signal's type");
        t->size = window->dims[0];
    }
    int64_t step = 0;
    TRY(read_integer(c, STFT_STEP, &step));
    TRY(read_integer(c, STFT_LENGTH, &t->size));
    TRY(check_size(c, t->size));
    if (t->has_window && c->inputs[STFT_WINDOW].shape.dims[0] != t->size)
        return espy_infer_fail(c, "a window of %lld elements for frames of %lld",
                               (long long)c->inputs[STFT_WINDOW].shape.dims[0], (long long)t->size);
    if (step < 1 || step > GRAPH_DIM_MAX)
        return espy_infer_fail(c, "frames %lld samples apart", (long long)step);
    t->frames = x->dims[1] < t->size ? 0 : (x->dims[1] - t->size) / step + 1;
    t->samples = t->size;
    t->bins = attrs->onesided ? t->size / 2 + 1 : t->size;
    t->x_step = t->complex_in ? 2 : 1;
    t->x_frame = step * t->x_step;
    t->x_outer = x->dims[1] * t->x_step;
    return ESPY_OK;
}

static espy_status infer_stft(struct op_infer *c)
{
    struct transform t;
    TRY(stft_init(c, &t));
    c->outputs[0] = (struct op_type){c->inputs[0].dtype, {4, {t.outer, t.frames, t.bins, 2}}};
    return ESPY_OK;
}

// The numbers again, for a node that infer has accepted.
static struct transform transform_of(const struct host *host, const struct op_node *node,
                                     const struct op_type *inputs, const struct tensor *values,
                                     uint32_t input_count)
{
    struct op_infer infer_again = espy_infer_again(host, node, inputs, input_count);
    infer_again.values = values;
    struct transform t;
    const espy_status status = strcmp(node->op->name, "DFT") == 0 ? dft_init(&infer_again, &t)
                                                                  : stft_init(&infer_again, &t);
    assert(status == ESPY_OK);
    (void)status;
    return t;
}

// ---- meaning ------------------------------------------------------------------------------------

// All powers of the root of one by which the transform turns: cosines and sines in turn.
static void fill_roots(const struct transform *t, double *roots)
{
    for (int64_t k = 0; k < t->size; k++) {
        const double angle = 2 * pi * (double)k / (double)t->size;
        roots[2 * k] = cos(angle);
        roots[2 * k + 1] = t->inverse ? sin(angle) : -sin(angle);
    }
}

// Element `bin` of the transform that starts at x[from].
static void sum_up(const struct op_eval *c, const struct transform *t, const double *roots,
                   int64_t from, int64_t bin, double sum[2])
{
    sum[0] = sum[1] = 0;
    for (int64_t n = 0, root = 0; n < t->samples; n++, from += t->x_step) {
        double factor = t->inverse ? 1 / (double)t->size : 1;
        if (t->has_window)
            factor *= espy_tensor_number(&c->inputs[STFT_WINDOW], (size_t)n);
        if (t->real_out && n != 0 && 2 * n != t->size)
            factor *= 2; // the other half's element, its conjugate
        const double re = factor * espy_tensor_number(&c->inputs[0], (size_t)from);
        const double im =
            t->complex_in ? factor * espy_tensor_number(&c->inputs[0], (size_t)from + 1) : 0;
        sum[0] += re * roots[2 * root] - im * roots[2 * root + 1];
        sum[1] += re * roots[2 * root + 1] + im * roots[2 * root];
        root = (root + bin) % t->size;
    }
}

static void reference(struct op_eval *c)
{
    struct op_type types[4] = {{ESPY_DTYPE_NONE, {0}}};
    for (uint32_t i = 0; i < c->input_count; i++)
        types[i] = c->inputs[i].type;
    const struct transform t = transform_of(c->host, c->node, types, c->inputs, c->input_count);
    double *roots = espy_eval_scratch(c, (size_t)t.size, 2 * sizeof(*roots));
    if (roots == NULL)
        return;
    fill_roots(&t, roots);
    size_t to = 0;
    for (int64_t row = 0; row < t.outer * t.frames; row++) {
        const int64_t from = row / t.frames * t.x_outer + row % t.frames * t.x_frame;
        for (int64_t bin = 0; bin < t.bins; bin++) {
            for (int64_t i = 0; i < t.inner; i++) {
                double sum[2];
                sum_up(c, &t, roots, from + i * t.x_inner, bin, sum);
                espy_tensor_set_number(&c->outputs[0], to++, sum[0]);
                if (!t.real_out)
                    espy_tensor_set_number(&c->outputs[0], to++, sum[1]);
            }
        }
    }
}

// ---- dispatches ---------------------------------------------------------------------------------

static espy_status lower_roots(struct op_lower *c, const struct transform *t, struct view *view)
{
    double *exact = espy_arena_array(c->arena, (size_t)t->size, 2 * sizeof(*exact));
    float *roots = espy_arena_array(c->arena, (size_t)t->size, 2 * sizeof(*roots));
    const struct shape shape = {2, {t->size, 2}};
    if (exact == NULL || roots == NULL)
        return ESPY_OUT_OF_MEMORY; // the arena has said so
    fill_roots(t, exact);
    for (int64_t k = 0; k < 2 * t->size; k++)
        roots[k] = (float)exact[k];
    *view = espy_lower_constant(c, ESPY_FLOAT32, &shape, roots);
    return espy_lower_status(c);
}

static espy_status lower(struct op_lower *c)
{
    const struct transform t = transform_of(c->host, c->node, c->inputs, c->values, c->input_count);
    if (t.samples > SAMPLES_MAX)
        return espy_lower_on_host(c, "too many samples for one invocation");
    const struct view x = espy_lower_dense_input(c, 0);
    struct view window = {.buffer = VIEW_NONE};
    if (t.has_window)
        window = plain_input(c, STFT_WINDOW);
    struct view roots;
    TRY(lower_roots(c, &t, &roots));
    const struct view y = espy_lower_output(c, 0);
    struct dft_spec spec = DFT_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.complex_in = t.complex_in;
    spec.real_out = t.real_out;
    spec.has_window = t.has_window;
    struct dft_push push = {.count = (uint32_t)(t.outer * t.frames * t.bins * t.inner),
                            .frames = (uint32_t)t.frames,
                            .bins = (uint32_t)t.bins,
                            .inner = (uint32_t)t.inner,
                            .samples = (uint32_t)t.samples,
                            .size = (uint32_t)t.size,
                            .x_offset = (int32_t)x.offset,
                            .x_outer = (int32_t)t.x_outer,
                            .x_frame = (int32_t)t.x_frame,
                            .x_step = (int32_t)t.x_step,
                            .x_inner = (int32_t)t.x_inner,
                            .x_part = 1,
                            .scale = t.inverse ? (float)(1 / (double)t.size) : 1};
    struct op_dispatch made = {.shader = dft_shaders.variants[espy_variant(x.storage)],
                               .bindings = {x, window, roots, y},
                               .binding_count = 4,
                               .push = &push,
                               .push_size = sizeof(push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
    return espy_lower_status(c);
}

// ---- the table ----------------------------------------------------------------------------------

#define ATTR(attr_name, default_value, text)                                                  \
    {                                                                                         \
        .name = #attr_name, .type = OP_BOOL, .offset = offsetof(struct dft_attrs, attr_name), \
        .fallback = default_value, .help = text                                               \
    }

static const struct op_attr dft_rows[] = {
    ATTR(inverse, 0, "from the spectrum to the signal, divided by the number of samples"),
    ATTR(onesided, 0, "a spectrum is only its first half: that of a real signal is symmetric")};
static const struct op_attr stft_rows[] = {
    ATTR(onesided, 1, "a spectrum is only its first half: that of a real signal is symmetric")};

#define TRANSFORM(op_name, text, min, max, rows, infer_function)                                  \
    {                                                                                             \
        .name = op_name, .summary = text, .inputs_min = min, .inputs_max = max, .outputs_min = 1, \
        .outputs_max = 1, .attrs = rows, .attr_count = sizeof(rows) / sizeof((rows)[0]),          \
        .attrs_size = sizeof(struct dft_attrs), .infer = infer_function, .reference = reference,  \
        .lower = lower                                                                            \
    }

static const struct op ops[] = {
    TRANSFORM("DFT", "discrete Fourier transform along an axis", 1, 3, dft_rows, infer_dft),
    TRANSFORM("STFT", "Fourier transforms of a window that moves along a signal", 2, 4, stft_rows,
              infer_stft)};

const struct op_family espy_ops_dft = {ops, sizeof(ops) / sizeof(ops[0])};
