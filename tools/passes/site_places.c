#include "passes/sites.h"

#include <string.h>

// A token is one element of a value (any channel of it). It is followed back through nodes that
// move elements, through those that compute each place by itself (all that keep the shape), and
// through products with weights, up to a feature map: what a convolution, a pooling or a resizing
// made, or an input. Its row and column there are the token's. Where two values are added, both are
// of the same place, so the first that is not a constant will do.

enum { STEPS_MAX = 4096, TOKENS_MAX = 1 << 16 };

enum found { FOUND_NOTHING, FOUND_PLACE, FOUND_CONSTANT, GO_ON };

struct element {
    uint32_t value;
    int64_t at[ESPY_RANK_MAX];
};

struct place {
    uint32_t map;
    int64_t row, column;
};

bool espy_site_is_known(const struct facts *facts, uint32_t value)
{
    return facts->graph->values[value].data != NULL || facts->data[value] != NULL;
}

bool espy_site_einsum_term(const struct graph_node *node, uint32_t operand,
                           char term[SITE_TERM_SIZE])
{
    const struct graph_attr *equation = espy_graph_find_attr(node, "equation");
    if (equation == NULL || equation->type != GRAPH_ATTR_STRING)
        return false;
    uint32_t at = 0, length = 0;
    for (const char *c = equation->strings[0]; *c != '\0'; c++) {
        if (*c == '.') // what stands for any number of dimensions
            return false;
        if (*c == ',')
            at++;
        if (*c == '>')
            at = SITE_RESULT;
        if (*c < 'A' || at != operand)
            continue;
        if (length + 1 == SITE_TERM_SIZE)
            return false;
        term[length++] = *c;
    }
    term[length] = '\0';
    return at == SITE_RESULT;
}

uint32_t espy_site_letter_axis(const char *term, char letter)
{
    const char *found = letter == '\0' ? NULL : strchr(term, letter);
    return found == NULL ? GRAPH_NONE : (uint32_t)(found - term);
}

static const struct shape *shape_of(const struct facts *facts, uint32_t value)
{
    return &facts->types[value].shape;
}

static bool is_one_of(const char *op, const char *const *list)
{
    for (; *list != NULL; list++)
        if (strcmp(op, *list) == 0)
            return true;
    return false;
}

// Moves to the element of the other value that has the same position in row-major order.
static void go_linear(const struct facts *facts, struct element *element, uint32_t to)
{
    const struct shape *from = shape_of(facts, element->value), *shape = shape_of(facts, to);
    int64_t index = 0;
    for (uint32_t d = 0; d < from->rank; d++)
        index = index * from->dims[d] + element->at[d];
    for (uint32_t d = shape->rank; d-- > 0;) {
        element->at[d] =
            index % shape->dims[d]; // as many elements as `from` has, which is not empty
        index /= shape->dims[d];
    }
    element->value = to;
}

static void go_transposed(const struct graph_node *node, uint32_t rank, struct element *element)
{
    const struct graph_attr *perm = espy_graph_find_attr(node, "perm");
    struct element from = {.value = node->inputs[0]};
    for (uint32_t d = 0; d < rank; d++) {
        const uint32_t axis = perm == NULL ? rank - 1 - d : (uint32_t)perm->numbers[d];
        from.at[axis] = element->at[d];
    }
    *element = from;
}

static int64_t axis_of(const struct graph_node *node, uint32_t rank, double fallback)
{
    const double axis = espy_pass_number(node, "axis", fallback);
    return (int64_t)axis + (axis < 0 ? rank : 0);
}

static enum found go_joined(const struct facts *facts, const struct graph_node *node,
                            struct element *element)
{
    const uint32_t axis = (uint32_t)axis_of(node, shape_of(facts, element->value)->rank, 0);
    for (uint32_t i = 0; i < node->input_count; i++) {
        const int64_t size = shape_of(facts, node->inputs[i])->dims[axis];
        if (element->at[axis] < size) {
            element->value = node->inputs[i];
            return GO_ON;
        }
        element->at[axis] -= size;
    }
    return FOUND_NOTHING;
}

static enum found go_split(const struct facts *facts, const struct graph_node *node,
                           struct element *element)
{
    const uint32_t axis = (uint32_t)axis_of(node, shape_of(facts, element->value)->rank, 0);
    for (uint32_t o = 0; o < node->output_count; o++) {
        const uint32_t output = node->outputs[o];
        if (output == element->value) {
            element->value = node->inputs[0];
            return GO_ON;
        }
        // Parts that nobody wants are as large as this one, or the shape is not told.
        const uint32_t like = output == GRAPH_NONE ? element->value : output;
        element->at[axis] += shape_of(facts, like)->dims[axis];
    }
    return FOUND_NOTHING;
}

static enum found go_sliced(const struct facts *facts, const struct graph_node *node,
                            struct element *element)
{
    const struct shape *shape = shape_of(facts, node->inputs[0]);
    struct tensor lists[5] = {0}; // data, starts, ends, axes, steps
    for (uint32_t i = 1; i < node->input_count && i < 5; i++)
        if (node->inputs[i] != GRAPH_NONE) {
            lists[i] = espy_facts_value(facts, node->inputs[i]);
            if (lists[i].data == NULL)
                return FOUND_NOTHING;
        }
    for (size_t i = 0; i < lists[1].count; i++) {
        int64_t axis = lists[3].data == NULL ? (int64_t)i : espy_tensor_integer(&lists[3], i);
        axis += axis < 0 ? shape->rank : 0;
        const int64_t step = lists[4].data == NULL ? 1 : espy_tensor_integer(&lists[4], i);
        const int64_t size = shape->dims[axis];
        int64_t start = espy_tensor_integer(&lists[1], i);
        start = start < -size ? -size : start > size ? size : start;
        start += start < 0 ? size : 0;
        start = step < 0 && start == size ? size - 1 : start;
        element->at[axis] = start + element->at[axis] * step;
    }
    element->value = node->inputs[0];
    return GO_ON;
}

static enum found go_gathered(const struct facts *facts, const struct graph_node *node,
                              struct element *element)
{
    const struct tensor indices = espy_facts_value(facts, node->inputs[1]);
    const struct shape *shape = shape_of(facts, node->inputs[0]);
    const uint32_t axis = (uint32_t)axis_of(node, shape->rank, 0);
    if (indices.data == NULL)
        return FOUND_NOTHING;
    struct element from = {.value = node->inputs[0]};
    const struct shape *list = &indices.type.shape;
    int64_t at = 0;
    for (uint32_t d = 0; d < list->rank; d++)
        at = at * list->dims[d] + element->at[axis + d];
    const int64_t index = espy_tensor_integer(&indices, (size_t)at);
    for (uint32_t d = 0; d < axis; d++)
        from.at[d] = element->at[d];
    for (uint32_t d = axis + 1; d < shape->rank; d++)
        from.at[d] = element->at[d + list->rank - 1];
    from.at[axis] = index + (index < 0 ? shape->dims[axis] : 0);
    *element = from;
    return GO_ON;
}

static enum found go_padded(const struct facts *facts, const struct graph_node *node,
                            struct element *element)
{
    const struct shape *shape = shape_of(facts, node->inputs[0]);
    if (espy_pass_input(node, 1) == GRAPH_NONE || espy_pass_input(node, 3) != GRAPH_NONE)
        return FOUND_NOTHING;
    const struct tensor pads = espy_facts_value(facts, node->inputs[1]);
    if (pads.data == NULL || pads.count != 2 * (size_t)shape->rank)
        return FOUND_NOTHING;
    for (uint32_t d = 0; d < shape->rank; d++) {
        element->at[d] -= espy_tensor_integer(&pads, d);
        if (element->at[d] < 0 || element->at[d] >= shape->dims[d])
            return FOUND_CONSTANT;
    }
    element->value = node->inputs[0];
    return GO_ON;
}

// A convolution of 1x1 mixes channels only. All else that makes feature maps is where tracing ends.
static enum found go_map(const struct facts *facts, const struct graph_node *node,
                         struct element *element)
{
    const struct shape *shape = shape_of(facts, element->value);
    const struct shape *from = shape_of(facts, node->inputs[0]);
    const bool conv = strcmp(node->op, "Conv") == 0;
    const struct shape *kernel = conv ? shape_of(facts, node->inputs[1]) : from;
    if (shape->rank != 4)
        return FOUND_NOTHING;
    if (!conv || kernel->rank != 4 || kernel->dims[2] != 1 || kernel->dims[3] != 1 ||
        from->dims[2] != shape->dims[2] || from->dims[3] != shape->dims[3])
        return FOUND_PLACE;
    element->value = node->inputs[0];
    element->at[1] = 0;
    return GO_ON;
}

// A product of what was computed with weights, or of attention with values: the row is kept.
static enum found go_product(const struct facts *facts, const struct graph_node *node,
                             struct element *element)
{
    const struct shape *shape = shape_of(facts, element->value);
    const struct shape *from = shape_of(facts, node->inputs[0]);
    if (from->rank != shape->rank || espy_site_is_known(facts, node->inputs[0]))
        return FOUND_NOTHING;
    for (uint32_t d = 0; d + 1 < shape->rank; d++)
        element->at[d] = element->at[d] < from->dims[d] ? element->at[d] : from->dims[d] - 1;
    element->at[shape->rank - 1] = 0;
    element->value = node->inputs[0];
    return GO_ON;
}

// The first operand that is computed, at the same letters; sums are taken at their start.
static enum found go_einsum(const struct facts *facts, const struct graph_node *node,
                            struct element *element)
{
    uint32_t operand = 0;
    while (operand < node->input_count && espy_site_is_known(facts, node->inputs[operand]))
        operand++;
    if (operand == node->input_count)
        return FOUND_NOTHING;
    struct element from = {.value = node->inputs[operand]};
    char term[SITE_TERM_SIZE], result[SITE_TERM_SIZE];
    if (!espy_site_einsum_term(node, operand, term) ||
        !espy_site_einsum_term(node, SITE_RESULT, result))
        return FOUND_NOTHING;
    for (uint32_t d = 0; result[d] != '\0' && d < shape_of(facts, element->value)->rank; d++) {
        const uint32_t axis = espy_site_letter_axis(term, result[d]);
        if (axis < shape_of(facts, from.value)->rank)
            from.at[axis] = element->at[d];
    }
    *element = from;
    return GO_ON;
}

// Of a node that keeps the shape of an input, the same element; of one that repeats it, its like.
static enum found go_same(const struct facts *facts, const struct graph_node *node,
                          struct element *element)
{
    const struct shape *shape = shape_of(facts, element->value);
    for (int exact = 1; exact >= 0; exact--) {
        for (uint32_t i = 0; i < node->input_count; i++) {
            const uint32_t input = node->inputs[i];
            if (input == GRAPH_NONE || facts->types[input].dtype == ESPY_DTYPE_NONE)
                continue;
            const struct shape *from = shape_of(facts, input);
            bool fits = from->rank == shape->rank && !espy_site_is_known(facts, input);
            for (uint32_t d = 0; fits && d < shape->rank; d++)
                fits = from->dims[d] == shape->dims[d] || (exact == 0 && from->dims[d] == 1);
            if (!fits)
                continue;
            for (uint32_t d = 0; d < shape->rank; d++)
                element->at[d] = from->dims[d] == 1 ? 0 : element->at[d];
            element->value = input;
            return GO_ON;
        }
    }
    return strcmp(node->op, "Expand") == 0 && espy_site_is_known(facts, node->inputs[0])
               ? FOUND_CONSTANT
               : FOUND_NOTHING;
}

// A file may say anything: Gather may point beyond its data.
static bool is_inside(const struct facts *facts, const struct element *element)
{
    const struct shape *shape = shape_of(facts, element->value);
    for (uint32_t d = 0; d < shape->rank; d++)
        if (element->at[d] < 0 || element->at[d] >= shape->dims[d])
            return false;
    return true;
}

static enum found step(const struct facts *facts, struct element *element)
{
    static const char *const linear[] = {"Reshape", "Squeeze", "Unsqueeze", "Flatten", NULL};
    static const char *const maps[] = {
        "Conv",       "ConvTranspose", "MaxPool",    "AveragePool",       "Resize",
        "DeformConv", "DepthToSpace",  "GridSample", "GlobalAveragePool", "SpaceToDepth",
        NULL};
    static const char *const products[] = {"MatMul", "Gemm", "Attention", NULL};
    const struct graph *graph = facts->graph;
    if (facts->types[element->value].dtype == ESPY_DTYPE_NONE || !is_inside(facts, element))
        return FOUND_NOTHING;
    if (espy_site_is_known(facts, element->value))
        return FOUND_CONSTANT;
    const uint32_t maker = facts->makers[element->value];
    if (maker == GRAPH_NONE)
        return shape_of(facts, element->value)->rank == 4 ? FOUND_PLACE : FOUND_NOTHING;
    const struct graph_node *node = &graph->nodes[maker];
    if (node->input_count == 0 || node->inputs[0] == GRAPH_NONE ||
        facts->types[node->inputs[0]].dtype == ESPY_DTYPE_NONE)
        return FOUND_NOTHING;
    if (is_one_of(node->op, linear)) {
        go_linear(facts, element, node->inputs[0]);
        return GO_ON;
    }
    if (strcmp(node->op, "Transpose") == 0) {
        go_transposed(node, shape_of(facts, element->value)->rank, element);
        return GO_ON;
    }
    if (strcmp(node->op, "Concat") == 0)
        return go_joined(facts, node, element);
    if (strcmp(node->op, "Split") == 0)
        return go_split(facts, node, element);
    if (strcmp(node->op, "Slice") == 0)
        return go_sliced(facts, node, element);
    if (strcmp(node->op, "Gather") == 0)
        return go_gathered(facts, node, element);
    if (strcmp(node->op, "Pad") == 0)
        return go_padded(facts, node, element);
    if (strcmp(node->op, "Einsum") == 0)
        return go_einsum(facts, node, element);
    if (is_one_of(node->op, products))
        return go_product(facts, node, element);
    return is_one_of(node->op, maps) ? go_map(facts, node, element) : go_same(facts, node, element);
}

static enum found trace(const struct facts *facts, struct element element, struct place *place)
{
    for (uint32_t i = 0; i < STEPS_MAX; i++) {
        const enum found found = step(facts, &element);
        if (found == FOUND_PLACE)
            *place = (struct place){element.value, element.at[2], element.at[3]};
        if (found != GO_ON)
            return found;
    }
    return FOUND_NOTHING;
}

// ---- how they lie -------------------------------------------------------------------------------

struct places {
    uint32_t windows, tokens, extra; // tokens without the extra ones
    struct place *list;              // [windows * tokens]
    uint32_t *rows, *columns;        // of the map: how many of those before it have a token
};

static enum found trace_token(const struct facts *facts, const struct site_tokens *tokens,
                              uint32_t window, uint32_t token, struct place *place)
{
    struct element element = {.value = tokens->value};
    element.at[tokens->axis] = token;
    if (tokens->batch != GRAPH_NONE)
        element.at[tokens->batch] = window;
    return trace(facts, element, place);
}

static bool trace_all(const struct facts *facts, const struct site_tokens *tokens,
                      struct places *all)
{
    struct place place;
    while (all->tokens > 0 && trace_token(facts, tokens, 0, all->extra, &place) == FOUND_CONSTANT) {
        all->extra++;
        all->tokens--;
    }
    for (uint32_t w = 0; w < all->windows; w++) {
        for (uint32_t t = 0; t < all->tokens; t++) {
            struct place *at = &all->list[w * all->tokens + t];
            if (trace_token(facts, tokens, w, all->extra + t, at) != FOUND_PLACE ||
                at->map != all->list[0].map)
                return false;
        }
    }
    return all->tokens > 0;
}

// Numbers the rows and columns that have tokens; the counts are those of the grid.
static espy_status number_places(const struct facts *facts, struct arena *arena, struct places *all,
                                 struct espy_token_grid *grid)
{
    const struct shape *shape = shape_of(facts, all->list[0].map);
    all->rows = espy_arena_array(arena, (size_t)shape->dims[2] + 1, sizeof(*all->rows));
    all->columns = espy_arena_array(arena, (size_t)shape->dims[3] + 1, sizeof(*all->columns));
    if (all->rows == NULL || all->columns == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < all->windows * all->tokens; i++) {
        all->rows[all->list[i].row + 1] = 1;
        all->columns[all->list[i].column + 1] = 1;
    }
    for (int64_t y = 0; y < shape->dims[2]; y++)
        all->rows[y + 1] += all->rows[y];
    for (int64_t x = 0; x < shape->dims[3]; x++)
        all->columns[x + 1] += all->columns[x];
    grid->rows = all->rows[shape->dims[2]];
    grid->columns = all->columns[shape->dims[3]];
    grid->extra = all->extra;
    return ESPY_OK;
}

// The window's size and how its tokens are spread, from those of the first window.
static bool measure_window(const struct places *all, struct espy_token_grid *grid)
{
    const struct place *list = all->list;
    uint32_t columns = 1;
    while (columns < all->tokens && list[columns].row == list[0].row)
        columns++;
    if (all->tokens % columns != 0)
        return false;
    const uint32_t sizes[2] = {grid->rows, grid->columns};
    grid->window[0] = all->tokens / columns;
    grid->window[1] = columns;
    grid->shift[0] = all->rows[list[0].row];
    grid->shift[1] = all->columns[list[0].column];
    const uint32_t next[2] = {grid->window[0] > 1 ? all->rows[list[columns].row] : 0,
                              columns > 1 ? all->columns[list[1].column] : 0};
    for (uint32_t d = 0; d < 2; d++) {
        const uint32_t size = sizes[d], window = grid->window[d];
        if (window > size || size % window != 0)
            return false;
        grid->step[d] = window > 1 ? (next[d] + size - grid->shift[d]) % size : 1;
        if (grid->step[d] != 1 && grid->step[d] != size / window)
            return false;
    }
    return true;
}

static bool is_where(const struct espy_token_grid *grid, const uint32_t at[2], uint32_t window,
                     uint32_t token)
{
    const uint32_t sizes[2] = {grid->rows, grid->columns};
    const uint32_t across = sizes[1] / grid->window[1];
    const uint32_t windows[2] = {window / across, window % across};
    const uint32_t tokens[2] = {token / grid->window[1], token % grid->window[1]};
    for (uint32_t d = 0; d < 2; d++) {
        const uint32_t start = windows[d] * (grid->step[d] == 1 ? grid->window[d] : 1);
        if ((start + tokens[d] * grid->step[d] + grid->shift[d]) % sizes[d] != at[d])
            return false;
    }
    return true;
}

// true: grid says of every token where it is.
static bool fit_grid(const struct places *all, struct espy_token_grid *grid)
{
    const uint64_t cells = (uint64_t)grid->rows * grid->columns;
    const uint32_t windows = (uint32_t)(cells / all->tokens);
    if (windows * (uint64_t)all->tokens != cells || windows == 0 || all->windows % windows != 0 ||
        !measure_window(all, grid))
        return false;
    for (uint32_t i = 0; i < all->windows * all->tokens; i++) {
        const struct place *place = &all->list[i];
        const uint32_t at[2] = {all->rows[place->row], all->columns[place->column]};
        if (!is_where(grid, at, i / all->tokens % windows, i % all->tokens))
            return false;
    }
    if (windows == 1 && grid->shift[0] == 0 && grid->shift[1] == 0)
        *grid = (struct espy_token_grid){
            .rows = grid->rows, .columns = grid->columns, .extra = grid->extra};
    return true;
}

// The only input that a value is computed from; *of stays as it is where there are several, or the
// network has but one.
static espy_status find_input(const struct facts *facts, struct arena *arena, uint32_t value,
                              const char **of)
{
    const struct graph *graph = facts->graph;
    if (graph->input_count < 2)
        return ESPY_OK;
    bool *needed = espy_arena_array(arena, (size_t)facts->value_count + 1, sizeof(*needed));
    if (needed == NULL)
        return ESPY_OUT_OF_MEMORY;
    needed[value] = true;
    for (uint32_t n = graph->node_count; n-- > 0;) { // nodes come after those that they read
        const struct graph_node *node = &graph->nodes[n];
        bool is_needed = false;
        for (uint32_t o = 0; o < node->output_count; o++)
            is_needed = is_needed || (node->outputs[o] != GRAPH_NONE && needed[node->outputs[o]]);
        for (uint32_t i = 0; i < node->input_count && is_needed; i++)
            if (node->inputs[i] != GRAPH_NONE)
                needed[node->inputs[i]] = true;
    }
    const char *found = NULL;
    for (uint32_t i = 0; i < graph->input_count; i++) {
        if (!needed[graph->inputs[i].value])
            continue;
        if (found != NULL)
            return ESPY_OK;
        found = graph->values[graph->inputs[i].value].name;
    }
    *of = found;
    return ESPY_OK;
}

espy_status espy_site_grid(const struct facts *facts, const struct site_tokens *tokens,
                           struct espy_token_grid *grid)
{
    const struct op_type *type = &facts->types[tokens->value];
    if (type->dtype == ESPY_DTYPE_NONE || tokens->axis >= type->shape.rank)
        return ESPY_OK;
    const int64_t count = type->shape.dims[tokens->axis];
    const int64_t windows = tokens->batch == GRAPH_NONE ? 1 : type->shape.dims[tokens->batch];
    if (count < 1 || windows < 1 || count > TOKENS_MAX || windows > TOKENS_MAX / count)
        return ESPY_OK;
    struct arena arena;
    struct espy_token_grid found = {0};
    struct places all = {.windows = (uint32_t)windows, .tokens = (uint32_t)count};
    espy_arena_init(&arena, facts->host);
    espy_status status = ESPY_OK;
    all.list = espy_arena_array(&arena, (size_t)(windows * count), sizeof(*all.list));
    if (all.list == NULL)
        status = ESPY_OUT_OF_MEMORY;
    if (status == ESPY_OK && trace_all(facts, tokens, &all)) {
        status = number_places(facts, &arena, &all, &found);
        if (status == ESPY_OK && fit_grid(&all, &found)) {
            status = find_input(facts, &arena, all.list[0].map, &found.of);
            *grid = found;
        }
    }
    espy_arena_finish(&arena);
    return status;
}

bool espy_site_is_transposed(const struct facts *facts, const struct site_tokens *tokens)
{
    const struct op_type *type = &facts->types[tokens->value];
    if (type->dtype == ESPY_DTYPE_NONE || type->shape.dims[tokens->axis] < 2 ||
        type->shape.dims[tokens->inner] < 2)
        return false;
    struct place places[3]; // the first, another "token", another element of the sum
    for (uint32_t i = 0; i < 3; i++) {
        struct element element = {.value = tokens->value};
        element.at[tokens->axis] = i == 1;
        element.at[tokens->inner] = i == 2;
        if (trace(facts, element, &places[i]) != FOUND_PLACE)
            return false;
    }
    return places[0].row == places[1].row && places[0].column == places[1].column &&
           (places[0].row != places[2].row || places[0].column != places[2].column);
}
