#include "convert/convert_internal.h"

#include <string.h>

// Each row brings an operator from the form before opset `before` to the form since. Rows of one
// operator are tried in order, so that a node passes through every change after its opset.

struct rewrite {
    const char *op;
    int64_t before;
    espy_status (*apply)(struct importer *importer, struct import_node *node);
};

// ---- attributes that became inputs --------------------------------------------------------------

void espy_opset_set_input(struct import_node *node, uint32_t i, uint32_t value)
{
    while (node->input_count <= i)
        node->inputs[node->input_count++] = GRAPH_NONE;
    node->inputs[i] = value;
}

static const char *hint_for(struct importer *importer, const struct import_node *node,
                            const char *what)
{
    return espy_arena_format(&importer->scratch, "%s/%s", node->name, what);
}

espy_status espy_opset_integers_to_input(struct importer *importer, struct import_node *node,
                                         const char *name, uint32_t i)
{
    const onnx_attribute *attribute = espy_import_take(importer, node, name);
    if (attribute == NULL)
        return ESPY_OK;
    const char *hint = hint_for(importer, node, name);
    const int64_t *integers = attribute->ints;
    uint32_t index, count = (uint32_t)attribute->n_ints;
    if (attribute->n_ints == 0 && attribute->has_i) { // one number, as TopK's k was
        integers = &attribute->i;
        count = 1;
    }
    if (hint == NULL || attribute->n_ints > GRAPH_LIST_MAX)
        return ESPY_OUT_OF_MEMORY;
    TRY(espy_import_integers(importer, hint, integers, count, &index));
    espy_opset_set_input(node, i, index);
    return ESPY_OK;
}

// A number becomes input i, a scalar of the type of input 0.
static espy_status number_to_input(struct importer *importer, struct import_node *node,
                                   const char *name, uint32_t i)
{
    const onnx_attribute *attribute = espy_import_take(importer, node, name);
    if (attribute == NULL)
        return ESPY_OK;
    const espy_dtype dtype =
        node->input_count == 0 ? ESPY_DTYPE_NONE : espy_import_dtype(importer, node->inputs[0]);
    if (dtype == ESPY_DTYPE_NONE)
        return espy_convert_problem(importer->report, node->name, node->op,
                                    "attribute '%s' of an old opset needs the type of the input, "
                                    "which is not known",
                                    name);
    const char *hint = hint_for(importer, node, name);
    const struct shape scalar = {.rank = 0};
    uint32_t index;
    if (hint == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(espy_import_numbers(importer, hint, dtype, &scalar, &(double){(double)attribute->f}, 1,
                            &index));
    espy_opset_set_input(node, i, index);
    return ESPY_OK;
}

static espy_status axes_to_input(struct importer *importer, struct import_node *node)
{
    return espy_opset_integers_to_input(importer, node, "axes", 1);
}

static espy_status rewrite_slice(struct importer *importer, struct import_node *node)
{
    TRY(espy_opset_integers_to_input(importer, node, "starts", 1));
    TRY(espy_opset_integers_to_input(importer, node, "ends", 2));
    return espy_opset_integers_to_input(importer, node, "axes", 3);
}

static espy_status rewrite_pad(struct importer *importer, struct import_node *node)
{
    const onnx_attribute *value = espy_import_find(importer, node->proto, "value", NULL);
    TRY(espy_opset_integers_to_input(importer, node, "pads", 1));
    if (value != NULL && value->f == 0) { // the default
        espy_import_take(importer, node, "value");
        return ESPY_OK;
    }
    return number_to_input(importer, node, "value", 2);
}

static espy_status rewrite_clip(struct importer *importer, struct import_node *node)
{
    TRY(number_to_input(importer, node, "min", 1));
    return number_to_input(importer, node, "max", 2);
}

static espy_status rewrite_topk(struct importer *importer, struct import_node *node)
{
    return espy_opset_integers_to_input(importer, node, "k", 1);
}

// The axis that was an attribute had another default than the input has.
static espy_status rewrite_dft(struct importer *importer, struct import_node *node)
{
    const char *hint = hint_for(importer, node, "axis");
    uint32_t index;
    TRY(espy_opset_integers_to_input(importer, node, "axis", 2));
    if (node->input_count > 2)
        return ESPY_OK;
    if (hint == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(espy_import_integers(importer, hint, &(int64_t){1}, 1, &index));
    espy_opset_set_input(node, 2, index);
    return ESPY_OK;
}

// ---- Split --------------------------------------------------------------------------------------

static espy_status rewrite_split_attribute(struct importer *importer, struct import_node *node)
{
    return espy_opset_integers_to_input(importer, node, "split", 1);
}

// Without sizes the parts are equal; since opset 18 their number must be said.
static espy_status rewrite_split_count(struct importer *importer, struct import_node *node)
{
    if (node->input_count > 1 && node->inputs[1] != GRAPH_NONE)
        return ESPY_OK;
    return espy_import_extra_number(importer, node, "num_outputs", (double)node->proto->n_output);
}

// ---- Resize and Upsample ------------------------------------------------------------------------

// Up to opset 10 a nearest neighbour is the one before when enlarging, the one after when reducing.
static const char *old_nearest_mode(const struct importer *importer, uint32_t scales)
{
    const struct graph_value *value =
        scales == GRAPH_NONE ? NULL : &importer->graph->values[scales];
    if (value == NULL || value->data == NULL || value->dtype != ESPY_FLOAT32)
        return "floor";
    for (size_t i = 0; i < value->data_size / sizeof(float); i++) {
        float scale;
        memcpy(&scale, (const unsigned char *)value->data + i * sizeof(scale), sizeof(scale));
        if (scale < 1)
            return "ceil";
    }
    return "floor";
}

static espy_status to_resize(struct importer *importer, struct import_node *node, uint32_t scales)
{
    char mode[32];
    node->op = "Resize";
    node->input_count = node->input_count == 0 ? 0 : 1;
    espy_opset_set_input(node, 2, scales);
    if (espy_import_string(importer, node, "mode", mode, sizeof(mode)) != NULL &&
        strcmp(mode, "bilinear") == 0) {
        espy_import_take(importer, node, "mode");
        TRY(espy_import_extra_string(importer, node, "mode", "linear"));
    }
    TRY(espy_import_extra_string(importer, node, "coordinate_transformation_mode", "asymmetric"));
    return espy_import_extra_string(importer, node, "nearest_mode",
                                    old_nearest_mode(importer, scales));
}

static espy_status rewrite_upsample(struct importer *importer, struct import_node *node)
{
    if (node->input_count > 1)
        return to_resize(importer, node, node->inputs[1]);
    const onnx_attribute *scales = espy_import_take(importer, node, "scales");
    const char *hint = hint_for(importer, node, "scales");
    if (scales == NULL || scales->n_floats > ESPY_RANK_MAX)
        return espy_convert_problem(importer->report, node->name, node->op, "it has no scales");
    if (hint == NULL)
        return ESPY_OUT_OF_MEMORY;
    double numbers[ESPY_RANK_MAX];
    for (size_t i = 0; i < scales->n_floats; i++)
        numbers[i] = (double)scales->floats[i];
    const struct shape shape = {.rank = 1, .dims = {(int64_t)scales->n_floats}};
    uint32_t index;
    TRY(espy_import_numbers(importer, hint, ESPY_FLOAT32, &shape, numbers,
                            (uint32_t)scales->n_floats, &index));
    return to_resize(importer, node, index);
}

static espy_status rewrite_resize_10(struct importer *importer, struct import_node *node)
{
    return to_resize(importer, node, node->input_count > 1 ? node->inputs[1] : GRAPH_NONE);
}

// Exporters write tensors without elements where an input is meant to be absent.
static espy_status rewrite_resize_empty(struct importer *importer, struct import_node *node)
{
    for (uint32_t i = 1; i < node->input_count; i++) {
        if (node->inputs[i] == GRAPH_NONE)
            continue;
        const struct graph_value *value = &importer->graph->values[node->inputs[i]];
        if (value->data != NULL && value->data_size == 0)
            node->inputs[i] = GRAPH_NONE;
    }
    while (node->input_count > 1 && node->inputs[node->input_count - 1] == GRAPH_NONE)
        node->input_count--;
    return ESPY_OK;
}

// With corners aligned, ONNX spreads the output over length x scale, which need not be whole.
// torch, which exports its scale factors as they are, and onnxruntime spread it over the elements
// that there are. So a file of torch's gets sizes in place of scales, which leave no doubt.
static espy_status rewrite_resize_pytorch(struct importer *importer, struct import_node *node)
{
    char mode[32];
    const char *producer = importer->model->proto->producer_name;
    if (producer == NULL || strcmp(producer, "pytorch") != 0 || node->input_count != 3 ||
        node->inputs[0] == GRAPH_NONE || node->inputs[2] == GRAPH_NONE ||
        espy_import_find(importer, node->proto, "axes", NULL) != NULL ||
        espy_import_string(importer, node, "coordinate_transformation_mode", mode, sizeof(mode)) ==
            NULL ||
        strcmp(mode, "align_corners") != 0)
        return ESPY_OK;
    uint32_t shape = GRAPH_NONE, lengths = GRAPH_NONE, scaled = GRAPH_NONE, whole = GRAPH_NONE;
    uint32_t sizes = GRAPH_NONE;
    struct graph_node *made;
    TRY(espy_import_emit(importer, node, "Shape", node->inputs, 1, ESPY_INT64, &shape, NULL));
    TRY(espy_import_emit(importer, node, "Cast", &shape, 1, ESPY_FLOAT32, &lengths, &made));
    TRY(espy_graph_set_string(importer->graph, made, "to", "float32"));
    TRY(espy_import_emit(importer, node, "Mul", (uint32_t[]){lengths, node->inputs[2]}, 2,
                         ESPY_FLOAT32, &scaled, NULL));
    TRY(espy_import_emit(importer, node, "Floor", &scaled, 1, ESPY_FLOAT32, &whole, NULL));
    TRY(espy_import_emit(importer, node, "Cast", &whole, 1, ESPY_INT64, &sizes, &made));
    TRY(espy_graph_set_string(importer->graph, made, "to", "int64"));
    node->inputs[2] = GRAPH_NONE;
    espy_opset_set_input(node, 3, sizes);
    return ESPY_OK;
}

// ---- Softmax, LogSoftmax, Hardmax ---------------------------------------------------------------

// Up to opset 12 they see their input as a matrix, split at axis. Written out with Flatten and
// Reshape, which a pass takes away where the shape shows that the axis alone says the same.
static espy_status rewrite_softmax(struct importer *importer, struct import_node *node)
{
    const int64_t axis = espy_import_integer(importer, node, "axis", 1);
    espy_import_take(importer, node, "axis");
    if (axis == -1)
        return espy_import_extra_number(importer, node, "axis", -1);
    if (node->input_count != 1 || node->output_count != 1 || node->inputs[0] == GRAPH_NONE)
        return ESPY_OK; // refused when it is bound
    const uint32_t input = node->inputs[0];
    const espy_dtype dtype = espy_import_dtype(importer, input);
    uint32_t flat = GRAPH_NONE, soft = GRAPH_NONE, shape = GRAPH_NONE;
    struct graph_node *made;
    TRY(espy_import_emit(importer, node, "Flatten", &input, 1, dtype, &flat, &made));
    TRY(espy_graph_set_number(importer->graph, made, "axis", (double)axis));
    TRY(espy_import_emit(importer, node, node->op, &flat, 1, dtype, &soft, &made));
    TRY(espy_graph_set_number(importer->graph, made, "axis", 1));
    TRY(espy_import_emit(importer, node, "Shape", &input, 1, ESPY_INT64, &shape, NULL));
    const uint32_t inputs[2] = {soft, shape};
    TRY(espy_import_emit(importer, node, "Reshape", inputs, 2, dtype, &node->outputs[0], &made));
    // A dim of 0 is a dim of 0 here, not "as before".
    TRY(espy_graph_set_number(importer->graph, made, "allowzero", 1));
    node->dropped = true;
    return ESPY_OK;
}

// ---- Dropout ------------------------------------------------------------------------------------

static bool is_constant_zero(const struct importer *importer, const struct import_node *node,
                             uint32_t i)
{
    if (i >= node->input_count || node->inputs[i] == GRAPH_NONE)
        return true; // absent
    const struct graph_value *value = &importer->graph->values[node->inputs[i]];
    if (value->data == NULL)
        return false;
    const unsigned char *bytes = value->data;
    for (size_t b = 0; b < value->data_size; b++)
        if (bytes[b] != 0)
            return false;
    return true;
}

// In a trained network Dropout is Identity, and its mask is all true. Before opset 12 nobody said
// what the mask is then; zeros are what is found in practice, before opset 10 of the input's type.
static espy_status rewrite_dropout(struct importer *importer, struct import_node *node)
{
    if (!is_constant_zero(importer, node, 2)) {
        const bool known = importer->graph->values[node->inputs[2]].data != NULL;
        if (known && (node->input_count < 2 || !is_constant_zero(importer, node, 1) ||
                      node->inputs[1] == GRAPH_NONE))
            return espy_convert_problem(importer->report, node->name, node->op,
                                        "training mode is not supported");
        return ESPY_OK; // refused, unless the ratio is 0, when both are known
    }
    if (node->input_count == 0 || node->inputs[0] == GRAPH_NONE)
        return ESPY_OK;
    const uint32_t input = node->inputs[0];
    if (node->output_count > 0 && node->outputs[0] != GRAPH_NONE)
        TRY(espy_import_emit(importer, node, "Identity", &input, 1,
                             espy_import_dtype(importer, input), &node->outputs[0], NULL));
    if (node->output_count > 1) {
        uint32_t shape = GRAPH_NONE;
        struct graph_node *made;
        TRY(espy_import_emit(importer, node, "Shape", &input, 1, ESPY_INT64, &shape, NULL));
        const espy_dtype dtype = node->opset < 10 ? espy_import_dtype(importer, input) : ESPY_BOOL;
        if (dtype == ESPY_DTYPE_NONE)
            return espy_convert_problem(importer->report, node->name, node->op,
                                        "the mask's type is not known");
        TRY(espy_import_emit(importer, node, "ConstantOfShape", &shape, 1, dtype, &node->outputs[1],
                             &made));
        TRY(espy_graph_set_number(importer->graph, made, "value", node->opset < 12 ? 0 : 1));
        TRY(espy_graph_set_string(importer->graph, made, "dtype", espy_dtype_name(dtype)));
    }
    node->dropped = true;
    return ESPY_OK;
}

// ---- normalisation ------------------------------------------------------------------------------

static espy_status rewrite_batch_norm(struct importer *importer, struct import_node *node)
{
    if (espy_import_integer(importer, node, "spatial", 1) != 1)
        return espy_opset_batch_norm_each(importer, node);
    espy_import_take(importer, node, "spatial");
    node->output_count = node->output_count > 1 ? 1 : node->output_count; // the rest: training
    return ESPY_OK;
}

static espy_status rewrite_training(struct importer *importer, struct import_node *node)
{
    bool complete = node->input_count == 5;
    for (uint32_t i = 0; complete && i < 5; i++)
        complete = node->inputs[i] != GRAPH_NONE &&
                   espy_import_dtype(importer, node->inputs[i]) != ESPY_DTYPE_NONE;
    if (espy_import_integer(importer, node, "training_mode", 0) == 0) {
        espy_import_take(importer, node, "training_mode");
        node->output_count = node->output_count > 1 ? 1 : node->output_count;
        return ESPY_OK;
    }
    if (!complete)
        return espy_convert_problem(importer->report, node->name, node->op,
                                    "training mode needs five inputs of known type");
    return espy_opset_batch_norm_training(importer, node);
}

// Before ONNX had it, it was onnxruntime's, and computed in the type of its scale.
static espy_status rewrite_layer_norm(struct importer *importer, struct import_node *node)
{
    if (node->input_count < 2 || node->inputs[0] == GRAPH_NONE || node->inputs[1] == GRAPH_NONE)
        return ESPY_OK; // refused when it is bound
    const espy_dtype from = espy_import_dtype(importer, node->inputs[0]);
    const espy_dtype to = espy_import_dtype(importer, node->inputs[1]);
    struct graph_node *made;
    uint32_t wide = GRAPH_NONE;
    if (from == to || from == ESPY_DTYPE_NONE || to == ESPY_DTYPE_NONE)
        return ESPY_OK;
    TRY(espy_import_emit(importer, node, "Cast", node->inputs, 1, to, &wide, &made));
    TRY(espy_graph_set_string(importer->graph, made, "to", espy_dtype_name(to)));
    node->inputs[0] = wide;
    return node->output_count == 0 || node->outputs[0] == GRAPH_NONE
               ? ESPY_OK
               : espy_import_note(importer, node->outputs[0], to, true);
}

// Opset 18 had scale and bias per group, opset 21 has them per channel.
static espy_status rewrite_group_norm(struct importer *importer, struct import_node *node)
{
    const int64_t groups = espy_import_integer(importer, node, "num_groups", 0);
    if (groups <= 0 || node->input_count != 3)
        return ESPY_OK; // refused when it is bound
    const espy_dtype dtype = espy_import_dtype(importer, node->inputs[0]);
    uint32_t channels = GRAPH_NONE, each = GRAPH_NONE, count, one, minus, dims = GRAPH_NONE;
    struct graph_node *made;
    TRY(espy_import_integers(importer, node->name, &groups, 1, &count));
    TRY(espy_import_integers(importer, node->name, &(int64_t){1}, 1, &one));
    TRY(espy_import_integers(importer, node->name, &(int64_t){-1}, 1, &minus));
    TRY(espy_import_emit(importer, node, "Shape", node->inputs, 1, ESPY_INT64, &channels, &made));
    TRY(espy_graph_set_number(importer->graph, made, "start", 1));
    TRY(espy_graph_set_number(importer->graph, made, "end", 2));
    TRY(espy_import_emit(importer, node, "Div", (uint32_t[]){channels, count}, 2, ESPY_INT64, &each,
                         NULL));
    TRY(espy_import_emit(importer, node, "Concat", (uint32_t[]){count, each}, 2, ESPY_INT64, &dims,
                         &made));
    TRY(espy_graph_set_number(importer->graph, made, "axis", 0));
    for (uint32_t i = 1; i < 3; i++) {
        uint32_t column = GRAPH_NONE, wide = GRAPH_NONE, flat = GRAPH_NONE;
        TRY(espy_import_emit(importer, node, "Unsqueeze", (uint32_t[]){node->inputs[i], one}, 2,
                             dtype, &column, NULL));
        TRY(espy_import_emit(importer, node, "Expand", (uint32_t[]){column, dims}, 2, dtype, &wide,
                             NULL));
        TRY(espy_import_emit(importer, node, "Reshape", (uint32_t[]){wide, minus}, 2, dtype, &flat,
                             NULL));
        node->inputs[i] = flat;
    }
    return ESPY_OK;
}

// ---- small ones ---------------------------------------------------------------------------------

static espy_status rewrite_scatter(struct importer *importer, struct import_node *node)
{
    (void)importer;
    node->op = "ScatterElements";
    return ESPY_OK;
}

static espy_status rewrite_grid_sample(struct importer *importer, struct import_node *node)
{
    char mode[32];
    if (espy_import_string(importer, node, "mode", mode, sizeof(mode)) == NULL)
        return ESPY_OK; // bilinear, now called linear, is the default of both
    espy_import_take(importer, node, "mode");
    return espy_import_extra_string(importer, node, "mode",
                                    strcmp(mode, "bilinear") == 0  ? "linear"
                                    : strcmp(mode, "bicubic") == 0 ? "cubic"
                                                                   : "nearest");
}

static espy_status rewrite_roi_align(struct importer *importer, struct import_node *node)
{
    return espy_import_extra_string(importer, node, "coordinate_transformation_mode",
                                    "output_half_pixel");
}

// The value is a tensor of one element in ONNX, a number and a type here.
static espy_status rewrite_constant_of_shape(struct importer *importer, struct import_node *node)
{
    const onnx_attribute *attribute = espy_import_take(importer, node, "value");
    if (attribute == NULL || attribute->t == NULL)
        return ESPY_OK;
    const char *name = hint_for(importer, node, "value");
    if (name == NULL)
        return ESPY_OUT_OF_MEMORY;
    struct graph_value value = {.name = espy_import_unique(importer, &importer->value_names, name)};
    if (value.name == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(espy_onnx_constant(importer, attribute->t, value.name, node->name, &value));
    if (value.data == NULL)
        return ESPY_OK;
    double number;
    size_t count;
    if (!espy_shape_count(&value.shape, &count) || count != 1)
        return espy_convert_problem(importer->report, node->name, node->op,
                                    "attribute 'value' must have one element");
    if (espy_import_constant_number(&value, &number)) {
        TRY(espy_import_extra_number(importer, node, "value", number));
        return espy_import_extra_string(importer, node, "dtype", espy_dtype_name(value.dtype));
    }
    // Masks are filled with minus infinity, which JSON cannot write: the same by another operator.
    if (node->input_count != 1)
        return ESPY_OK; // refused when it is bound
    uint32_t index;
    value.shape = (struct shape){.rank = 0};
    TRY(espy_graph_append_value(importer->graph, &value, &index));
    TRY(espy_import_note(importer, index, value.dtype, true));
    node->op = "Expand";
    espy_opset_set_input(node, 1, node->inputs[0]);
    node->inputs[0] = index;
    return ESPY_OK;
}

static const struct rewrite rewrites[] = {
    {"BatchNormalization", 14, rewrite_batch_norm},
    {"BatchNormalization", INT64_MAX, rewrite_training},
    {"Clip", 11, rewrite_clip},
    {"ConstantOfShape", INT64_MAX, rewrite_constant_of_shape},
    {"DFT", 20, rewrite_dft},
    {"Dropout", INT64_MAX, rewrite_dropout},
    {"GridSample", 20, rewrite_grid_sample},
    {"GroupNormalization", 21, rewrite_group_norm},
    {"Hardmax", 13, rewrite_softmax},
    {"LayerNormalization", 17, rewrite_layer_norm},
    {"LogSoftmax", 13, rewrite_softmax},
    {"Pad", 11, rewrite_pad},
    {"ReduceL1", 18, axes_to_input},
    {"ReduceL2", 18, axes_to_input},
    {"ReduceLogSum", 18, axes_to_input},
    {"ReduceLogSumExp", 18, axes_to_input},
    {"ReduceMax", 18, axes_to_input},
    {"ReduceMean", 18, axes_to_input},
    {"ReduceMin", 18, axes_to_input},
    {"ReduceProd", 18, axes_to_input},
    {"ReduceSum", 13, axes_to_input},
    {"ReduceSumSquare", 18, axes_to_input},
    {"Resize", 11, rewrite_resize_10},
    {"Resize", INT64_MAX, rewrite_resize_empty},
    {"Resize", INT64_MAX, rewrite_resize_pytorch},
    {"RoiAlign", 16, rewrite_roi_align},
    {"Scan", 9, espy_opset_scan},
    {"Scatter", INT64_MAX, rewrite_scatter},
    {"Slice", 10, rewrite_slice},
    {"Softmax", 13, rewrite_softmax},
    {"Split", 13, rewrite_split_attribute},
    {"Split", 18, rewrite_split_count},
    {"Squeeze", 13, axes_to_input},
    {"TopK", 10, rewrite_topk},
    {"Unsqueeze", 13, axes_to_input},
    {"Upsample", INT64_MAX, rewrite_upsample},
};

espy_status espy_opset_rewrite(struct importer *importer, struct import_node *node)
{
    if (node->opset < 7)
        TRY(espy_opset_early(importer, node));
    const char *op = node->op; // rows are for the name in the file
    for (size_t i = 0; i < sizeof(rewrites) / sizeof(rewrites[0]); i++)
        if (node->opset < rewrites[i].before && strcmp(rewrites[i].op, op) == 0 && !node->dropped)
            TRY(rewrites[i].apply(importer, node));
    return ESPY_OK;
}
