#include <ctype.h>
#include <string.h>

#include "convert/convert_internal.h"

// Opsets 1 to 6: what the first exporters wrote. A row brings an operator from its form before
// opset `before` to that of opset 7, from where opset.c goes on.

struct early_rewrite {
    const char *op;
    int64_t before;
    espy_status (*apply)(struct importer *importer, struct import_node *node);
};

static const char *hint_for(struct importer *importer, const struct import_node *node,
                            const char *what)
{
    return espy_arena_format(&importer->scratch, "%s/%s", node->name, what);
}

// ---- broadcasting by axis ----------------------------------------------------------------------

// [1, 1, ...], as many as dims of `a` are left right of dim `axis` and the dims of `b`. A negative
// axis counts from the end of `a`.
static espy_status trailing_ones(struct importer *importer, const struct import_node *node,
                                 uint32_t a, uint32_t shape_of_b, int64_t axis, uint32_t *ones)
{
    uint32_t start, left, one, shape_of_a = GRAPH_NONE, rank_a = GRAPH_NONE, rank_b = GRAPH_NONE,
                               count = GRAPH_NONE;
    const int64_t distance = axis < 0 ? -axis : axis;
    TRY(espy_import_integers(importer, node->name, &(int64_t){1}, 1, &one));
    TRY(espy_import_integers(importer, node->name, &distance, 1, &start));
    TRY(espy_import_emit(importer, node, "Size", &shape_of_b, 1, ESPY_INT64, &rank_b, NULL));
    left = start;
    if (axis >= 0) {
        left = GRAPH_NONE;
        TRY(espy_import_emit(importer, node, "Shape", &a, 1, ESPY_INT64, &shape_of_a, NULL));
        TRY(espy_import_emit(importer, node, "Size", &shape_of_a, 1, ESPY_INT64, &rank_a, NULL));
        TRY(espy_import_emit(importer, node, "Sub", (uint32_t[]){rank_a, start}, 2, ESPY_INT64,
                             &left, NULL));
    }
    TRY(espy_import_emit(importer, node, "Sub", (uint32_t[]){left, rank_b}, 2, ESPY_INT64, &count,
                         NULL));
    return espy_import_emit(importer, node, "Expand", (uint32_t[]){one, count}, 2, ESPY_INT64, ones,
                            NULL);
}

// Input 1 lay along the dims of input 0 from `axis` on; since opset 7 dims are aligned at the end.
// Ranks need not be known here: what is written folds where they are.
static espy_status align_at(struct importer *importer, struct import_node *node, int64_t axis)
{
    const uint32_t a = node->inputs[0], b = node->inputs[1];
    uint32_t shape_of_b = GRAPH_NONE, ones = GRAPH_NONE, dims = GRAPH_NONE, wide = GRAPH_NONE;
    struct graph_node *made;
    TRY(espy_import_emit(importer, node, "Shape", &b, 1, ESPY_INT64, &shape_of_b, NULL));
    TRY(trailing_ones(importer, node, a, shape_of_b, axis, &ones));
    TRY(espy_import_emit(importer, node, "Concat", (uint32_t[]){shape_of_b, ones}, 2, ESPY_INT64,
                         &dims, &made));
    TRY(espy_graph_set_number(importer->graph, made, "axis", 0));
    TRY(espy_import_emit(importer, node, "Reshape", (uint32_t[]){b, dims}, 2,
                         espy_import_dtype(importer, b), &wide, NULL));
    node->inputs[1] = wide;
    return ESPY_OK;
}

static bool has_two_inputs(const struct import_node *node)
{
    return node->input_count == 2 && node->inputs[0] != GRAPH_NONE && node->inputs[1] != GRAPH_NONE;
}

static espy_status rewrite_broadcast(struct importer *importer, struct import_node *node)
{
    const onnx_attribute *axis = espy_import_take(importer, node, "axis");
    const onnx_attribute *broadcast = espy_import_take(importer, node, "broadcast");
    const bool asked = broadcast != NULL && broadcast->i != 0;
    if (!asked || axis == NULL || !has_two_inputs(node))
        return ESPY_OK; // equal shapes, or aligned at the end already
    return align_at(importer, node, axis->i);
}

// One slope per channel, or one in all.
static espy_status rewrite_prelu(struct importer *importer, struct import_node *node)
{
    if (!has_two_inputs(node))
        return ESPY_OK;
    const struct graph_value *slope = &importer->graph->values[node->inputs[1]];
    size_t count;
    if (slope->data != NULL && espy_shape_count(&slope->shape, &count) && count == 1)
        return ESPY_OK;
    return align_at(importer, node, 1);
}

static espy_status rewrite_gemm(struct importer *importer, struct import_node *node)
{
    espy_import_take(importer, node, "broadcast"); // what it allowed is always allowed now
    return ESPY_OK;
}

// ---- training ----------------------------------------------------------------------------------

// In training it has more outputs than the one.
static espy_status rewrite_batch_norm(struct importer *importer, struct import_node *node)
{
    const int64_t is_test = espy_import_integer(importer, node, "is_test", 0);
    espy_import_take(importer, node, "is_test");
    if (is_test == 0 && node->output_count > 1)
        return espy_convert_problem(importer->report, node->name, node->op,
                                    "training mode of opset %lld is not supported: export the "
                                    "network for inference",
                                    (long long)node->opset);
    return ESPY_OK;
}

static espy_status rewrite_dropout(struct importer *importer, struct import_node *node)
{
    espy_import_take(importer, node, "is_test");
    return ESPY_OK;
}

// ---- attributes --------------------------------------------------------------------------------

// The type by its name in ONNX.
static espy_status rewrite_cast(struct importer *importer, struct import_node *node)
{
    char name[32];
    if (espy_import_string(importer, node, "to", name, sizeof(name)) == NULL)
        return ESPY_OK; // refused when it is bound
    for (size_t i = 0; name[i] != '\0'; i++)
        name[i] = (char)tolower((unsigned char)name[i]);
    enum { ONNX_BFLOAT16 = 16 };
    for (int32_t type = 1; type <= ONNX_BFLOAT16; type++) {
        if (strcmp(espy_onnx_dtype_name(type), name) != 0 ||
            espy_onnx_dtype(type) == ESPY_DTYPE_NONE)
            continue;
        espy_import_take(importer, node, "to");
        return espy_import_extra_string(importer, node, "to",
                                        espy_dtype_name(espy_onnx_dtype(type)));
    }
    return espy_convert_problem(importer->report, node->name, node->op,
                                "attribute 'to': type %s is not supported", name);
}

static espy_status rewrite_concat(struct importer *importer, struct import_node *node)
{
    if (espy_import_find(importer, node->proto, "axis", NULL) != NULL)
        return ESPY_OK;
    return espy_import_extra_number(importer, node, "axis", 1);
}

static espy_status rewrite_reshape(struct importer *importer, struct import_node *node)
{
    return espy_opset_integers_to_input(importer, node, "shape", 1);
}

static espy_status rewrite_recurrent(struct importer *importer, struct import_node *node)
{
    espy_import_take(importer, node, "output_sequence"); // whether the output is asked for says it
    return ESPY_OK;
}

static espy_status rewrite_pad(struct importer *importer, struct import_node *node)
{
    return espy_opset_integers_to_input(importer, node, "paddings", 1);
}

static espy_status float_to_integer(struct importer *importer, struct import_node *node)
{
    const onnx_attribute *p = espy_import_take(importer, node, "p");
    return p == NULL ? ESPY_OK : espy_import_extra_number(importer, node, "p", (double)p->f);
}

static espy_status rewrite_selu(struct importer *importer, struct import_node *node)
{
    if (espy_import_find(importer, node->proto, "alpha", NULL) == NULL)
        TRY(espy_import_extra_number(importer, node, "alpha", (double)1.6732f));
    if (espy_import_find(importer, node->proto, "gamma", NULL) == NULL)
        TRY(espy_import_extra_number(importer, node, "gamma", (double)1.0507f));
    return ESPY_OK;
}

static espy_status rewrite_upsample(struct importer *importer, struct import_node *node)
{
    const onnx_attribute *height = espy_import_take(importer, node, "height_scale");
    const onnx_attribute *width = espy_import_take(importer, node, "width_scale");
    if (height == NULL || width == NULL)
        return ESPY_OK; // refused for having no scales
    const double scales[4] = {1, 1, (double)height->f, (double)width->f};
    const char *hint = hint_for(importer, node, "scales");
    uint32_t index;
    if (hint == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(espy_import_numbers(importer, hint, ESPY_FLOAT32, &(struct shape){.rank = 1, .dims = {4}},
                            scales, 4, &index));
    espy_opset_set_input(node, 1, index);
    return ESPY_OK;
}

// Input 1 says how often, input 2 along which axis; now how often along every axis.
static espy_status rewrite_tile(struct importer *importer, struct import_node *node)
{
    if (node->input_count != 3)
        return ESPY_OK; // refused when it is bound
    uint32_t one, flat, shape = GRAPH_NONE, rank = GRAPH_NONE, ones = GRAPH_NONE,
                        repeats = GRAPH_NONE, parts[2] = {GRAPH_NONE, GRAPH_NONE};
    TRY(espy_import_integers(importer, node->name, &(int64_t){1}, 1, &one));
    TRY(espy_import_integers(importer, node->name, &(int64_t){-1}, 1, &flat));
    TRY(espy_import_emit(importer, node, "Shape", node->inputs, 1, ESPY_INT64, &shape, NULL));
    TRY(espy_import_emit(importer, node, "Shape", &shape, 1, ESPY_INT64, &rank, NULL));
    TRY(espy_import_emit(importer, node, "Expand", (uint32_t[]){one, rank}, 2, ESPY_INT64, &ones,
                         NULL));
    for (uint32_t i = 0; i < 2; i++) { // of any integer or float type, scalar or of one element
        struct graph_node *made;
        uint32_t integer = GRAPH_NONE;
        TRY(espy_import_emit(importer, node, "Cast", &node->inputs[i + 1], 1, ESPY_INT64, &integer,
                             &made));
        TRY(espy_graph_set_string(importer->graph, made, "to", "int64"));
        TRY(espy_import_emit(importer, node, "Reshape", (uint32_t[]){integer, flat}, 2, ESPY_INT64,
                             &parts[i], NULL));
    }
    TRY(espy_import_emit(importer, node, "ScatterElements", (uint32_t[]){ones, parts[1], parts[0]},
                         3, ESPY_INT64, &repeats, NULL));
    node->inputs[1] = repeats;
    node->input_count = 2;
    return ESPY_OK;
}

static const struct early_rewrite rewrites[] = {
    {"Add", 7, rewrite_broadcast},
    {"And", 7, rewrite_broadcast},
    {"BatchNormalization", 7, rewrite_batch_norm},
    {"Cast", 6, rewrite_cast},
    {"Concat", 4, rewrite_concat},
    {"Div", 7, rewrite_broadcast},
    {"Dropout", 7, rewrite_dropout},
    {"Equal", 7, rewrite_broadcast},
    {"GRU", 7, rewrite_recurrent},
    {"Gemm", 7, rewrite_gemm},
    {"GlobalLpPool", 2, float_to_integer},
    {"Greater", 7, rewrite_broadcast},
    {"LSTM", 7, rewrite_recurrent},
    {"Less", 7, rewrite_broadcast},
    {"LpPool", 2, float_to_integer},
    {"Mul", 7, rewrite_broadcast},
    {"Or", 7, rewrite_broadcast},
    {"PRelu", 7, rewrite_prelu},
    {"Pad", 2, rewrite_pad},
    {"Pow", 7, rewrite_broadcast},
    {"RNN", 7, rewrite_recurrent},
    {"Reshape", 5, rewrite_reshape},
    {"Selu", 6, rewrite_selu},
    {"Sub", 7, rewrite_broadcast},
    {"Tile", 6, rewrite_tile},
    {"Upsample", 7, rewrite_upsample},
    {"Xor", 7, rewrite_broadcast},
};

espy_status espy_opset_early(struct importer *importer, struct import_node *node)
{
    const char *op = node->op;                           // rows are for the name in the file
    espy_import_take(importer, node, "consumed_inputs"); // a hint for memory, up to opset 5
    for (size_t i = 0; i < sizeof(rewrites) / sizeof(rewrites[0]); i++)
        if (node->opset < rewrites[i].before && strcmp(rewrites[i].op, op) == 0)
            TRY(rewrites[i].apply(importer, node));
    return ESPY_OK;
}
