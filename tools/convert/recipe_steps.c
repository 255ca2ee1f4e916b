// Steps of recipes: what is computed of a network's outputs. Each reads its values by name, adds
// nodes, and names what they make.
#include "convert/recipe.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { STEPS_MAX = 256, VALUES_MAX = 64 };

// ---- what a step says ---------------------------------------------------------------------------

static const cJSON *find_key(const struct recipe *recipe, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(recipe->step, key);
}

static const char *kind_of(const cJSON *step)
{
    const cJSON *kind = cJSON_GetObjectItemCaseSensitive(step, "step");
    return cJSON_IsString(kind) ? kind->valuestring : "?";
}

void espy_recipe_refuse(struct recipe *recipe, const char *format, ...)
{
    char reason[512];
    va_list arguments;
    if (recipe->b.status != ESPY_OK)
        return;
    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    recipe->b.status =
        espy_fail(recipe->host, ESPY_BAD_FORMAT, "%s: steps[%u] (%.64s): %s", recipe->name,
                  (unsigned)recipe->step_index, kind_of(recipe->step), reason);
}

bool espy_recipe_has(const struct recipe *recipe, const char *key)
{
    return find_key(recipe, key) != NULL;
}

double espy_recipe_number(struct recipe *recipe, const char *key, double fallback)
{
    const cJSON *item = find_key(recipe, key);
    if (item == NULL)
        return fallback;
    if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble)) {
        espy_recipe_refuse(recipe, "\"%s\" must be a number", key);
        return fallback;
    }
    return item->valuedouble;
}

int64_t espy_recipe_integer(struct recipe *recipe, const char *key, int64_t fallback, int64_t min,
                            int64_t max)
{
    const double number = espy_recipe_number(recipe, key, (double)fallback);
    if (!(number >= (double)min && number <= (double)max) || number != floor(number)) {
        espy_recipe_refuse(recipe, "\"%s\" must be an integer in %lld..%lld", key, (long long)min,
                           (long long)max);
        return fallback;
    }
    return (int64_t)number;
}

uint32_t espy_recipe_numbers(struct recipe *recipe, const char *key, double *numbers, uint32_t room)
{
    const cJSON *list = find_key(recipe, key);
    if (list == NULL)
        return 0;
    if (cJSON_IsNumber(list)) {
        numbers[0] = espy_recipe_number(recipe, key, 0);
        return 1;
    }
    uint32_t count = 0;
    bool good = cJSON_IsArray(list) && list->child != NULL;
    for (const cJSON *item = good ? list->child : NULL; item != NULL && good; item = item->next) {
        good = count < room && cJSON_IsNumber(item) && isfinite(item->valuedouble);
        if (good)
            numbers[count++] = item->valuedouble;
    }
    if (!good)
        espy_recipe_refuse(recipe, "\"%s\" must be a number or a list of at most %u", key,
                           (unsigned)room);
    return good ? count : 0;
}

uint32_t espy_recipe_choice(struct recipe *recipe, const char *key, const char *const *choices)
{
    const cJSON *item = find_key(recipe, key);
    if (item == NULL)
        return 0;
    char words[128] = "";
    for (uint32_t i = 0; choices[i] != NULL; i++) {
        if (cJSON_IsString(item) && strcmp(item->valuestring, choices[i]) == 0)
            return i;
        const size_t length = strlen(words);
        snprintf(words + length, sizeof(words) - length, "%s%s", i == 0 ? "" : ", ", choices[i]);
    }
    espy_recipe_refuse(recipe, "\"%s\" must be one of %s", key, words);
    return 0;
}

// ---- values -------------------------------------------------------------------------------------

static uint32_t value_named(struct recipe *recipe, const char *key, const cJSON *item)
{
    if (recipe->b.status != ESPY_OK)
        return GRAPH_NONE;
    if (!cJSON_IsString(item)) {
        espy_recipe_refuse(recipe, "\"%s\" must name a value", key);
        return GRAPH_NONE;
    }
    const uint32_t value = espy_map_get(&recipe->names, item->valuestring);
    if (value == MAP_NONE && strcmp(item->valuestring, "*") == 0)
        espy_recipe_refuse(recipe, "\"*\" is the only output, but the network has %u",
                           (unsigned)recipe->graph->output_count);
    else if (value == MAP_NONE)
        espy_recipe_refuse(recipe, "neither the network nor a step before makes '%.128s'",
                           item->valuestring);
    return value == MAP_NONE ? GRAPH_NONE : value;
}

uint32_t espy_recipe_value(struct recipe *recipe, const char *key)
{
    return value_named(recipe, key, find_key(recipe, key));
}

uint32_t espy_recipe_floats(struct recipe *recipe, const char *key)
{
    return espy_build_cast(&recipe->b, espy_recipe_value(recipe, key), ESPY_FLOAT32);
}

static uint32_t read_values(struct recipe *recipe, const char *key, uint32_t *values, uint32_t room)
{
    const cJSON *list = find_key(recipe, key), *item;
    const int size = cJSON_GetArraySize(list);
    if (!cJSON_IsArray(list) || size < 1 || (uint32_t)size > room) {
        espy_recipe_refuse(recipe, "\"%s\" must be a list of up to %u values", key, (unsigned)room);
        return 0;
    }
    uint32_t count = 0;
    cJSON_ArrayForEach(item, list) values[count++] = value_named(recipe, key, item);
    return count;
}

const struct op_type *espy_recipe_type(const struct recipe *recipe, uint32_t value)
{
    if (value >= recipe->facts.value_count || recipe->facts.types[value].dtype == ESPY_DTYPE_NONE)
        return NULL;
    return &recipe->facts.types[value];
}

void espy_recipe_expect(struct recipe *recipe, const char *key, uint32_t value, uint32_t rank,
                        int64_t last)
{
    const struct op_type *type = espy_recipe_type(recipe, value);
    char shape[128], wanted[64] = "";
    if (type == NULL)
        return;
    espy_shape_text(&type->shape, shape, sizeof(shape));
    if (last > 0)
        snprintf(wanted, sizeof(wanted), ", the last of size %lld", (long long)last);
    if (type->shape.rank != rank || (last > 0 && type->shape.dims[rank - 1] != last))
        espy_recipe_refuse(recipe, "\"%s\" is %s; %u dimensions are wanted%s", key, shape,
                           (unsigned)rank, wanted);
    else if (type->shape.dims[0] != 1)
        espy_recipe_refuse(recipe,
                           "\"%s\" is %s, of %lld pictures: fix the input to one with --shape", key,
                           shape, (long long)type->shape.dims[0]);
}

const struct graph_io *espy_recipe_picture_axis(struct recipe *recipe, uint32_t *axis)
{
    const struct graph_io *picture = espy_recipe_picture(recipe->graph);
    if (picture == NULL) {
        espy_recipe_refuse(recipe, "which input is the picture? Give one the role \"image\"");
        return NULL;
    }
    const struct graph_value *value = &recipe->graph->values[picture->value];
    const int64_t *dims = value->shape.dims;
    const bool last = picture->preprocess != NULL ? strcmp(picture->preprocess->layout, "nhwc") == 0
                                                  : dims[1] != 1 && dims[1] != 3;
    *axis = last ? 1 : 2;
    if (value->has_shape && value->shape.rank == 4)
        return picture;
    espy_recipe_refuse(recipe, "input '%.128s' does not have the four dimensions of a picture",
                       value->name);
    return NULL;
}

void espy_recipe_picture_size(struct recipe *recipe, int64_t *height, int64_t *width)
{
    uint32_t axis;
    const struct graph_io *picture = espy_recipe_picture_axis(recipe, &axis);
    *height = *width = 1;
    if (picture == NULL)
        return;
    const struct graph_value *value = &recipe->graph->values[picture->value];
    const int64_t *dims = value->shape.dims + axis;
    if (dims[0] <= 0 || dims[1] <= 0) {
        espy_recipe_refuse(recipe,
                           "the size of input '%.128s' must be fixed: --shape NAME=1x3x320x320",
                           value->name);
        return;
    }
    *height = dims[0] + 2 * recipe->border;
    *width = dims[1] + 2 * recipe->border;
}

uint32_t espy_recipe_constant(struct recipe *recipe, const struct shape *shape,
                              const double *numbers, uint32_t count)
{
    uint32_t index = GRAPH_NONE;
    if (recipe->b.status == ESPY_OK)
        recipe->b.status = espy_import_numbers(&recipe->importer, recipe->node.name, ESPY_FLOAT32,
                                               shape, numbers, count, &index);
    return index;
}

void espy_recipe_define(struct recipe *recipe, const char *name, uint32_t value)
{
    if (recipe->b.status != ESPY_OK)
        return;
    const char *kept = espy_arena_string(&recipe->importer.memory, name);
    recipe->b.status =
        kept == NULL ? ESPY_OUT_OF_MEMORY : espy_map_put(&recipe->names, kept, value);
}

void espy_recipe_result(struct recipe *recipe, uint32_t value)
{
    const cJSON *as = find_key(recipe, "as");
    const cJSON *name = as == NULL ? find_key(recipe, "of") : as;
    if (!cJSON_IsString(name) || name->valuestring[0] == '\0')
        espy_recipe_refuse(recipe, "\"as\" must be a name for the result");
    else
        espy_recipe_define(recipe, name->valuestring, value);
}

// ---- simple steps -------------------------------------------------------------------------------

static void step_join(struct recipe *recipe)
{
    uint32_t values[VALUES_MAX];
    const uint32_t count = read_values(recipe, "of", values, VALUES_MAX);
    const int64_t axis = espy_recipe_integer(recipe, "axis", 1, -ESPY_RANK_MAX, ESPY_RANK_MAX);
    espy_recipe_result(recipe, espy_build_concat(&recipe->b, values, count, axis));
}

static void step_part(struct recipe *recipe)
{
    struct builder *b = &recipe->b;
    const uint32_t value = espy_recipe_value(recipe, "of");
    const int64_t axis = espy_recipe_integer(recipe, "axis", -1, -ESPY_RANK_MAX, ESPY_RANK_MAX);
    const int64_t begin = espy_recipe_integer(recipe, "begin", 0, -GRAPH_DIM_MAX, GRAPH_DIM_MAX);
    const int64_t end =
        espy_recipe_integer(recipe, "end", GRAPH_DIM_MAX, -GRAPH_DIM_MAX, GRAPH_DIM_MAX);
    espy_recipe_result(recipe, espy_build_slice(b, value, LIST(b, begin), LIST(b, end), axis));
}

static void step_reshape(struct recipe *recipe)
{
    double numbers[ESPY_RANK_MAX];
    int64_t dims[ESPY_RANK_MAX];
    const uint32_t value = espy_recipe_value(recipe, "of");
    const uint32_t count = espy_recipe_numbers(recipe, "shape", numbers, ESPY_RANK_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (numbers[i] != floor(numbers[i]) || numbers[i] < -1 || numbers[i] > GRAPH_DIM_MAX)
            espy_recipe_refuse(recipe,
                               "\"shape\" has sizes, 0 for one that stays, -1 for the rest");
        else
            dims[i] = (int64_t)numbers[i];
    }
    if (count == 0)
        espy_recipe_refuse(recipe, "\"shape\" is missing");
    if (recipe->b.status == ESPY_OK)
        espy_recipe_result(recipe, espy_build_reshape(&recipe->b, value, dims, count));
}

static void step_transpose(struct recipe *recipe)
{
    double numbers[ESPY_RANK_MAX];
    uint32_t order[ESPY_RANK_MAX];
    const uint32_t value = espy_recipe_value(recipe, "of");
    const uint32_t count = espy_recipe_numbers(recipe, "order", numbers, ESPY_RANK_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (numbers[i] != floor(numbers[i]) || numbers[i] < 0 || numbers[i] >= count)
            espy_recipe_refuse(recipe, "\"order\" lists every dimension once");
        else
            order[i] = (uint32_t)numbers[i];
    }
    if (count == 0)
        espy_recipe_refuse(recipe, "\"order\" is missing");
    if (recipe->b.status == ESPY_OK)
        espy_recipe_result(recipe, espy_build_transpose(&recipe->b, value, order, count));
}

static void function(struct recipe *recipe, const char *op)
{
    espy_recipe_result(recipe, EMIT(&recipe->b, op, espy_recipe_floats(recipe, "of")));
}

static void step_sigmoid(struct recipe *recipe)
{
    function(recipe, "Sigmoid");
}

static void step_exp(struct recipe *recipe)
{
    function(recipe, "Exp");
}

static void step_sqrt(struct recipe *recipe)
{
    function(recipe, "Sqrt");
}

static void step_softmax(struct recipe *recipe)
{
    const int64_t axis = espy_recipe_integer(recipe, "axis", -1, -ESPY_RANK_MAX, ESPY_RANK_MAX);
    const uint32_t y = EMIT(&recipe->b, "Softmax", espy_recipe_floats(recipe, "of"));
    espy_build_set(&recipe->b, "axis", (double)axis);
    espy_recipe_result(recipe, y);
}

static void step_multiply(struct recipe *recipe)
{
    uint32_t values[VALUES_MAX];
    const uint32_t count = read_values(recipe, "of", values, VALUES_MAX);
    uint32_t product =
        count == 0 ? GRAPH_NONE : espy_build_cast(&recipe->b, values[0], ESPY_FLOAT32);
    for (uint32_t i = 1; i < count; i++)
        product =
            EMIT(&recipe->b, "Mul", product, espy_build_cast(&recipe->b, values[i], ESPY_FLOAT32));
    espy_recipe_result(recipe, product);
}

// Numbers of a key as a factor or an addend: one for all, or one for each place of the last
// dimension. GRAPH_NONE where the key is absent.
static uint32_t step_numbers(struct recipe *recipe, const char *key)
{
    double numbers[VALUES_MAX];
    const uint32_t count = espy_recipe_numbers(recipe, key, numbers, VALUES_MAX);
    const struct shape list = {.rank = count > 1, .dims = {count}};
    return count == 0 ? GRAPH_NONE : espy_recipe_constant(recipe, &list, numbers, count);
}

static void step_scale(struct recipe *recipe)
{
    uint32_t y = espy_recipe_floats(recipe, "of");
    const uint32_t factor = step_numbers(recipe, "factor"), shift = step_numbers(recipe, "shift");
    if (factor != GRAPH_NONE)
        y = EMIT(&recipe->b, "Mul", y, factor);
    if (shift != GRAPH_NONE)
        y = EMIT(&recipe->b, "Add", y, shift);
    espy_recipe_result(recipe, y);
}

// Numbers from low to high become bytes, as in a picture.
static void step_bytes(struct recipe *recipe)
{
    struct builder *b = &recipe->b;
    uint32_t y = espy_recipe_floats(recipe, "of");
    const double low = espy_recipe_number(recipe, "low", 0);
    const double high = espy_recipe_number(recipe, "high", 1);
    if (!(high > low))
        espy_recipe_refuse(recipe, "\"high\" must be above \"low\"");
    const double factor = 255 / (high - low);
    y = EMIT(b, "Mul", y, espy_build_scalar(b, ESPY_FLOAT32, factor));
    y = EMIT(b, "Add", y, espy_build_scalar(b, ESPY_FLOAT32, 0.5 - low * factor));
    y = EMIT(b, "Clip", y, espy_build_scalar(b, ESPY_FLOAT32, 0),
             espy_build_scalar(b, ESPY_FLOAT32, 255));
    espy_recipe_result(recipe, espy_build_cast(b, EMIT(b, "Floor", y), ESPY_UINT8));
}

static void step_argmax(struct recipe *recipe)
{
    struct builder *b = &recipe->b;
    const uint32_t value = espy_recipe_value(recipe, "of");
    const int64_t axis = espy_recipe_integer(recipe, "axis", 1, -ESPY_RANK_MAX, ESPY_RANK_MAX);
    const struct op_type *type = espy_recipe_type(recipe, value);
    const int64_t rank = type == NULL ? 0 : type->shape.rank;
    if (type != NULL && (axis >= rank || axis < -rank))
        espy_recipe_refuse(recipe, "there is no dimension %lld", (long long)axis);
    else if (type != NULL && type->shape.dims[axis < 0 ? axis + rank : axis] <= GRAPH_LABELS_MAX)
        recipe->class_count = (uint32_t)type->shape.dims[axis < 0 ? axis + rank : axis];
    const uint32_t y = EMIT_AS(b, ESPY_INT64, "ArgMax", value);
    espy_build_set(b, "axis", (double)axis);
    espy_recipe_result(recipe, espy_build_cast(b, y, ESPY_INT32));
}

static const struct recipe_row rows[] = {
    {"argmax", "of as axis", step_argmax},
    {"border", "by mode", espy_recipe_border},
    {"bytes", "of as low high", step_bytes},
    {"exp", "of as", step_exp},
    {"join", "of as axis", step_join},
    {"multiply", "of as", step_multiply},
    {"part", "of as axis begin end", step_part},
    {"reshape", "of as shape", step_reshape},
    {"scale", "of as factor shift", step_scale},
    {"sigmoid", "of as", step_sigmoid},
    {"softmax", "of as axis", step_softmax},
    {"sqrt", "of as", step_sqrt},
    {"transpose", "of as order", step_transpose},
};

// ---- all steps ----------------------------------------------------------------------------------

static const struct recipe_row *find_row(const char *kind)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].kind, kind) == 0)
            return &rows[i];
    for (uint32_t i = 0; i < espy_recipe_detection_count; i++)
        if (strcmp(espy_recipe_detection_rows[i].kind, kind) == 0)
            return &espy_recipe_detection_rows[i];
    return NULL;
}

// true: the word stands in a list of words with spaces between.
static bool lists(const char *words, const char *word)
{
    const size_t length = strlen(word);
    for (const char *at = strstr(words, word); at != NULL; at = strstr(at + 1, word))
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return length > 0;
    return false;
}

static void add_step(struct recipe *recipe)
{
    if (!espy_recipe_is_object(recipe->step, 16)) {
        espy_recipe_refuse(recipe, "must be an object without repeated keys");
        return;
    }
    const struct recipe_row *row = find_row(kind_of(recipe->step));
    if (row == NULL) {
        espy_recipe_refuse(recipe, "there is no such step; docs/recipes.md lists them");
        return;
    }
    const cJSON *item;
    cJSON_ArrayForEach(item, recipe->step) if (strcmp(item->string, "step") != 0 &&
                                               !lists(row->keys, item->string))
        espy_recipe_refuse(recipe, "\"%.64s\" is no key of it; there are: %s", item->string,
                           row->keys);
    row->apply(recipe);
}

// The nodes of a step are tried at once, so that what does not fit is told with the step's place.
// What is wrong in the network itself, such as a --size that it cannot do with, conversion says
// later.
static espy_status note_refusal(void *user, const struct graph_node *node, const char *message)
{
    struct recipe *recipe = user;
    const char *reason = strstr(message, "): "), *step = recipe->node.name;
    if (step != NULL && strncmp(node->name, step, strlen(step)) == 0)
        espy_recipe_refuse(recipe, "%s: %s", node->op, reason == NULL ? message : reason + 3);
    return recipe->b.status;
}

static espy_status take_facts(struct recipe *recipe)
{
    const struct facts_params params = {.fold_elements_max = CONVERT_FOLD_ELEMENTS_MAX,
                                        .refuse = note_refusal,
                                        .refuse_user = recipe};
    espy_facts_finish(&recipe->facts);
    return espy_facts_init(&recipe->facts, recipe->host, recipe->graph, &params);
}

// Lets the importer, whose helpers add the nodes, know what is there.
static espy_status know_graph(struct recipe *recipe)
{
    struct importer *importer = &recipe->importer;
    const struct graph *graph = recipe->graph;
    for (uint32_t v = 0; v < graph->value_count; v++) {
        TRY(espy_map_put(&importer->value_names, graph->values[v].name, 0));
        const struct op_type *type = espy_recipe_type(recipe, v);
        TRY(espy_import_note(importer, v, type != NULL ? type->dtype : graph->values[v].dtype,
                             true));
    }
    for (uint32_t n = 0; n < graph->node_count; n++)
        TRY(espy_map_put(&importer->node_names, graph->nodes[n].name, 0));
    for (uint32_t i = 0; i < graph->input_count; i++)
        TRY(espy_map_put(&recipe->names, graph->values[graph->inputs[i].value].name,
                         graph->inputs[i].value));
    for (uint32_t i = 0; i < graph->output_count; i++)
        TRY(espy_map_put(&recipe->names, graph->values[graph->outputs[i].value].name,
                         graph->outputs[i].value));
    if (graph->output_count == 1)
        TRY(espy_map_put(&recipe->names, "*", graph->outputs[0].value));
    return ESPY_OK;
}

// The value gets the name; another that has it already gets a new one.
static espy_status rename_value(struct recipe *recipe, uint32_t value, const char *name)
{
    struct graph *graph = recipe->graph;
    if (strcmp(graph->values[value].name, name) == 0)
        return ESPY_OK;
    for (uint32_t v = 0; v < graph->value_count; v++)
        if (strcmp(graph->values[v].name, name) == 0) {
            const char *hint = espy_arena_format(&graph->arena, "%s/raw", name);
            if (hint != NULL)
                hint = espy_import_unique(&recipe->importer, &recipe->importer.value_names, hint);
            if (hint == NULL)
                return ESPY_OUT_OF_MEMORY;
            graph->values[v].name = hint;
        }
    graph->values[value].name = espy_arena_string(&graph->arena, name);
    return graph->values[value].name == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

// What is an input too, or an output twice, becomes a value of its own.
static espy_status name_output(struct recipe *recipe, const char *name, uint32_t *value)
{
    const struct graph *graph = recipe->graph;
    bool taken = graph->values[*value].data != NULL;
    for (uint32_t i = 0; i < graph->input_count; i++)
        taken = taken || graph->inputs[i].value == *value;
    for (uint32_t i = 0; i < graph->output_count; i++)
        taken = taken || graph->outputs[i].value == *value;
    if (taken)
        *value = EMIT(&recipe->b, "Identity", *value);
    TRY(recipe->b.status);
    return rename_value(recipe, *value, name);
}

static espy_status read_outputs(struct recipe *recipe, const cJSON *outputs)
{
    struct graph *graph = recipe->graph;
    const cJSON *item;
    if (!espy_recipe_is_object(outputs, GRAPH_IO_MAX) || outputs->child == NULL)
        return espy_recipe_bad(recipe, "outputs",
                               "with steps, an object that lists every output of the network");
    const char *only = graph->output_count == 1 ? graph->values[graph->outputs[0].value].name : "*";
    struct graph_io *list =
        espy_arena_array(&graph->arena, (size_t)cJSON_GetArraySize(outputs), sizeof(*list));
    if (list == NULL)
        return ESPY_OUT_OF_MEMORY;
    graph->outputs = list;
    graph->output_count = 0;
    cJSON_ArrayForEach(item, outputs)
    {
        uint32_t value = espy_map_get(&recipe->names, item->string);
        if (value == MAP_NONE)
            return espy_recipe_bad(recipe, item->string,
                                   "neither the network nor a step makes this output");
        TRY(name_output(recipe, strcmp(item->string, "*") == 0 ? only : item->string, &value));
        list[graph->output_count] = (struct graph_io){.value = value};
        TRY(espy_recipe_read_io(recipe, item, &list[graph->output_count++], false));
    }
    return ESPY_OK;
}

static espy_status add_all(struct recipe *recipe, const cJSON *steps, const cJSON *outputs)
{
    TRY(take_facts(recipe));
    TRY(know_graph(recipe));
    recipe->step_index = 0;
    cJSON_ArrayForEach(recipe->step, steps)
    {
        const char *hint = espy_arena_format(&recipe->importer.memory, "recipe/%u.%.64s",
                                             (unsigned)recipe->step_index, kind_of(recipe->step));
        recipe->node = (struct import_node){.op = "recipe", .name = hint};
        if (hint == NULL)
            return ESPY_OUT_OF_MEMORY;
        add_step(recipe);
        TRY(recipe->b.status);
        TRY(take_facts(recipe));
        TRY(recipe->b.status);
        recipe->step_index++;
    }
    recipe->node.name = "recipe/outputs";
    return read_outputs(recipe, outputs);
}

espy_status espy_recipe_add_steps(struct recipe *recipe, const cJSON *steps, const cJSON *outputs)
{
    if (!cJSON_IsArray(steps) || cJSON_GetArraySize(steps) > STEPS_MAX)
        return espy_recipe_bad(recipe, "steps", "must be a list of steps");
    espy_importer_init(&recipe->importer, recipe->model, recipe->graph, recipe->name);
    espy_map_init(&recipe->names, recipe->host);
    recipe->b = (struct builder){.importer = &recipe->importer, .node = &recipe->node};
    const espy_status status = add_all(recipe, steps, outputs);
    espy_facts_finish(&recipe->facts);
    espy_map_finish(&recipe->names);
    espy_importer_finish(&recipe->importer);
    return status;
}
