// com.microsoft: products and convolutions with what onnxruntime has fused to them.
#include "convert/builder.h"

#include <string.h>

static struct build_activation gemm_activation(struct builder *b)
{
    struct build_activation activation = {.name = espy_build_string(b, "activation", "")};
    static const char *const names[] = {"activation_alpha", "activation_beta"};
    for (uint32_t i = 0; i < 2; i++)
        if (espy_import_find(b->importer, b->node->proto, names[i], NULL) != NULL) {
            activation.params[i] = espy_build_float(b, names[i], 0);
            activation.param_count = i + 1;
        }
    espy_build_ignore(b, "activation_gamma");
    return activation;
}

// Y = activation(Conv(X, W, B) + Z)
static void fused_conv(struct builder *b)
{
    const struct build_activation activation = espy_build_conv_activation(b);
    const uint32_t inputs[] = {espy_build_input(b, 0), espy_build_input(b, 1),
                               espy_build_input(b, 2)};
    const uint32_t product = espy_build_emit(b, "Conv", inputs, 3);
    espy_build_copy_attributes(b);
    espy_build_result(b, 0, espy_build_activate(b, espy_build_plus(b, product, 3), &activation));
}

static void fused_gemm(struct builder *b)
{
    const struct build_activation activation = gemm_activation(b);
    const uint32_t inputs[] = {espy_build_input(b, 0), espy_build_input(b, 1),
                               espy_build_input(b, 2)};
    const uint32_t product = espy_build_emit(b, "Gemm", inputs, 3);
    espy_build_copy_attributes(b);
    espy_build_result(b, 0, espy_build_activate(b, product, &activation));
}

// ---- MatMul with transposed operands ------------------------------------------------------------

// batch: the first dimension goes before the last; then, with matrix, the last two are exchanged.
static uint32_t transposed(struct builder *b, uint32_t x, bool matrix, bool batch)
{
    uint32_t order[ESPY_RANK_MAX];
    if (!matrix && !batch)
        return x;
    const int32_t rank = espy_build_rank(b, x);
    if (rank < 2 || rank > ESPY_RANK_MAX)
        return x; // a vector stays as it is
    const uint32_t last = (uint32_t)rank - 1;
    for (uint32_t i = 0; i < last; i++)
        order[i] = !batch ? i : i + 1 < last ? i + 1 : 0;
    order[last] = last;
    if (matrix) {
        order[last] = order[last - 1];
        order[last - 1] = last;
    }
    return espy_build_transpose(b, x, order, last + 1);
}

// Without ranks the exchange of the last two dimensions can still be said by letters.
static uint32_t product_by_letters(struct builder *b, bool transpose_a, bool transpose_b)
{
    const uint32_t result = EMIT(b, "Einsum", espy_build_input(b, 0), espy_build_input(b, 1));
    espy_build_set_text(b, "equation",
                        transpose_a   ? transpose_b ? "...ji,...kj->...ik" : "...ji,...jk->...ik"
                        : transpose_b ? "...ij,...kj->...ik"
                                      : "...ij,...jk->...ik");
    return result;
}

static uint32_t matmul(struct builder *b)
{
    const bool transpose_a = espy_build_integer(b, "transA", 0) != 0;
    const bool transpose_b = espy_build_integer(b, "transB", 0) != 0;
    const bool batch_a = espy_build_integer(b, "transBatchA", 0) != 0;
    const bool batch_b = espy_build_integer(b, "transBatchB", 0) != 0;
    const uint32_t left = espy_build_input(b, 0), right = espy_build_input(b, 1);
    const double alpha = espy_build_float(b, "alpha", 1);
    const bool ranked = (!transpose_a || espy_import_rank(b->importer, left) >= 0) &&
                        (!transpose_b || espy_import_rank(b->importer, right) >= 0);
    const uint32_t product = ranked || batch_a || batch_b
                                 ? EMIT(b, "MatMul", transposed(b, left, transpose_a, batch_a),
                                        transposed(b, right, transpose_b, batch_b))
                                 : product_by_letters(b, transpose_a, transpose_b);
    return alpha == 1 ? product : EMIT(b, "Mul", product, espy_build_number(b, product, alpha));
}

static void fused_matmul(struct builder *b)
{
    espy_build_result(b, 0, matmul(b));
}

static void fused_matmul_activation(struct builder *b)
{
    const struct build_activation activation = gemm_activation(b);
    const int64_t axis = espy_build_integer(b, "activation_axis", -1);
    if (strcmp(activation.name, "Softmax") == 0) {
        const uint32_t soft = EMIT(b, "Softmax", matmul(b));
        espy_build_set(b, "axis", (double)axis);
        espy_build_result(b, 0, soft);
        return;
    }
    espy_build_result(b, 0, espy_build_activate(b, matmul(b), &activation));
}

static void gemm_fast_gelu(struct builder *b)
{
    const uint32_t product = EMIT(b, "MatMul", espy_build_input(b, 0), espy_build_input(b, 1));
    const uint32_t result = EMIT(b, "Gelu", espy_build_plus(b, product, 2));
    espy_build_set_text(b, "approximate", "tanh");
    espy_build_result(b, 0, result);
}

static const struct foreign_row rows[] = {
    {"FusedConv", fused_conv},        {"FusedGemm", fused_gemm},
    {"FusedMatMul", fused_matmul},    {"FusedMatMulActivation", fused_matmul_activation},
    {"GemmFastGelu", gemm_fast_gelu}, {"TransposeMatMul", fused_matmul},
};

const struct foreign_family espy_foreign_fused = {"com.microsoft", rows,
                                                  sizeof(rows) / sizeof(rows[0])};
