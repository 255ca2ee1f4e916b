// MaxPool, AveragePool and LpPool: one number for every window of every channel.
#include <assert.h>
#include <math.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/window.h"
#include "shaders/pool.spv.h"
#include "shaders/pool_texel.spv.h"

struct pool_attrs {
    struct window_attrs window;
    int64_t p;
    bool ceil_mode, count_include_pad, storage_order;
};

// In the order of MODE in shaders/pool.comp.
enum pool_mode { POOL_MAX, POOL_AVERAGE, POOL_LP };

static enum pool_mode mode_of(const struct op_node *node)
{
    const char first = node->op->name[0];
    return first == 'M' ? POOL_MAX : first == 'A' ? POOL_AVERAGE : POOL_LP;
}

static espy_status pool_init(const struct op_infer *c, struct window *window)
{
    const struct pool_attrs *attrs = c->attrs;
    const espy_dtype dtype = c->inputs[0].dtype;
    const bool small = dtype == ESPY_INT8 || dtype == ESPY_UINT8;
    if (!espy_dtype_is_float(dtype) && !(small && mode_of(c->node) == POOL_MAX))
        return espy_infer_fail(c, "does not take %s", espy_dtype_name(dtype));
    TRY(window_init(c, &attrs->window, &c->inputs[0].shape, NULL, window));
    return window_outputs(c, attrs->window.auto_pad, attrs->ceil_mode, window);
}

static espy_status infer(struct op_infer *c)
{
    struct window window;
    TRY(pool_init(c, &window));
    struct op_type type = c->inputs[0];
    for (uint32_t i = 0; i < window.rank; i++)
        type.shape.dims[i + 2] = window.out[i];
    c->outputs[0] = type;
    if (c->output_count > 1) {
        c->outputs[1] = type;
        c->outputs[1].dtype = ESPY_INT64;
    }
    return ESPY_OK;
}

// The window again, for a node that infer has accepted.
static struct window window_of(const struct host *host, const struct op_node *node,
                               const struct op_type *input)
{
    const struct op_infer infer_again = espy_infer_again(host, node, input, 1);
    struct window window;
    const espy_status status = pool_init(&infer_again, &window);
    assert(status == ESPY_OK);
    (void)status;
    return window;
}

// ---- meaning ------------------------------------------------------------------------------------

// Elements that an average divides by: those inside, and in padding that counts; never those beyond
// the padding, which ceil_mode may reach.
static int64_t counted(const struct window *w, const int64_t *at, bool count_pad)
{
    int64_t product = 1;
    for (uint32_t i = 0; i < w->rank; i++) {
        int64_t count = 0;
        for (int64_t k = 0; k < w->kernel[i]; k++) {
            const int64_t in = at[i] * w->stride[i] - w->pad[i] + k * w->dilation[i];
            const int64_t limit = w->in[i] + (count_pad ? w->pad_end[i] : 0);
            count += (count_pad || in >= 0) && in < limit;
        }
        product *= count;
    }
    return product > 0 ? product : 1;
}

// Index of an element in its channel as if the first axis were the fastest.
static size_t column_major(const struct window *w, size_t offset)
{
    size_t position[WINDOW_RANK_MAX], index = 0;
    for (uint32_t i = w->rank; i-- > 0;) {
        position[i] = offset % (size_t)w->in[i];
        offset /= (size_t)w->in[i];
    }
    for (uint32_t i = w->rank; i-- > 0;)
        index = index * (size_t)w->in[i] + position[i];
    return index;
}

static double lowest(espy_dtype dtype)
{
    return dtype == ESPY_UINT8 ? 0 : dtype == ESPY_INT8 ? -128 : -(double)INFINITY;
}

struct pool_data {
    const struct window *window;
    const float *x;
    const struct window_tap *inside;
    size_t inside_count, plane, plane_size; // plane: image and channel in one number
    double divisor;
};

static void evaluate_window(struct op_eval *c, const struct pool_data *data, size_t to)
{
    const struct pool_attrs *attrs = c->attrs;
    const enum pool_mode mode = mode_of(c->node);
    const float *x = data->x + data->plane * data->plane_size;
    double value = mode == POOL_MAX ? lowest(c->inputs[0].type.dtype) : 0;
    size_t best = 0;
    for (size_t i = 0; i < data->inside_count; i++) {
        const double found = (double)x[data->inside[i].offset];
        if (mode == POOL_AVERAGE) {
            value += found;
        } else if (mode == POOL_LP) {
            value += pow(fabs(found), (double)attrs->p);
        } else if (i == 0 || found > value) {
            value = found;
            best = data->inside[i].offset;
            best = attrs->storage_order ? column_major(data->window, best) : best;
            best += data->plane * data->plane_size;
        }
    }
    if (mode == POOL_AVERAGE)
        value /= data->divisor;
    if (mode == POOL_LP)
        value = pow(value, 1.0 / (double)attrs->p);
    if (c->outputs[0].data != NULL)
        espy_tensor_set_number(&c->outputs[0], to, value);
    if (c->output_count > 1 && c->outputs[1].data != NULL)
        espy_tensor_set_integer(&c->outputs[1], to, (int64_t)best);
}

static void reference(struct op_eval *c)
{
    const struct pool_attrs *attrs = c->attrs;
    const struct window window = window_of(c->host, c->node, &c->inputs[0].type);
    const size_t out_size = (size_t)window_product(window.out, window.rank);
    const size_t planes =
        (size_t)(c->inputs[0].type.shape.dims[0] * c->inputs[0].type.shape.dims[1]);
    struct window_tap *inside = espy_eval_scratch(c, (size_t)window_taps(&window), sizeof(*inside));
    struct pool_data data = {.window = &window,
                             .x = espy_eval_floats(c, 0),
                             .inside = inside,
                             .plane_size = (size_t)window_product(window.in, window.rank)};
    if (data.x == NULL || inside == NULL || out_size == 0)
        return;
    int64_t at[WINDOW_RANK_MAX] = {0};
    size_t pixel = 0;
    do {
        data.inside_count = window_cover(&window, at, inside);
        data.divisor = (double)counted(&window, at, attrs->count_include_pad);
        for (data.plane = 0; data.plane < planes; data.plane++)
            evaluate_window(c, &data, data.plane * out_size + pixel);
        pixel++;
    } while (window_next(window.out, window.rank, at));
}

// ---- lowering -----------------------------------------------------------------------------------

static void fill(const struct window *w, const struct view *x, struct pool_spec *spec,
                 struct pool_push *push)
{
    spec->in_d = (uint32_t)w->in[0];
    spec->out_d = (uint32_t)w->out[0];
    spec->kernel_d = (uint32_t)w->kernel[0];
    spec->stride_d = (uint32_t)w->stride[0];
    spec->dilation_d = (uint32_t)w->dilation[0];
    spec->pad_d = (uint32_t)w->pad[0];
    push->x_offset = (int32_t)x->offset;
    window_strides(x, push->x_strides);
    push->in_h = (uint32_t)w->in[1];
    push->in_w = (uint32_t)w->in[2];
    push->out_h = (uint32_t)w->out[1];
    push->out_w = (uint32_t)w->out[2];
    push->kernel_h = (uint32_t)w->kernel[1];
    push->kernel_w = (uint32_t)w->kernel[2];
    push->stride_h = (uint32_t)w->stride[1];
    push->stride_w = (uint32_t)w->stride[2];
    push->dilation_h = (uint32_t)w->dilation[1];
    push->dilation_w = (uint32_t)w->dilation[2];
    push->pad_h = (uint32_t)w->pad[1];
    push->pad_w = (uint32_t)w->pad[2];
    const bool count_pad = spec->count_pad != 0;
    spec->limit_d = (uint32_t)(w->in[0] + (count_pad ? w->pad_end[0] : 0));
    push->limit_h = (uint32_t)(w->in[1] + (count_pad ? w->pad_end[1] : 0));
    push->limit_w = (uint32_t)(w->in[2] + (count_pad ? w->pad_end[2] : 0));
}

// The values of a node that wants only the indices still have to go somewhere.
static struct view make_output(struct op_lower *c, uint32_t o, bool channels_last)
{
    if (!espy_lower_wants(c, o))
        return espy_lower_temporary(c, c->inputs[0].dtype, &c->outputs[1 - o].shape);
    return channels_last ? espy_lower_channels_last_output(c, o) : espy_lower_output(c, o);
}

// The largest or the mean of what lies inside, of whole vectors of channels, on a CPU driver.
static bool suits_texels(const struct op_lower *c, const struct window *window,
                         const struct view *x)
{
    enum { KERNEL_W_MAX = 7, EXTENT_MAX = 13 };
    const struct pool_attrs *attrs = c->attrs;
    const enum pool_mode mode = mode_of(c->node);
    return espy_lower_reads_vectors(c, x->storage) && espy_dtype_is_float(x->dtype) &&
           !espy_lower_wants(c, 1) && window_vector(x) && window->in[0] == 1 &&
           window->out[0] == 1 && window->kernel[0] == 1 && window->pad[0] == 0 &&
           window->kernel[2] <= KERNEL_W_MAX && window_extent(window, 2) <= EXTENT_MAX &&
           (mode == POOL_MAX || (mode == POOL_AVERAGE && !attrs->count_include_pad));
}

static void lower_texels(struct op_lower *c, const struct window *window, const struct view *x)
{
    enum { COLUMNS_MAX = 4 };
    const struct view y = espy_lower_placed_output(c, 0);
    if (y.buffer == VIEW_NONE || espy_view_count(&y) == 0)
        return;
    struct pool_texel_spec spec = POOL_TEXEL_SPEC_DEFAULT;
    const int64_t tiles = (window->out[2] + COLUMNS_MAX - 1) / COLUMNS_MAX;
    spec.local_size_x = c->caps->local_size;
    spec.columns = (uint32_t)((window->out[2] + tiles - 1) / tiles);
    spec.average = mode_of(c->node) == POOL_AVERAGE;
    struct pool_texel_push push = {.rows = (uint32_t)(x->dims[0] * window->out[1]),
                                   .quads = (uint32_t)(x->dims[1] / 4)};
    WINDOW_FILL_LINES(&spec, &push, window, 4, x, &y);
    struct op_dispatch dispatch = {.shader = espy_vector_shader(c, &pool_texel_shaders),
                                   .bindings = {*x, y},
                                   .binding_count = 2,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.quads * (size_t)tiles * push.rows, spec.local_size_x,
                    dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

static espy_status lower(struct op_lower *c)
{
    const struct pool_attrs *attrs = c->attrs;
    const struct window spatial = window_of(c->host, c->node, &c->inputs[0]);
    if (spatial.rank > WINDOW_KERNEL_RANK_MAX)
        return espy_lower_on_host(c, "more than three spatial dimensions");
    const struct window window = window_three_dimensional(&spatial);
    if (window_taps(&window) > WINDOW_TRIPS_MAX / 4)
        return espy_lower_on_host(c, "the window is too large for one invocation");
    const struct view x = espy_lower_input(c, 0);
    if (x.buffer == VIEW_NONE)
        return espy_lower_status(c);
    if (suits_texels(c, &window, &x)) {
        lower_texels(c, &window, &x);
        return espy_lower_status(c);
    }
    const bool indices = espy_lower_wants(c, 1);
    struct pool_spec spec = POOL_SPEC_DEFAULT;
    spec.channels_last = x.strides[1] == 1 || espy_view_channels_last(&x);
    const struct view y = make_output(c, 0, spec.channels_last);
    const struct view index = indices ? make_output(c, 1, spec.channels_last) : y;
    spec.local_size_x = c->caps->local_size;
    spec.mode = mode_of(c->node);
    spec.vector = spec.channels_last && window_vector(&x) ? 4 : 1;
    spec.count_pad = attrs->count_include_pad;
    spec.index_words = indices ? espy_index_words(&index) : 0;
    spec.column_major = attrs->storage_order;
    struct pool_push push = {.count = (uint32_t)(espy_view_count(&y) / spec.vector),
                             .channels = (uint32_t)x.dims[1],
                             .p = (float)attrs->p,
                             .lowest = c->inputs[0].dtype == ESPY_UINT8 ? 0 : -128};
    fill(&window, &x, &spec, &push);
    struct op_dispatch dispatch = {.shader = pool_shaders.variants[espy_reading_variant(c, x.storage)],
                                   .bindings = {x, y, index, x},
                                   .binding_count = 4,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return espy_lower_status(c);
}

#define POOL_BOOL(attr_name, member, text)                                                 \
    {                                                                                      \
        .name = attr_name, .type = OP_BOOL, .offset = offsetof(struct pool_attrs, member), \
        .help = text                                                                       \
    }
#define CEIL_MODE POOL_BOOL("ceil_mode", ceil_mode, "a last window may stick out of the padding")

static const struct op_attr max_rows[] = {
    WINDOW_ATTRS(struct pool_attrs), CEIL_MODE,
    POOL_BOOL("storage_order", storage_order, "indices run 0: row-major, 1: column-major")};
static const struct op_attr average_rows[] = {
    WINDOW_ATTRS(struct pool_attrs), CEIL_MODE,
    POOL_BOOL("count_include_pad", count_include_pad, "padding counts in the average, as zeros")};
static const struct op_attr lp_rows[] = {WINDOW_ATTRS(struct pool_attrs),
                                         CEIL_MODE,
                                         {.name = "p",
                                          .type = OP_INT,
                                          .offset = offsetof(struct pool_attrs, p),
                                          .fallback = 2,
                                          .min = 1,
                                          .max = 1 << 20,
                                          .help = "power of the norm"}};

#define POOL(op_name, text, rows, outs)                                                       \
    {                                                                                         \
        .name = op_name, .summary = text, .inputs_min = 1, .inputs_max = 1, .outputs_min = 1, \
        .outputs_max = outs, .attrs = rows, .attr_count = sizeof(rows) / sizeof((rows)[0]),   \
        .attrs_size = sizeof(struct pool_attrs), .infer = infer, .reference = reference,      \
        .lower = lower                                                                        \
    }

static const struct op ops[] = {
    POOL("AveragePool", "mean of every window", average_rows, 1),
    POOL("LpPool", "p-norm of every window", lp_rows, 1),
    POOL("MaxPool", "largest element of every window, and where it is", max_rows, 2)};

const struct op_family espy_ops_pool = {ops, sizeof(ops) / sizeof(ops[0])};
