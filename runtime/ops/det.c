// Det: determinants of the matrices in the last two dimensions.
#include <math.h>
#include <string.h>

#include "op/axes.h"
#include "op/lower.h"
#include "op/op.h"
#include "shaders/det.spv.h"

enum { SIZE_MAX_ON_DEVICE = 48 }; // one invocation makes about a third of the cube of it rounds

static espy_status infer(struct op_infer *c)
{
    const struct op_type *x = &c->inputs[0];
    if (!espy_dtype_is_float(x->dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(x->dtype));
    if (x->shape.rank < 2 || x->shape.dims[x->shape.rank - 1] != x->shape.dims[x->shape.rank - 2])
        return espy_infer_fail(c, "takes square matrices");
    espy_infer_copy(c, 0, 0);
    c->outputs[0].shape.rank -= 2;
    return ESPY_OK;
}

// Gauss with the largest pivot of each column. matrix is destroyed.
static double determinant(double *matrix, size_t size)
{
    double result = 1;
    for (size_t k = 0; k < size; k++) {
        size_t pivot = k;
        for (size_t i = k + 1; i < size; i++)
            if (fabs(matrix[i * size + k]) > fabs(matrix[pivot * size + k]))
                pivot = i;
        const double diagonal = matrix[pivot * size + k];
        result *= pivot == k ? diagonal : -diagonal;
        if (diagonal == 0)
            return result;
        for (size_t j = k; j < size && pivot != k; j++) {
            const double upper = matrix[k * size + j];
            matrix[k * size + j] = matrix[pivot * size + j];
            matrix[pivot * size + j] = upper;
        }
        for (size_t i = k + 1; i < size; i++) {
            const double factor = matrix[i * size + k] / diagonal;
            for (size_t j = k + 1; j < size; j++)
                matrix[i * size + j] -= factor * matrix[k * size + j];
        }
    }
    return result;
}

static void reference(struct op_eval *c)
{
    const struct tensor *x = &c->inputs[0];
    const size_t size = (size_t)x->type.shape.dims[x->type.shape.rank - 1];
    double *matrix = espy_eval_scratch(c, size * size, sizeof(*matrix));
    for (size_t m = 0; matrix != NULL && m < c->outputs[0].count; m++) {
        for (size_t i = 0; i < size * size; i++)
            matrix[i] = espy_tensor_number(x, m * size * size + i);
        espy_tensor_set_number(&c->outputs[0], m, determinant(matrix, size));
    }
}

static espy_status lower(struct op_lower *c)
{
    const uint32_t rank = c->inputs[0].shape.rank;
    const int64_t size = c->inputs[0].shape.dims[rank - 1];
    if (size > SIZE_MAX_ON_DEVICE)
        return espy_lower_on_host(c, "the matrix is too large for one invocation");
    const uint32_t mask = UINT32_C(3) << (rank - 2);
    const struct view x = espy_axes_input(c, 0, mask, 2);
    const struct view kept = espy_axes_select(&x, ~mask);
    const struct view y = espy_lower_output_like(c, 0, &kept);
    TRY(espy_lower_status(c));
    const struct shape work_shape = {3, {size, size, (int64_t)espy_view_count(&kept)}};
    const struct view work = espy_lower_temporary(c, ESPY_FLOAT32, &work_shape);
    struct view outer[2] = {kept, y};
    struct det_spec spec = DET_SPEC_DEFAULT;
    struct det_push push = {.rows = (uint32_t)espy_view_count(&kept),
                            .size = (uint32_t)size,
                            .x_offset = (int32_t)x.offset,
                            .row_stride = (int32_t)x.strides[rank - 2],
                            .column_stride = (int32_t)x.strides[rank - 1]};
    int32_t strides[2][AXES_RANK_MAX];
    spec.local_size_x = c->caps->local_size;
    spec.rank = espy_axes_fill(outer, 2, true, push.dims, strides[0]);
    memcpy(push.x_strides, strides[0], sizeof(push.x_strides));
    memcpy(push.y_strides, strides[1], sizeof(push.y_strides));
    struct op_dispatch made = {.shader = det_shaders.variants[espy_variant(x.storage)],
                               .bindings = {x, y, work},
                               .binding_count = 3,
                               .push = &push,
                               .push_size = sizeof(push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.rows, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
    return espy_lower_status(c);
}

static const struct op ops[] = {{.name = "Det",
                                 .summary = "determinants of the matrices in the last dimensions",
                                 .inputs_min = 1,
                                 .inputs_max = 1,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_det = {ops, 1};
