// com.microsoft: positions by rotation, and attention with a cache of keys and values that is
// longer than what is in it.
#include "convert/builder.h"

#include <string.h>

static const uint32_t exchange[] = {0, 2, 1, 3}; // positions and heads

// [batch, position, channel] to [batch, head, position, channel]
static uint32_t heads_apart(struct builder *b, uint32_t x, int64_t heads)
{
    return espy_build_transpose(b, espy_build_reshape(b, x, (const int64_t[]){0, 0, heads, -1}, 4),
                                exchange, 4);
}

static uint32_t heads_together(struct builder *b, uint32_t x)
{
    return espy_build_reshape(b, espy_build_transpose(b, x, exchange, 4),
                              (const int64_t[]){0, 0, -1}, 3);
}

static uint32_t count_up(struct builder *b, uint32_t count)
{
    return EMIT(b, "Range", espy_build_scalar(b, ESPY_INT64, 0), espy_build_pick(b, count, 0, 0),
                espy_build_scalar(b, ESPY_INT64, 1));
}

// How many channels of a head the tables turn, where that is known already.
static int64_t turned_channels(const struct builder *b, uint32_t cosines)
{
    const struct graph_value *value = &b->importer->graph->values[cosines];
    return value->has_shape || value->data != NULL ? 2 * value->shape.dims[1] : 0;
}

struct rotation {
    uint32_t tables[2]; // cosines and sines
    uint32_t places;
    bool interleaved;
    int64_t turned; // channels of a head; 0: all
};

// x: [batch, head, position, channel]
static uint32_t rotate(struct builder *b, uint32_t x, const struct rotation *r)
{
    const uint32_t result = EMIT(b, "RotaryEmbedding", x, r->tables[0], r->tables[1], r->places);
    espy_build_set(b, "interleaved", r->interleaved);
    if (r->turned > 0)
        espy_build_set(b, "rotary_embedding_dim", (double)r->turned);
    return result;
}

// Places are given for every token, or counted from one that is given.
static uint32_t rotary_places(struct builder *b, uint32_t given, uint32_t batch, uint32_t length)
{
    const uint32_t places = espy_build_cast(b, given, ESPY_INT64);
    if (espy_build_rank(b, given) > 1)
        return places;
    const uint32_t shape[] = {batch, length};
    return EMIT(b, "Expand", EMIT(b, "Add", places, count_up(b, length)),
                espy_build_concat(b, shape, 2, 0));
}

static void rotary_embedding(struct builder *b)
{
    enum { X, PLACES, COSINES, SINES };
    struct rotation r = {.tables = {espy_build_input(b, COSINES), espy_build_input(b, SINES)},
                         .interleaved = espy_build_integer(b, "interleaved", 0) != 0,
                         .turned = espy_build_integer(b, "rotary_embedding_dim", 0)};
    const int64_t heads = espy_build_integer(b, "num_heads", 0);
    if (espy_build_integer(b, "is_packed_batching", 0) != 0 || espy_build_float(b, "scale", 1) != 1)
        espy_build_refuse(b, "packed batches and scales are not supported");
    const uint32_t x = espy_build_input(b, X);
    const bool apart = espy_build_rank(b, x) == 4;
    uint32_t split = x;
    if (!apart && heads > 0) {
        split = heads_apart(b, x, heads);
    } else if (!apart) { // all channels of a head turn, so the tables say how wide it is
        const uint32_t width = EMIT(b, "Mul", espy_build_dims(b, r.tables[0], 1, 2), LIST(b, 2));
        const uint32_t dims[] = {LIST(b, 0, 0, -1), width};
        split = espy_build_transpose(b, EMIT(b, "Reshape", x, espy_build_concat(b, dims, 2, 0)),
                                     exchange, 4);
        r.turned = 0;
    }
    r.places = rotary_places(b, espy_build_input(b, PLACES), espy_build_dims(b, split, 0, 1),
                             espy_build_dims(b, split, 2, 3));
    const uint32_t y = rotate(b, split, &r);
    espy_build_result(b, 0, apart ? y : heads_together(b, y));
}

// ---- GroupQueryAttention ------------------------------------------------------------------------

enum {
    QUERY,
    KEY,
    VALUE,
    PAST_KEY,
    PAST_VALUE,
    LENGTHS,
    TOTAL,
    COSINES,
    SINES,
    POSITIONS,
    BIAS,
    SINK,
    K_SCALE,
    V_SCALE,
    Q_NORM,
    K_NORM
};

struct grouped {
    int64_t heads, kv_heads;
    uint32_t q, k, v; // [batch, head, position, channel]
    uint32_t count;   // how many positions are new; a list of one
    uint32_t lengths; // how many keys each batch has, with the new ones: [batch]
    uint32_t starts;  // where the new ones go: [batch]
};

static void refuse_variants(struct builder *b)
{
    if (espy_build_integer(b, "smooth_softmax", 0) > 0 || espy_build_has(b, SINK))
        espy_build_refuse(b, "smooth_softmax and head_sink are not supported");
    if (strcmp(espy_build_string(b, "k_quant_type", "NONE"), "NONE") != 0 ||
        strcmp(espy_build_string(b, "v_quant_type", "NONE"), "NONE") != 0 ||
        espy_build_has(b, K_SCALE) || espy_build_has(b, V_SCALE))
        espy_build_refuse(b, "quantized caches are not supported");
    espy_build_ignore(b, "kv_cache_bit_width"); // of quantized caches
    if (espy_build_integer(b, "sliding_window_cache", 0) != 0 ||
        espy_build_integer(b, "qk_output", 0) != 0 || espy_build_wants(b, 3))
        espy_build_refuse(b, "caches that forget and scores as an output are not supported");
}

static void split_heads(struct builder *b, struct grouped *g)
{
    const uint32_t query = espy_build_input(b, QUERY);
    if (espy_build_has(b, KEY)) {
        g->q = heads_apart(b, query, g->heads);
        g->k = heads_apart(b, espy_build_input(b, KEY), g->kv_heads);
        g->v = heads_apart(b, espy_build_input(b, VALUE), g->kv_heads);
        return;
    }
    const uint32_t all = heads_apart(b, query, g->heads + 2 * g->kv_heads);
    const uint32_t split[] = {all, LIST(b, g->heads, g->kv_heads, g->kv_heads)};
    uint32_t parts[3];
    espy_build_emit_many(b, "Split", split, 2, parts, 3);
    espy_build_set(b, "axis", 1);
    g->q = parts[0];
    g->k = parts[1];
    g->v = parts[2];
}

// A first call has as many keys as queries, in every batch: what is beyond a shorter one's end is
// seen by nobody whose result counts. A later call has the new ones at the end of each.
static void find_lengths(struct builder *b, struct grouped *g)
{
    const uint32_t flat = LIST(b, -1);
    const uint32_t total =
        EMIT(b, "Reshape", espy_build_cast(b, espy_build_input(b, TOTAL), ESPY_INT64), flat);
    const uint32_t before =
        EMIT(b, "Reshape", espy_build_cast(b, espy_build_input(b, LENGTHS), ESPY_INT64), flat);
    const uint32_t first = EMIT_AS(b, ESPY_BOOL, "Equal", g->count, total);
    g->lengths =
        EMIT_AS(b, ESPY_INT64, "Where", first, g->count, EMIT(b, "Add", before, LIST(b, 1)));
    g->starts = EMIT(b, "Sub", g->lengths, g->count);
}

static uint32_t head_norm(struct builder *b, uint32_t x, uint32_t input, double epsilon)
{
    if (!espy_build_has(b, input))
        return x;
    const uint32_t y = EMIT(b, "RMSNormalization", x, espy_build_input(b, input));
    espy_build_set(b, "axis", -1);
    espy_build_set(b, "epsilon", epsilon);
    return y;
}

static void rotate_both(struct builder *b, struct grouped *g, bool interleaved)
{
    struct rotation r = {.tables = {espy_build_input(b, COSINES), espy_build_input(b, SINES)},
                         .interleaved = interleaved};
    if (!espy_build_has(b, COSINES) || !espy_build_has(b, SINES)) {
        espy_build_refuse(b, "do_rotary needs cos_cache and sin_cache");
        return;
    }
    r.turned = turned_channels(b, r.tables[0]);
    r.places =
        espy_build_has(b, POSITIONS)
            ? espy_build_input(b, POSITIONS)
            : EMIT(b, "Add", EMIT(b, "Unsqueeze", g->starts, LIST(b, 1)), count_up(b, g->count));
    g->q = rotate(b, g->q, &r);
    g->k = rotate(b, g->k, &r);
}

// The past, made longer where the new ones would not fit, with them where they belong.
static uint32_t cached(struct builder *b, const struct grouped *g, uint32_t input, uint32_t now)
{
    if (!espy_build_has(b, input))
        return now;
    const uint32_t past = espy_build_input(b, input);
    const uint32_t room = espy_build_dims(b, past, 2, 3);
    const uint32_t total =
        EMIT(b, "Reshape", espy_build_cast(b, espy_build_input(b, TOTAL), ESPY_INT64), LIST(b, -1));
    const uint32_t missing = EMIT(b, "Sub", EMIT(b, "Max", room, total), room);
    const uint32_t pads[] = {LIST(b, 0, 0, 0, 0, 0, 0), missing, LIST(b, 0)};
    const uint32_t longer = EMIT(b, "Pad", past, espy_build_concat(b, pads, 3, 0));
    const uint32_t result = EMIT(b, "TensorScatter", longer, now, g->starts);
    espy_build_set(b, "axis", 2);
    return result;
}

static void group_query_attention(struct builder *b)
{
    struct grouped g = {.heads = espy_build_integer(b, "num_heads", 0),
                        .kv_heads = espy_build_integer(b, "kv_num_heads", 0)};
    const double scale = espy_build_float(b, "scale", 0), cap = espy_build_float(b, "softcap", 0);
    const int64_t window = espy_build_integer(b, "local_window_size", -1);
    const bool causal = espy_build_integer(b, "causal", 1) != 0;
    const bool rotary = espy_build_integer(b, "do_rotary", 0) != 0;
    const bool interleaved = espy_build_integer(b, "rotary_interleaved", 0) != 0;
    const double epsilon = espy_build_float(b, "qk_norm_epsilon", 1e-6);
    refuse_variants(b);
    split_heads(b, &g);
    g.count = espy_build_dims(b, g.k, 2, 3);
    find_lengths(b, &g);
    g.q = head_norm(b, g.q, Q_NORM, epsilon);
    g.k = head_norm(b, g.k, K_NORM, epsilon);
    if (rotary)
        rotate_both(b, &g, interleaved);
    const uint32_t keys = cached(b, &g, PAST_KEY, g.k), values = cached(b, &g, PAST_VALUE, g.v);
    const uint32_t inputs[] = {g.q,        keys,       values,   espy_build_input(b, BIAS),
                               GRAPH_NONE, GRAPH_NONE, g.lengths};
    const uint32_t y = espy_build_emit(b, "Attention", inputs, 7);
    if (causal)
        espy_build_set(b, "is_causal", 1);
    if (scale != 0)
        espy_build_set(b, "scale", scale);
    if (cap != 0)
        espy_build_set(b, "softcap", cap);
    if (window > 0) // a query counts in its own window
        espy_build_set(b, "left_window_size", (double)window - 1);
    espy_build_result(b, 0, heads_together(b, y));
    espy_build_result(b, 1, keys);
    espy_build_result(b, 2, values);
}

static const struct foreign_row rows[] = {
    {"GroupQueryAttention", group_query_attention},
    {"RotaryEmbedding", rotary_embedding},
};

const struct foreign_family espy_foreign_cached = {"com.microsoft", rows,
                                                   sizeof(rows) / sizeof(rows[0])};
