// AffineGrid: the sampling grid of an affine map, for GridSample.
#include "op/lower.h"
#include "op/op.h"
#include "shaders/affine_grid.spv.h"

enum { THETA, SIZE };

struct affine_attrs {
    bool align_corners;
};

static espy_status infer(struct op_infer *c)
{
    const struct op_type *theta = &c->inputs[THETA], *size = &c->inputs[SIZE];
    if (!espy_dtype_is_float(theta->dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(theta->dtype));
    if (size->dtype != ESPY_INT64 || size->shape.rank != 1 ||
        (size->shape.dims[0] != 4 && size->shape.dims[0] != 5))
        return espy_infer_fail(c, "size must be 4 or 5 int64 numbers");
    const uint32_t rank = (uint32_t)size->shape.dims[0] - 2;
    const struct shape *shape = &theta->shape;
    if (shape->rank != 3 || shape->dims[1] != (int64_t)rank || shape->dims[2] != (int64_t)rank + 1)
        return espy_infer_fail(c, "theta must be batch x %u x %u", rank, rank + 1);
    const struct tensor *sizes = espy_infer_value(c, SIZE);
    if (sizes == NULL)
        return espy_infer_wait(c);
    c->outputs[0] = (struct op_type){theta->dtype, {.rank = rank + 2}};
    for (uint32_t d = 0; d < rank + 2; d++) {
        const int64_t dim = espy_tensor_integer(sizes, d);
        if (dim < 0 || dim > GRAPH_DIM_MAX)
            return espy_infer_fail(c, "size %lld is not a dimension", (long long)dim);
        if (d != 1)
            c->outputs[0].shape.dims[d < 1 ? 0 : d - 1] = dim;
    }
    c->outputs[0].shape.dims[rank + 1] = rank;
    if (c->outputs[0].shape.dims[0] != shape->dims[0])
        return espy_infer_fail(c, "theta and size have different batch sizes");
    return ESPY_OK;
}

// The coordinate of index 0 and the distance of two indices, along a dimension.
static void spacing(bool align_corners, int64_t size, double *first, double *step)
{
    if (align_corners) {
        *step = size > 1 ? 2 / (double)(size - 1) : 0;
        *first = -1;
    } else {
        *step = size > 0 ? 2 / (double)size : 0;
        *first = -1 + *step / 2;
    }
}

static void reference(struct op_eval *c)
{
    const struct affine_attrs *attrs = c->attrs;
    const struct tensor *theta = &c->inputs[THETA];
    struct tensor *grid = &c->outputs[0];
    const struct shape *shape = &grid->type.shape;
    const uint32_t rank = shape->rank - 2;
    for (size_t i = 0; i < grid->count / rank; i++) {
        double point[3] = {0};
        size_t rest = i;
        for (uint32_t d = 0; d < rank; d++) { // x first, which is the last dimension
            const size_t size = (size_t)shape->dims[rank - d];
            double first, step;
            spacing(attrs->align_corners, shape->dims[rank - d], &first, &step);
            point[d] = first + (double)(rest % size) * step;
            rest /= size;
        }
        for (uint32_t r = 0; r < rank; r++) {
            const size_t row = (rest * rank + r) * (rank + 1);
            double sum = espy_tensor_number(theta, row + rank);
            for (uint32_t d = 0; d < rank; d++)
                sum += espy_tensor_number(theta, row + d) * point[d];
            espy_tensor_set_number(grid, i * rank + r, sum);
        }
    }
}

static espy_status lower(struct op_lower *c)
{
    const struct affine_attrs *attrs = c->attrs;
    const struct shape *shape = &c->outputs[0].shape;
    const uint32_t rank = shape->rank - 2;
    const struct view theta = espy_lower_input(c, THETA), grid = espy_lower_output(c, 0);
    TRY(espy_lower_status(c));
    struct affine_grid_spec spec = AFFINE_GRID_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.rank = rank;
    struct affine_grid_push push = {.count = (uint32_t)(espy_view_count(&grid) / rank),
                                    .depth = rank == 3 ? (uint32_t)shape->dims[1] : 1,
                                    .height = (uint32_t)shape->dims[rank - 1],
                                    .width = (uint32_t)shape->dims[rank],
                                    .theta_offset = (int32_t)theta.offset};
    for (uint32_t d = 0; d < rank; d++) {
        double first, step;
        spacing(attrs->align_corners, shape->dims[rank - d], &first, &step);
        push.first[d] = (float)first;
        push.step[d] = (float)step;
    }
    for (uint32_t d = 0; d < 3; d++)
        push.theta_strides[d] = (int32_t)theta.strides[d];
    struct op_dispatch dispatch = {
        .shader = affine_grid_shaders.variants[espy_variant(grid.storage)],
        .bindings = {theta, grid},
        .binding_count = 2,
        .push = &push,
        .push_size = sizeof(push),
        .spec = &spec,
        .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return espy_lower_status(c);
}

static const struct op_attr attr_rows[] = {
    {.name = "align_corners",
     .type = OP_BOOL,
     .offset = offsetof(struct affine_attrs, align_corners),
     .help = "-1 and 1 are centres of the outermost elements, not the outer edges"}};

static const struct op ops[] = {{.name = "AffineGrid",
                                 .summary = "the sampling grid of an affine map",
                                 .inputs_min = 2,
                                 .inputs_max = 2,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .attrs = attr_rows,
                                 .attr_count = 1,
                                 .attrs_size = sizeof(struct affine_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_affine_grid = {ops, sizeof(ops) / sizeof(ops[0])};
