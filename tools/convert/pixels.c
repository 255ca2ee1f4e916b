// Networks that take the pixels of a picture: what would be done to a picture on the host
// (tools/picture_preprocess.c, which does as Pillow does) becomes nodes before the network, and
// places in what the network sees become places in the picture again.
#include "convert/recipe.h"

#include <string.h>

enum { PAD_VALUE = 114 }; // beside a letterboxed picture

enum fit_mode { FIT_STRETCH, FIT_LETTERBOX, FIT_CROP };

struct pixels {
    struct graph *graph;
    struct importer importer;
    struct import_node node;
    struct builder b;
    struct graph_io *io; // of the picture
    const struct espy_preprocess *how;
    enum fit_mode mode;
    bool resized;          // false: the network takes any size
    int64_t height, width; // that the network sees, where that is one size
    // Values, lists of one int64: of the picture, of what it is resized to, and what is cut off of
    // that on the left and above.
    uint32_t pixels; // the new input
    uint32_t from_height, from_width, to_height, to_width, left, top;
};

// ---- sizes, which follow from the picture's -----------------------------------------------------

// The side for a picture that is scaled as the other side is: side * other_to / other_from, which
// letterboxing rounds to the nearest and cropping rounds down.
static uint32_t scaled_side(struct pixels *p, uint32_t side, int64_t other_to, uint32_t other_from)
{
    struct builder *b = &p->b;
    if (p->mode == FIT_CROP)
        return EMIT(b, "Div", EMIT(b, "Mul", side, LIST(b, other_to)), other_from);
    const uint32_t twice = EMIT(b, "Mul", side, LIST(b, 2 * other_to));
    return EMIT(b, "Div", EMIT(b, "Add", twice, other_from),
                EMIT(b, "Mul", other_from, LIST(b, 2)));
}

// Half of what is too much, where a half pixel is to be cut rounded to even.
static uint32_t cut_side(struct pixels *p, uint32_t side, int64_t to)
{
    struct builder *b = &p->b;
    const uint32_t excess = EMIT(b, "Sub", side, LIST(b, to));
    const uint32_t half = EMIT(b, "Div", excess, LIST(b, 2));
    const uint32_t odd =
        EMIT(b, "Mul", EMIT(b, "Mod", excess, LIST(b, 2)), EMIT(b, "Mod", half, LIST(b, 2)));
    return EMIT(b, "Add", half, odd);
}

static void find_sizes(struct pixels *p)
{
    struct builder *b = &p->b;
    p->from_height = p->to_height = espy_build_dims(b, p->pixels, 1, 2);
    p->from_width = p->to_width = espy_build_dims(b, p->pixels, 2, 3);
    p->left = p->top = GRAPH_NONE;
    if (!p->resized)
        return;
    const uint32_t height = LIST(b, p->height), width = LIST(b, p->width);
    p->to_height = height;
    p->to_width = width;
    if (p->mode == FIT_STRETCH)
        return;
    const char *op = p->mode == FIT_CROP ? "Max" : "Min";
    const uint32_t wide = scaled_side(p, p->from_width, p->height, p->from_height);
    const uint32_t high = scaled_side(p, p->from_height, p->width, p->from_width);
    p->to_width = EMIT(b, op, width, EMIT(b, "Max", wide, LIST(b, 1)));
    p->to_height = EMIT(b, op, height, EMIT(b, "Max", high, LIST(b, 1)));
    if (p->mode == FIT_CROP) {
        p->left = cut_side(p, p->to_width, p->width);
        p->top = cut_side(p, p->to_height, p->height);
    }
}

// ---- the picture --------------------------------------------------------------------------------

static uint32_t number(struct pixels *p, double value)
{
    return espy_build_scalar(&p->b, ESPY_FLOAT32, value);
}

// Each direction is rounded to bytes, as in an 8-bit picture.
static uint32_t resize_side(struct pixels *p, uint32_t x, uint32_t size, double axis)
{
    struct builder *b = &p->b;
    const uint32_t y = EMIT(b, "Resize", x, GRAPH_NONE, GRAPH_NONE, size);
    espy_build_set_text(b, "mode", "linear");
    espy_build_set(b, "antialias", 1);
    espy_build_set(b, "exclude_outside", 1);
    espy_build_set_list(b, "axes", &axis, 1);
    return EMIT(b, "Floor", EMIT(b, "Add", y, number(p, 0.5)));
}

// Cuts to, or fills up to, what the network sees.
static uint32_t frame_picture(struct pixels *p, uint32_t x)
{
    struct builder *b = &p->b;
    const uint32_t height = LIST(b, p->height), width = LIST(b, p->width);
    if (p->mode == FIT_CROP) {
        const uint32_t starts[] = {p->top, p->left};
        const uint32_t ends[] = {EMIT(b, "Add", p->top, height), EMIT(b, "Add", p->left, width)};
        return EMIT(b, "Slice", x, espy_build_concat(b, starts, 2, 0),
                    espy_build_concat(b, ends, 2, 0), LIST(b, 1, 2));
    }
    const uint32_t pads[] = {LIST(b, 0, 0, 0, 0, 0), EMIT(b, "Sub", height, p->to_height),
                             EMIT(b, "Sub", width, p->to_width), LIST(b, 0)};
    return EMIT(b, "Pad", x, espy_build_concat(b, pads, 4, 0), number(p, PAD_VALUE));
}

static uint32_t constant(struct pixels *p, const struct shape *shape, const double *numbers,
                         uint32_t count)
{
    uint32_t index = GRAPH_NONE;
    if (p->b.status == ESPY_OK)
        p->b.status = espy_import_numbers(&p->importer, p->node.name, ESPY_FLOAT32, shape, numbers,
                                          count, &index);
    return index;
}

static uint32_t color_picture(struct pixels *p, uint32_t x)
{
    // ITU-R 601 luma in Pillow's fixed point; float32 holds every sum exactly.
    static const double luma[] = {19595, 38470, 7471};
    struct builder *b = &p->b;
    if (strcmp(p->how->color, "bgr") == 0)
        return EMIT(b, "Slice", x, LIST(b, -1), LIST(b, -4), LIST(b, 3), LIST(b, -1));
    if (strcmp(p->how->color, "gray") != 0)
        return x;
    const struct shape column = {.rank = 2, .dims = {3, 1}};
    x = EMIT(b, "MatMul", x, constant(p, &column, luma, 3));
    x = EMIT(b, "Mul", EMIT(b, "Add", x, number(p, 32768)), number(p, 1.0 / 65536));
    return EMIT(b, "Floor", x);
}

static uint32_t normalize_picture(struct pixels *p, uint32_t x)
{
    const uint32_t channels = strcmp(p->how->color, "gray") == 0 ? 1 : 3;
    const struct shape list = {.rank = 1, .dims = {channels}};
    double factors[3], shifts[3];
    bool scales = false, moves = false;
    for (uint32_t c = 0; c < channels; c++) {
        factors[c] = 1 / (p->how->scale * p->how->std[c]);
        shifts[c] = -p->how->mean[c] / p->how->std[c];
        scales = scales || factors[c] != 1;
        moves = moves || shifts[c] != 0;
    }
    if (scales)
        x = EMIT(&p->b, "Mul", x, constant(p, &list, factors, channels));
    if (moves)
        x = EMIT(&p->b, "Add", x, constant(p, &list, shifts, channels));
    return x;
}

// Lets a value that was an input be made of another.
static void make_input(struct pixels *p, uint32_t made, uint32_t input)
{
    struct builder *b = &p->b;
    made = espy_build_cast(b, made, p->graph->values[input].dtype);
    p->node.outputs = &input;
    p->node.output_count = 1;
    espy_build_result(b, 0, made);
    p->node.output_count = 0;
}

static void add_picture(struct pixels *p, uint32_t input)
{
    static const uint32_t to_nchw[] = {0, 3, 1, 2};
    uint32_t x = espy_build_cast(&p->b, p->pixels, ESPY_FLOAT32);
    if (p->resized) {
        x = resize_side(p, x, p->to_width, 2);
        x = resize_side(p, x, p->to_height, 1);
        if (p->mode != FIT_STRETCH)
            x = frame_picture(p, x);
    }
    x = normalize_picture(p, color_picture(p, x));
    if (strcmp(p->how->layout, "nchw") == 0)
        x = espy_build_transpose(&p->b, x, to_nchw, 4);
    make_input(p, x, input);
}

// Inputs that say how large the picture is, as the network sees it, are known here.
static void add_image_sizes(struct pixels *p)
{
    struct graph *graph = p->graph;
    struct builder *b = &p->b;
    uint32_t kept = 0;
    const uint32_t picture = (uint32_t)(p->io - graph->inputs);
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const struct graph_io io = graph->inputs[i];
        const struct graph_value *value = &graph->values[io.value];
        if (io.role == NULL || strcmp(io.role, "image_size") != 0) {
            if (i == picture)
                p->io = &graph->inputs[kept];
            graph->inputs[kept++] = io;
            continue;
        }
        const uint32_t sides[] = {p->resized ? LIST(b, p->width) : p->from_width,
                                  p->resized ? LIST(b, p->height) : p->from_height};
        uint32_t size = espy_build_concat(b, sides, 2, 0);
        if (value->shape.rank == 2)
            size = EMIT(b, "Unsqueeze", size, LIST(b, 0));
        make_input(p, size, io.value);
    }
    graph->input_count = kept;
}

// ---- what comes out -----------------------------------------------------------------------------

// A list of one integer as a float.
static uint32_t as_float(struct pixels *p, uint32_t size)
{
    return espy_build_cast(&p->b, size, ESPY_FLOAT32);
}

// Boxes and points, x and y by turns along the last dimension; a third number is a score.
static uint32_t place_back(struct pixels *p, uint32_t x, int64_t numbers)
{
    struct builder *b = &p->b;
    const uint32_t across = EMIT(b, "Div", as_float(p, p->from_width), as_float(p, p->to_width));
    const uint32_t down = EMIT(b, "Div", as_float(p, p->from_height), as_float(p, p->to_height));
    const struct shape one = {.rank = 1, .dims = {1}};
    const uint32_t factors[] = {across, down,
                                numbers == 3 ? constant(p, &one, &(double){1}, 1) : across, down};
    x = espy_build_cast(b, x, ESPY_FLOAT32);
    if (p->left != GRAPH_NONE) {
        const uint32_t left = as_float(p, p->left), top = as_float(p, p->top);
        const uint32_t shifts[] = {left, top,
                                   numbers == 3 ? constant(p, &one, &(double){0}, 1) : left, top};
        x = EMIT(b, "Add", x, espy_build_concat(b, shifts, (uint32_t)numbers, 0));
    }
    return EMIT(b, "Mul", x, espy_build_concat(b, factors, (uint32_t)numbers, 0));
}

// Of a map over all that the network sees, the part where the picture is.
static uint32_t cut_back(struct pixels *p, uint32_t x)
{
    struct builder *b = &p->b;
    const int64_t network[] = {p->height, p->width};
    const uint32_t picture[] = {p->to_height, p->to_width};
    uint32_t ends[2];
    for (int i = 0; i < 2; i++) {
        const uint32_t side = espy_build_dims(b, x, i - 2, i == 0 ? -1 : INT64_MAX);
        const uint32_t share = EMIT(b, "Mul", EMIT(b, "Mul", picture[i], side), LIST(b, 2));
        const uint32_t rounded =
            EMIT(b, "Div", EMIT(b, "Add", share, LIST(b, network[i])), LIST(b, 2 * network[i]));
        ends[i] = EMIT(b, "Max", rounded, LIST(b, 1));
    }
    return EMIT(b, "Slice", x, LIST(b, 0, 0), espy_build_concat(b, ends, 2, 0), LIST(b, -2, -1));
}

static bool role_is_one(const struct graph_io *io, const char *const *roles, uint32_t count)
{
    for (uint32_t i = 0; io->role != NULL && i < count; i++)
        if (strcmp(io->role, roles[i]) == 0)
            return true;
    return false;
}

// The output keeps its name, and what the network makes gets another.
static espy_status give_name(struct pixels *p, struct graph_io *io, uint32_t made)
{
    struct graph *graph = p->graph;
    const char *name = graph->values[io->value].name;
    const char *hint = espy_arena_format(&p->importer.memory, "%s/network", name);
    const char *inner =
        hint == NULL ? NULL : espy_import_unique(&p->importer, &p->importer.value_names, hint);
    if (inner == NULL)
        return ESPY_OUT_OF_MEMORY;
    graph->values[io->value].name = inner;
    graph->values[made].name = name;
    io->value = made;
    return ESPY_OK;
}

static espy_status place_output(struct pixels *p, struct graph_io *io)
{
    static const char *const places[] = {"boxes", "keypoints"};
    static const char *const maps[] = {"mask", "masks", "depth", "heatmap", "attention_map"};
    const struct graph_value value = p->graph->values[io->value];
    const char *of = io->of == NULL ? p->graph->values[p->io->value].name : io->of;
    if (!p->resized || strcmp(of, p->graph->values[p->io->value].name) != 0)
        return ESPY_OK;
    uint32_t made = GRAPH_NONE;
    if (role_is_one(io, places, 2)) {
        const bool boxes = strcmp(io->role, "boxes") == 0;
        const int64_t last =
            value.has_shape && value.shape.rank > 0 ? value.shape.dims[value.shape.rank - 1] : -1;
        made = place_back(p, io->value, boxes ? 4 : last == 3 ? 3 : 2);
        TRY(p->b.status);
        p->graph->values[made].dtype = ESPY_FLOAT32;
        p->graph->values[made].has_shape = value.has_shape;
        p->graph->values[made].shape = value.shape;
        p->graph->values[made].symbols = value.symbols;
    } else if (role_is_one(io, maps, 5) && p->mode == FIT_LETTERBOX) {
        made = cut_back(p, io->value);
        TRY(p->b.status);
        p->graph->values[made].dtype = value.dtype;
    } else if (role_is_one(io, maps, 5) && p->mode == FIT_CROP) {
        return espy_fail(p->importer.host, ESPY_UNSUPPORTED,
                         "output '%s' is a %s of a cropped picture, which --pixels cannot lay over "
                         "the whole one: use the resizing stretch or letterbox",
                         value.name, io->role);
    } else {
        return ESPY_OK;
    }
    return give_name(p, io, made);
}

// ---- all of it ----------------------------------------------------------------------------------

static bool uses_symbol(const struct graph *graph, const char *symbol)
{
    for (uint32_t v = 0; v < graph->value_count; v++)
        for (uint32_t d = 0; d < ESPY_RANK_MAX; d++)
            if (espy_graph_symbol(&graph->values[v], d) != NULL &&
                strcmp(graph->values[v].symbols[d], symbol) == 0)
                return true;
    return false;
}

// Where the network takes any size, its own words for it stay.
static espy_status name_side(struct pixels *p, const struct graph_value *was, uint32_t at,
                             uint32_t to, const char *word)
{
    const char *symbol = p->resized ? NULL : espy_graph_symbol(was, at);
    if (symbol == NULL)
        symbol = uses_symbol(p->graph, word)
                     ? espy_arena_format(&p->graph->arena, "%s of %s", word, was->name)
                     : word;
    if (symbol == NULL)
        return ESPY_OUT_OF_MEMORY;
    return espy_graph_set_symbol(p->graph, &p->graph->values[p->pixels], to, symbol);
}

// The new input takes the name of the old one, whose value is made from here on.
static espy_status replace_input(struct pixels *p, uint32_t *input)
{
    struct graph *graph = p->graph;
    const struct graph_value was = graph->values[p->io->value];
    const bool last = strcmp(p->how->layout, "nhwc") == 0;
    const struct graph_value pixels = {.name = was.name,
                                       .dtype = ESPY_UINT8,
                                       .has_shape = true,
                                       .shape = {.rank = 4, .dims = {1, -1, -1, 3}}};
    const char *hint = espy_arena_format(&p->importer.memory, "%s/network", was.name);
    const char *inner =
        hint == NULL ? NULL : espy_import_unique(&p->importer, &p->importer.value_names, hint);
    struct espy_preprocess *how = espy_arena_alloc(&graph->arena, sizeof(*how));
    if (inner == NULL || how == NULL)
        return ESPY_OUT_OF_MEMORY;
    *how = (struct espy_preprocess){
        .resize = "stretch", .color = "rgb", .layout = "nhwc", .scale = 1, .std = {1, 1, 1, 1}};
    *input = p->io->value;
    graph->values[*input].name = inner;
    TRY(espy_graph_append_value(graph, &pixels, &p->pixels));
    TRY(name_side(p, &was, last ? 1 : 2, 1, "height"));
    TRY(name_side(p, &was, last ? 2 : 3, 2, "width"));
    TRY(espy_import_note(&p->importer, p->pixels, ESPY_UINT8, true));
    p->io->value = p->pixels;
    p->io->preprocess = how;
    return ESPY_OK;
}

static espy_status know_names(struct pixels *p)
{
    const struct graph *graph = p->graph;
    for (uint32_t v = 0; v < graph->value_count; v++) {
        TRY(espy_map_put(&p->importer.value_names, graph->values[v].name, 0));
        TRY(espy_import_note(&p->importer, v, graph->values[v].dtype, true));
    }
    for (uint32_t n = 0; n < graph->node_count; n++)
        TRY(espy_map_put(&p->importer.node_names, graph->nodes[n].name, 0));
    return ESPY_OK;
}

static espy_status add_all(struct pixels *p)
{
    struct graph *graph = p->graph;
    const uint32_t count = graph->node_count;
    uint32_t input;
    TRY(know_names(p));
    TRY(replace_input(p, &input));
    find_sizes(p);
    add_picture(p, input);
    add_image_sizes(p);
    espy_build_move_to_front(&p->b, count);
    TRY(p->b.status);
    for (uint32_t i = 0; i < graph->output_count; i++)
        TRY(place_output(p, &graph->outputs[i]));
    return p->b.status;
}

// What the network sees, from the preprocessing or the input's own size.
static espy_status describe(struct pixels *p)
{
    const struct graph_value *value = &p->graph->values[p->io->value];
    const bool last = strcmp(p->how->layout, "nhwc") == 0;
    const int64_t height = value->shape.dims[last ? 1 : 2], width = value->shape.dims[last ? 2 : 3];
    p->mode = strcmp(p->how->resize, "letterbox") == 0 ? FIT_LETTERBOX
              : strcmp(p->how->resize, "crop") == 0    ? FIT_CROP
                                                       : FIT_STRETCH;
    p->height = p->how->height != 0 ? p->how->height : height;
    p->width = p->how->width != 0 ? p->how->width : width;
    p->resized = p->height > 0 && p->width > 0;
    if (value->shape.dims[0] != 1 && value->shape.dims[0] != -1)
        return espy_fail(p->importer.host, ESPY_UNSUPPORTED,
                         "input '%s' takes %lld pictures at once; --pixels is for one", value->name,
                         (long long)value->shape.dims[0]);
    if (!p->resized && (p->height > 0 || p->width > 0))
        return espy_fail(p->importer.host, ESPY_UNSUPPORTED,
                         "input '%s' fixes only one side of the picture; fix both with --size",
                         value->name);
    return ESPY_OK;
}

espy_status espy_convert_pixels(struct convert_model *model)
{
    struct graph *graph = &model->graph;
    struct pixels p = {.graph = graph, .io = NULL, .node = {.op = "pixels", .name = "pixels"}};
    for (uint32_t i = 0; i < graph->input_count && p.io == NULL; i++)
        if (graph->inputs[i].preprocess != NULL)
            p.io = &graph->inputs[i];
    if (p.io == NULL)
        return espy_fail(model->host, ESPY_INVALID_ARGUMENT,
                         "--pixels needs to know how a picture becomes an input; give a preset, or "
                         "a recipe with \"preprocess\"");
    p.how = p.io->preprocess;
    espy_importer_init(&p.importer, model, graph, "pixels");
    p.b = (struct builder){.importer = &p.importer, .node = &p.node};
    espy_status status = describe(&p);
    if (status == ESPY_OK)
        status = add_all(&p);
    espy_importer_finish(&p.importer);
    return status;
}
