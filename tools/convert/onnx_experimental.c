// Operators in ONNX's own domain that are not in the standard: from before it was 1.0, and what
// onnxruntime writes there.
#include "convert/builder.h"

static uint32_t scaled(struct builder *b, uint32_t x, double factor)
{
    return factor == 1 ? x : EMIT(b, "Mul", x, espy_build_number(b, x, factor));
}

static void affine(struct builder *b)
{
    const double alpha = espy_build_float(b, "alpha", 1), beta = espy_build_float(b, "beta", 0);
    const uint32_t product = scaled(b, espy_build_input(b, 0), alpha);
    espy_build_result(b, 0, EMIT(b, "Add", product, espy_build_number(b, product, beta)));
}

static void scale(struct builder *b)
{
    espy_build_result(b, 0, scaled(b, espy_build_input(b, 0), espy_build_float(b, "scale", 1)));
}

static void scaled_tanh(struct builder *b)
{
    const double alpha = espy_build_float(b, "alpha", 1), beta = espy_build_float(b, "beta", 1);
    espy_build_result(b, 0,
                      scaled(b, EMIT(b, "Tanh", scaled(b, espy_build_input(b, 0), beta)), alpha));
}

static void parametric_softplus(struct builder *b)
{
    const double alpha = espy_build_float(b, "alpha", 1), beta = espy_build_float(b, "beta", 1);
    const uint32_t soft = EMIT(b, "Softplus", scaled(b, espy_build_input(b, 0), beta));
    espy_build_result(b, 0, scaled(b, soft, alpha));
}

// Pixels times scale, plus a bias for each channel.
static void image_scaler(struct builder *b)
{
    const onnx_attribute *bias = espy_import_take(b->importer, b->node, "bias");
    const uint32_t x = espy_build_input(b, 0);
    const uint32_t product = scaled(b, x, espy_build_float(b, "scale", 1));
    const uint32_t count = bias == NULL ? 0 : (uint32_t)bias->n_floats;
    const espy_dtype dtype = espy_build_dtype(b, x);
    const struct shape shape = {.rank = 3, .dims = {count, 1, 1}};
    double *numbers = espy_arena_array(&b->importer->scratch, count, sizeof(*numbers));
    bool any = false;
    if (numbers == NULL)
        b->status = ESPY_OUT_OF_MEMORY;
    if (b->status != ESPY_OK)
        return;
    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = (double)bias->floats[i];
        any = any || numbers[i] != 0;
    }
    uint32_t constant = GRAPH_NONE;
    if (any)
        b->status = espy_import_numbers(b->importer, b->node->name,
                                        dtype == ESPY_DTYPE_NONE ? ESPY_FLOAT32 : dtype, &shape,
                                        numbers, count, &constant);
    espy_build_result(b, 0, any ? EMIT(b, "Add", product, constant) : product);
}

// border: how much goes at left, top, right and bottom; or all but a middle of size scale.
static void crop(struct builder *b)
{
    int64_t border[4] = {0}, size[2] = {0};
    const uint32_t count = espy_build_integers_of(b, "border", border, 4);
    const bool fixed = espy_build_integers_of(b, "scale", size, 2) == 2;
    if (count != 4)
        espy_build_refuse(b, "a border needs four numbers");
    const int64_t bottom = fixed ? border[1] + size[0] : border[3] == 0 ? INT64_MAX : -border[3];
    const int64_t right = fixed ? border[0] + size[1] : border[2] == 0 ? INT64_MAX : -border[2];
    espy_build_result(b, 0,
                      EMIT(b, "Slice", espy_build_input(b, 0), LIST(b, border[1], border[0]),
                           LIST(b, bottom, right), LIST(b, 2, 3)));
}

static const struct foreign_row rows[] = {
    {"Affine", affine},
    {"Crop", crop},
    {"ImageScaler", image_scaler},
    {"ParametricSoftplus", parametric_softplus},
    {"Scale", scale},
    {"ScaledTanh", scaled_tanh},
    {"SimplifiedLayerNormalization", espy_foreign_simplified_layer_norm},
};

const struct foreign_family espy_foreign_experimental = {"", rows, sizeof(rows) / sizeof(rows[0])};
