// com.microsoft: normalisations, with what is added before them.
#include "convert/builder.h"

// x / sqrt(mean(x²) + epsilon), without the mean of the others
static uint32_t inverse_root(struct builder *b, uint32_t x, int64_t axis, double epsilon)
{
    const uint32_t wide = espy_build_cast(b, x, ESPY_FLOAT32);
    const uint32_t squares = EMIT(b, "Mul", wide, wide);
    const uint32_t mean = EMIT(b, "ReduceMean", squares, LIST(b, axis));
    const uint32_t moved = EMIT(b, "Add", mean, espy_build_number(b, mean, epsilon));
    return EMIT(b, "Reciprocal", EMIT(b, "Sqrt", moved));
}

static uint32_t root_mean_square(struct builder *b, uint32_t x, uint32_t scale, int64_t axis,
                                 double epsilon)
{
    const uint32_t y = EMIT(b, "RMSNormalization", x, espy_build_cast_like(b, scale, x));
    espy_build_set(b, "axis", (double)axis);
    espy_build_set(b, "epsilon", epsilon);
    return y;
}

// Y and, where the node wants them, the means and inverse deviations that training would keep.
static uint32_t layer_norm(struct builder *b, uint32_t x, uint32_t scale, uint32_t bias,
                           double epsilon)
{
    const uint32_t inputs[] = {x, espy_build_cast_like(b, scale, x),
                               espy_build_cast_like(b, bias, x)};
    uint32_t outputs[3];
    const uint32_t count = espy_build_wants(b, 2) ? 3 : espy_build_wants(b, 1) ? 2 : 1;
    espy_build_emit_many(b, "LayerNormalization", inputs, 3, outputs, count);
    espy_build_set(b, "axis", -1);
    espy_build_set(b, "epsilon", epsilon);
    for (uint32_t i = 1; i < count && b->status == ESPY_OK; i++) {
        b->status = espy_import_note(b->importer, outputs[i], ESPY_FLOAT32, true);
        espy_build_result(b, i, outputs[i]);
    }
    return outputs[0];
}

static void skip_layer_norm(struct builder *b)
{
    const double epsilon = espy_build_float(b, "epsilon", 1e-12);
    uint32_t sum = EMIT(b, "Add", espy_build_input(b, 0), espy_build_input(b, 1));
    sum = espy_build_plus(b, sum, 4);
    espy_build_result(b, 0,
                      layer_norm(b, sum, espy_build_input(b, 2), espy_build_input(b, 3), epsilon));
    espy_build_result(b, 3, sum);
}

static void skip_simplified_layer_norm(struct builder *b)
{
    const double epsilon = espy_build_float(b, "epsilon", 1e-12);
    uint32_t sum = EMIT(b, "Add", espy_build_input(b, 0), espy_build_input(b, 1));
    sum = espy_build_plus(b, sum, 3);
    if (espy_build_wants(b, 1))
        espy_build_refuse(b, "the mean is not defined here");
    espy_build_result(b, 0, root_mean_square(b, sum, espy_build_input(b, 2), -1, epsilon));
    if (espy_build_wants(b, 2))
        espy_build_result(b, 2, inverse_root(b, sum, -1, epsilon));
    espy_build_result(b, 3, sum);
}

void espy_foreign_simplified_layer_norm(struct builder *b)
{
    const double epsilon = espy_build_float(b, "epsilon", 1e-5);
    const int64_t axis = espy_build_integer(b, "axis", -1);
    // The result has the type of the scale.
    const uint32_t scale = espy_build_input(b, 1);
    const uint32_t x = espy_build_cast_like(b, espy_build_input(b, 0), scale);
    espy_build_ignore(b, "stash_type");
    espy_build_result(b, 0, root_mean_square(b, x, scale, axis, epsilon));
    if (!espy_build_wants(b, 1))
        return;
    if (axis != -1)
        espy_build_refuse(b, "inverse deviations over more than the last dimension are not "
                             "supported");
    espy_build_result(b, 1, inverse_root(b, x, axis, epsilon));
}

static void layer_norm_same(struct builder *b)
{
    espy_build_rename(b, "LayerNormalization");
}

// The sum of what words, places and segments are embedded as, normalised.
static void embed_layer_norm(struct builder *b)
{
    enum { WORDS, SEGMENTS, WORD_TABLE, PLACE_TABLE, SEGMENT_TABLE, GAMMA, BETA, MASK, PLACES };
    const double epsilon = espy_build_float(b, "epsilon", 1e-12);
    espy_build_ignore(b, "mask_index_type");
    const uint32_t words = espy_build_input(b, WORDS);
    const uint32_t length = espy_build_dims(b, words, 1, 2);
    const uint32_t zero = LIST(b, 0);
    const uint32_t places = espy_build_input(b, PLACE_TABLE);
    // Places are counted from the start unless they are given.
    const uint32_t place = espy_build_has(b, PLACES)
                               ? EMIT(b, "Gather", places, espy_build_input(b, PLACES))
                               : espy_build_slice(b, places, zero, length, 0);
    uint32_t sum = EMIT(b, "Gather", espy_build_input(b, WORD_TABLE), words);
    sum = EMIT(b, "Add", sum, place);
    if (espy_build_has(b, SEGMENTS) && espy_build_has(b, SEGMENT_TABLE))
        sum = EMIT(
            b, "Add", sum,
            EMIT(b, "Gather", espy_build_input(b, SEGMENT_TABLE), espy_build_input(b, SEGMENTS)));
    const uint32_t inputs[] = {sum, espy_build_input(b, GAMMA), espy_build_input(b, BETA)};
    const uint32_t y = espy_build_emit(b, "LayerNormalization", inputs, 3);
    espy_build_set(b, "axis", -1);
    espy_build_set(b, "epsilon", epsilon);
    espy_build_result(b, 0, y);
    espy_build_result(b, 2, sum);
    if (!espy_build_wants(b, 1))
        return;
    // How many words each row has.
    const uint32_t mask = espy_build_has(b, MASK)
                              ? EMIT(b, "ReduceSum", espy_build_input(b, MASK), LIST(b, 1))
                              : EMIT(b, "ReduceSum", EMIT(b, "Sub", words, words), LIST(b, 1));
    espy_build_set(b, "keepdims", 0);
    espy_build_result(b, 1, mask);
}

// ---- groups -------------------------------------------------------------------------------------

static void group_norm_of(struct builder *b, uint32_t x)
{
    static const uint32_t to_first[] = {0, 3, 1, 2}, to_last[] = {0, 2, 3, 1};
    const bool last = espy_build_integer(b, "channels_last", 1) != 0;
    const int64_t groups = espy_build_integer(b, "groups", 1);
    const bool swish = espy_build_integer(b, "activation", 0) == 1;
    const double epsilon = espy_build_float(b, "epsilon", 1e-5);
    const uint32_t inputs[] = {last ? espy_build_transpose(b, x, to_first, 4) : x,
                               espy_build_cast_like(b, espy_build_input(b, 1), x),
                               espy_build_cast_like(b, espy_build_input(b, 2), x)};
    uint32_t y = espy_build_emit(b, "GroupNormalization", inputs, 3);
    espy_build_set(b, "num_groups", (double)groups);
    espy_build_set(b, "epsilon", epsilon);
    y = swish ? EMIT(b, "Swish", y) : y;
    espy_build_result(b, 0, last ? espy_build_transpose(b, y, to_last, 4) : y);
}

static void group_norm(struct builder *b)
{
    group_norm_of(b, espy_build_input(b, 0));
}

static void skip_group_norm(struct builder *b)
{
    const uint32_t skip = espy_build_input(b, 3);
    const int32_t rank = espy_build_rank(b, skip);
    // One number per picture and channel may come without the dimensions in between.
    const uint32_t wide = rank == 2 ? EMIT(b, "Unsqueeze", skip, LIST(b, 1, 2)) : skip;
    const uint32_t sum = espy_build_plus(b, EMIT(b, "Add", espy_build_input(b, 0), wide), 4);
    group_norm_of(b, sum);
    espy_build_result(b, 1, sum);
}

static const struct foreign_row rows[] = {
    {"EmbedLayerNormalization", embed_layer_norm},
    {"GroupNorm", group_norm},
    {"LayerNormalization", layer_norm_same},
    {"SimplifiedLayerNormalization", espy_foreign_simplified_layer_norm},
    {"SkipGroupNorm", skip_group_norm},
    {"SkipLayerNormalization", skip_layer_norm},
    {"SkipSimplifiedLayerNormalization", skip_simplified_layer_norm},
};

const struct foreign_family espy_foreign_norm = {"com.microsoft", rows,
                                                 sizeof(rows) / sizeof(rows[0])};
