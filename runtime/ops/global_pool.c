// GlobalAveragePool, GlobalMaxPool and GlobalLpPool: one number per channel of an image.
#include <math.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/channel_pool.h"
#include "ops/gate.h"

struct global_pool_attrs {
    int64_t p;
};

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

static espy_status lower(struct op_lower *c)
{
    const struct global_pool_attrs *attrs = c->attrs;
    if (gate_lower(c))
        return espy_lower_status(c);
    const struct view x = channel_pool_input(c), none = {.buffer = VIEW_NONE};
    const struct view y = espy_lower_output(c, 0);
    if (x.buffer == VIEW_NONE)
        return espy_lower_status(c);
    struct channel_pool pool = channel_pool_of(c, &x, mode_of(c->node));
    const uint32_t chunks = pool.push.chunks;
    pool.push.p = (float)attrs->p;
    if (chunks == 1) {
        channel_pool_add(c, &pool, &x, &none, &y);
        return espy_lower_status(c);
    }
    const struct shape shape = {.rank = 3, .dims = {x.dims[0], chunks, x.dims[1]}};
    const struct view partial = espy_lower_temporary(c, ESPY_FLOAT32, &shape);
    // What both passes do alike shares a pipeline: adding up, where partial results lie as x does.
    const bool alike = espy_lower_storage(c, c->inputs[0].dtype) == STORAGE_F32 &&
                       pool.spec.mode != POOL_LP;
    const float scale = pool.push.scale;
    pool.spec.to_partial = !alike;
    pool.push.scale = alike ? 1 : scale;
    channel_pool_add(c, &pool, &x, &none, &partial);
    pool.spec.to_partial = 0;
    pool.spec.from_partial = !alike;
    pool.push.scale = scale;
    pool.push.x_offset = 0;
    pool.push.x_image = (int32_t)(chunks * pool.push.channels);
    pool.push.x_channel = 1;
    pool.push.x_pixel = (int32_t)pool.push.channels;
    pool.push.pixels = pool.push.chunk_size = chunks;
    pool.push.chunks = 1;
    channel_pool_add(c, &pool, alike ? &partial : &none, &partial, &y);
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
