// Any operator, for what there is no block for.
#include <cjson/cJSON.h>

#include "layers/layer.h"

struct plain {
    const char *op;
    struct layer_tree inputs, attrs, outputs;
};

static const struct layer_member rows[] = {
    {.name = "",
     .type = LAYER_TEXT,
     .offset = offsetof(struct plain, op),
     .required = true,
     .help = "the operator's name in docs/operators.md"},
    {.name = "inputs",
     .type = LAYER_JSON,
     .offset = offsetof(struct plain, inputs),
     .help = "a list: names of values, of which `.` is the layer's input and \"\" an absent one, "
             "`{\"weight\": name}`, `{\"int\": number or list}` (int64) or `{\"float\": number or "
             "list}`; default: the layer's input"},
    {.name = "attrs",
     .type = LAYER_JSON,
     .offset = offsetof(struct plain, attrs),
     .help = "attributes by name"},
    {.name = "outputs",
     .type = LAYER_JSON,
     .offset = offsetof(struct plain, outputs),
     .help = "names for the outputs, where there are several; the first goes on"}};

static uint32_t read_constant(struct layer *layer, const struct layer_tree *numbers, bool floats)
{
    const uint32_t count = espy_layer_count(numbers);
    double values[LAYER_LIST_MAX] = {0};
    int64_t integers[LAYER_LIST_MAX];
    if (count > LAYER_LIST_MAX) {
        espy_layer_fail(layer, "a list of more than %d numbers", (int)LAYER_LIST_MAX);
        return GRAPH_NONE;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct layer_tree item = espy_layer_item(layer, numbers, i);
        if (!espy_layer_number(layer, &item, &values[i]))
            return GRAPH_NONE;
        if (!floats && !(values[i] > -1e15 && values[i] < 1e15)) {
            espy_layer_fail(layer, "an integer is too large");
            return GRAPH_NONE;
        }
        integers[i] = floats ? 0 : (int64_t)values[i];
        if (!floats && (double)integers[i] != values[i]) {
            espy_layer_fail(layer, "expected integers");
            return GRAPH_NONE;
        }
    }
    if (cJSON_IsArray(numbers->json))
        return floats ? espy_layer_floats(layer, values, count)
                      : espy_layer_ints(layer, integers, count);
    return floats ? espy_layer_float(layer, values[0]) : espy_layer_int(layer, integers[0]);
}

static uint32_t read_input(struct layer *layer, const struct layer_tree *unresolved)
{
    const struct layer_tree tree = espy_layer_resolve(layer, *unresolved);
    if (cJSON_IsString(tree.json))
        return tree.json->valuestring[0] == '\0' ? GRAPH_NONE : espy_layer_value(layer, &tree);
    const struct layer_tree weight = espy_layer_key(layer, &tree, "weight");
    const struct layer_tree floats = espy_layer_key(layer, &tree, "float");
    const struct layer_tree ints = espy_layer_key(layer, &tree, "int");
    if (!espy_layer_failed(layer) &&
        (weight.json != NULL) + (floats.json != NULL) + (ints.json != NULL) != 1)
        espy_layer_fail(layer, "an input is a name, or an object with one of \"weight\", \"int\", "
                               "\"float\"");
    else if (weight.json != NULL)
        return espy_layer_weight(layer, espy_layer_path(layer, &weight), NULL);
    else if (floats.json != NULL || ints.json != NULL)
        return read_constant(layer, floats.json != NULL ? &floats : &ints, floats.json != NULL);
    return GRAPH_NONE;
}

// Names the outputs as the list says; gives the first.
static uint32_t add_op(struct layer *layer, const struct plain *plain, const uint32_t *inputs,
                       uint32_t count)
{
    const uint32_t output_count = espy_layer_count(&plain->outputs);
    uint32_t outputs[LAYER_LIST_MAX] = {GRAPH_NONE};
    if (output_count > LAYER_LIST_MAX) {
        espy_layer_fail(layer, "more than %d outputs", (int)LAYER_LIST_MAX);
        return GRAPH_NONE;
    }
    espy_layer_op_outputs(layer, plain->op, inputs, count, outputs,
                          output_count > 0 ? output_count : 1);
    const struct cJSON *attr = cJSON_IsObject(plain->attrs.json) ? plain->attrs.json->child : NULL;
    for (; attr != NULL; attr = attr->next)
        espy_layer_set_json(layer, attr);
    for (uint32_t o = 0; o < output_count && !espy_layer_failed(layer); o++) {
        const struct layer_tree item = espy_layer_item(layer, &plain->outputs, o);
        const char *name = espy_layer_text(layer, &item);
        if (name != NULL && name[0] != '\0')
            espy_layer_name(layer, outputs[o], name);
    }
    return outputs[0];
}

static uint32_t expand_op(struct layer *layer, const void *members, uint32_t x)
{
    const struct plain *plain = members;
    uint32_t count = espy_layer_count(&plain->inputs), inputs[LAYER_LIST_MAX] = {x};
    if (count > LAYER_LIST_MAX)
        espy_layer_fail(layer, "more than %d inputs", (int)LAYER_LIST_MAX);
    if (plain->attrs.json != NULL && !cJSON_IsObject(plain->attrs.json))
        espy_layer_fail(layer, "attrs is not an object");
    for (uint32_t i = 0; i < count && !espy_layer_failed(layer); i++) {
        const struct layer_tree item = espy_layer_item(layer, &plain->inputs, i);
        inputs[i] = read_input(layer, &item);
    }
    if (plain->inputs.json == NULL)
        count = 1;
    return espy_layer_failed(layer) ? GRAPH_NONE : add_op(layer, plain, inputs, count);
}

static const struct layer_block blocks[] = {
    {.name = "op",
     .summary = "Any operator of docs/operators.md.",
     .example = "{\"op\": \"Clip\", \"inputs\": [\".\", {\"float\": -0.5}, {\"float\": 0.5}]}",
     LAYER_MEMBERS(rows, struct plain),
     .expand = expand_op},
};

const struct layer_family espy_layers_block_op = {blocks, LAYER_COUNT(blocks)};
