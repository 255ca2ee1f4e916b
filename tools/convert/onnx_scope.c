#include "convert/convert_internal.h"

#include <string.h>

// Names and what they stand for: in the network, in the functions that it calls, and in bodies,
// which see the names around them.

espy_status espy_import_bad(const struct importer *importer, const char *what, const char *name)
{
    return espy_fail(importer->host, ESPY_BAD_FORMAT, "%s: %s '%s'", importer->model_path, what,
                     name);
}

const char *espy_import_text(const char *text)
{
    return text == NULL ? "" : text;
}

// ---- names --------------------------------------------------------------------------------------

// hint itself where it is free, else hint_2, hint_3, ... Remembers what it gives.
const char *espy_import_unique(struct importer *importer, struct map *names, const char *hint)
{
    const char *name = espy_arena_string(&importer->graph->arena, hint);
    for (uint32_t i = 2; name != NULL && espy_map_get(names, name) != MAP_NONE; i++) {
        // The count of names bounds the search, and starting there makes it short.
        const uint32_t number = i == 2 ? i : names->count + i;
        name = espy_arena_format(&importer->graph->arena, "%s_%u", hint, (unsigned)number);
    }
    if (name == NULL || espy_map_put(names, name, 0) != ESPY_OK)
        return NULL;
    return name;
}

espy_status espy_import_note(struct importer *importer, uint32_t value, espy_dtype dtype,
                             bool produced)
{
    const uint32_t old = importer->note_capacity;
    while (value >= importer->note_capacity)
        TRY(espy_grow(importer->host, &importer->notes, importer->note_capacity,
                      &importer->note_capacity, sizeof(*importer->notes)));
    for (uint32_t i = old; i < importer->note_capacity; i++)
        importer->notes[i] =
            (struct import_note){.dtype = ESPY_DTYPE_NONE, .rank = -1, .length = -1};
    struct import_note *note = &importer->notes[value];
    if (dtype != ESPY_DTYPE_NONE)
        note->dtype = dtype;
    note->produced = note->produced || produced;
    return ESPY_OK;
}

espy_dtype espy_import_dtype(const struct importer *importer, uint32_t value)
{
    return value < importer->note_capacity ? importer->notes[value].dtype : ESPY_DTYPE_NONE;
}

espy_status espy_import_value(struct importer *importer, const char *hint, espy_dtype dtype,
                              uint32_t *index)
{
    const char *name = espy_import_unique(importer, &importer->value_names, hint);
    if (name == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(espy_graph_append_value(importer->graph, &(struct graph_value){.name = name}, index));
    return espy_import_note(importer, *index, dtype, false);
}

// A name that a body takes from around it: a constant becomes one of the body's too, with the same
// data; anything else becomes an input.
static espy_status capture_name(struct importer *importer, const char *name, uint32_t *index)
{
    struct importer *around = importer->around;
    uint32_t outer;
    TRY(espy_import_use_name(around, name, &outer));
    const struct graph_value value = around->graph->values[outer];
    const char *unique = espy_import_unique(importer, &importer->value_names, value.name);
    if (unique == NULL)
        return ESPY_OUT_OF_MEMORY;
    struct graph_value inside = {.name = unique};
    if (value.data != NULL) {
        inside = value;
        inside.name = unique;
    }
    TRY(espy_graph_append_value(importer->graph, &inside, index));
    TRY(espy_import_note(importer, *index, espy_import_dtype(around, outer), true));
    importer->notes[*index].rank = espy_import_rank(around, outer);
    if (value.data != NULL)
        return ESPY_OK;
    TRY(espy_grow(importer->host, &importer->captures, importer->capture_count,
                  &importer->capture_capacity, sizeof(*importer->captures)));
    importer->captures[importer->capture_count++] = (struct import_capture){outer, *index};
    importer->graph->values[*index].dtype = espy_import_dtype(around, outer);
    return ESPY_OK;
}

// Lets a name stand for a value in the frame. The message that it comes from does not last.
static espy_status put_name(struct importer *importer, const char *name, uint32_t index)
{
    const char *kept = importer->graph->values[index].name;
    if (strcmp(kept, name) != 0)
        kept = espy_arena_string(&importer->memory, name);
    return kept == NULL ? ESPY_OUT_OF_MEMORY : espy_map_put(&importer->frame->names, kept, index);
}

// The graph value that a name stands for in the frame; made when it is new. Files whose nodes are
// out of order mention values before they make them.
espy_status espy_import_use_name(struct importer *importer, const char *name, uint32_t *index)
{
    struct import_frame *frame = importer->frame;
    *index = GRAPH_NONE;
    if (name == NULL || name[0] == '\0')
        return ESPY_OK;
    *index = espy_map_get(&frame->names, name);
    if (*index != MAP_NONE)
        return ESPY_OK;
    // Bodies see the names around them; functions see their own alone.
    const bool from_around = importer->around != NULL && frame->outer == NULL &&
                             espy_map_get(&importer->own_names, name) == MAP_NONE;
    const char *hint = espy_arena_format(&importer->scratch, "%s%s", frame->prefix, name);
    if (hint == NULL)
        return ESPY_OUT_OF_MEMORY;
    if (from_around)
        TRY(capture_name(importer, name, index));
    else
        TRY(espy_import_value(importer, hint, ESPY_DTYPE_NONE, index));
    return put_name(importer, name, *index);
}

espy_status espy_import_define_name(struct importer *importer, const char *name, uint32_t *index)
{
    TRY(espy_import_use_name(importer, name, index));
    if (*index == GRAPH_NONE)
        return ESPY_OK;
    if (importer->notes[*index].produced)
        return espy_import_bad(importer, "two nodes, inputs or initializers make the value", name);
    return espy_import_note(importer, *index, ESPY_DTYPE_NONE, true);
}

// ---- frames -------------------------------------------------------------------------------------

espy_status espy_import_push_frame(struct importer *importer, const struct import_frame *like)
{
    if (importer->depth == IMPORT_DEPTH_MAX)
        return espy_fail(importer->host, ESPY_BAD_FORMAT,
                         "%s: functions or branches are nested deeper than %d",
                         importer->model_path, (int)IMPORT_DEPTH_MAX);
    struct import_frame *frame = espy_arena_alloc(&importer->memory, sizeof(*frame));
    if (frame == NULL)
        return ESPY_OUT_OF_MEMORY;
    *frame = *like;
    frame->outer = importer->frame;
    espy_map_init(&frame->names, importer->host);
    importer->frame = frame;
    importer->depth++;
    return ESPY_OK;
}

void espy_import_pop_frame(struct importer *importer)
{
    espy_map_finish(&importer->frame->names);
    espy_onnx_free_node(importer->model, importer->frame->message);
    importer->frame = importer->frame->outer;
    importer->depth--;
}

// Gives an initializer its name in the frame. What the problem list has already is made an unknown
// value, so that the nodes that use it are still looked at.
espy_status espy_import_initializer(struct importer *importer, const onnx_tensor *tensor)
{
    const char *name = espy_import_text(tensor->name);
    if (name[0] == '\0')
        return espy_import_bad(importer, "an initializer has no name", "");
    if (espy_map_get(&importer->frame->names, name) != MAP_NONE)
        return espy_import_bad(importer, "two initializers or inputs have the name", name);
    const char *hint = espy_arena_format(&importer->scratch, "%s%s", importer->frame->prefix, name);
    const char *unique =
        hint == NULL ? NULL : espy_import_unique(importer, &importer->value_names, hint);
    if (unique == NULL)
        return ESPY_OUT_OF_MEMORY;
    uint32_t index;
    struct graph_value value = {.name = unique};
    TRY(espy_onnx_constant(importer, tensor, unique, name, &value));
    TRY(espy_graph_append_value(importer->graph, &value, &index));
    TRY(espy_import_note(importer, index, value.dtype, true));
    return put_name(importer, name, index);
}
