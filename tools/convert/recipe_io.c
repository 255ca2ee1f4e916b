// What a recipe says of inputs and outputs beside their types. The JSON is checked key by key here;
// whether roles and numbers make sense is the graph check's business.
#include "convert/recipe.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { KEYS_MAX = 16 }; // of an object whose keys are all known

espy_status espy_recipe_bad(const struct recipe *recipe, const char *where, const char *what)
{
    return espy_fail(recipe->host, ESPY_BAD_FORMAT, "%s: '%s': %s", recipe->name, where, what);
}

bool espy_recipe_is_object(const cJSON *object, int keys_max)
{
    if (!cJSON_IsObject(object) || cJSON_GetArraySize(object) > keys_max)
        return false;
    for (const cJSON *a = object->child; a != NULL; a = a->next)
        for (const cJSON *b = a->next; b != NULL; b = b->next)
            if (strcmp(a->string, b->string) == 0)
                return false;
    return true;
}

static espy_status read_string(const struct recipe *recipe, const char *where, const cJSON *item,
                               const char **text)
{
    if (!cJSON_IsString(item))
        return espy_recipe_bad(recipe, where, "roles, names and modes must be strings");
    *text = espy_arena_string(&recipe->graph->arena, item->valuestring);
    return *text == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

// mean or std; NULL: not given, and numbers keep their default.
static espy_status read_numbers(const struct recipe *recipe, const char *where, const cJSON *item,
                                int channels, double *numbers)
{
    const int count = cJSON_GetArraySize(item);
    if (item == NULL)
        return ESPY_OK;
    if (!cJSON_IsArray(item) || count != channels)
        return espy_recipe_bad(recipe, where,
                               "mean and std must be lists of one number per channel");
    for (int i = 0; i < count; i++) {
        const cJSON *number = cJSON_GetArrayItem(item, i);
        if (!cJSON_IsNumber(number) || !isfinite(number->valuedouble))
            return espy_recipe_bad(recipe, where, "mean and std must be numbers");
        numbers[i] = number->valuedouble;
    }
    return ESPY_OK;
}

static espy_status read_size(const struct recipe *recipe, const char *where, const cJSON *item,
                             struct espy_preprocess *preprocess)
{
    uint32_t *const sizes[2] = {&preprocess->height, &preprocess->width};
    if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) != 2)
        return espy_recipe_bad(recipe, where, "size must be [height, width]");
    for (int i = 0; i < 2; i++) {
        const cJSON *number = cJSON_GetArrayItem(item, i);
        if (!cJSON_IsNumber(number) || !(number->valuedouble >= 0) || number->valuedouble > 65536 ||
            number->valuedouble != floor(number->valuedouble))
            return espy_recipe_bad(recipe, where, "size must be two integers up to 65536");
        *sizes[i] = (uint32_t)number->valuedouble;
    }
    return ESPY_OK;
}

// What the recipe leaves open follows from the input: where its channels are, and its size.
static espy_status fit_preprocess(const struct recipe *recipe, const char *where,
                                  const struct graph_io *io, bool layout_given)
{
    struct espy_preprocess *preprocess = io->preprocess;
    const struct graph_value *value = &recipe->graph->values[io->value];
    const int64_t *dims = value->shape.dims;
    const int64_t channels = strcmp(preprocess->color, "gray") == 0 ? 1 : 3;
    char shape[128], what[256];
    if (!value->has_shape)
        return ESPY_OK;
    espy_shape_text(&value->shape, shape, sizeof(shape));
    if (value->shape.rank == 4 && !layout_given && dims[1] != channels && dims[3] == channels)
        preprocess->layout = "nhwc";
    const bool last = strcmp(preprocess->layout, "nhwc") == 0;
    if (value->shape.rank != 4 || (dims[last ? 3 : 1] >= 0 && dims[last ? 3 : 1] != channels)) {
        snprintf(what, sizeof(what),
                 "it takes %s, and the preprocessing makes a picture of %d %s, %s (\"color\", "
                 "\"layout\")",
                 shape, (int)channels, channels == 1 ? "channel" : "channels", preprocess->layout);
        return espy_recipe_bad(recipe, where, what);
    }
    const int64_t height = dims[last ? 1 : 2], width = dims[last ? 2 : 3];
    if (preprocess->height == 0 && preprocess->width == 0 && height > 0 && width > 0 &&
        height <= GRAPH_PICTURE_MAX && width <= GRAPH_PICTURE_MAX) {
        preprocess->height = (uint32_t)height;
        preprocess->width = (uint32_t)width;
    }
    return ESPY_OK;
}

static espy_status read_preprocess(const struct recipe *recipe, const char *where,
                                   const cJSON *object, struct graph_io *io)
{
    struct espy_preprocess *preprocess =
        espy_arena_alloc(&recipe->graph->arena, sizeof(*preprocess));
    if (preprocess == NULL)
        return ESPY_OUT_OF_MEMORY;
    *preprocess = (struct espy_preprocess){
        .resize = "stretch", .color = "rgb", .layout = "nchw", .scale = 1, .std = {1, 1, 1, 1}};
    if (!espy_recipe_is_object(object, KEYS_MAX))
        return espy_recipe_bad(recipe, where, "preprocess must be an object without repeated keys");
    const cJSON *item, *mean = NULL, *std = NULL, *layout = NULL;
    cJSON_ArrayForEach(item, object)
    {
        if (strcmp(item->string, "size") == 0)
            TRY(read_size(recipe, where, item, preprocess));
        else if (strcmp(item->string, "resize") == 0)
            TRY(read_string(recipe, where, item, &preprocess->resize));
        else if (strcmp(item->string, "color") == 0)
            TRY(read_string(recipe, where, item, &preprocess->color));
        else if (strcmp(item->string, "layout") == 0)
            TRY(read_string(recipe, where, layout = item, &preprocess->layout));
        else if (strcmp(item->string, "mean") == 0)
            mean = item;
        else if (strcmp(item->string, "std") == 0)
            std = item;
        else if (strcmp(item->string, "scale") == 0 && cJSON_IsNumber(item) &&
                 isfinite(item->valuedouble) && item->valuedouble != 0)
            preprocess->scale = item->valuedouble;
        else
            return espy_recipe_bad(recipe, where,
                                   "preprocess has an unknown key, or scale is not a number");
    }
    const int channels = strcmp(preprocess->color, "gray") == 0 ? 1 : 3;
    TRY(read_numbers(recipe, where, mean, channels, preprocess->mean));
    TRY(read_numbers(recipe, where, std, channels, preprocess->std));
    io->preprocess = preprocess;
    return fit_preprocess(recipe, where, io, layout != NULL);
}

static espy_status read_labels(const struct recipe *recipe, const char *where, const cJSON *list,
                               struct graph_io *io)
{
    if (!cJSON_IsArray(list))
        return espy_recipe_bad(recipe, where, "labels must be a list");
    const int count = cJSON_GetArraySize(list);
    if (count > GRAPH_LABELS_MAX)
        return espy_recipe_bad(recipe, where, "too many labels");
    io->labels = espy_arena_array(&recipe->graph->arena, (size_t)count, sizeof(*io->labels));
    io->label_count = 0;
    if (io->labels == NULL)
        return ESPY_OUT_OF_MEMORY;
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
        TRY(read_string(recipe, where, item, &io->labels[io->label_count++]));
    return ESPY_OK;
}

static espy_status read_threshold(const struct recipe *recipe, const char *where,
                                  const cJSON *number, struct graph_io *io)
{
    if (!cJSON_IsNumber(number) || !isfinite(number->valuedouble))
        return espy_recipe_bad(recipe, where, "threshold must be a number");
    io->threshold = number->valuedouble;
    return ESPY_OK;
}

// ---- roles and names ----------------------------------------------------------------------------

uint32_t espy_convert_picture(const struct graph *graph)
{
    uint32_t found = GRAPH_NONE;
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const struct graph_value *value = &graph->values[graph->inputs[i].value];
        const int64_t *dims = value->shape.dims;
        if (!value->has_shape || value->shape.rank != 4 ||
            (dims[1] != 1 && dims[1] != 3 && dims[3] != 1 && dims[3] != 3))
            continue;
        if (found != GRAPH_NONE)
            return GRAPH_NONE;
        found = i;
    }
    return found;
}

uint32_t espy_recipe_find(const struct graph *graph, const struct graph_io *list, uint32_t count,
                          const char *name)
{
    uint32_t i = 0;
    if (strcmp(name, "*") == 0 && count == 1)
        return 0;
    if (strcmp(name, "*") == 0 && list == graph->inputs) {
        const uint32_t picture = espy_convert_picture(graph);
        return picture == GRAPH_NONE ? count : picture;
    }
    while (i < count && strcmp(graph->values[list[i].value].name, name) != 0)
        i++;
    return i;
}

const struct graph_io *espy_recipe_picture(const struct graph *graph)
{
    const struct graph_io *found = NULL;
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const char *role = graph->inputs[i].role;
        if (role == NULL || strcmp(role, "image") != 0)
            continue;
        if (found != NULL)
            return NULL;
        found = &graph->inputs[i];
    }
    const uint32_t only = graph->input_count == 1 ? 0 : espy_convert_picture(graph);
    return found == NULL && only != GRAPH_NONE ? &graph->inputs[only] : found;
}

// The role "classifier" is what the network's end says: probabilities after a softmax, else logits.
static const char *classifier_role(const struct graph *graph, uint32_t value)
{
    for (uint32_t n = graph->node_count; n-- > 0;) {
        const struct graph_node *node = &graph->nodes[n];
        if (node->outputs[0] != value)
            continue;
        if (strcmp(node->op, "Softmax") == 0)
            return "probabilities";
        if (strcmp(node->op, "Reshape") != 0 && strcmp(node->op, "Flatten") != 0 &&
            strcmp(node->op, "Squeeze") != 0 && strcmp(node->op, "Identity") != 0 &&
            strcmp(node->op, "Cast") != 0)
            break;
        value = node->inputs[0];
    }
    return "logits";
}

// What is known of an output's shape; NULL: nothing.
static const struct shape *known_shape(const struct recipe *recipe, uint32_t value)
{
    const struct graph_value *said = &recipe->graph->values[value];
    if (recipe->facts.host != NULL && espy_recipe_type(recipe, value) != NULL)
        return &espy_recipe_type(recipe, value)->shape;
    return said->has_shape ? &said->shape : NULL;
}

// A preset for another kind of network is told by the shapes of what it says of outputs.
static espy_status check_output(const struct recipe *recipe, const char *where, const char *role,
                                const struct graph_io *io)
{
    static const struct {
        const char *role, *shape;
        uint32_t ranks[2];
        int64_t last[2]; // -1: any
    } rules[] = {
        {"boxes", "[1, n, 4] or [n, 4]", {2, 3}, {4, 4}},
        {"scores", "[1, n] or [n]", {1, 2}, {-1, -1}},
        {"classes", "[1, n] or [n]", {1, 2}, {-1, -1}},
        {"keypoints", "[1, n, points, 2] or [n, points, 2]", {3, 4}, {2, 3}},
        {"mask", "[1, 1, height, width] or [1, height, width]", {3, 4}, {-1, -1}},
        {"classifier", "[1, classes]", {2, 4}, {-1, -1}},
    };
    const struct shape *shape = known_shape(recipe, io->value);
    char text[128], what[256];
    for (size_t i = 0; shape != NULL && i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (strcmp(role, rules[i].role) != 0)
            continue;
        const int64_t last = shape->rank == 0 ? 1 : shape->dims[shape->rank - 1];
        bool fits = shape->rank >= rules[i].ranks[0] && shape->rank <= rules[i].ranks[1] &&
                    (last < 0 || rules[i].last[0] < 0 || last == rules[i].last[0] ||
                     last == rules[i].last[1]);
        for (uint32_t d = 2; strcmp(role, "classifier") == 0 && d < shape->rank; d++)
            fits = fits && shape->dims[d] <= 1;
        snprintf(what, sizeof(what), "it is %s, but the role %s is for %s",
                 espy_shape_text(shape, text, sizeof(text)), role, rules[i].shape);
        return fits ? ESPY_OK : espy_recipe_bad(recipe, where, what);
    }
    return ESPY_OK;
}

static espy_status read_role(const struct recipe *recipe, const char *where, const cJSON *item,
                             struct graph_io *io, bool is_input)
{
    TRY(read_string(recipe, where, item, &io->role));
    if (!is_input)
        TRY(check_output(recipe, where, io->role, io));
    if (strcmp(io->role, "classifier") == 0)
        io->role = classifier_role(recipe->graph, io->value);
    return ESPY_OK;
}

// "*" is the picture.
static espy_status read_of(const struct recipe *recipe, const char *where, const cJSON *item,
                           struct graph_io *io)
{
    TRY(read_string(recipe, where, item, &io->of));
    if (strcmp(io->of, "*") != 0)
        return ESPY_OK;
    const struct graph_io *picture = espy_recipe_picture(recipe->graph);
    if (picture == NULL)
        return espy_recipe_bad(recipe, where,
                               "of \"*\" is the only input with the role image, or the only input");
    io->of = recipe->graph->values[picture->value].name;
    return ESPY_OK;
}

// ---- classes ------------------------------------------------------------------------------------

static bool has_classes(const struct graph_io *io)
{
    static const char *const roles[] = {"logits", "probabilities", "classes", "mask"};
    for (size_t i = 0; io->role != NULL && i < sizeof(roles) / sizeof(roles[0]); i++)
        if (strcmp(io->role, roles[i]) == 0)
            return true;
    return false;
}

// How many classes an output tells apart; 0: not known.
static espy_status count_classes(const struct recipe *recipe, const struct graph_io *io,
                                 int64_t *count)
{
    const struct facts_params params = {.fold_elements_max = CONVERT_FOLD_ELEMENTS_MAX};
    struct facts facts;
    *count = recipe->class_count;
    if (strcmp(io->role, "logits") != 0 && strcmp(io->role, "probabilities") != 0)
        return ESPY_OK;
    TRY(espy_facts_init(&facts, recipe->host, recipe->graph, &params));
    const struct op_type *type = &facts.types[io->value];
    *count = type->dtype != ESPY_DTYPE_NONE && type->shape.rank > 1;
    for (uint32_t d = 1; d < type->shape.rank && *count <= GRAPH_LABELS_MAX; d++)
        *count *= type->shape.dims[d];
    espy_facts_finish(&facts);
    return ESPY_OK;
}

espy_status espy_recipe_set_labels(const struct recipe *recipe, const char *const *labels,
                                   uint32_t count)
{
    struct graph *graph = recipe->graph;
    struct graph_io *found = NULL;
    for (uint32_t i = 0; i < graph->output_count; i++) {
        if (!has_classes(&graph->outputs[i]))
            continue;
        if (found != NULL)
            return espy_recipe_bad(recipe, "labels",
                                   "several outputs have classes; write a recipe that says which");
        found = &graph->outputs[i];
    }
    if (found == NULL)
        return espy_recipe_bad(
            recipe, "labels",
            "no output has the role logits, probabilities, classes or mask; give "
            "a preset or a recipe before");
    int64_t classes;
    TRY(count_classes(recipe, found, &classes));
    if (classes > 0 && classes != count)
        return espy_fail(recipe->host, ESPY_BAD_FORMAT,
                         "%s: %u labels, but output '%s' tells %lld classes apart", recipe->name,
                         (unsigned)count, graph->values[found->value].name, (long long)classes);
    found->labels = espy_arena_array(&graph->arena, count, sizeof(*found->labels));
    found->label_count = 0;
    if (found->labels == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (; found->label_count < count; found->label_count++) {
        const char *label = espy_arena_string(&graph->arena, labels[found->label_count]);
        if (label == NULL)
            return ESPY_OUT_OF_MEMORY;
        found->labels[found->label_count] = label;
    }
    return ESPY_OK;
}

// ---- all of one ---------------------------------------------------------------------------------

espy_status espy_recipe_read_io(const struct recipe *recipe, const cJSON *object,
                                struct graph_io *io, bool is_input)
{
    const char *where = object->string;
    if (!espy_recipe_is_object(object, KEYS_MAX))
        return espy_recipe_bad(recipe, where, "must be an object without repeated keys");
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        if (strcmp(item->string, "role") == 0)
            TRY(read_role(recipe, where, item, io, is_input));
        else if (strcmp(item->string, "of") == 0)
            TRY(read_of(recipe, where, item, io));
        else if (strcmp(item->string, "preprocess") == 0 && is_input)
            TRY(read_preprocess(recipe, where, item, io));
        else if (strcmp(item->string, "threshold") == 0 && !is_input)
            TRY(read_threshold(recipe, where, item, io));
        else if (strcmp(item->string, "labels") == 0)
            TRY(read_labels(recipe, where, item, io));
        else
            return espy_recipe_bad(recipe, where,
                                   is_input ? "keys are role, of, preprocess and labels"
                                            : "keys are role, of, threshold and labels");
    }
    return ESPY_OK;
}

// Says which there are.
static espy_status refuse_name(const struct recipe *recipe, const char *name,
                               const struct graph_io *list, uint32_t count, bool is_input)
{
    struct text names;
    espy_text_init(&names, recipe->host);
    for (uint32_t i = 0; i < count; i++)
        espy_text_add(&names, "%s'%s'", i == 0 ? "" : ", ",
                      recipe->graph->values[list[i].value].name);
    const char *kind = is_input ? "input" : "output";
    espy_status status = ESPY_OUT_OF_MEMORY;
    if (!names.failed)
        status = strcmp(name, "*") == 0
                     ? espy_fail(recipe->host, ESPY_BAD_FORMAT,
                                 "%s: '*' is the only %s, but the network has %u: %s", recipe->name,
                                 kind, (unsigned)count, names.chars)
                     : espy_fail(recipe->host, ESPY_BAD_FORMAT,
                                 "%s: '%s': the network has no such %s, but %s", recipe->name, name,
                                 kind, count == 0 ? "none" : names.chars);
    espy_text_finish(&names);
    return status;
}

espy_status espy_recipe_read_side(const struct recipe *recipe, const cJSON *object,
                                  struct graph_io *list, uint32_t count, bool is_input)
{
    if (object == NULL)
        return ESPY_OK;
    if (!espy_recipe_is_object(object, GRAPH_IO_MAX))
        return espy_recipe_bad(recipe, object->string, "must be an object without repeated keys");
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        const uint32_t i = espy_recipe_find(recipe->graph, list, count, item->string);
        if (i == count)
            return refuse_name(recipe, item->string, list, count, is_input);
        TRY(espy_recipe_read_io(recipe, item, &list[i], is_input));
    }
    return ESPY_OK;
}
