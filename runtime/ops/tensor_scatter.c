// TensorScatter: an update written into a cache, for every batch from a step of its own on.
#include "op/lower.h"
#include "op/op.h"
#include "ops/indexing.h"
#include "shaders/tensor_scatter.spv.h"

enum { PAST, UPDATE, STARTS };
enum { MODE_LINEAR, MODE_CIRCULAR };

struct tensor_scatter_attrs {
    int64_t axis;
    int mode;
};

static const char *const mode_choices[] = {"linear", "circular", NULL};

static const struct op_attr rows[] = {
    {.name = "axis",
     .type = OP_INT,
     .offset = offsetof(struct tensor_scatter_attrs, axis),
     .fallback = -2,
     .help = "the dimension of the steps; not the first, which is the batch"},
    {.name = "mode",
     .type = OP_ENUM,
     .offset = offsetof(struct tensor_scatter_attrs, mode),
     .fallback = MODE_LINEAR,
     .choices = mode_choices,
     .help = "circular: an update that passes the end goes on at the beginning"}};

// The cache as batch x middle x steps x inner.
struct parts {
    size_t batch, middle, steps, update_steps, inner;
};

static struct parts divide(const struct tensor_scatter_attrs *attrs, const struct shape *past,
                           const struct shape *update)
{
    const uint32_t axis =
        (uint32_t)(attrs->axis < 0 ? attrs->axis + (int64_t)past->rank : attrs->axis);
    return (struct parts){.batch = (size_t)past->dims[0],
                          .middle = indexing_product(past, 1, axis),
                          .steps = (size_t)past->dims[axis],
                          .update_steps = (size_t)update->dims[axis],
                          .inner = indexing_product(past, axis + 1, past->rank)};
}

static espy_status infer(struct op_infer *c)
{
    const struct tensor_scatter_attrs *attrs = c->attrs;
    const struct shape *past = &c->inputs[PAST].shape, *update = &c->inputs[UPDATE].shape;
    uint32_t axis;
    TRY(espy_infer_axis(c, attrs->axis, past->rank, &axis));
    TRY(espy_infer_same_dtype(c, PAST, 2));
    if (axis == 0)
        return espy_infer_fail(c, "the steps cannot be the batch");
    if (update->rank != past->rank)
        return espy_infer_fail(c, "the update has rank %u, the cache %u", update->rank,
                               past->rank);
    for (uint32_t d = 0; d < past->rank; d++)
        if (d == axis ? update->dims[d] > past->dims[d] : update->dims[d] != past->dims[d])
            return espy_infer_fail(c, "dimension %u of the update is %lld, of the cache %lld", d,
                                   (long long)update->dims[d], (long long)past->dims[d]);
    if (espy_infer_has(c, STARTS) &&
        (!indexing_is_index(c->inputs[STARTS].dtype) || c->inputs[STARTS].shape.rank != 1 ||
         c->inputs[STARTS].shape.dims[0] != past->dims[0]))
        return espy_infer_fail(c, "needs one integer for each of %lld batches",
                               (long long)past->dims[0]);
    espy_infer_copy(c, 0, PAST);
    return ESPY_OK;
}

static void reference(struct op_eval *c)
{
    const struct tensor_scatter_attrs *attrs = c->attrs;
    const struct tensor *past = &c->inputs[PAST], *update = &c->inputs[UPDATE];
    const struct parts p = divide(attrs, &past->type.shape, &update->type.shape);
    const int64_t steps = (int64_t)p.steps, new_steps = (int64_t)p.update_steps;
    espy_tensor_move(&c->outputs[0], 0, past, 0, past->count);
    for (size_t b = 0; b < p.batch; b++) {
        const int64_t start =
            espy_eval_has(c, STARTS) ? espy_tensor_integer(&c->inputs[STARTS], b) : 0;
        if (start < 0 || start > steps ||
            (attrs->mode == MODE_LINEAR && start > steps - new_steps)) {
            espy_eval_fail(c, ESPY_BAD_FORMAT, "%lld steps from step %lld on in a cache of %lld",
                           (long long)new_steps, (long long)start, (long long)steps);
            return;
        }
        for (size_t m = 0; m < p.middle; m++)
            for (size_t s = 0; s < p.update_steps; s++) {
                const size_t line = b * p.middle + m, step = ((size_t)start + s) % p.steps;
                espy_tensor_move(&c->outputs[0], (line * p.steps + step) * p.inner, update,
                                 (line * p.update_steps + s) * p.inner, p.inner);
            }
    }
}

static espy_status lower(struct op_lower *c)
{
    const struct tensor_scatter_attrs *attrs = c->attrs;
    const struct view past = espy_lower_dense_input(c, PAST);
    const struct view update = espy_lower_dense_input(c, UPDATE);
    const struct view starts = espy_lower_has(c, STARTS) ? espy_lower_dense_input(c, STARTS)
                                                         : (struct view){.buffer = VIEW_NONE};
    const struct view y = espy_lower_output(c, 0);
    if (y.buffer == VIEW_NONE)
        return espy_lower_status(c);
    const struct parts p = divide(attrs, &c->inputs[PAST].shape, &c->inputs[UPDATE].shape);
    struct tensor_scatter_spec spec = TENSOR_SCATTER_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.index_words = espy_index_words(&starts);
    spec.run = indexing_run(c, p.inner);
    spec.circular = attrs->mode == MODE_CIRCULAR;
    spec.has_starts = starts.buffer != VIEW_NONE;
    struct tensor_scatter_push push = {.runs = indexing_runs(p.inner, spec.run),
                                       .middle = (uint32_t)p.middle,
                                       .steps = (uint32_t)p.steps,
                                       .inner = (uint32_t)p.inner,
                                       .update_steps = (int32_t)p.update_steps,
                                       .past_offset = (int32_t)past.offset,
                                       .update_offset = (int32_t)update.offset,
                                       .starts_offset = (int32_t)starts.offset};
    push.count = (uint32_t)(p.batch * p.middle * p.steps) * push.runs;
    struct op_dispatch dispatch = {
        .shader = tensor_scatter_shaders.variants[espy_word_variant(y.storage)],
        .bindings = {past, update, starts, y},
        .binding_count = 4,
        .push = &push,
        .push_size = sizeof(push),
        .spec = &spec,
        .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return espy_lower_status(c);
}

static const struct op ops[] = {{.name = "TensorScatter",
                                 .summary = "a cache with an update written into it: past, update, "
                                            "first steps",
                                 .inputs_min = 2,
                                 .inputs_max = 3,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .flags = OP_NARROW,
                                 .attrs = rows,
                                 .attr_count = sizeof(rows) / sizeof(rows[0]),
                                 .attrs_size = sizeof(struct tensor_scatter_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_tensor_scatter = {ops, 1};
