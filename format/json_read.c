#include "format/format_internal.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

// cJSON's tree to a graph. The text has passed espy_format_scan_json; what is left to check here is
// the shape of the JSON (keys, types, integers) and what the graph does not keep (tensor offsets).
// espy_format_check_graph does the rest.

struct place;

struct reader {
    const struct host *host;
    const char *file;
    const struct format_source *source;
    struct graph *graph;         // being read: the network, or one of its bodies
    const struct place *at;      // of the graph; NULL: the network's, which is the whole JSON
    struct map values;           // by name
    const struct reader *around; // of the network, for a body; else NULL
    const cJSON *layered;        // the whole JSON where it has layers; else NULL
    size_t weights_end;          // of the tensors read so far, in all graphs
};

// A place in the JSON for messages, as a chain from the inside out.
struct place {
    const struct place *up;
    const char *key; // NULL: an element of a list
    uint32_t index;
    bool quoted; // the key is a name from the file, not one of ours
};

enum { PLACES_MAX = FORMAT_JSON_DEPTH_MAX, PLACE_SIZE_MAX = 3 * FORMAT_TEXT_SHOWN_MAX };
#define MEMBER_COUNT(members) (sizeof(members) / sizeof((members)[0]))
#define INTEGER_MAX 9007199254740992.0 // 2^53: beyond it doubles skip integers

static void print_place(const struct place *place, char buffer[PLACE_SIZE_MAX])
{
    const struct place *chain[PLACES_MAX];
    size_t count = 0, length = 0;
    for (; place != NULL && count < PLACES_MAX; place = place->up)
        chain[count++] = place;
    buffer[0] = '\0';
    while (count > 0 && length < PLACE_SIZE_MAX) {
        const struct place *step = chain[--count];
        char *at = buffer + length;
        const size_t room = PLACE_SIZE_MAX - length;
        const char *dot = length == 0 ? "" : ".";
        char shown[FORMAT_TEXT_SHOWN_MAX];
        int more;
        if (step->key == NULL)
            more = snprintf(at, room, "[%u]", (unsigned)step->index);
        else if (step->quoted)
            more = snprintf(at, room, "%s\"%s\"", dot, espy_format_shown(step->key, shown));
        else
            more = snprintf(at, room, "%s%s", dot, step->key);
        length += more < 0 ? 0 : (size_t)more;
    }
}

static espy_status refuse(const struct reader *reader, const struct place *place,
                          const char *format, ...) ESPY_PRINTF(3, 4);

static espy_status refuse(const struct reader *reader, const struct place *place,
                          const char *format, ...)
{
    char where[PLACE_SIZE_MAX], reason[384];
    va_list list;
    va_start(list, format);
    vsnprintf(reason, sizeof(reason), format, list);
    va_end(list);
    print_place(place, where);
    return espy_fail(reader->host, ESPY_BAD_FORMAT, "%s: %s: %s", reader->file,
                     place == NULL ? "JSON" : where, reason);
}

// ---- JSON types ---------------------------------------------------------------------------------

// A key that an object may have; item is filled in, NULL where the key is absent.
struct member {
    const char *key;
    bool required;
    const cJSON *item;
};

static espy_status read_members(const struct reader *reader, const struct place *place,
                                const cJSON *object, struct member *members, size_t count)
{
    if (!cJSON_IsObject(object))
        return refuse(reader, place, "expected an object");
    for (const cJSON *item = object->child; item != NULL; item = item->next) {
        char shown[FORMAT_TEXT_SHOWN_MAX];
        size_t i = 0;
        while (i < count && strcmp(members[i].key, item->string) != 0)
            i++;
        if (i == count)
            return refuse(reader, place, "unknown key \"%s\"",
                          espy_format_shown(item->string, shown));
        if (members[i].item != NULL)
            return refuse(reader, place, "key \"%s\" is there twice", members[i].key);
        members[i].item = item;
    }
    for (size_t i = 0; i < count; i++)
        if (members[i].required && members[i].item == NULL)
            return refuse(reader, place, "key \"%s\" is missing", members[i].key);
    return ESPY_OK;
}

static espy_status expect_list(const struct reader *reader, const struct place *place,
                               const cJSON *item)
{
    return cJSON_IsArray(item) ? ESPY_OK : refuse(reader, place, "expected a list");
}

static uint32_t list_count(const cJSON *list)
{
    uint32_t count = 0; // the scan has limited it
    for (const cJSON *item = list->child; item != NULL; item = item->next)
        count++;
    return count;
}

// Copies the string into the arena; leaves *string alone where item is NULL (the key is absent).
static espy_status read_string(const struct reader *reader, const struct place *place,
                               const cJSON *item, const char **string)
{
    if (item == NULL)
        return ESPY_OK;
    if (!cJSON_IsString(item))
        return refuse(reader, place, "expected a string");
    *string = espy_arena_string(&reader->graph->arena, item->valuestring);
    return *string == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

static espy_status read_number(const struct reader *reader, const struct place *place,
                               const cJSON *item, double *number)
{
    if (item == NULL)
        return ESPY_OK;
    if (!cJSON_IsNumber(item))
        return refuse(reader, place, "expected a number");
    if (!isfinite(item->valuedouble))
        return refuse(reader, place, "the number is too large");
    *number = item->valuedouble;
    return ESPY_OK;
}

static espy_status read_integer(const struct reader *reader, const struct place *place,
                                const cJSON *item, double max, uint64_t *integer)
{
    double number = 0;
    if (item == NULL)
        return ESPY_OK;
    TRY(read_number(reader, place, item, &number));
    if (floor(number) != number || number < 0 || number > max)
        return refuse(reader, place, "%.17g is not an integer in 0..%.0f", number, max);
    *integer = (uint64_t)number;
    return ESPY_OK;
}

static espy_status read_strings(const struct reader *reader, const struct place *place,
                                const cJSON *list, const char ***strings, uint32_t *count)
{
    if (list == NULL)
        return ESPY_OK;
    TRY(expect_list(reader, place, list));
    *count = list_count(list);
    *strings = espy_arena_array(&reader->graph->arena, *count, sizeof(**strings));
    if (*strings == NULL)
        return ESPY_OUT_OF_MEMORY;
    struct place inner = {.up = place};
    for (const cJSON *item = list->child; item != NULL; item = item->next, inner.index++)
        TRY(read_string(reader, &inner, item, &(*strings)[inner.index]));
    return ESPY_OK;
}

// ---- dtype, shape, preprocessing ----------------------------------------------------------------

static espy_status read_dtype(const struct reader *reader, const struct place *up,
                              const cJSON *item, espy_dtype *dtype)
{
    const struct place place = {.up = up, .key = "dtype"};
    char shown[FORMAT_TEXT_SHOWN_MAX];
    if (item == NULL)
        return ESPY_OK;
    if (!cJSON_IsString(item))
        return refuse(reader, &place, "expected a string");
    *dtype = espy_dtype_from_name(item->valuestring);
    if (*dtype == ESPY_DTYPE_NONE)
        return refuse(reader, &place, "unknown dtype \"%s\"",
                      espy_format_shown(item->valuestring, shown));
    return ESPY_OK;
}

static espy_status read_shape(const struct reader *reader, const struct place *up,
                              const cJSON *list, struct graph_value *value)
{
    const struct place place = {.up = up, .key = "shape"};
    if (list == NULL)
        return ESPY_OK;
    TRY(expect_list(reader, &place, list));
    value->has_shape = true;
    value->shape.rank = list_count(list);
    if (value->shape.rank > ESPY_RANK_MAX)
        return refuse(reader, &place, "rank %u, at most %d", (unsigned)value->shape.rank,
                      (int)ESPY_RANK_MAX);
    struct place inner = {.up = &place};
    for (const cJSON *item = list->child; item != NULL; item = item->next, inner.index++) {
        int64_t *dim = &value->shape.dims[inner.index];
        if (cJSON_IsNumber(item)) {
            uint64_t size = 0;
            TRY(read_integer(reader, &inner, item, GRAPH_DIM_MAX, &size));
            *dim = (int64_t)size;
        } else {
            *dim = -1;
            const char *symbol = NULL;
            if (cJSON_IsString(item)) {
                TRY(read_string(reader, &inner, item, &symbol));
                TRY(espy_graph_set_symbol(reader->graph, value, inner.index, symbol));
            } else if (!cJSON_IsNull(item))
                return refuse(reader, &inner, "expected a size, a symbol or null");
        }
    }
    return ESPY_OK;
}

// Per-channel numbers: as many as the colour has channels.
static espy_status read_channels(const struct reader *reader, const struct place *place,
                                 const cJSON *list, uint32_t channels, double numbers[4])
{
    if (list == NULL)
        return ESPY_OK;
    TRY(expect_list(reader, place, list));
    if (list_count(list) != channels)
        return refuse(reader, place, "%u numbers for %u channels", (unsigned)list_count(list),
                      (unsigned)channels);
    struct place inner = {.up = place};
    for (const cJSON *item = list->child; item != NULL; item = item->next, inner.index++)
        TRY(read_number(reader, &inner, item, &numbers[inner.index]));
    return ESPY_OK;
}

static espy_status read_picture_size(const struct reader *reader, const struct place *place,
                                     const cJSON *list, struct espy_preprocess *pre)
{
    if (list == NULL)
        return ESPY_OK;
    TRY(expect_list(reader, place, list));
    if (list_count(list) != 2)
        return refuse(reader, place, "expected [height, width]");
    uint64_t height = 0, width = 0;
    const struct place first = {.up = place}, second = {.up = place, .index = 1};
    TRY(read_integer(reader, &first, list->child, GRAPH_PICTURE_MAX, &height));
    TRY(read_integer(reader, &second, list->child->next, GRAPH_PICTURE_MAX, &width));
    pre->height = (uint32_t)height;
    pre->width = (uint32_t)width;
    return ESPY_OK;
}

static espy_status read_preprocess(const struct reader *reader, const struct place *up,
                                   const cJSON *object, struct graph_io *io)
{
    enum { SIZE, RESIZE, COLOR, LAYOUT, SCALE, MEAN, STD, COUNT };
    static const char *const keys[] = {"size", "resize", "color", "layout", "scale", "mean", "std"};
    struct member members[COUNT] = {0};
    struct place at[COUNT];
    const struct place place = {.up = up, .key = "preprocess"};
    for (int i = 0; i < COUNT; i++) {
        members[i].key = keys[i];
        at[i] = (struct place){.up = &place, .key = keys[i]};
    }
    TRY(read_members(reader, &place, object, members, COUNT));
    struct espy_preprocess *pre = espy_arena_alloc(&reader->graph->arena, sizeof(*pre));
    if (pre == NULL)
        return ESPY_OUT_OF_MEMORY;
    *pre = (struct espy_preprocess){
        .resize = "stretch", .color = "rgb", .layout = "nchw", .scale = 1, .std = {1, 1, 1, 1}};
    io->preprocess = pre;
    TRY(read_picture_size(reader, &at[SIZE], members[SIZE].item, pre));
    TRY(read_string(reader, &at[RESIZE], members[RESIZE].item, &pre->resize));
    TRY(read_string(reader, &at[COLOR], members[COLOR].item, &pre->color));
    TRY(read_string(reader, &at[LAYOUT], members[LAYOUT].item, &pre->layout));
    TRY(read_number(reader, &at[SCALE], members[SCALE].item, &pre->scale));
    const uint32_t channels = strcmp(pre->color, "gray") == 0 ? 1 : 3;
    TRY(read_channels(reader, &at[MEAN], members[MEAN].item, channels, pre->mean));
    return read_channels(reader, &at[STD], members[STD].item, channels, pre->std);
}

// ---- inputs, outputs, tensors -------------------------------------------------------------------

static espy_status add_value(struct reader *reader, const struct place *place, const char *name,
                             uint32_t *index)
{
    char shown[FORMAT_TEXT_SHOWN_MAX];
    if (name[0] == '\0')
        return refuse(reader, place, "the name is empty");
    if (espy_map_get(&reader->values, name) != MAP_NONE)
        return refuse(reader, place, "\"%s\" is made twice", espy_format_shown(name, shown));
    TRY(espy_graph_add_value(reader->graph, name, index));
    return espy_map_put(&reader->values, reader->graph->values[*index].name, *index);
}

enum { IO_NAME, IO_DTYPE, IO_SHAPE, IO_ROLE, IO_OF, IO_LABELS, IO_EXTRA, IO_KEY_COUNT };

// Reads what inputs and outputs have in common. members[IO_EXTRA] is named by the caller.
static espy_status read_io(struct reader *reader, const struct place *place, const cJSON *object,
                           struct member members[IO_KEY_COUNT], const char **name,
                           struct graph_io *io)
{
    members[IO_NAME] = (struct member){"name", true, NULL};
    members[IO_DTYPE].key = "dtype";
    members[IO_SHAPE].key = "shape";
    members[IO_ROLE].key = "role";
    members[IO_OF].key = "of";
    members[IO_LABELS].key = "labels";
    TRY(read_members(reader, place, object, members, IO_KEY_COUNT));
    const struct place name_place = {.up = place, .key = "name"};
    const struct place role_place = {.up = place, .key = "role"};
    const struct place of_place = {.up = place, .key = "of"};
    const struct place labels_place = {.up = place, .key = "labels"};
    TRY(read_string(reader, &name_place, members[IO_NAME].item, name));
    TRY(read_string(reader, &role_place, members[IO_ROLE].item, &io->role));
    TRY(read_string(reader, &of_place, members[IO_OF].item, &io->of));
    return read_strings(reader, &labels_place, members[IO_LABELS].item, &io->labels,
                        &io->label_count);
}

static espy_status read_input(struct reader *reader, const struct place *place, const cJSON *object,
                              struct graph_io *io)
{
    struct member members[IO_KEY_COUNT] = {[IO_EXTRA] = {.key = "preprocess"}};
    members[IO_DTYPE].required = members[IO_SHAPE].required = reader->around == NULL;
    const char *name = NULL;
    TRY(read_io(reader, place, object, members, &name, io));
    TRY(add_value(reader, place, name, &io->value));
    struct graph_value *value = &reader->graph->values[io->value];
    TRY(read_dtype(reader, place, members[IO_DTYPE].item, &value->dtype));
    TRY(read_shape(reader, place, members[IO_SHAPE].item, value));
    if (members[IO_EXTRA].item == NULL)
        return ESPY_OK;
    return read_preprocess(reader, place, members[IO_EXTRA].item, io);
}

static espy_status read_inputs(struct reader *reader, const cJSON *list)
{
    const struct place place = {.up = reader->at, .key = "inputs"};
    struct graph *graph = reader->graph;
    TRY(expect_list(reader, &place, list));
    const uint32_t count = list_count(list);
    graph->inputs = espy_arena_array(&graph->arena, count, sizeof(*graph->inputs));
    if (graph->inputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    graph->input_count = count;
    struct place inner = {.up = &place};
    for (const cJSON *item = list->child; item != NULL; item = item->next, inner.index++)
        TRY(read_input(reader, &inner, item, &graph->inputs[inner.index]));
    return ESPY_OK;
}

static espy_status read_output(struct reader *reader, const struct place *place,
                               uint32_t first_made, const cJSON *object, struct graph_io *io)
{
    struct member members[IO_KEY_COUNT] = {[IO_EXTRA] = {.key = "threshold"}};
    char shown[FORMAT_TEXT_SHOWN_MAX];
    const char *name = NULL;
    TRY(read_io(reader, place, object, members, &name, io));
    io->value = espy_map_get(&reader->values, name);
    if (io->value == MAP_NONE)
        return refuse(reader, place, "nothing makes \"%s\"", espy_format_shown(name, shown));
    struct graph_value *value = &reader->graph->values[io->value];
    // Values before first_made are inputs and tensors, which say elsewhere what they are. Two
    // entries for one output are refused by the check, whatever they say.
    if (io->value < first_made &&
        (members[IO_DTYPE].item != NULL || members[IO_SHAPE].item != NULL))
        return refuse(reader, place,
                      "\"%s\" is an input or tensor and has its dtype and shape there",
                      espy_format_shown(name, shown));
    TRY(read_dtype(reader, place, members[IO_DTYPE].item, &value->dtype));
    TRY(read_shape(reader, place, members[IO_SHAPE].item, value));
    const struct place threshold_place = {.up = place, .key = "threshold"};
    return read_number(reader, &threshold_place, members[IO_EXTRA].item, &io->threshold);
}

static espy_status read_outputs(struct reader *reader, const cJSON *list, uint32_t first_made)
{
    const struct place place = {.up = reader->at, .key = "outputs"};
    struct graph *graph = reader->graph;
    TRY(expect_list(reader, &place, list));
    const uint32_t count = list_count(list);
    graph->outputs = espy_arena_array(&graph->arena, count, sizeof(*graph->outputs));
    if (graph->outputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    graph->output_count = count;
    struct place inner = {.up = &place};
    for (const cJSON *item = list->child; item != NULL; item = item->next, inner.index++)
        TRY(read_output(reader, &inner, first_made, item, &graph->outputs[inner.index]));
    return ESPY_OK;
}

// Points the tensor at its place in the weights chunk, which is exactly where the one before ends.
static espy_status place_tensor(struct reader *reader, const struct place *place, uint64_t offset,
                                uint64_t size, struct graph_value *value)
{
    static const unsigned char no_data[1]; // where there is no weights chunk
    const struct format_source *source = reader->source;
    const size_t end = espy_format_align(reader->weights_end, FORMAT_TENSOR_ALIGNMENT);
    if (offset != end)
        return refuse(reader, place, "offset %llu must be %zu: those before it end at %zu",
                      (unsigned long long)offset, end, reader->weights_end);
    if (offset > source->weights_size || size > source->weights_size - offset)
        return refuse(reader, place, "offset %llu and size %llu reach over the weights' %zu bytes",
                      (unsigned long long)offset, (unsigned long long)size, source->weights_size);
    for (size_t i = reader->weights_end; i < end; i++)
        if (source->weights[i] != 0)
            return refuse(reader, place, "the padding before it is not zero");
    value->data = source->weights == NULL ? no_data : source->weights + offset;
    value->data_size = (size_t)size;
    reader->weights_end = (size_t)(offset + size);
    return ESPY_OK;
}

// Asks find, and compares what the JSON says already (value) with what was found.
static espy_status find_tensor(struct reader *reader, const struct place *place, const char *name,
                               const uint64_t *size, struct graph_value *value)
{
    const struct format_source *source = reader->source;
    struct graph_value found = {.name = value->name};
    if (source->hand->find == NULL)
        return refuse(reader, place, "there are no weights to take it from");
    TRY(source->hand->find(source->hand->user, name, &found));
    if (found.data == NULL)
        return refuse(reader, place, "it has no data");
    if (value->dtype != ESPY_DTYPE_NONE && value->dtype != found.dtype)
        return refuse(reader, place, "dtype %s, but its data is %s", espy_dtype_name(value->dtype),
                      espy_dtype_name(found.dtype));
    char stated[128], real[128];
    if (value->has_shape && !espy_shape_equal(&value->shape, &found.shape))
        return refuse(reader, place, "shape %s, but its data has %s",
                      espy_shape_text(&value->shape, stated, sizeof(stated)),
                      espy_shape_text(&found.shape, real, sizeof(real)));
    if (size != NULL && *size != found.data_size)
        return refuse(reader, place, "size %llu, but its data has %zu bytes",
                      (unsigned long long)*size, found.data_size);
    value->dtype = found.dtype;
    value->has_shape = true;
    value->shape = found.shape;
    value->data = found.data;
    value->data_size = found.data_size;
    return ESPY_OK;
}

// {"same_as": "w"} in a body: the network's tensor of that name, which is in the weights once.
static espy_status read_same(struct reader *reader, const struct place *place, const cJSON *object)
{
    struct member members[] = {{"same_as", true, NULL}};
    const struct place same_place = {.up = place, .key = "same_as"};
    char shown[FORMAT_TEXT_SHOWN_MAX];
    const char *name = NULL;
    uint32_t index;
    TRY(read_members(reader, place, object, members, MEMBER_COUNT(members)));
    TRY(read_string(reader, &same_place, members[0].item, &name));
    const uint32_t same = espy_map_get(&reader->around->values, name);
    const struct graph *network = reader->around->graph;
    if (same == MAP_NONE || network->values[same].data == NULL)
        return refuse(reader, &same_place, "\"%s\" is not a tensor of the network",
                      espy_format_shown(name, shown));
    TRY(add_value(reader, place, object->string, &index));
    struct graph_value *value = &reader->graph->values[index];
    const char *own = value->name;
    *value = network->values[same];
    value->name = own;
    return ESPY_OK;
}

static espy_status read_tensor(struct reader *reader, const struct place *place,
                               const cJSON *object)
{
    enum { DTYPE, SHAPE, OFFSET, SIZE, FROM, COUNT };
    const bool by_hand = reader->source->hand != NULL;
    if (reader->around != NULL && cJSON_GetObjectItemCaseSensitive(object, "same_as") != NULL)
        return read_same(reader, place, object);
    struct member members[] = {{"dtype", !by_hand, NULL},
                               {"shape", !by_hand, NULL},
                               {"offset", !by_hand, NULL},
                               {"size", !by_hand, NULL},
                               {"from", false, NULL}};
    // "from" is of the hand-written form only, so it comes last and is left out for files.
    TRY(read_members(reader, place, object, members, by_hand ? COUNT : FROM));
    uint32_t index;
    TRY(add_value(reader, place, object->string, &index));
    struct graph_value *value = &reader->graph->values[index];
    TRY(read_dtype(reader, place, members[DTYPE].item, &value->dtype));
    TRY(read_shape(reader, place, members[SHAPE].item, value));
    for (uint32_t i = 0; i < value->shape.rank; i++)
        if (value->shape.dims[i] < 0)
            return refuse(reader, place, "a tensor's shape must be all numbers");
    uint64_t offset = 0, size = 0;
    const struct place offset_place = {.up = place, .key = "offset"};
    const struct place size_place = {.up = place, .key = "size"};
    const struct place from_place = {.up = place, .key = "from"};
    TRY(read_integer(reader, &offset_place, members[OFFSET].item, INTEGER_MAX, &offset));
    TRY(read_integer(reader, &size_place, members[SIZE].item, INTEGER_MAX, &size));
    if (!by_hand)
        return place_tensor(reader, place, offset, size, value);
    const char *from = value->name;
    TRY(read_string(reader, &from_place, members[FROM].item, &from));
    return find_tensor(reader, place, from, members[SIZE].item == NULL ? NULL : &size, value);
}

static espy_status read_tensors(struct reader *reader, const cJSON *object)
{
    const struct place place = {.up = reader->at, .key = "tensors"};
    if (object != NULL && !cJSON_IsObject(object))
        return refuse(reader, &place, "expected an object");
    const cJSON *item = object == NULL ? NULL : object->child;
    for (; item != NULL; item = item->next) {
        const struct place inner = {.up = &place, .key = item->string, .quoted = true};
        TRY(read_tensor(reader, &inner, item));
    }
    return ESPY_OK;
}

// ---- nodes --------------------------------------------------------------------------------------

// A list of value names to indices: looked up (inputs) or added (outputs).
static espy_status read_values(struct reader *reader, const struct place *place, const cJSON *list,
                               bool made_here, uint32_t **indices, uint32_t *count)
{
    TRY(expect_list(reader, place, list));
    *count = list_count(list);
    *indices = espy_arena_array(&reader->graph->arena, *count, sizeof(**indices));
    if (*indices == NULL)
        return ESPY_OUT_OF_MEMORY;
    struct place inner = {.up = place};
    for (const cJSON *item = list->child; item != NULL; item = item->next, inner.index++) {
        uint32_t *index = &(*indices)[inner.index];
        char shown[FORMAT_TEXT_SHOWN_MAX];
        if (!cJSON_IsString(item))
            return refuse(reader, &inner, "expected a string");
        *index = GRAPH_NONE;
        if (item->valuestring[0] == '\0')
            continue;
        if (made_here) {
            TRY(add_value(reader, &inner, item->valuestring, index));
            continue;
        }
        *index = espy_map_get(&reader->values, item->valuestring);
        if (*index == MAP_NONE)
            return refuse(reader, &inner, "\"%s\" is not made before it is used",
                          espy_format_shown(item->valuestring, shown));
    }
    return ESPY_OK;
}

static espy_status read_attr_list(const struct reader *reader, const struct place *place,
                                  const cJSON *list, struct graph_attr *attr)
{
    if (cJSON_IsString(list->child)) {
        const char **strings = NULL;
        attr->type = GRAPH_ATTR_STRINGS;
        TRY(read_strings(reader, place, list, &strings, &attr->count));
        attr->strings = strings;
        return ESPY_OK;
    }
    attr->type = GRAPH_ATTR_NUMBERS;
    attr->count = list_count(list);
    double *numbers = espy_arena_array(&reader->graph->arena, attr->count, sizeof(*numbers));
    if (numbers == NULL)
        return ESPY_OUT_OF_MEMORY;
    attr->numbers = numbers;
    struct place inner = {.up = place};
    for (const cJSON *item = list->child; item != NULL; item = item->next, inner.index++)
        TRY(read_number(reader, &inner, item, &numbers[inner.index]));
    return ESPY_OK;
}

static espy_status read_attr(const struct reader *reader, const struct place *place,
                             const cJSON *item, bool number_only, struct graph_attr *attr)
{
    struct arena *arena = &reader->graph->arena;
    attr->name = espy_arena_string(arena, item->string);
    if (attr->name == NULL)
        return ESPY_OUT_OF_MEMORY;
    attr->count = 1;
    if (cJSON_IsNumber(item)) {
        double *number = espy_arena_alloc(arena, sizeof(*number));
        if (number == NULL)
            return ESPY_OUT_OF_MEMORY;
        attr->type = GRAPH_ATTR_NUMBER;
        attr->numbers = number;
        return read_number(reader, place, item, number);
    }
    if (number_only)
        return refuse(reader, place, "expected a number");
    if (cJSON_IsString(item)) {
        const char **string = espy_arena_alloc(arena, sizeof(*string));
        if (string == NULL)
            return ESPY_OUT_OF_MEMORY;
        attr->type = GRAPH_ATTR_STRING;
        attr->strings = string;
        return read_string(reader, place, item, string);
    }
    if (!cJSON_IsArray(item))
        return refuse(reader, place, "expected a number, a string or a list of them");
    return read_attr_list(reader, place, item, attr);
}

static espy_status read_attrs(const struct reader *reader, const struct place *up,
                              const cJSON *object, struct graph_node *node)
{
    const struct place place = {.up = up, .key = "attrs"};
    if (object == NULL)
        return ESPY_OK;
    if (!cJSON_IsObject(object))
        return refuse(reader, &place, "expected an object");
    node->attr_count = list_count(object);
    node->attrs = espy_arena_array(&reader->graph->arena, node->attr_count, sizeof(*node->attrs));
    if (node->attrs == NULL)
        return ESPY_OUT_OF_MEMORY;
    struct graph_attr *attr = node->attrs;
    for (const cJSON *item = object->child; item != NULL; item = item->next, attr++) {
        const struct place inner = {.up = &place, .key = item->string, .quoted = true};
        TRY(read_attr(reader, &inner, item, false, attr));
    }
    return ESPY_OK;
}

// {"op": "Clip", "min": 0, "max": 6}: everything but the op is an attribute.
static espy_status read_step(const struct reader *reader, const struct place *place,
                             const cJSON *object, struct graph_step *step)
{
    if (!cJSON_IsObject(object))
        return refuse(reader, place, "expected an object");
    struct graph_attr *attrs =
        espy_arena_array(&reader->graph->arena, list_count(object), sizeof(*attrs));
    if (attrs == NULL)
        return ESPY_OUT_OF_MEMORY;
    step->attrs = attrs;
    for (const cJSON *item = object->child; item != NULL; item = item->next) {
        const struct place inner = {.up = place, .key = item->string, .quoted = true};
        if (strcmp(item->string, "op") == 0) {
            if (step->op != NULL)
                return refuse(reader, place, "key \"op\" is there twice");
            TRY(read_string(reader, &inner, item, &step->op));
        } else {
            TRY(read_attr(reader, &inner, item, true, &attrs[step->attr_count]));
            step->attr_count++;
        }
    }
    return step->op == NULL ? refuse(reader, place, "key \"op\" is missing") : ESPY_OK;
}

static espy_status read_steps(const struct reader *reader, const struct place *up,
                              const cJSON *list, struct graph_node *node)
{
    const struct place place = {.up = up, .key = "epilogue"};
    if (list == NULL)
        return ESPY_OK;
    TRY(expect_list(reader, &place, list));
    node->step_count = list_count(list);
    node->steps = espy_arena_array(&reader->graph->arena, node->step_count, sizeof(*node->steps));
    if (node->steps == NULL)
        return ESPY_OUT_OF_MEMORY;
    struct place inner = {.up = &place};
    for (const cJSON *item = list->child; item != NULL; item = item->next, inner.index++)
        TRY(read_step(reader, &inner, item, &node->steps[inner.index]));
    return ESPY_OK;
}

static espy_status read_node(struct reader *reader, const struct place *place, const cJSON *object,
                             struct graph_node *node)
{
    enum { OP, NAME, INPUTS, OUTPUTS, ATTRS, EPILOGUE };
    struct member members[] = {{"op", true, NULL},     {"name", true, NULL},
                               {"inputs", true, NULL}, {"outputs", true, NULL},
                               {"attrs", false, NULL}, {"epilogue", false, NULL}};
    TRY(read_members(reader, place, object, members, MEMBER_COUNT(members)));
    const struct place op_place = {.up = place, .key = "op"};
    const struct place name_place = {.up = place, .key = "name"};
    const struct place inputs_place = {.up = place, .key = "inputs"};
    const struct place outputs_place = {.up = place, .key = "outputs"};
    TRY(read_string(reader, &op_place, members[OP].item, &node->op));
    TRY(read_string(reader, &name_place, members[NAME].item, &node->name));
    TRY(read_values(reader, &inputs_place, members[INPUTS].item, false, &node->inputs,
                    &node->input_count));
    TRY(read_values(reader, &outputs_place, members[OUTPUTS].item, true, &node->outputs,
                    &node->output_count));
    TRY(read_attrs(reader, place, members[ATTRS].item, node));
    return read_steps(reader, place, members[EPILOGUE].item, node);
}

static espy_status read_nodes(struct reader *reader, const cJSON *list)
{
    const struct place place = {.up = reader->at, .key = "nodes"};
    struct graph *graph = reader->graph;
    TRY(expect_list(reader, &place, list));
    const uint32_t count = list_count(list); // after those that layers have made
    struct graph_node *nodes;
    TRY(espy_graph_append_nodes(graph, count, &nodes));
    struct place inner = {.up = &place};
    for (const cJSON *item = list->child; item != NULL; item = item->next, inner.index++)
        TRY(read_node(reader, &inner, item, &nodes[inner.index]));
    return ESPY_OK;
}

// ---- the whole ----------------------------------------------------------------------------------

// Whatever order they stand in, values are numbered inputs, tensors, results of nodes.
static espy_status read_graph(struct reader *reader, const cJSON *inputs, const cJSON *tensors,
                              const cJSON *nodes, const cJSON *outputs)
{
    TRY(read_inputs(reader, inputs));
    TRY(read_tensors(reader, tensors));
    const uint32_t first_made = reader->graph->value_count;
    if (reader->layered != NULL)
        TRY(reader->source->hand->layers(reader->source->hand->user, reader->layered, reader->graph,
                                         &reader->values));
    if (nodes != NULL) // there are layers in place of them
        TRY(read_nodes(reader, nodes));
    return read_outputs(reader, outputs, first_made);
}

static espy_status read_body(struct reader *around, const struct place *place, const cJSON *object)
{
    enum { NAME, INPUTS, OUTPUTS, TENSORS, NODES };
    struct member members[] = {{"name", true, NULL},
                               {"inputs", true, NULL},
                               {"outputs", true, NULL},
                               {"tensors", false, NULL},
                               {"nodes", true, NULL}};
    const struct place name_place = {.up = place, .key = "name"};
    const char *name = NULL;
    TRY(read_members(around, place, object, members, MEMBER_COUNT(members)));
    TRY(read_string(around, &name_place, members[NAME].item, &name));
    struct reader reader = *around;
    struct graph body;
    espy_graph_init(&body, around->host);
    body.name = name;
    reader.graph = &body;
    reader.at = place;
    reader.around = around;
    reader.layered = NULL;
    espy_map_init(&reader.values, reader.host);
    espy_status status = read_graph(&reader, members[INPUTS].item, members[TENSORS].item,
                                    members[NODES].item, members[OUTPUTS].item);
    if (status == ESPY_OK)
        status = espy_graph_add_body(around->graph, &body);
    if (status != ESPY_OK)
        espy_graph_finish(&body);
    espy_map_finish(&reader.values);
    around->weights_end = reader.weights_end;
    return status;
}

static espy_status read_bodies(struct reader *reader, const cJSON *list)
{
    const struct place place = {.key = "bodies"};
    if (list == NULL)
        return ESPY_OK;
    TRY(expect_list(reader, &place, list));
    struct place inner = {.up = &place};
    for (const cJSON *item = list->child; item != NULL; item = item->next, inner.index++)
        TRY(read_body(reader, &inner, item));
    return ESPY_OK;
}

// ---- attention ----------------------------------------------------------------------------------

// [rows, columns]
static espy_status read_pair(const struct reader *reader, const struct place *place,
                             const cJSON *list, uint32_t pair[2])
{
    struct place inner = {.up = place};
    if (list == NULL)
        return ESPY_OK;
    TRY(expect_list(reader, place, list));
    if (list_count(list) != 2)
        return refuse(reader, place, "expected two numbers, rows and columns");
    for (const cJSON *item = list->child; item != NULL; item = item->next, inner.index++) {
        uint64_t number = 0;
        TRY(read_integer(reader, &inner, item, GRAPH_DIM_MAX, &number));
        pair[inner.index] = (uint32_t)number;
    }
    return ESPY_OK;
}

static espy_status read_grid(const struct reader *reader, const struct place *up, const char *key,
                             const cJSON *object, struct espy_token_grid *grid)
{
    enum { GRID, OF, EXTRA, WINDOW, STEP, SHIFT, COUNT };
    struct member members[COUNT] = {{"grid", true, NULL},   {"of", false, NULL},
                                    {"extra", false, NULL}, {"window", false, NULL},
                                    {"step", false, NULL},  {"shift", false, NULL}};
    const struct place place = {.up = up, .key = key};
    struct place at[COUNT];
    uint32_t size[2] = {0, 0};
    uint64_t extra = 0;
    if (object == NULL)
        return ESPY_OK;
    for (int i = 0; i < COUNT; i++)
        at[i] = (struct place){.up = &place, .key = members[i].key};
    TRY(read_members(reader, &place, object, members, COUNT));
    if (members[WINDOW].item == NULL && (members[STEP].item != NULL || members[SHIFT].item != NULL))
        return refuse(reader, &place, "\"step\" and \"shift\" are for \"window\"");
    if (members[WINDOW].item != NULL)
        grid->step[0] = grid->step[1] = 1;
    TRY(read_pair(reader, &at[GRID], members[GRID].item, size));
    TRY(read_string(reader, &at[OF], members[OF].item, &grid->of));
    TRY(read_integer(reader, &at[EXTRA], members[EXTRA].item, GRAPH_DIM_MAX, &extra));
    TRY(read_pair(reader, &at[WINDOW], members[WINDOW].item, grid->window));
    TRY(read_pair(reader, &at[STEP], members[STEP].item, grid->step));
    TRY(read_pair(reader, &at[SHIFT], members[SHIFT].item, grid->shift));
    if (size[0] == 0 || size[1] == 0)
        return refuse(reader, &at[GRID], "rows and columns are above 0");
    if (members[WINDOW].item != NULL && (grid->window[0] == 0 || grid->window[1] == 0))
        return refuse(reader, &at[WINDOW], "rows and columns are above 0");
    grid->rows = size[0];
    grid->columns = size[1];
    grid->extra = (uint32_t)extra;
    return ESPY_OK;
}

static espy_status read_site(const struct reader *reader, const struct place *place,
                             const cJSON *object, const struct map *nodes, struct graph_site *site)
{
    enum { NAME, KIND, NODE, HEADS, QUERIES, KEYS };
    struct member members[] = {{"name", true, NULL},     {"kind", true, NULL},
                               {"node", true, NULL},     {"heads", false, NULL},
                               {"queries", false, NULL}, {"keys", false, NULL}};
    const struct place name_place = {.up = place, .key = "name"};
    const struct place kind_place = {.up = place, .key = "kind"};
    const struct place node_place = {.up = place, .key = "node"};
    const struct place heads_place = {.up = place, .key = "heads"};
    const char *node = NULL;
    char shown[FORMAT_TEXT_SHOWN_MAX];
    uint64_t heads = 0;
    TRY(read_members(reader, place, object, members, MEMBER_COUNT(members)));
    TRY(read_string(reader, &name_place, members[NAME].item, &site->name));
    TRY(read_string(reader, &kind_place, members[KIND].item, &site->kind));
    TRY(read_string(reader, &node_place, members[NODE].item, &node));
    TRY(read_integer(reader, &heads_place, members[HEADS].item, GRAPH_HEADS_MAX, &heads));
    site->heads = (uint32_t)heads;
    site->node = espy_map_get(nodes, node);
    if (site->node == MAP_NONE)
        return refuse(reader, &node_place, "there is no node \"%s\"",
                      espy_format_shown(node, shown));
    TRY(read_grid(reader, place, "queries", members[QUERIES].item, &site->queries));
    return read_grid(reader, place, "keys", members[KEYS].item, &site->keys);
}

static espy_status read_site_list(struct reader *reader, const struct place *place,
                                  const cJSON *list, struct map *nodes)
{
    struct graph *graph = reader->graph;
    for (uint32_t n = 0; n < graph->node_count; n++)
        TRY(espy_map_put(nodes, graph->nodes[n].name, n));
    struct place inner = {.up = place};
    for (const cJSON *item = list->child; item != NULL; item = item->next, inner.index++)
        TRY(read_site(reader, &inner, item, nodes, &graph->sites[inner.index]));
    return ESPY_OK;
}

static espy_status read_sites(struct reader *reader, const cJSON *list)
{
    const struct place place = {.key = "attention"};
    struct graph *graph = reader->graph;
    if (list == NULL)
        return ESPY_OK;
    TRY(expect_list(reader, &place, list));
    graph->sites = espy_arena_array(&graph->arena, list_count(list), sizeof(*graph->sites));
    if (graph->sites == NULL)
        return ESPY_OUT_OF_MEMORY;
    graph->site_count = list_count(list);
    struct map nodes;
    espy_map_init(&nodes, reader->host);
    const espy_status status = read_site_list(reader, &place, list, &nodes);
    espy_map_finish(&nodes);
    return status;
}

static espy_status read_root(struct reader *reader, const cJSON *root)
{
    enum {
        ESPY,
        NAME,
        PRODUCER,
        INPUTS,
        OUTPUTS,
        TENSORS,
        NODES,
        ATTENTION,
        BODIES,
        LAYERS,
        DTYPE,
        BLOCKS
    };
    const struct format_hand *hand = reader->source->hand;
    const bool may_have_layers = hand != NULL && hand->layers != NULL;
    const bool has_layers =
        may_have_layers && cJSON_GetObjectItemCaseSensitive(root, "layers") != NULL;
    struct member members[] = {
        {"espy", true, NULL},         {"name", false, NULL},      {"producer", false, NULL},
        {"inputs", true, NULL},       {"outputs", true, NULL},    {"tensors", false, NULL},
        {"nodes", !has_layers, NULL}, {"attention", false, NULL}, {"bodies", false, NULL},
        {"layers", false, NULL},      {"dtype", false, NULL},     {"blocks", false, NULL}};
    // What only layers have comes last and is left out for files.
    TRY(read_members(reader, NULL, root, members,
                     may_have_layers ? MEMBER_COUNT(members) : LAYERS));
    if (!has_layers && (members[DTYPE].item != NULL || members[BLOCKS].item != NULL))
        return refuse(reader, NULL, "\"dtype\" and \"blocks\" are for \"layers\"");
    const struct place version_place = {.key = "espy"};
    const struct place name_place = {.key = "name"};
    const struct place producer_place = {.key = "producer"};
    const struct place tensors_place = {.key = "tensors"};
    uint64_t version = 0;
    TRY(read_integer(reader, &version_place, members[ESPY].item, INTEGER_MAX, &version));
    if (version != FORMAT_VERSION)
        return refuse(reader, &version_place, "version %llu, not %d", (unsigned long long)version,
                      (int)FORMAT_VERSION);
    TRY(read_string(reader, &name_place, members[NAME].item, &reader->graph->name));
    TRY(read_string(reader, &producer_place, members[PRODUCER].item, &reader->graph->producer));
    reader->layered = has_layers ? root : NULL;
    TRY(read_graph(reader, members[INPUTS].item, members[TENSORS].item, members[NODES].item,
                   members[OUTPUTS].item));
    TRY(read_sites(reader, members[ATTENTION].item));
    TRY(read_bodies(reader, members[BODIES].item));
    if (reader->source->hand == NULL && reader->weights_end != reader->source->weights_size)
        return refuse(reader, &tensors_place, "the tensors end at %zu, the weights have %zu bytes",
                      reader->weights_end, reader->source->weights_size);
    return ESPY_OK;
}

static espy_status build_graph(struct reader *reader, const char *json, size_t size)
{
    TRY(espy_format_scan_json(reader->host, reader->file, json, size));
    cJSON *root = cJSON_ParseWithLengthOpts(json, size, NULL, false);
    if (root == NULL) // not the text: the scan is stricter than cJSON
        return espy_fail_memory(reader->host, size, "the tree of the JSON");
    const espy_status status = read_root(reader, root);
    cJSON_Delete(root);
    TRY(status);
    return espy_format_check_graph(reader->graph, reader->file);
}

espy_status espy_format_parse_json(const struct host *host, const char *file, const char *json,
                                   size_t size, const struct format_source *source,
                                   struct graph *graph)
{
    espy_graph_init(graph, host);
    if (size > FORMAT_JSON_SIZE_MAX)
        return espy_fail(host, ESPY_BAD_FORMAT, "%s: %zu bytes of JSON, at most %llu", file, size,
                         (unsigned long long)FORMAT_JSON_SIZE_MAX);
    struct reader reader = {.host = host, .file = file, .source = source, .graph = graph};
    espy_map_init(&reader.values, host);
    const espy_status status = build_graph(&reader, json, size);
    espy_map_finish(&reader.values);
    if (status != ESPY_OK)
        espy_graph_finish(graph);
    return status;
}

espy_status espy_format_read_hand(const struct host *host, const char *name, const char *json,
                                  size_t size, const struct format_hand *hand, struct graph *graph)
{
    const struct format_source source = {.hand = hand};
    return espy_format_parse_json(host, name, json, size, &source, graph);
}

espy_status espy_format_read_json(const struct host *host, const char *name, const char *json,
                                  size_t size, espy_format_tensor_fn find, void *user,
                                  struct graph *graph)
{
    const struct format_hand hand = {.user = user, .find = find};
    return espy_format_read_hand(host, name, json, size, &hand, graph);
}
