// ReverseSequence: the first elements of every sequence of a batch, in reverse.
#include <string.h>

#include "op/axes.h"
#include "op/lower.h"
#include "op/op.h"
#include "ops/indexing.h"
#include "shaders/reverse_sequence.spv.h"

// The kernel's push block has room for so many dimensions.
enum { KERNEL_RANK_MAX = 6 };

struct reverse_attrs {
    int64_t batch_axis, time_axis;
};

static const struct op_attr rows[] = {{.name = "batch_axis",
                                       .type = OP_INT,
                                       .offset = offsetof(struct reverse_attrs, batch_axis),
                                       .fallback = 1,
                                       .max = 1,
                                       .help = "the dimension of the sequences, 0 or 1"},
                                      {.name = "time_axis",
                                       .type = OP_INT,
                                       .offset = offsetof(struct reverse_attrs, time_axis),
                                       .fallback = 0,
                                       .max = 1,
                                       .help = "the dimension of their steps, the other one"}};

static espy_status infer(struct op_infer *c)
{
    const struct reverse_attrs *attrs = c->attrs;
    const struct shape *x = &c->inputs[0].shape, *lengths = &c->inputs[1].shape;
    if (x->rank < 2)
        return espy_infer_fail(c, "needs two dimensions, not %u", x->rank);
    if (attrs->batch_axis == attrs->time_axis)
        return espy_infer_fail(c, "batch_axis and time_axis are equal");
    if (!indexing_is_index(c->inputs[1].dtype))
        return espy_infer_fail(c, "the lengths must be integers");
    if (lengths->rank != 1 || lengths->dims[0] != x->dims[attrs->batch_axis])
        return espy_infer_fail(c, "needs one length for each of %lld sequences",
                               (long long)x->dims[attrs->batch_axis]);
    espy_infer_copy(c, 0, 0);
    return ESPY_OK;
}

static void reference(struct op_eval *c)
{
    const struct reverse_attrs *attrs = c->attrs;
    const struct tensor *x = &c->inputs[0];
    const struct shape *shape = &x->type.shape;
    const size_t run =
        indexing_product(shape, 2, shape->rank) * espy_dtype_size(x->type.dtype);
    const int64_t steps = shape->dims[attrs->time_axis];
    const int64_t sequences = shape->dims[attrs->batch_axis];
    const int64_t step = attrs->time_axis == 0 ? sequences : 1;
    const int64_t sequence = attrs->time_axis == 0 ? 1 : steps;
    for (int64_t b = 0; b < sequences; b++) {
        const int64_t length = espy_tensor_integer(&c->inputs[1], (size_t)b);
        if (length < 0 || length > steps) {
            espy_eval_fail(c, ESPY_BAD_FORMAT, "a length of %lld in %lld steps",
                           (long long)length, (long long)steps);
            return;
        }
        for (int64_t t = 0; t < steps && run > 0; t++) {
            const int64_t source = t < length ? length - 1 - t : t;
            memcpy((char *)c->outputs[0].data + (size_t)(b * sequence + t * step) * run,
                   (const char *)x->data + (size_t)(b * sequence + source * step) * run, run);
        }
    }
}

static espy_status lower(struct op_lower *c)
{
    const struct reverse_attrs *attrs = c->attrs;
    const bool strided = c->inputs[0].shape.rank <= KERNEL_RANK_MAX;
    const struct view x = strided ? espy_lower_input(c, 0) : espy_lower_dense_input(c, 0);
    const struct view lengths = espy_lower_input(c, 1);
    const struct view y = strided ? espy_lower_output_like(c, 0, &x) : espy_lower_output(c, 0);
    if (y.buffer == VIEW_NONE || espy_view_count(&y) == 0)
        return espy_lower_status(c);
    struct view views[4] = {y, x, y, y}; // the last two step through times and lengths
    memset(views[2].strides, 0, sizeof(views[2].strides));
    memset(views[3].strides, 0, sizeof(views[3].strides));
    views[2].strides[attrs->time_axis] = 1;
    views[3].strides[attrs->batch_axis] = lengths.strides[0];
    espy_axes_sort(views, 4);
    struct reverse_sequence_spec spec = REVERSE_SEQUENCE_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.rank = espy_view_collapse(views, 4);
    spec.index_words = espy_index_words(&lengths);
    const size_t inner = (size_t)views[0].dims[spec.rank - 1];
    spec.run = indexing_run(c, inner);
    struct reverse_sequence_push push = {.runs = indexing_runs(inner, spec.run),
                                         .x_offset = (int32_t)x.offset,
                                         .l_offset = (int32_t)lengths.offset,
                                         .time_dim = (int32_t)x.dims[attrs->time_axis],
                                         .time_stride = (int32_t)x.strides[attrs->time_axis]};
    push.count = (uint32_t)(espy_view_count(&y) / inner) * push.runs;
    for (uint32_t d = 0; d < spec.rank; d++) {
        push.dims[d] = (uint32_t)views[0].dims[d];
        push.x_strides[d] = (int32_t)views[1].strides[d];
        push.times[d] = (int32_t)views[2].strides[d];
        push.l_strides[d] = (int32_t)views[3].strides[d];
    }
    struct op_dispatch dispatch = {
        .shader = reverse_sequence_shaders.variants[espy_word_variant(x.storage)],
        .bindings = {x, lengths, y},
        .binding_count = 3,
        .push = &push,
        .push_size = sizeof(push),
        .spec = &spec,
        .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return espy_lower_status(c);
}

static const struct op ops[] = {{.name = "ReverseSequence",
                                 .summary = "the first elements of every sequence in reverse",
                                 .inputs_min = 2,
                                 .inputs_max = 2,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .attrs = rows,
                                 .attr_count = sizeof(rows) / sizeof(rows[0]),
                                 .attrs_size = sizeof(struct reverse_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_reverse_sequence = {ops, 1};
