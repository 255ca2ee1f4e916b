#include "op/op.h"

#include <stdio.h>

enum { REASON_SIZE = 512 };

bool espy_infer_has(const struct op_infer *c, uint32_t i)
{
    return i < c->input_count && c->inputs[i].dtype != ESPY_DTYPE_NONE;
}

const struct tensor *espy_infer_value(struct op_infer *c, uint32_t i)
{
    if (i < c->input_count && c->values[i].data != NULL)
        return &c->values[i];
    c->needs = i;
    return NULL;
}

espy_status espy_infer_wait(struct op_infer *c)
{
    (void)c; // needs says which input; the caller of espy_op_infer decides what to log
    return ESPY_UNSUPPORTED;
}

static espy_status fail_list(const struct op_infer *c, espy_status status, const char *format,
                             va_list list)
{
    char reason[REASON_SIZE];
    vsnprintf(reason, sizeof(reason), format, list);
    return espy_fail(c->host, status, "node '%s' (%s): %s", c->node->name, c->node->op->name,
                     reason);
}

espy_status espy_infer_fail(const struct op_infer *c, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    const espy_status status = fail_list(c, ESPY_BAD_FORMAT, format, list);
    va_end(list);
    return status;
}

espy_status espy_infer_unsupported(const struct op_infer *c, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    const espy_status status = fail_list(c, ESPY_UNSUPPORTED, format, list);
    va_end(list);
    return status;
}

espy_status espy_infer_same_dtype(const struct op_infer *c, uint32_t first, uint32_t count)
{
    espy_dtype dtype = ESPY_DTYPE_NONE;
    for (uint32_t i = first; i < first + count && i < c->input_count; i++) {
        if (!espy_infer_has(c, i))
            continue;
        if (dtype != ESPY_DTYPE_NONE && c->inputs[i].dtype != dtype)
            return espy_infer_fail(c, "input %u is %s where %s is expected", i,
                                   espy_dtype_name(c->inputs[i].dtype), espy_dtype_name(dtype));
        dtype = c->inputs[i].dtype;
    }
    return ESPY_OK;
}

espy_status espy_infer_broadcast(const struct op_infer *c, const struct shape *a,
                                 const struct shape *b, struct shape *result)
{
    struct shape merged = {.rank = a->rank > b->rank ? a->rank : b->rank};
    for (uint32_t i = 0; i < merged.rank; i++) { // from the last dimension backwards
        const int64_t da = i < a->rank ? a->dims[a->rank - 1 - i] : 1;
        const int64_t db = i < b->rank ? b->dims[b->rank - 1 - i] : 1;
        if (da != db && da != 1 && db != 1) {
            char ta[128], tb[128];
            return espy_infer_fail(c, "shapes %s and %s do not broadcast",
                                   espy_shape_text(a, ta, sizeof(ta)),
                                   espy_shape_text(b, tb, sizeof(tb)));
        }
        merged.dims[merged.rank - 1 - i] = da == 1 ? db : da;
    }
    *result = merged;
    return ESPY_OK;
}

espy_status espy_infer_axis(const struct op_infer *c, int64_t axis, uint32_t rank,
                            uint32_t *result)
{
    if (axis < -(int64_t)rank || axis >= (int64_t)rank)
        return espy_infer_fail(c, "axis %lld is outside a tensor of rank %u", (long long)axis,
                               rank);
    *result = (uint32_t)(axis < 0 ? axis + (int64_t)rank : axis);
    return ESPY_OK;
}

struct op_infer espy_infer_again(const struct host *host, const struct op_node *node,
                                 const struct op_type *inputs, uint32_t input_count)
{
    return (struct op_infer){.host = host,
                             .node = node,
                             .attrs = node->attrs,
                             .input_count = input_count,
                             .inputs = inputs};
}

void espy_infer_copy(struct op_infer *c, uint32_t o, uint32_t i)
{
    if (o < c->output_count)
        c->outputs[o] = c->inputs[i];
}

static espy_status refuse_narrow(const struct op_infer *c, const char *verb,
                                 const struct op_type *types, uint32_t count)
{
    for (uint32_t i = 0; i < count && (c->node->op->flags & OP_NARROW) == 0; i++)
        if (types[i].dtype != ESPY_DTYPE_NONE && espy_dtype_is_narrow(types[i].dtype))
            return espy_infer_unsupported(c, "does not %s %s; cast it", verb,
                                          espy_dtype_name(types[i].dtype));
    return ESPY_OK;
}

espy_status espy_op_infer(const struct host *host, struct arena *arena, const struct op_node *node,
                          const struct op_type *inputs, const struct tensor *values,
                          uint32_t input_count, struct op_type *outputs, uint32_t output_count,
                          uint32_t *needs)
{
    struct op_infer c = espy_infer_again(host, node, inputs, input_count);
    c.output_count = output_count;
    c.values = values;
    c.outputs = outputs;
    c.arena = arena;
    c.needs = GRAPH_NONE;
    *needs = GRAPH_NONE;
    TRY(refuse_narrow(&c, "take", inputs, input_count));
    const espy_status status = node->op->infer(&c);
    *needs = status == ESPY_UNSUPPORTED ? c.needs : GRAPH_NONE;
    if (status != ESPY_OK)
        return status;
    TRY(refuse_narrow(&c, "make", outputs, output_count));
    for (uint32_t o = 0; o < output_count; o++) {
        size_t count, size;
        if (!espy_shape_count(&outputs[o].shape, &count) ||
            !espy_dtype_data_size(outputs[o].dtype, count, &size))
            return espy_infer_fail(&c, "output %u would be larger than memory can be", o);
    }
    if (node->step_count > 0 &&
        (!espy_dtype_is_float(outputs[0].dtype) || espy_dtype_is_narrow(outputs[0].dtype)))
        return espy_infer_fail(&c, "an epilogue needs a float output, not %s",
                               espy_dtype_name(outputs[0].dtype));
    return ESPY_OK;
}

bool espy_op_bound(const struct host *host, struct arena *arena, const struct op_node *node,
                   const struct op_type *inputs, const struct tensor *values, uint32_t input_count,
                   struct op_type *outputs, uint32_t *counted, uint32_t output_count)
{
    struct op_infer c = espy_infer_again(host, node, inputs, input_count);
    c.output_count = output_count;
    c.values = values;
    c.outputs = outputs;
    c.arena = arena;
    c.needs = GRAPH_NONE;
    c.counted = counted;
    for (uint32_t o = 0; o < output_count; o++)
        counted[o] = GRAPH_NONE;
    return node->op->bound(&c) == ESPY_OK;
}
