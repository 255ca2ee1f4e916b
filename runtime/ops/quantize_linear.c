// QuantizeLinear and DequantizeLinear: floats to small integers and back, with a scale and a zero
// point for the whole tensor, for each index of an axis, or for each block along an axis.
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/quantize.h"
#include "ops/small_float.h"
#include "shaders/dequantize.spv.h"
#include "shaders/quantize.spv.h"

enum { KERNEL_RANK = 6 };

struct quantize_attrs {
    int64_t axis, block_size;
    espy_dtype output_dtype, precision;
    bool saturate;
};

// The input as [outer, length, inner], and scales as [outer, ceil(length / block), inner], where
// those of one number, or of one list, are repeated.
struct layout {
    size_t outer, length, inner;
    size_t block;                                  // along the axis
    size_t scale_outer, scale_length, scale_inner; // strides; 0: repeated
    uint32_t axis;
    bool blocked;
};

static espy_status find_layout(const struct op_infer *c, struct layout *layout)
{
    const struct quantize_attrs *attrs = c->attrs;
    const struct shape *x = &c->inputs[0].shape, *scale = &c->inputs[1].shape;
    *layout = (struct layout){.outer = 1, .length = 1, .inner = 1, .block = 1};
    const bool single = attrs->block_size == 0 && quantize_is_single(scale);
    if (!single)
        TRY(espy_infer_axis(c, attrs->axis, x->rank, &layout->axis));
    for (uint32_t d = 0; d < x->rank; d++) {
        if (single || d < layout->axis)
            layout->outer *= (size_t)x->dims[d];
        else if (d > layout->axis)
            layout->inner *= (size_t)x->dims[d];
        else
            layout->length = (size_t)x->dims[d];
    }
    if (single)
        return ESPY_OK;
    if (attrs->block_size == 0) {
        if (scale->rank != 1 || scale->dims[0] != x->dims[layout->axis])
            return espy_infer_fail(
                c, "the scale is neither one number nor one per index of axis %u", layout->axis);
        layout->scale_length = 1;
        return ESPY_OK;
    }
    if (scale->rank != x->rank)
        return espy_infer_fail(c, "a scale of rank %u for blocks of an input of rank %u",
                               scale->rank, x->rank);
    for (uint32_t d = 0; d < x->rank; d++) {
        const int64_t block = d == layout->axis ? attrs->block_size : 1;
        if (scale->dims[d] != (x->dims[d] + block - 1) / block)
            return espy_infer_fail(c,
                                   "the scale has %lld elements on axis %u, which has %lld "
                                   "blocks",
                                   (long long)scale->dims[d], d,
                                   (long long)((x->dims[d] + block - 1) / block));
    }
    layout->blocked = true;
    layout->block = (size_t)attrs->block_size;
    layout->scale_inner = 1;
    layout->scale_length = layout->inner;
    layout->scale_outer = layout->inner * (size_t)scale->dims[layout->axis];
    return ESPY_OK;
}

// Again, for a node that infer has accepted.
static struct layout layout_of(const struct host *host, const struct op_node *node,
                               const struct op_type *types)
{
    const struct op_infer infer_again = espy_infer_again(host, node, types, 2);
    struct layout layout;
    find_layout(&infer_again, &layout);
    return layout;
}

static bool quantizes(const struct op_node *node)
{
    return strcmp(node->op->name, "QuantizeLinear") == 0;
}

static espy_status check_parameters(const struct op_infer *c)
{
    const espy_dtype scale = c->inputs[1].dtype;
    if (!quantize_is_scale(scale) && scale != ESPY_FLOAT8E8M0 &&
        !(scale == ESPY_INT32 && quantizes(c->node)))
        return espy_infer_fail(c, "scales of type %s", espy_dtype_name(scale));
    const struct shape *shape = &c->inputs[1].shape;
    if (espy_infer_has(c, 2) && !espy_shape_equal(&c->inputs[2].shape, shape) &&
        !(quantize_is_single(&c->inputs[2].shape) && quantize_is_single(shape)))
        return espy_infer_fail(c, "the zero point has another shape than the scale");
    struct layout layout;
    return find_layout(c, &layout);
}

static espy_status infer_quantize(struct op_infer *c)
{
    const struct quantize_attrs *attrs = c->attrs;
    const espy_dtype x = c->inputs[0].dtype;
    if (!quantize_is_scale(x) && x != ESPY_INT32)
        return espy_infer_fail(c, "does not take %s", espy_dtype_name(x));
    TRY(check_parameters(c));
    espy_dtype y = espy_infer_has(c, 2) ? c->inputs[2].dtype : attrs->output_dtype;
    if (y == ESPY_DTYPE_NONE)
        y = ESPY_UINT8;
    if (attrs->output_dtype != ESPY_DTYPE_NONE && attrs->output_dtype != y)
        return espy_infer_fail(c, "'output_dtype' is %s, but the zero point has type %s",
                               espy_dtype_name(attrs->output_dtype), espy_dtype_name(y));
    if (!quantize_is_quantized(y))
        return espy_infer_fail(c, "makes integers and floats of few bits, not %s",
                               espy_dtype_name(y));
    if (attrs->precision != ESPY_DTYPE_NONE && !quantize_is_scale(attrs->precision))
        return espy_infer_unsupported(c, "a division in %s", espy_dtype_name(attrs->precision));
    espy_infer_copy(c, 0, 0);
    c->outputs[0].dtype = y;
    return ESPY_OK;
}

static espy_status infer_dequantize(struct op_infer *c)
{
    const struct quantize_attrs *attrs = c->attrs;
    const espy_dtype x = c->inputs[0].dtype;
    if (!quantize_is_quantized(x) && x != ESPY_INT32)
        return espy_infer_fail(c, "does not take %s", espy_dtype_name(x));
    if (espy_infer_has(c, 2) && c->inputs[2].dtype != x)
        return espy_infer_fail(c, "a zero point of type %s for integers of type %s",
                               espy_dtype_name(c->inputs[2].dtype), espy_dtype_name(x));
    TRY(check_parameters(c));
    const espy_dtype y =
        attrs->output_dtype != ESPY_DTYPE_NONE ? attrs->output_dtype : c->inputs[1].dtype;
    if (!quantize_is_scale(y))
        return espy_infer_fail(c, "makes floats, not %s", espy_dtype_name(y));
    espy_infer_copy(c, 0, 0);
    c->outputs[0].dtype = y;
    return ESPY_OK;
}

// ---- meaning ------------------------------------------------------------------------------------

// The type whose precision the quotient has; int32: it is exact until it is rounded.
static espy_dtype precision_of(const struct quantize_attrs *attrs, espy_dtype scale)
{
    return attrs->precision != ESPY_DTYPE_NONE ? attrs->precision : scale;
}

static double divided(double x, double scale, espy_dtype precision)
{
    const float quotient = (float)x / (float)scale;
    if (precision == ESPY_INT32)
        return x / scale;
    if (precision == ESPY_FLOAT16)
        return (double)espy_half_to_float(espy_float_to_half(quotient));
    if (precision == ESPY_BFLOAT16)
        return (double)espy_bfloat16_to_float(espy_float_to_bfloat16(quotient));
    return (double)quotient;
}

// Elements that follow each other, as many as are looked at together.
enum { RUN_MAX = 256 };

struct run {
    struct op_eval *c;
    size_t at, count;
    double numbers[RUN_MAX], scales[RUN_MAX], zeros[RUN_MAX];
};

// Where the next element is in the layout. Counted on, because divisions would take longer than all
// the rest.
struct place {
    size_t outer, k, i;
    size_t block, in_block; // k, divided
    size_t parameter;       // of the element before
};

static void go_on(const struct layout *layout, struct place *place)
{
    if (++place->i < layout->inner)
        return;
    place->i = 0;
    if (++place->in_block == layout->block) {
        place->in_block = 0;
        place->block++;
    }
    if (++place->k < layout->length)
        return;
    place->k = place->block = place->in_block = 0;
    place->outer++;
}

// Parameters are read when they change.
static void load_parameters(const struct layout *layout, struct place *place, struct run *run)
{
    const struct op_eval *c = run->c;
    for (size_t e = 0; e < run->count; e++, go_on(layout, place)) {
        const size_t parameter = place->outer * layout->scale_outer +
                                 place->block * layout->scale_length +
                                 place->i * layout->scale_inner;
        if (e > 0 && parameter == place->parameter) {
            run->scales[e] = run->scales[e - 1];
            run->zeros[e] = run->zeros[e - 1];
            continue;
        }
        place->parameter = parameter;
        run->scales[e] = espy_tensor_number(&c->inputs[1], parameter);
        run->zeros[e] = espy_eval_has(c, 2) ? espy_tensor_number(&c->inputs[2], parameter) : 0;
    }
}

// The types that weights have are read without asking for each element.
static void load_numbers(const struct tensor *x, struct run *run)
{
    const float *floats = x->type.dtype == ESPY_FLOAT32 ? (const float *)x->data + run->at : NULL;
    const int8_t *bytes = x->type.dtype == ESPY_INT8 ? (const int8_t *)x->data + run->at : NULL;
    for (size_t e = 0; e < run->count; e++)
        run->numbers[e] = floats != NULL  ? (double)floats[e]
                          : bytes != NULL ? (double)bytes[e]
                                          : espy_tensor_number(x, run->at + e);
}

static void quantize_run(const struct run *run)
{
    const struct quantize_attrs *attrs = run->c->attrs;
    const espy_dtype precision = precision_of(attrs, run->c->inputs[1].type.dtype);
    struct tensor *y = &run->c->outputs[0];
    const bool small = espy_dtype_float_form(y->type.dtype) != NULL;
    const struct quantize_range range = quantize_range_of(y->type.dtype);
    for (size_t e = 0; e < run->count; e++) {
        const double quotient = divided(run->numbers[e], run->scales[e], precision);
        if (small)
            espy_tensor_set_small(y, run->at + e, (double)((float)quotient + (float)run->zeros[e]),
                                  attrs->saturate, FLOAT_NEAREST);
        else
            espy_tensor_set_integer(y, run->at + e,
                                    quantize_round(quotient, (int64_t)run->zeros[e], range));
    }
}

static void dequantize_run(const struct run *run)
{
    struct tensor *y = &run->c->outputs[0];
    float *floats = y->type.dtype == ESPY_FLOAT32 ? (float *)y->data + run->at : NULL;
    for (size_t e = 0; e < run->count; e++) {
        const double value = (run->numbers[e] - run->zeros[e]) * run->scales[e];
        if (floats != NULL)
            floats[e] = (float)value;
        else
            espy_tensor_set_number(y, run->at + e, value);
    }
}

static void for_each_run(struct op_eval *c, void (*function)(const struct run *run))
{
    const struct op_type types[2] = {c->inputs[0].type, c->inputs[1].type};
    const struct layout layout = layout_of(c->host, c->node, types);
    const size_t count = c->inputs[0].count;
    struct place place = {0};
    struct run run = {.c = c};
    for (; run.at < count; run.at += run.count) {
        run.count = count - run.at < RUN_MAX ? count - run.at : RUN_MAX;
        load_parameters(&layout, &place, &run);
        load_numbers(&c->inputs[0], &run);
        function(&run);
    }
}

static void reference_quantize(struct op_eval *c)
{
    for_each_run(c, quantize_run);
}

static void reference_dequantize(struct op_eval *c)
{
    for_each_run(c, dequantize_run);
}

// ---- dispatches ---------------------------------------------------------------------------------

// Input, output and parameters with the same dims; and the buffers' other facts.
struct job {
    struct view x, y, parameters; // parameters: strides only
    struct view scale, zero;      // dense
    bool has_zero;
};

static void fill_quantize_push(const struct job *job, const struct view *views,
                               struct quantize_push *push)
{
    *push = (struct quantize_push){.count = (uint32_t)espy_view_count(&views[0]),
                                   .x_offset = (int32_t)views[0].offset,
                                   .y_offset = (int32_t)views[1].offset,
                                   .scale_offset = (int32_t)(job->scale.offset + views[2].offset),
                                   .zero_offset = (int32_t)(job->zero.offset + views[2].offset)};
    for (uint32_t d = 0; d < views[0].rank; d++) {
        push->dims[d] = (uint32_t)views[0].dims[d];
        push->x_strides[d] = (int32_t)views[0].strides[d];
        push->y_strides[d] = (int32_t)views[1].strides[d];
        push->scale_strides[d] = (int32_t)views[2].strides[d];
    }
}

static void dispatch(struct op_lower *c, const struct op_dispatch *like, uint32_t count,
                     uint32_t local_size)
{
    struct op_dispatch made = *like;
    made.binding_count = 4;
    espy_lower_grid(c, count, local_size, made.groups);
    espy_lower_dispatch(c, &made);
}

static void dispatch_quantize(struct op_lower *c, const struct job *job)
{
    const espy_dtype precision = precision_of(c->attrs, job->scale.dtype);
    const struct quantize_attrs *attrs = c->attrs;
    struct view views[3] = {job->x, job->y, job->parameters};
    struct quantize_spec spec = QUANTIZE_SPEC_DEFAULT;
    struct quantize_push push;
    spec.local_size_x = c->caps->local_size;
    spec.rank = espy_view_collapse(views, 3);
    spec.scale_kind = quantize_param_kind(&job->scale);
    spec.has_zero = job->has_zero;
    spec.dropped = precision == ESPY_FLOAT16 ? 13 : precision == ESPY_BFLOAT16 ? 16 : 0;
    if (espy_dtype_is_float(job->y.dtype)) {
        spec.y_float = 1;
        SMALL_FLOAT_SPEC(&spec, job->y.dtype, attrs->saturate);
    } else {
        const struct quantize_range range = quantize_range_of(job->y.dtype);
        spec.low = range.low;
        spec.high = range.high;
    }
    fill_quantize_push(job, views, &push);
    const struct op_dispatch made = {.shader =
                                         quantize_shaders.variants[espy_variant(job->x.storage)],
                                     .bindings = {job->x, job->scale, job->zero, job->y},
                                     .push = &push,
                                     .push_size = sizeof(push),
                                     .spec = &spec,
                                     .spec_size = sizeof(spec)};
    dispatch(c, &made, push.count, spec.local_size_x);
}

static void dispatch_dequantize(struct op_lower *c, const struct job *job)
{
    struct view views[3] = {job->x, job->y, job->parameters};
    struct dequantize_spec spec = DEQUANTIZE_SPEC_DEFAULT;
    spec.x_float = espy_dtype_is_float(job->x.dtype);
    spec.x_signed = espy_dtype_is_signed(job->x.dtype);
    spec.x_bits = job->x.storage == STORAGE_PACKED ? espy_dtype_bits(job->x.dtype) : 32;
    struct quantize_push same;
    struct dequantize_push push;
    spec.local_size_x = c->caps->local_size;
    spec.rank = espy_view_collapse(views, 3);
    spec.scale_kind = quantize_param_kind(&job->scale);
    spec.has_zero = job->has_zero;
    _Static_assert(sizeof(same) == sizeof(push), "both kernels have the same push block");
    fill_quantize_push(job, views, &same);
    memcpy(&push, &same, sizeof(push));
    const struct op_dispatch made = {.shader =
                                         dequantize_shaders.variants[espy_variant(job->y.storage)],
                                     .bindings = {job->x, job->scale, job->zero, job->y},
                                     .push = &push,
                                     .push_size = sizeof(push),
                                     .spec = &spec,
                                     .spec_size = sizeof(spec)};
    dispatch(c, &made, push.count, spec.local_size_x);
}

// Blocks `first` to `first + count` of the dense input, each `block` long, as one more dimension.
static struct view block_view(const struct view *dense, const struct layout *layout,
                              const int64_t strides[3], size_t first, size_t count, size_t block,
                              int64_t block_stride)
{
    struct view view = *dense;
    view.rank = 4;
    view.dims[0] = (int64_t)layout->outer;
    view.dims[1] = (int64_t)count;
    view.dims[2] = (int64_t)block;
    view.dims[3] = (int64_t)layout->inner;
    view.strides[0] = strides[0];
    view.strides[1] = block_stride;
    view.strides[2] = strides[1];
    view.strides[3] = strides[2];
    view.offset += (int64_t)first * block_stride;
    return view;
}

// The whole blocks in one dispatch, the last one, which may be shorter, in another.
static void lower_blocks(struct op_lower *c, const struct layout *layout, const struct job *job,
                         void (*function)(struct op_lower *c, const struct job *job))
{
    const int64_t inner = (int64_t)layout->inner, block = (int64_t)layout->block;
    const int64_t strides[3] = {(int64_t)layout->length * inner, inner, 1};
    const int64_t scale_strides[3] = {(int64_t)layout->scale_outer, 0, 1};
    const size_t whole = layout->length / layout->block, rest = layout->length % layout->block;
    for (uint32_t part = 0; part < 2; part++) {
        const size_t first = part == 0 ? 0 : whole, count = part == 0 ? whole : 1;
        const size_t length = part == 0 ? layout->block : rest;
        if (count == 0 || length == 0)
            continue;
        struct job made = *job;
        made.x = block_view(&job->x, layout, strides, first, count, length, block * inner);
        made.y = block_view(&job->y, layout, strides, first, count, length, block * inner);
        made.parameters =
            block_view(&job->parameters, layout, scale_strides, first, count, length, inner);
        function(c, &made);
    }
}

// Quantized constants, which are dense, are read as the file has them.
static struct view quantized_input(struct op_lower *c, bool dense)
{
    const struct view packed = espy_lower_packed_input(c, 0);
    return packed.storage == STORAGE_PACKED || !dense ? packed : espy_lower_dense_input(c, 0);
}

static espy_status lower(struct op_lower *c,
                         void (*function)(struct op_lower *c, const struct job *job))
{
    const struct layout layout = layout_of(c->host, c->node, c->inputs);
    const bool dense = layout.blocked || c->inputs[0].shape.rank > KERNEL_RANK;
    struct job job = {.x = quantized_input(c, dense),
                      .scale = espy_lower_dense_input(c, 1),
                      .zero = {.buffer = VIEW_NONE},
                      .has_zero = espy_lower_has(c, 2)};
    if (job.has_zero)
        job.zero = espy_lower_dense_input(c, 2);
    job.y = espy_lower_output_like(c, 0, &job.x);
    TRY(espy_lower_status(c));
    if (layout.blocked) {
        job.parameters = (struct view){.buffer = VIEW_NONE};
        lower_blocks(c, &layout, &job, function);
        return espy_lower_status(c);
    }
    job.parameters = job.x;
    job.parameters.offset = 0;
    memset(job.parameters.strides, 0, sizeof(job.parameters.strides));
    if (layout.scale_length != 0)
        job.parameters.strides[layout.axis] = 1;
    function(c, &job);
    return espy_lower_status(c);
}

static espy_status lower_quantize(struct op_lower *c)
{
    if (c->inputs[1].dtype == ESPY_INT32)
        return espy_lower_on_host(c, "scales of int32");
    return lower(c, dispatch_quantize);
}

static espy_status lower_dequantize(struct op_lower *c)
{
    return lower(c, dispatch_dequantize);
}

// ---- the table ----------------------------------------------------------------------------------

#define ATTR(attr_name, kind, member) \
    .name = attr_name, .type = kind, .offset = offsetof(struct quantize_attrs, member)
#define COMMON_ATTRS                                                                             \
    {ATTR("axis", OP_INT, axis), .fallback = 1,                                                  \
     .help = "axis along which scales differ; not used where there is only one"},                \
        {ATTR("block_size", OP_INT, block_size), .min = 0, .max = INT32_MAX,                     \
         .help = "how many elements along the axis share a scale; 0: all, or each has its own"}, \
    {                                                                                            \
        ATTR("output_dtype", OP_DTYPE, output_dtype), .help = "type of the output"               \
    }

static const struct op_attr quantize_rows[] = {
    COMMON_ATTRS,
    {ATTR("precision", OP_DTYPE, precision),
     .help = "type that has the precision of the division; by default the scale's"},
    {ATTR("saturate", OP_BOOL, saturate), .fallback = 1,
     .help = "what is too large for a float of 8 bits becomes its largest number; "
             "integers always saturate"}};
static const struct op_attr dequantize_rows[] = {COMMON_ATTRS};

#define ROWS(rows) .attrs = rows, .attr_count = sizeof(rows) / sizeof((rows)[0])

static const struct op ops[] = {
    {.name = "DequantizeLinear",
     .summary = "(x - zero point) * scale",
     .flags = OP_NARROW,
     .inputs_min = 2,
     .inputs_max = 3,
     .outputs_min = 1,
     .outputs_max = 1,
     ROWS(dequantize_rows),
     .attrs_size = sizeof(struct quantize_attrs),
     .infer = infer_dequantize,
     .reference = reference_dequantize,
     .lower = lower_dequantize},
    {.name = "QuantizeLinear",
     .summary = "x / scale to the nearest even integer, plus the zero point, saturated",
     .flags = OP_NARROW,
     .inputs_min = 2,
     .inputs_max = 3,
     .outputs_min = 1,
     .outputs_max = 1,
     ROWS(quantize_rows),
     .attrs_size = sizeof(struct quantize_attrs),
     .infer = infer_quantize,
     .reference = reference_quantize,
     .lower = lower_quantize}};

const struct op_family espy_ops_quantize_linear = {ops, sizeof(ops) / sizeof(ops[0])};
