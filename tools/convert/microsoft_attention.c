// com.microsoft: attention of many heads in all the forms that onnxruntime's fusions write. All
// become ONNX's Attention, which takes heads packed into channels or apart.
#include "convert/builder.h"

struct attention {
    uint32_t q, k, v; // all [batch, position, channel], or all [batch, head, position, channel]
    uint32_t mask;    // what is added to the scores; GRAPH_NONE: nothing
    uint32_t past_key, past_value;
    int64_t heads;
    double scale;       // 0: what follows from the size of a head
    bool causal, apart; // heads have a dimension of their own
};

// Y, the keys and the values with the past before them.
static void emit_attention(struct builder *b, const struct attention *a, uint32_t outputs[3])
{
    const uint32_t inputs[] = {a->q, a->k, a->v, a->mask, a->past_key, a->past_value};
    const bool keeps =
        a->past_key != GRAPH_NONE || espy_build_wants(b, 1) || espy_build_wants(b, 2);
    outputs[1] = outputs[2] = GRAPH_NONE;
    espy_build_emit_many(b, "Attention", inputs, 6, outputs, keeps ? 3 : 1);
    if (!a->apart) {
        espy_build_set(b, "q_num_heads", (double)a->heads);
        espy_build_set(b, "kv_num_heads", (double)a->heads);
    }
    if (a->scale != 0)
        espy_build_set(b, "scale", a->scale);
    if (a->causal)
        espy_build_set(b, "is_causal", 1);
}

// ---- masks --------------------------------------------------------------------------------------

// Lengths of the keys, one for each batch: [batch], or [2 * batch] with where they start as well.
// true where a key is seen: [batch, key].
static uint32_t seen_by_lengths(struct builder *b, uint32_t mask, uint32_t batch, uint32_t keys)
{
    const uint32_t lengths = espy_build_cast(b, mask, ESPY_INT64);
    const uint32_t zero = LIST(b, 0), twice = EMIT(b, "Mul", batch, LIST(b, 2));
    const uint32_t places =
        EMIT(b, "Range", espy_build_scalar(b, ESPY_INT64, 0), espy_build_pick(b, keys, 0, 0),
             espy_build_scalar(b, ESPY_INT64, 1));
    const uint32_t ends = espy_build_slice(b, lengths, zero, batch, 0);
    // Zeros behind, so that starts are there when they are not given; other lists that are longer
    // have something else there.
    const uint32_t given = EMIT_AS(b, ESPY_BOOL, "Equal", espy_build_dims(b, mask, 0, 1), twice);
    const uint32_t none = EMIT(b, "Sub", ends, ends);
    const uint32_t both[] = {espy_build_slice(b, lengths, batch, twice, 0), none};
    const uint32_t listed = espy_build_slice(b, espy_build_concat(b, both, 2, 0), zero, batch, 0);
    const uint32_t starts = EMIT_AS(b, ESPY_INT64, "Where", given, listed, none);
    const uint32_t one = LIST(b, 1);
    return EMIT_AS(
        b, ESPY_BOOL, "And", EMIT_AS(b, ESPY_BOOL, "Less", places, EMIT(b, "Unsqueeze", ends, one)),
        EMIT_AS(b, ESPY_BOOL, "GreaterOrEqual", places, EMIT(b, "Unsqueeze", starts, one)));
}

// A mask for sequences of any length, [batch, 1, longest, longest]: the queries are the last of as
// many positions as there are keys.
static uint32_t seen_in_square(struct builder *b, uint32_t mask, const struct attention *a,
                               uint32_t keys)
{
    const int64_t at = a->apart ? 2 : 1;
    const uint32_t first = EMIT(b, "Sub", keys, espy_build_dims(b, a->q, at, at + 1));
    const uint32_t rows = espy_build_slice(b, mask, first, keys, 2);
    const uint32_t square = espy_build_slice(b, rows, LIST(b, 0), keys, 3);
    return EMIT_AS(b, ESPY_BOOL, "Greater", square, espy_build_number(b, mask, 0));
}

// What is added to scores where a key is hidden, of a shape that repeats over heads and queries.
// queries and keys: their numbers, as lists of one; past: how many of the keys are from before.
static uint32_t padding_mask(struct builder *b, uint32_t mask, const struct attention *a,
                             uint32_t keys, double filter)
{
    const int32_t rank = espy_build_rank(b, mask);
    uint32_t seen = GRAPH_NONE;
    if (rank == 1)
        seen = seen_by_lengths(b, mask, espy_build_dims(b, a->q, 0, 1), keys);
    else if (rank == 2 || rank == 3)
        seen = EMIT_AS(b, ESPY_BOOL, "Greater", mask, espy_build_number(b, mask, 0));
    else if (rank == 4)
        seen = seen_in_square(b, mask, a, keys);
    else
        espy_build_refuse(b, "masks of %d dimensions are not supported", (int)rank);
    const uint32_t wide = rank == 4   ? seen
                          : rank == 3 ? EMIT(b, "Unsqueeze", seen, LIST(b, 1))
                                      : EMIT(b, "Unsqueeze", seen, LIST(b, 1, 2));
    return EMIT_AS(b, espy_build_dtype(b, a->q), "Where", wide, espy_build_number(b, a->q, 0),
                   espy_build_number(b, a->q, filter));
}

static uint32_t sum_of_masks(struct builder *b, uint32_t mask, uint32_t bias)
{
    return mask == GRAPH_NONE ? bias : bias == GRAPH_NONE ? mask : EMIT(b, "Add", mask, bias);
}

// How many keys there are with those of the past, as a list of one.
static uint32_t count_keys(struct builder *b, const struct attention *a)
{
    const int64_t at = a->apart ? 2 : 1;
    const uint32_t now = espy_build_dims(b, a->k, at, at + 1);
    return a->past_key == GRAPH_NONE ? now
                                     : EMIT(b, "Add", now, espy_build_dims(b, a->past_key, 2, 3));
}

// ---- Attention: one product makes queries, keys and values --------------------------------------

static void refuse_sharing(struct builder *b)
{
    if (espy_build_integer(b, "past_present_share_buffer", 0) != 0)
        espy_build_refuse(b, "past and present in one buffer are not supported");
    if (espy_build_integer(b, "do_rotary", 0) != 0)
        espy_build_refuse(b, "do_rotary is not supported");
    espy_build_ignore(b, "rotary_embedding_dim"); // of do_rotary
}

// product: [batch, position, channels of q, k and v]. past and present: keys, then values, in a
// dimension before all others.
static void attend(struct builder *b, uint32_t product, uint32_t mask, uint32_t past, uint32_t bias)
{
    struct attention a = {.mask = GRAPH_NONE, .past_key = GRAPH_NONE, .past_value = GRAPH_NONE};
    int64_t sizes[3];
    uint32_t parts[3], outputs[3];
    refuse_sharing(b);
    a.heads = espy_build_integer(b, "num_heads", 0);
    a.scale = espy_build_float(b, "scale", 0);
    a.causal = espy_build_integer(b, "unidirectional", 0) != 0;
    const double filter = espy_build_float(b, "mask_filter_value", -10000);
    const bool uneven = espy_build_integers_of(b, "qkv_hidden_sizes", sizes, 3) == 3;
    const uint32_t split[] = {product, uneven ? espy_build_list(b, sizes, 3) : GRAPH_NONE};
    espy_build_emit_many(b, "Split", split, 2, parts, 3);
    espy_build_set(b, "axis", -1);
    if (!uneven)
        espy_build_set(b, "num_outputs", 3);
    a.q = parts[0];
    a.k = parts[1];
    a.v = parts[2];
    if (past != GRAPH_NONE) {
        a.past_key = espy_build_pick(b, past, 0, 0);
        a.past_value = espy_build_pick(b, past, 1, 0);
    }
    if (mask != GRAPH_NONE)
        a.mask = padding_mask(b, mask, &a, count_keys(b, &a), filter);
    a.mask = sum_of_masks(b, a.mask, bias);
    emit_attention(b, &a, outputs);
    espy_build_result(b, 0, outputs[0]);
    if (!espy_build_wants(b, 1))
        return;
    const uint32_t zero = LIST(b, 0);
    const uint32_t present[] = {EMIT(b, "Unsqueeze", outputs[1], zero),
                                EMIT(b, "Unsqueeze", outputs[2], zero)};
    espy_build_result(b, 1, espy_build_concat(b, present, 2, 0));
}

static void attention(struct builder *b)
{
    enum { X, WEIGHTS, BIAS, MASK, PAST, ATTENTION_BIAS };
    const uint32_t product =
        EMIT(b, "MatMul", espy_build_input(b, X), espy_build_input(b, WEIGHTS));
    attend(b, espy_build_plus(b, product, BIAS), espy_build_input(b, MASK),
           espy_build_input(b, PAST), espy_build_input(b, ATTENTION_BIAS));
}

static void quantized_attention(struct builder *b)
{
    enum { X, WEIGHTS, BIAS, X_SCALE, W_SCALE, MASK, X_ZERO, W_ZERO, PAST };
    const uint32_t inputs[] = {espy_build_input(b, X), espy_build_input(b, WEIGHTS),
                               espy_build_input(b, X_ZERO), espy_build_input(b, W_ZERO)};
    const uint32_t sums = espy_build_emit_as(b, ESPY_INT32, "MatMulInteger", inputs, 4);
    const uint32_t scale =
        EMIT(b, "Mul", espy_build_input(b, X_SCALE), espy_build_input(b, W_SCALE));
    const uint32_t product = EMIT(b, "Mul", espy_build_cast_like(b, sums, scale), scale);
    attend(b, espy_build_plus(b, product, BIAS), espy_build_input(b, MASK),
           espy_build_input(b, PAST), GRAPH_NONE);
}

// ---- MultiHeadAttention: queries, keys and values are given -------------------------------------

// One of the parts that lie side by side in [batch, position, head, part, channel].
static uint32_t part_of(struct builder *b, uint32_t packed, int64_t index)
{
    return espy_build_reshape(b, espy_build_pick(b, packed, index, 3), (const int64_t[]){0, 0, -1},
                              3);
}

// Brings what is given into the form that `a` says; true when keys and values come apart by head.
static bool unpack(struct builder *b, struct attention *a)
{
    const uint32_t query = espy_build_input(b, 0), key = espy_build_input(b, 1);
    a->q = query;
    a->k = key;
    a->v = espy_build_input(b, 2);
    // Where the rank of keys is not known it is 3; should it not be, Attention's inference says so.
    const bool guess =
        key != GRAPH_NONE && a->v != GRAPH_NONE && espy_import_rank(b->importer, key) < 0;
    const int32_t rank = guess ? 3 : espy_build_rank(b, key == GRAPH_NONE ? query : key);
    if (key == GRAPH_NONE && rank == 5) {
        a->q = part_of(b, query, 0);
        a->k = part_of(b, query, 1);
        a->v = part_of(b, query, 2);
    } else if (key == GRAPH_NONE) { // thrice the channels
        uint32_t parts[3];
        espy_build_emit_many(b, "Split", &query, 1, parts, 3);
        espy_build_set(b, "axis", -1);
        espy_build_set(b, "num_outputs", 3);
        a->q = parts[0];
        a->k = parts[1];
        a->v = parts[2];
    } else if (rank == 5) {
        a->k = part_of(b, key, 0);
        a->v = part_of(b, key, 1);
    } else if (a->v == GRAPH_NONE) {
        espy_build_refuse(b, "keys without values must have 5 dimensions");
    }
    if (key == GRAPH_NONE && espy_build_has(b, 2))
        espy_build_refuse(b, "values without keys are not supported");
    return key != GRAPH_NONE && rank == 4;
}

// The bias is one list: for queries, keys and values.
static void add_bias(struct builder *b, struct attention *a, bool only_queries)
{
    const uint32_t bias = espy_build_input(b, 3);
    if (bias == GRAPH_NONE)
        return;
    const uint32_t width = espy_build_dims(b, a->q, 2, 3);
    const uint32_t twice = EMIT(b, "Mul", width, LIST(b, 2));
    a->q = EMIT(b, "Add", a->q, espy_build_slice(b, bias, LIST(b, 0), width, 0));
    if (only_queries)
        return;
    a->k = EMIT(b, "Add", a->k, espy_build_slice(b, bias, width, twice, 0));
    a->v = EMIT(b, "Add", a->v, espy_build_slice(b, bias, twice, LIST(b, INT64_MAX), 0));
}

static void multi_head_attention(struct builder *b)
{
    enum { PADDING_MASK = 4, ATTENTION_BIAS, PAST_KEY, PAST_VALUE };
    static const uint32_t exchange[] = {0, 2, 1, 3};
    struct attention a = {.mask = GRAPH_NONE};
    uint32_t outputs[3];
    if (espy_build_has(b, 8) || espy_build_has(b, 9) || espy_build_wants(b, 3))
        espy_build_refuse(b, "shared caches, cache indirection and the scores as an output are "
                             "not supported");
    a.heads = espy_build_integer(b, "num_heads", 0);
    a.scale = espy_build_float(b, "scale", 0);
    a.causal = espy_build_integer(b, "unidirectional", 0) != 0;
    a.past_key = espy_build_input(b, PAST_KEY);
    a.past_value = espy_build_input(b, PAST_VALUE);
    const double filter = espy_build_float(b, "mask_filter_value", -10000);
    a.apart = unpack(b, &a);
    add_bias(b, &a, a.apart);
    if (a.apart)
        a.q = espy_build_transpose(
            b, espy_build_reshape(b, a.q, (const int64_t[]){0, 0, a.heads, -1}, 4), exchange, 4);
    if (espy_build_has(b, PADDING_MASK))
        a.mask = padding_mask(b, espy_build_input(b, PADDING_MASK), &a, count_keys(b, &a), filter);
    a.mask = sum_of_masks(b, a.mask, espy_build_input(b, ATTENTION_BIAS));
    emit_attention(b, &a, outputs);
    if (a.apart)
        outputs[0] = espy_build_reshape(b, espy_build_transpose(b, outputs[0], exchange, 4),
                                        (const int64_t[]){0, 0, -1}, 3);
    for (uint32_t i = 0; i < 3; i++)
        espy_build_result(b, i, outputs[i]);
}

static const struct foreign_row rows[] = {
    {"Attention", attention},
    {"MultiHeadAttention", multi_head_attention},
    {"QAttention", quantized_attention},
};

const struct foreign_family espy_foreign_attention = {"com.microsoft", rows,
                                                      sizeof(rows) / sizeof(rows[0])};
