// GlobalAveragePool, GlobalMaxPool and GlobalLpPool: one number per channel of an image.
#include <math.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/window.h"
#include "shaders/global_pool.spv.h"

struct global_pool_attrs {
    int64_t p;
};

// In the order of MODE in shaders/global_pool.comp.
enum pool_mode { POOL_AVERAGE, POOL_LP, POOL_MAX };

static enum pool_mode mode_of(const struct op_node *node)
{
    const char kind = node->op->name[sizeof("Global") - 1];
    return kind == 'A' ? POOL_AVERAGE : kind == 'L' ? POOL_LP : POOL_MAX;
}

static espy_status infer(struct op_infer *c)
{
    if (!espy_dtype_is_float(c->inputs[0].dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(c->inputs[0].dtype));
    if (c->inputs[0].shape.rank < 2)
        return espy_infer_fail(c, "the input has rank %u, needs at least 2",
                               c->inputs[0].shape.rank);
    c->outputs[0] = c->inputs[0];
    for (uint32_t i = 2; i < c->inputs[0].shape.rank; i++)
        c->outputs[0].shape.dims[i] = 1;
    return ESPY_OK;
}

static int64_t pixels_of(const struct op_type *type)
{
    return window_product(type->shape.dims + 2, type->shape.rank - 2);
}

static void reference(struct op_eval *c)
{
    const struct global_pool_attrs *attrs = c->attrs;
    const enum pool_mode mode = mode_of(c->node);
    const size_t pixels = (size_t)pixels_of(&c->inputs[0].type);
    const double p = (double)attrs->p;
    for (size_t i = 0; i < c->outputs[0].count; i++) {
        double value = mode == POOL_MAX ? -(double)INFINITY : 0;
        for (size_t k = 0; k < pixels; k++) {
            const double x = espy_tensor_number(&c->inputs[0], i * pixels + k);
            if (mode == POOL_MAX)
                value = x > value ? x : value;
            else
                value += mode == POOL_LP ? pow(fabs(x), p) : x;
        }
        if (mode == POOL_AVERAGE)
            value /= (double)pixels;
        if (mode == POOL_LP)
            value = pow(value, 1.0 / p);
        espy_tensor_set_number(&c->outputs[0], i, value);
    }
}

// x with all its pixels in dimension 2, which takes a copy where they are not evenly spaced.
static struct view pixels_in_line(struct op_lower *c)
{
    struct view x = espy_lower_input(c, 0);
    for (uint32_t attempt = 0; attempt < 2; attempt++) {
        if (x.buffer == VIEW_NONE)
            return x;
        struct view pixels = x;
        pixels.rank = x.rank - 2;
        for (uint32_t i = 2; i < x.rank; i++) {
            pixels.dims[i - 2] = x.dims[i];
            pixels.strides[i - 2] = x.strides[i];
        }
        if (espy_view_collapse(&pixels, 1) == 1) {
            x.rank = 3;
            x.dims[2] = pixels.dims[0];
            x.strides[2] = pixels.strides[0];
            return x;
        }
        x = espy_lower_channels_last_input(c, 0);
    }
    return x;
}

// Chunks of an image's pixels, so that a few channels of a large image keep a whole device busy.
static uint32_t chunks_of(const struct op_lower *c, size_t lines, int64_t pixels)
{
    const int64_t wanted = c->caps->cpu ? 128 : 32768, size_min = c->caps->cpu ? 256 : 32;
    int64_t chunks = lines == 0 ? 1 : wanted / (int64_t)lines;
    if (chunks > pixels / size_min)
        chunks = pixels / size_min;
    if (chunks < (pixels + WINDOW_TRIPS_MAX - 1) / WINDOW_TRIPS_MAX)
        chunks = (pixels + WINDOW_TRIPS_MAX - 1) / WINDOW_TRIPS_MAX;
    return chunks < 1 ? 1 : (uint32_t)chunks;
}

struct pass {
    struct global_pool_spec spec;
    struct global_pool_push push;
};

static void add_pass(struct op_lower *c, const struct pass *pass, const struct view *x,
                     const struct view *partial, const struct view *result)
{
    const enum storage storage = espy_lower_storage(c, c->inputs[0].dtype);
    struct op_dispatch dispatch = {.shader = global_pool_shaders
                                                 .variants[espy_reading_variant(c, storage)],
                                   .bindings = {*x, *partial, *result, *result, *x},
                                   .binding_count = 5,
                                   .push = &pass->push,
                                   .push_size = sizeof(pass->push),
                                   .spec = &pass->spec,
                                   .spec_size = sizeof(pass->spec)};
    const size_t lines = (size_t)(pass->push.channels / pass->spec.vector) * pass->push.images;
    espy_lower_grid(c, lines * pass->push.chunks, pass->spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

static espy_status lower(struct op_lower *c)
{
    const struct global_pool_attrs *attrs = c->attrs;
    const struct view x = pixels_in_line(c), none = {.buffer = VIEW_NONE};
    const struct view y = espy_lower_output(c, 0);
    if (x.buffer == VIEW_NONE)
        return espy_lower_status(c);
    const int64_t pixels = pixels_of(&c->inputs[0]);
    struct pass pass = {.spec = GLOBAL_POOL_SPEC_DEFAULT};
    pass.spec.local_size_x = window_local_size(c);
    pass.spec.mode = mode_of(c->node);
    pass.spec.vector = window_vector(&x) ? 4 : 1;
    const size_t lines = (size_t)(x.dims[0] * x.dims[1]) / pass.spec.vector;
    const uint32_t chunks = chunks_of(c, lines, pixels);
    pass.push = (struct global_pool_push){.images = (uint32_t)x.dims[0],
                                          .channels = (uint32_t)x.dims[1],
                                          .pixels = (uint32_t)pixels,
                                          .chunks = chunks,
                                          .chunk_size = ((uint32_t)pixels + chunks - 1) / chunks,
                                          .x_offset = (int32_t)x.offset,
                                          .x_image = (int32_t)x.strides[0],
                                          .x_channel = (int32_t)x.strides[1],
                                          .x_pixel = (int32_t)x.strides[2],
                                          .scale = 1 / (float)pixels,
                                          .p = (float)attrs->p};
    if (chunks == 1) {
        add_pass(c, &pass, &x, &none, &y);
        return espy_lower_status(c);
    }
    const struct shape shape = {.rank = 3, .dims = {x.dims[0], chunks, x.dims[1]}};
    const struct view partial = espy_lower_temporary(c, ESPY_FLOAT32, &shape);
    // What both passes do alike shares a pipeline: adding up, where partial results lie as x does.
    const bool alike = espy_lower_storage(c, c->inputs[0].dtype) == STORAGE_F32 &&
                       pass.spec.mode != POOL_LP;
    pass.spec.to_partial = !alike;
    pass.push.scale = alike ? 1 : pass.push.scale;
    add_pass(c, &pass, &x, &none, &partial);
    pass.spec.to_partial = 0;
    pass.spec.from_partial = !alike;
    pass.push.scale = 1 / (float)pixels;
    pass.push.x_offset = 0;
    pass.push.x_image = (int32_t)(chunks * pass.push.channels);
    pass.push.x_channel = 1;
    pass.push.x_pixel = (int32_t)pass.push.channels;
    pass.push.pixels = pass.push.chunk_size = chunks;
    pass.push.chunks = 1;
    add_pass(c, &pass, alike ? &partial : &none, &partial, &y);
    return espy_lower_status(c);
}

static const struct op_attr lp_rows[] = {{.name = "p",
                                          .type = OP_INT,
                                          .offset = offsetof(struct global_pool_attrs, p),
                                          .fallback = 2,
                                          .min = 1,
                                          .max = 1 << 20,
                                          .help = "power of the norm"}};

#define POOL(op_name, text, rows, count)                                                        \
    {                                                                                           \
        .name = op_name, .summary = text, .inputs_min = 1, .inputs_max = 1, .outputs_min = 1,   \
        .outputs_max = 1, .attrs = rows, .attr_count = count,                                   \
        .attrs_size = sizeof(struct global_pool_attrs), .infer = infer, .reference = reference, \
        .lower = lower                                                                          \
    }

static const struct op ops[] = {
    POOL("GlobalAveragePool", "mean of every channel", NULL, 0),
    POOL("GlobalLpPool", "p-norm of every channel", lp_rows, sizeof(lp_rows) / sizeof(lp_rows[0])),
    POOL("GlobalMaxPool", "largest element of every channel", NULL, 0)};

const struct op_family espy_ops_global_pool = {ops, sizeof(ops) / sizeof(ops[0])};
