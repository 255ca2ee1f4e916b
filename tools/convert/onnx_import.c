#include "convert/convert_internal.h"

#include <string.h>

#include "op/op.h"

static bool is_onnx_domain(const char *domain)
{
    return domain == NULL || domain[0] == '\0' || strcmp(domain, "ai.onnx") == 0;
}

// ---- functions
// ---------------------------------------------------------------------------------------

static const char *function_key(struct importer *importer, const char *domain, const char *name,
                                const char *overload)
{
    return espy_arena_format(&importer->graph->arena, "%s\n%s\n%s",
                             is_onnx_domain(domain) ? "" : domain, espy_import_text(name),
                             espy_import_text(overload));
}

static const onnx_function *find_function(struct importer *importer, const onnx_node *node)
{
    if (importer->shared->functions.count == 0)
        return NULL;
    const char *key = function_key(importer, node->domain, node->op_type, node->overload);
    const uint32_t index = key == NULL ? MAP_NONE : espy_map_get(&importer->shared->functions, key);
    return index == MAP_NONE ? NULL : importer->shared->proto->functions[index];
}

static int64_t find_opset(EspyOnnx__OperatorSetIdProto *const *imports, size_t count,
                          int64_t fallback)
{
    for (size_t i = 0; i < count; i++)
        if (is_onnx_domain(imports[i]->domain))
            return imports[i]->version;
    return fallback;
}

static espy_status emit_identity(struct importer *importer, const char *hint, uint32_t from,
                                 uint32_t to)
{
    const char *name = espy_import_unique(importer, &importer->node_names, hint);
    struct graph_node *node;
    if (name == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(espy_import_note(importer, to, espy_import_dtype(importer, from), true));
    return espy_graph_add_node(importer->graph, "Identity", name, &from, 1, &to, 1, &node);
}

// Ties the names of results inside the new frame to values outside. A result that nothing inside
// makes (it is an input, or an initializer) is copied.
static espy_status bind_results(struct importer *importer, const char *node_name,
                                char *const *names, size_t name_count, const uint32_t *outputs,
                                uint32_t output_count)
{
    for (uint32_t i = 0; i < output_count; i++) {
        if (outputs[i] == GRAPH_NONE)
            continue;
        const char *inner = i < name_count ? espy_import_text(names[i]) : "";
        if (inner[0] == '\0')
            return espy_import_bad(importer, "not enough results in the function or branch of",
                                   node_name);
        const uint32_t known = espy_map_get(&importer->frame->names, inner);
        if (known != MAP_NONE)
            TRY(emit_identity(importer, node_name, known, outputs[i]));
        else
            TRY(espy_map_put(&importer->frame->names, inner, outputs[i]));
    }
    return ESPY_OK;
}

static espy_status call_function(struct importer *importer, const struct import_node *node,
                                 const onnx_function *function)
{
    const char *prefix = espy_arena_format(&importer->graph->arena, "%s/", node->name);
    if (prefix == NULL)
        return ESPY_OUT_OF_MEMORY;
    const struct import_frame frame = {
        .nodes = function->node,
        .node_count = function->n_node,
        .prefix = prefix,
        .function = function,
        .call = node->proto,
        .opset =
            find_opset(function->opset_import, function->n_opset_import, importer->frame->opset),
    };
    // The body's nodes will say that they make the outputs.
    for (uint32_t i = 0; i < node->output_count; i++)
        if (node->outputs[i] != GRAPH_NONE)
            importer->notes[node->outputs[i]].produced = false;
    TRY(espy_import_push_frame(importer, &frame));
    for (size_t i = 0; i < function->n_input && i < node->input_count; i++)
        if (node->inputs[i] != GRAPH_NONE)
            TRY(espy_map_put(&importer->frame->names, function->input[i], node->inputs[i]));
    return bind_results(importer, node->name, function->output, function->n_output, node->outputs,
                        node->output_count);
}

// ---- constants
// -----------------------------------------------------------------------------------------

static espy_status constant_numbers(struct importer *importer, const struct import_node *node,
                                    const onnx_attribute *attribute, uint32_t *index)
{
    const char *hint = node->name;
    const struct shape scalar = {.rank = 0};
    if (attribute->type == ONNX_ATTR_FLOAT)
        return espy_import_numbers(importer, hint, ESPY_FLOAT32, &scalar, &(double){attribute->f},
                                   1, index);
    if (attribute->type == ONNX_ATTR_INT) {
        TRY(espy_import_integers(importer, hint, &attribute->i, 1, index));
        importer->graph->values[*index].shape = scalar;
        return ESPY_OK;
    }
    if (attribute->type == ONNX_ATTR_INTS)
        return espy_import_integers(importer, hint, attribute->ints, (uint32_t)attribute->n_ints,
                                    index);
    const uint32_t count = (uint32_t)attribute->n_floats;
    double *numbers = espy_arena_array(&importer->graph->arena, count, sizeof(*numbers));
    if (numbers == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < count; i++)
        numbers[i] = (double)attribute->floats[i];
    const struct shape list = {.rank = 1, .dims = {count}};
    return espy_import_numbers(importer, hint, ESPY_FLOAT32, &list, numbers, count, index);
}

// A Constant node becomes a constant; its value keeps the name of the node's output.
static espy_status import_constant(struct importer *importer, struct import_node *node)
{
    static const char *const forms[] = {"value", "value_float", "value_floats", "value_int",
                                        "value_ints"};
    const onnx_attribute *attribute = NULL;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]) && attribute == NULL; i++)
        attribute = espy_import_take(importer, node, forms[i]);
    if (attribute == NULL || (attribute->type == ONNX_ATTR_TENSOR && attribute->t == NULL))
        return espy_convert_problem(importer->report, node->name, "Constant",
                                    "strings and sparse tensors are not supported");
    if (node->output_count != 1 || node->outputs[0] == GRAPH_NONE)
        return espy_import_bad(importer, "a Constant needs one output:", node->name);
    uint32_t index;
    if (attribute->type == ONNX_ATTR_TENSOR)
        TRY(espy_onnx_constant(importer, attribute->t, "constant", node->name, &index));
    else
        TRY(constant_numbers(importer, node, attribute, &index));
    if (index == GRAPH_NONE)
        return ESPY_OK;
    // The output's value takes the data over; the one made for it is left for prune.
    struct graph_value *made = &importer->graph->values[index];
    struct graph_value *value = &importer->graph->values[node->outputs[0]];
    const char *name = value->name;
    *value = *made;
    value->name = name;
    made->name = espy_import_unique(importer, &importer->value_names, "unused");
    made->data = NULL;
    return made->name == NULL ? ESPY_OUT_OF_MEMORY
                              : espy_import_note(importer, node->outputs[0], value->dtype, true);
}

// ---- types of what nodes make
// ----------------------------------------------------------------------------

static bool is_one_of(const char *op, const char *const *list)
{
    for (; *list != NULL; list++)
        if (strcmp(op, *list) == 0)
            return true;
    return false;
}

// Rewrites need types before anything is inferred (a number in an attribute becomes an input of the
// data's type), so types are followed here as far as ONNX's rules are simple.
static espy_dtype output_dtype(const struct importer *importer, const struct import_node *node,
                               uint32_t output)
{
    static const char *const integers[] = {
        "Shape", "Size", "NonZero", "ArgMax", "ArgMin", "NonMaxSuppression", NULL};
    static const char *const tests[] = {"Equal",       "Greater", "Less",  "GreaterOrEqual",
                                        "LessOrEqual", "And",     "Or",    "Xor",
                                        "Not",         "IsNaN",   "IsInf", NULL};
    static const char *const indexed[] = {"TopK", "MaxPool", "Unique", NULL};
    static const char *const sums[] = {"ConvInteger", "MatMulInteger", NULL};
    // The input whose type the output has, where that is not the first.
    static const char *const seconds[] = {"Where", "CastLike", "DequantizeLinear", NULL};
    static const char *const thirds[] = {"OneHot", "QuantizeLinear", NULL};
    static const char *const quantized[] = {"QLinearConv", "QLinearMatMul", NULL};
    uint32_t from = 0;
    if (is_one_of(node->op, sums))
        return ESPY_INT32;
    if (strcmp(node->op, "DynamicQuantizeLinear") == 0)
        return output == 1 ? ESPY_FLOAT32 : ESPY_UINT8;
    if (is_one_of(node->op, integers) || (output > 0 && is_one_of(node->op, indexed)))
        return ESPY_INT64;
    if (is_one_of(node->op, tests) || (output > 0 && strcmp(node->op, "Dropout") == 0))
        return ESPY_BOOL;
    const char *name = strcmp(node->op, "Cast") == 0        ? "to"
                       : strstr(node->op, "Linear") == NULL ? "dtype"
                                                            : "output_dtype";
    const onnx_attribute *to = espy_import_find(importer, node->proto, name, NULL);
    if (to != NULL)
        return espy_onnx_dtype((int32_t)to->i);
    if (strcmp(node->op, "ConstantOfShape") == 0) {
        const onnx_attribute *value = espy_import_find(importer, node->proto, "value", NULL);
        return value == NULL || value->t == NULL ? ESPY_FLOAT32
                                                 : espy_onnx_dtype(value->t->data_type);
    }
    if (strcmp(node->op, "QuantizeLinear") == 0 && node->input_count < 3)
        return ESPY_UINT8;
    if (is_one_of(node->op, seconds))
        from = 1;
    else if (is_one_of(node->op, thirds))
        from = 2;
    else if (is_one_of(node->op, quantized))
        from = 7;
    if (from >= node->input_count || node->inputs[from] == GRAPH_NONE)
        return ESPY_DTYPE_NONE;
    return espy_import_dtype(importer, node->inputs[from]);
}

// ---- nodes
// -----------------------------------------------------------------------------------------------

static espy_status resolve_values(struct importer *importer, const onnx_node *proto,
                                  struct import_node *node)
{
    struct arena *arena = &importer->graph->arena;
    if (proto->n_input > GRAPH_NODE_VALUES_MAX || proto->n_output > GRAPH_NODE_VALUES_MAX ||
        proto->n_attribute > IMPORT_ATTRIBUTES_MAX)
        return espy_import_bad(importer, "too many inputs, outputs or attributes of node",
                               node->name);
    node->inputs =
        espy_arena_array(arena, proto->n_input + IMPORT_INPUTS_EXTRA, sizeof(*node->inputs));
    node->outputs = espy_arena_array(arena, proto->n_output, sizeof(*node->outputs));
    if (node->inputs == NULL || node->outputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (size_t i = 0; i < proto->n_input; i++) {
        TRY(espy_import_use_name(importer, proto->input[i], &node->inputs[i]));
        if (node->inputs[i] != GRAPH_NONE)
            node->input_count = (uint32_t)i + 1; // absent inputs at the end are not written
    }
    for (size_t i = 0; i < proto->n_output; i++) {
        TRY(espy_import_define_name(importer, proto->output[i], &node->outputs[i]));
        if (node->outputs[i] != GRAPH_NONE)
            node->output_count = (uint32_t)i + 1;
    }
    return ESPY_OK;
}

static espy_status add_node(struct importer *importer, const struct import_node *node)
{
    struct graph_node *made;
    TRY(espy_graph_add_node(importer->graph, node->op, node->name, node->inputs, node->input_count,
                            node->outputs, node->output_count, &made));
    TRY(espy_import_copy_attributes(importer, node, made));
    for (uint32_t i = 0; i < node->extra_count; i++) {
        const struct graph_attr *extra = &node->extra[i];
        if (extra->type == GRAPH_ATTR_STRING)
            TRY(espy_graph_set_string(importer->graph, made, extra->name, extra->strings[0]));
        else
            TRY(espy_graph_set_number(importer->graph, made, extra->name, extra->numbers[0]));
    }
    return ESPY_OK;
}

// Attributes that are graphs become bodies.
static espy_status import_bodies(struct importer *importer, struct import_node *node)
{
    const struct op *op = espy_op_find(node->op);
    for (uint32_t i = 0; op != NULL && i < op->attr_count; i++) {
        if (op->attrs[i].type != OP_BODY)
            continue;
        const onnx_attribute *attribute =
            espy_import_find(importer, node->proto, op->attrs[i].name, NULL);
        if (attribute != NULL && attribute->g != NULL)
            TRY(espy_import_body(importer, node, op->attrs[i].name));
    }
    if (node->capture_count == 0 || strcmp(node->op, "If") == 0)
        return ESPY_OK; // the branches say themselves how many inputs they take
    return espy_import_extra_number(importer, node, "captures", node->capture_count);
}

static void follow_ranks(struct importer *importer, const struct import_node *node)
{
    const struct graph_node as_made = {.op = node->op,
                                       .input_count = node->input_count,
                                       .output_count = node->output_count,
                                       .inputs = node->inputs,
                                       .outputs = node->outputs};
    espy_import_follow_ranks(importer, node->proto, &as_made);
}

static espy_status import_node(struct importer *importer, const onnx_node *proto)
{
    if (++importer->shared->steps > IMPORT_STEPS_MAX)
        return espy_fail(importer->host, ESPY_BAD_FORMAT,
                         "%s: more than %d nodes once functions are written out",
                         importer->model_path, (int)IMPORT_STEPS_MAX);
    struct import_frame *frame = importer->frame;
    struct import_node node = {
        .proto = proto, .op = espy_import_text(proto->op_type), .opset = frame->opset};
    const char *own = espy_import_text(proto->name);
    const char *hint = own[0] != '\0'
                           ? espy_arena_format(&importer->graph->arena, "%s%s", frame->prefix, own)
                           : espy_arena_format(&importer->graph->arena, "%s%s_%zu", frame->prefix,
                                               node.op, frame->next);
    node.name = hint == NULL ? NULL : espy_import_unique(importer, &importer->node_names, hint);
    if (node.name == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(resolve_values(importer, proto, &node));
    const onnx_function *function = find_function(importer, proto);
    if (function != NULL)
        return call_function(importer, &node, function);
    const bool foreign = !is_onnx_domain(proto->domain);
    for (uint32_t i = 0; i < node.output_count; i++)
        if (node.outputs[i] != GRAPH_NONE)
            TRY(espy_import_note(importer, node.outputs[i],
                                 foreign ? ESPY_DTYPE_NONE : output_dtype(importer, &node, i),
                                 true));
    TRY(espy_foreign_rewrite(importer, &node, foreign ? proto->domain : ""));
    if (node.dropped)
        return ESPY_OK;
    if (foreign) { // renamed: its form is the newest whatever the model's opset is
        for (uint32_t i = 0; i < node.output_count; i++)
            if (node.outputs[i] != GRAPH_NONE)
                TRY(espy_import_note(importer, node.outputs[i], output_dtype(importer, &node, i),
                                     true));
        node.opset = CONVERT_OPSET_MAX;
    }
    follow_ranks(importer, &node);
    if (strcmp(node.op, "Constant") == 0)
        return import_constant(importer, &node);
    TRY(import_bodies(importer, &node));
    TRY(espy_opset_rewrite(importer, &node));
    return node.dropped ? ESPY_OK : add_node(importer, &node);
}

static espy_status run_frames(struct importer *importer)
{
    while (importer->frame != NULL) {
        struct import_frame *frame = importer->frame;
        if (frame->next == frame->node_count)
            espy_import_pop_frame(importer);
        else
            TRY(import_node(importer, frame->nodes[frame->next++]));
    }
    return ESPY_OK;
}

// ---- inputs and outputs
// ------------------------------------------------------------------------------------

static const struct convert_shape *find_shape(const struct convert_params *params, const char *name)
{
    for (uint32_t i = 0; i < params->shape_count; i++)
        if (strcmp(params->shapes[i].name, name) == 0)
            return &params->shapes[i];
    return NULL;
}

// Dims without size or name get one for inputs, so that every unknown can be told from the others.
static espy_status set_dims(struct importer *importer, struct graph_value *value,
                            const EspyOnnx__TensorShapeProto *proto, bool invent)
{
    value->has_shape = true;
    value->shape.rank = (uint32_t)proto->n_dim;
    for (uint32_t i = 0; i < value->shape.rank; i++) {
        const EspyOnnx__TensorShapeProto__Dimension *dim = proto->dim[i];
        const char *param = espy_import_text(dim->dim_param);
        value->shape.dims[i] = dim->has_dim_value && dim->dim_value >= 0 ? dim->dim_value : -1;
        if (value->shape.dims[i] >= 0 || (param[0] == '\0' && !invent))
            continue;
        value->symbols[i] =
            param[0] != '\0'
                ? espy_arena_string(&importer->graph->arena, param)
                : espy_arena_format(&importer->graph->arena, "%s_dim%u", value->name, (unsigned)i);
        if (value->symbols[i] == NULL)
            return ESPY_OUT_OF_MEMORY;
    }
    return ESPY_OK;
}

static espy_status import_input(struct importer *importer, const struct convert_params *params,
                                const EspyOnnx__ValueInfoProto *info)
{
    const char *name = espy_import_text(info->name);
    const EspyOnnx__TypeProto__Tensor *type = info->type == NULL ? NULL : info->type->tensor_type;
    uint32_t index;
    if (name[0] == '\0')
        return espy_import_bad(importer, "an input has no name", "");
    TRY(espy_import_define_name(importer, name, &index));
    struct graph *graph = importer->graph;
    graph->inputs[graph->input_count++] = (struct graph_io){.value = index};
    const espy_dtype dtype = type == NULL ? ESPY_DTYPE_NONE : espy_onnx_dtype(type->elem_type);
    TRY(espy_import_note(importer, index, dtype, true));
    struct graph_value *value = &graph->values[index];
    value->dtype = dtype;
    if (dtype == ESPY_DTYPE_NONE)
        return espy_convert_problem(importer->report, name, "input", "%s inputs are not supported",
                                    type == NULL ? "sequence, map or optional"
                                                 : espy_onnx_dtype_name(type->elem_type));
    if (type->shape != NULL && type->shape->n_dim > ESPY_RANK_MAX)
        return espy_convert_problem(importer->report, name, "input", "rank %zu is not supported",
                                    type->shape->n_dim);
    if (type->shape != NULL)
        return set_dims(importer, value, type->shape, true);
    if (find_shape(params, name) == NULL)
        return espy_convert_problem(importer->report, name, "input",
                                    "it has no shape; give one with --shape %s=1x3x224x224", name);
    return ESPY_OK;
}

static espy_status import_inputs(struct importer *importer, const struct convert_params *params,
                                 const onnx_graph *proto)
{
    struct graph *graph = importer->graph;
    if (proto->n_input > GRAPH_IO_MAX + proto->n_initializer || proto->n_output > GRAPH_IO_MAX)
        return espy_import_bad(importer, "too many inputs or outputs in",
                               espy_import_text(proto->name));
    graph->inputs = espy_arena_array(&graph->arena, proto->n_input, sizeof(*graph->inputs));
    if (graph->inputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (size_t i = 0; i < proto->n_input; i++) {
        // Up to IR version 3 every initializer is listed as an input as well.
        const char *name = espy_import_text(proto->input[i]->name);
        const uint32_t known = espy_map_get(&importer->frame->names, name);
        if (known == MAP_NONE)
            TRY(import_input(importer, params, proto->input[i]));
    }
    return ESPY_OK;
}

// What the file says of an output, for people; inference says better where it can.
static espy_status note_output_type(struct importer *importer, const EspyOnnx__ValueInfoProto *info,
                                    uint32_t index)
{
    const EspyOnnx__TypeProto__Tensor *type = info->type == NULL ? NULL : info->type->tensor_type;
    struct graph_value *value = &importer->graph->values[index];
    if (importer->notes[index].produced || type == NULL) // an input or a tensor has said it
        return ESPY_OK;
    value->dtype = espy_onnx_dtype(type->elem_type);
    if (value->dtype == ESPY_DTYPE_NONE || type->shape == NULL || type->shape->n_dim == 0 ||
        type->shape->n_dim > ESPY_RANK_MAX)
        return ESPY_OK;
    return set_dims(importer, value, type->shape, false);
}

static espy_status import_outputs(struct importer *importer, const onnx_graph *proto)
{
    struct graph *graph = importer->graph;
    graph->outputs = espy_arena_array(&graph->arena, proto->n_output, sizeof(*graph->outputs));
    if (graph->outputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (size_t i = 0; i < proto->n_output; i++) {
        const char *name = espy_import_text(proto->output[i]->name);
        uint32_t index;
        TRY(espy_import_use_name(importer, name, &index));
        if (index == GRAPH_NONE)
            return espy_import_bad(importer, "an output has no name", "");
        graph->outputs[graph->output_count++] = (struct graph_io){.value = index};
        TRY(note_output_type(importer, proto->output[i], index));
    }
    return ESPY_OK;
}

static espy_status check_produced(const struct importer *importer)
{
    const struct graph *graph = importer->graph;
    for (uint32_t n = 0; n < graph->node_count; n++)
        for (uint32_t i = 0; i < graph->nodes[n].input_count; i++) {
            const uint32_t value = graph->nodes[n].inputs[i];
            if (value != GRAPH_NONE && !importer->notes[value].produced)
                return espy_import_bad(importer, "nothing makes the value",
                                       graph->values[value].name);
        }
    for (uint32_t i = 0; i < graph->output_count; i++)
        if (!importer->notes[graph->outputs[i].value].produced)
            return espy_import_bad(importer, "nothing makes the output",
                                   graph->values[graph->outputs[i].value].name);
    return ESPY_OK;
}

// ---- bodies
// ------------------------------------------------------------------------------------------

static espy_status index_infos(struct importer *importer, const onnx_graph *graph)
{
    importer->proto = graph;
    for (uint32_t i = 0; i < graph->n_value_info; i++)
        TRY(espy_map_put(&importer->infos, espy_import_text(graph->value_info[i]->name), i));
    return ESPY_OK;
}

static void init_importer(struct importer *importer, struct convert_model *model,
                          struct graph *graph, const char *path)
{
    *importer =
        (struct importer){.host = model->host, .model = model, .graph = graph, .model_path = path};
    espy_map_init(&importer->node_names, model->host);
    espy_map_init(&importer->value_names, model->host);
    espy_map_init(&importer->own_names, model->host);
    espy_map_init(&importer->infos, model->host);
}

static void finish_importer(struct importer *importer)
{
    while (importer->frame != NULL)
        espy_import_pop_frame(importer);
    espy_free(importer->host, importer->captures);
    espy_free(importer->host, importer->notes);
    espy_map_finish(&importer->own_names);
    espy_map_finish(&importer->infos);
    espy_map_finish(&importer->value_names);
    espy_map_finish(&importer->node_names);
}

static espy_status note_own_names(struct importer *importer, const onnx_graph *proto)
{
    for (size_t n = 0; n < proto->n_node; n++)
        for (size_t o = 0; o < proto->node[n]->n_output; o++)
            TRY(espy_map_put(&importer->own_names, proto->node[n]->output[o], 0));
    return ESPY_OK;
}

// Inputs of a body have whatever shape they are given.
static espy_status import_body_input(struct importer *importer,
                                     const EspyOnnx__ValueInfoProto *info)
{
    const EspyOnnx__TypeProto__Tensor *type = info->type == NULL ? NULL : info->type->tensor_type;
    struct graph *graph = importer->graph;
    uint32_t index;
    if (espy_import_text(info->name)[0] == '\0')
        return espy_import_bad(importer, "an input has no name in the body",
                               espy_import_text(graph->name));
    TRY(espy_map_put(&importer->own_names, info->name, 0));
    TRY(espy_import_define_name(importer, info->name, &index));
    graph->inputs[graph->input_count++] = (struct graph_io){.value = index};
    if (info->type != NULL && type == NULL)
        return espy_convert_problem(importer->report, info->name, "input",
                                    "sequence, map or optional inputs are not supported");
    graph->values[index].dtype = type == NULL ? ESPY_DTYPE_NONE : espy_onnx_dtype(type->elem_type);
    return espy_import_note(importer, index, graph->values[index].dtype, true);
}

// A value is an output once: the second time it is a copy.
static espy_status import_body_outputs(struct importer *importer, const onnx_graph *proto)
{
    TRY(import_outputs(importer, proto));
    struct graph *graph = importer->graph;
    for (uint32_t i = 0; i < graph->output_count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            const uint32_t value = graph->outputs[i].value;
            uint32_t copy = GRAPH_NONE;
            if (graph->outputs[k].value != value)
                continue;
            TRY(espy_import_value(importer, graph->values[value].name,
                                  espy_import_dtype(importer, value), &copy));
            TRY(emit_identity(importer, graph->values[value].name, value, copy));
            graph->values[copy].dtype = graph->values[value].dtype;
            graph->values[copy].has_shape = graph->values[value].has_shape;
            graph->values[copy].shape = graph->values[value].shape;
            graph->outputs[i].value = copy;
            break;
        }
    }
    return ESPY_OK;
}

// Formal inputs, then what the body takes from around.
static espy_status finish_inputs(struct importer *importer)
{
    struct graph *graph = importer->graph;
    struct graph_io *inputs = espy_arena_array(
        &graph->arena, (size_t)graph->input_count + importer->capture_count, sizeof(*inputs));
    if (inputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < graph->input_count; i++)
        inputs[i] = graph->inputs[i];
    for (uint32_t i = 0; i < importer->capture_count; i++)
        inputs[graph->input_count++] = (struct graph_io){.value = importer->captures[i].inside};
    graph->inputs = inputs;
    return ESPY_OK;
}

static espy_status import_body_graph(struct importer *importer, const onnx_graph *proto)
{
    struct graph *graph = importer->graph;
    const struct import_frame *around = importer->around->frame;
    const struct import_frame frame = {.nodes = proto->node,
                                       .node_count = proto->n_node,
                                       .prefix = "",
                                       .function = around->function,
                                       .call = around->call,
                                       .opset = around->opset};
    if (proto->n_input > GRAPH_IO_MAX || proto->n_output > GRAPH_IO_MAX)
        return espy_import_bad(importer, "too many inputs or outputs in the body", graph->name);
    TRY(index_infos(importer, proto));
    TRY(note_own_names(importer, proto));
    TRY(espy_import_push_frame(importer, &frame));
    graph->inputs = espy_arena_array(&graph->arena, proto->n_input, sizeof(*graph->inputs));
    if (graph->inputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (size_t i = 0; i < proto->n_input; i++)
        TRY(import_body_input(importer, proto->input[i]));
    TRY(espy_import_initializers(importer, proto));
    TRY(import_body_outputs(importer, proto));
    TRY(run_frames(importer));
    TRY(finish_inputs(importer));
    if (importer->report->problem_count > 0)
        return ESPY_OK; // values of nodes that were left out are missing
    TRY(check_produced(importer));
    return espy_graph_sort(graph);
}

static espy_status append_captures(struct importer *importer, struct import_node *node,
                                   const struct importer *body)
{
    const size_t room = (size_t)node->input_count + body->capture_count + IMPORT_INPUTS_EXTRA;
    uint32_t *inputs = espy_arena_array(&importer->graph->arena, room, sizeof(*inputs));
    if (inputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    // Inputs that are absent at the end of the list count once others come after them.
    uint32_t count = node->capture_count > 0 ? node->input_count : (uint32_t)node->proto->n_input;
    for (uint32_t i = 0; i < count; i++)
        inputs[i] = i < node->input_count ? node->inputs[i] : GRAPH_NONE;
    for (uint32_t i = 0; i < body->capture_count; i++)
        inputs[count++] = body->captures[i].around;
    if (count > GRAPH_NODE_VALUES_MAX)
        return espy_import_bad(importer, "the body takes too much from around it:", node->name);
    node->inputs = inputs;
    node->input_count = body->capture_count > 0 ? count : node->input_count;
    node->capture_count += body->capture_count;
    return ESPY_OK;
}

espy_status espy_import_body(struct importer *importer, struct import_node *node, const char *name)
{
    struct graph *network = &importer->model->graph;
    const onnx_attribute *attribute = espy_import_take(importer, node, name);
    if (importer->depth == IMPORT_DEPTH_MAX)
        return espy_fail(importer->host, ESPY_BAD_FORMAT,
                         "%s: functions or bodies are nested deeper than %d", importer->model_path,
                         (int)IMPORT_DEPTH_MAX);
    const char *hint = espy_arena_format(&network->arena, "%s/%s", node->name, name);
    const char *unique =
        hint == NULL ? NULL : espy_import_unique(importer, &importer->shared->body_names, hint);
    if (unique == NULL)
        return ESPY_OUT_OF_MEMORY;
    struct graph graph;
    struct importer body;
    espy_graph_init(&graph, importer->host);
    graph.name = unique;
    init_importer(&body, importer->model, &graph, importer->model_path);
    body.report = importer->report;
    body.shared = importer->shared;
    body.around = importer;
    body.depth = importer->depth + 1;
    espy_status status = import_body_graph(&body, attribute->g);
    if (status == ESPY_OK)
        status = append_captures(importer, node, &body);
    // Only now: the bodies inside of it stand before it.
    if (status == ESPY_OK)
        status = espy_graph_add_body(network, &graph);
    finish_importer(&body); // its frames lie in the graph's arena
    if (status != ESPY_OK)
        espy_graph_finish(&graph);
    TRY(status);
    return espy_import_extra_string(importer, node, name, unique);
}

// ---- the whole
// ------------------------------------------------------------------------------------------------

static espy_status index_functions(struct importer *importer)
{
    const onnx_model *proto = importer->shared->proto;
    for (uint32_t i = 0; i < proto->n_functions; i++) {
        const onnx_function *function = proto->functions[i];
        const char *key =
            function_key(importer, function->domain, function->name, function->overload);
        if (key == NULL)
            return ESPY_OUT_OF_MEMORY;
        TRY(espy_map_put(&importer->shared->functions, key, i));
    }
    return ESPY_OK;
}

static espy_status check_opset(struct importer *importer, int64_t opset)
{
    importer->report->opset = opset;
    if (opset >= CONVERT_OPSET_MIN && opset <= CONVERT_OPSET_MAX)
        return ESPY_OK;
    return espy_convert_problem(importer->report, "model", "opset",
                                "opset %lld is not supported, only %d to %d", (long long)opset,
                                (int)CONVERT_OPSET_MIN, (int)CONVERT_OPSET_MAX);
}

static espy_status import_all(struct importer *importer, const struct convert_params *params)
{
    const onnx_model *proto = importer->model->proto;
    const onnx_graph *graph = proto->graph;
    const int64_t opset = find_opset(proto->opset_import, proto->n_opset_import, 0);
    TRY(check_opset(importer, opset));
    TRY(index_functions(importer));
    TRY(index_infos(importer, graph));
    const struct import_frame frame = {
        .nodes = graph->node, .node_count = graph->n_node, .prefix = "", .opset = opset};
    TRY(espy_import_push_frame(importer, &frame));
    TRY(espy_import_initializers(importer, graph));
    TRY(import_inputs(importer, params, graph));
    // Looked up first, so that the network's outputs get their own names.
    TRY(import_outputs(importer, graph));
    TRY(run_frames(importer));
    if (importer->report->problem_count > 0)
        return ESPY_OK; // values of nodes that were left out are missing
    TRY(check_produced(importer));
    return espy_graph_sort(importer->graph);
}

espy_status espy_onnx_import(struct convert_model *model, const struct convert_params *params,
                             struct convert_report *report)
{
    struct importer importer;
    struct import_shared shared = {.proto = model->proto};
    espy_map_init(&shared.functions, model->host);
    espy_map_init(&shared.body_names, model->host);
    init_importer(&importer, model, &model->graph, params->model_path);
    importer.report = report;
    importer.shared = &shared;
    const espy_status status = import_all(&importer, params);
    finish_importer(&importer);
    espy_map_finish(&shared.body_names);
    espy_map_finish(&shared.functions);
    return status;
}
