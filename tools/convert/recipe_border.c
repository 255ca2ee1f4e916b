// The step that lays a border around the picture before the network sees it: for networks whose
// convolutions eat one, so that what they make is of the whole picture.
#include "convert/recipe.h"

// The input without the border is a new value, which takes the old one's name.
static espy_status shrink_input(struct recipe *recipe, struct graph_io *io, uint32_t axis,
                                uint32_t *value)
{
    struct graph *graph = recipe->graph;
    const struct graph_value was = graph->values[io->value];
    struct graph_value small = was;
    const int64_t less = 2 * recipe->border;
    const char *hint = espy_arena_format(&recipe->importer.memory, "%s/border", was.name);
    const char *inner =
        hint == NULL ? NULL
                     : espy_import_unique(&recipe->importer, &recipe->importer.value_names, hint);
    if (inner == NULL)
        return ESPY_OUT_OF_MEMORY;
    small.symbols = NULL;
    for (uint32_t d = axis; d < axis + 2; d++)
        if (was.shape.dims[d] >= 0)
            small.shape.dims[d] -= less;
    for (uint32_t d = 0; d < was.shape.rank; d++) {
        const char *symbol = espy_graph_symbol(&was, d);
        if (symbol != NULL && d >= axis && d < axis + 2)
            symbol = espy_arena_format(&recipe->importer.memory, "%s - %d", symbol, (int)less);
        if (symbol != NULL)
            TRY(espy_graph_set_symbol(graph, &small, d, symbol));
    }
    graph->values[io->value].name = inner;
    TRY(espy_graph_append_value(graph, &small, value));
    io->value = *value;
    return espy_import_note(&recipe->importer, *value, was.dtype, true);
}

// Fails where a side is known and no picture would be left of it.
static void check_side(struct recipe *recipe, int64_t side)
{
    if (side >= 0 && side <= 2 * recipe->border)
        espy_recipe_refuse(recipe,
                           "the network sees %lld pixels, of which a border of %lld on both sides "
                           "leaves none for the picture",
                           (long long)side, (long long)recipe->border);
}

static void pad_input(struct recipe *recipe, uint32_t small, uint32_t axis, const char *mode,
                      uint32_t input)
{
    struct builder *b = &recipe->b;
    const int64_t by = recipe->border;
    const uint32_t pads = LIST(b, by, by, by, by);
    const uint32_t y =
        EMIT(b, "Pad", small, pads, GRAPH_NONE, LIST(b, (int64_t)axis, (int64_t)axis + 1));
    espy_build_set_text(b, "mode", mode);
    recipe->node.outputs = &input;
    recipe->node.output_count = 1;
    espy_build_result(b, 0, y);
    recipe->node.output_count = 0;
}

void espy_recipe_border(struct recipe *recipe)
{
    static const char *const modes[] = {"edge", "reflect", NULL};
    struct graph *graph = recipe->graph;
    uint32_t axis, small;
    const uint32_t count = graph->node_count;
    const int64_t by = espy_recipe_integer(recipe, "by", 0, 1, GRAPH_PICTURE_MAX);
    const char *mode = modes[espy_recipe_choice(recipe, "mode", modes)];
    const struct graph_io *picture = espy_recipe_picture_axis(recipe, &axis);
    if (picture != NULL && recipe->border != 0)
        espy_recipe_refuse(recipe, "the picture has a border already");
    if (picture == NULL || recipe->b.status != ESPY_OK)
        return;
    struct graph_io *io = &graph->inputs[picture - graph->inputs];
    const uint32_t input = io->value;
    recipe->border = by;
    for (uint32_t d = axis; d < axis + 2; d++)
        check_side(recipe, graph->values[input].shape.dims[d]);
    struct espy_preprocess *how = io->preprocess;
    if (how != NULL && how->height != 0)
        check_side(recipe, how->height < how->width ? how->height : how->width);
    if (recipe->b.status == ESPY_OK)
        recipe->b.status = shrink_input(recipe, io, axis, &small);
    if (recipe->b.status != ESPY_OK)
        return;
    if (how != NULL && how->height != 0) {
        how->height -= (uint32_t)(2 * by);
        how->width -= (uint32_t)(2 * by);
    }
    pad_input(recipe, small, axis, mode, input);
    espy_build_move_to_front(&recipe->b, count);
    espy_recipe_define(recipe, graph->values[small].name, small);
}
