#include <string.h>

#include "passes/passes.h"

// Exporters write lists of tensors for split(), unbind(), cat() and stack(). A graph has none:
// where it is known which tensors a list has, what reads it becomes an operator on tensors.

enum { LIST_MAX = GRAPH_NODE_VALUES_MAX };

// An element of a list: a value, or part `position` of what the node `split` cuts.
struct item {
    uint32_t value, split;
    int64_t position;
};

struct list {
    struct item items[LIST_MAX];
    uint32_t count;
};

static bool is_op(const struct pass *pass, uint32_t node, const char *op)
{
    return node != GRAPH_NONE && strcmp(pass->graph->nodes[node].op, op) == 0;
}

// GRAPH_NONE too for values that the pass has added, none of which is a list.
static uint32_t maker_of(const struct pass *pass, uint32_t value)
{
    return value >= pass->facts->value_count ? GRAPH_NONE : pass->facts->makers[value];
}

// The node that makes a list, past those that hand it on.
static uint32_t list_maker(const struct pass *pass, uint32_t value)
{
    uint32_t node = maker_of(pass, value);
    while (is_op(pass, node, "Identity"))
        node = maker_of(pass, espy_pass_input(&pass->graph->nodes[node], 0));
    return node;
}

static bool known_integer(const struct pass *pass, uint32_t value, int64_t *number)
{
    const struct tensor tensor =
        value == GRAPH_NONE ? (struct tensor){.data = NULL} : espy_pass_value(pass, value);
    if (tensor.data == NULL || tensor.count != 1)
        return false;
    *number = espy_tensor_integer(&tensor, 0);
    return true;
}

// Of SplitToSequence: the lengths of its parts, as its second input has them; without data where it
// is absent.
static bool known_split(const struct pass *pass, const struct graph_node *node,
                        struct tensor *lengths)
{
    const uint32_t value = espy_pass_input(node, 1);
    *lengths = espy_pass_value(pass, value);
    if (espy_pass_input(node, 0) == GRAPH_NONE || (value != GRAPH_NONE && lengths->data == NULL))
        return false;
    return lengths->data == NULL || lengths->type.shape.rank == 1 ||
           (lengths->count == 1 && espy_tensor_integer(lengths, 0) > 0);
}

static bool part_count(const struct pass *pass, const struct graph_node *node, uint32_t *count)
{
    struct tensor lengths;
    if (!known_split(pass, node, &lengths) || node->inputs[0] >= pass->facts->value_count)
        return false;
    const struct op_type *x = &pass->facts->types[node->inputs[0]];
    const double axis = espy_pass_number(node, "axis", 0);
    if (lengths.data != NULL && lengths.type.shape.rank == 1) {
        *count = (uint32_t)lengths.count;
        return lengths.count <= LIST_MAX;
    }
    const double at = axis < 0 && x->dtype != ESPY_DTYPE_NONE ? axis + x->shape.rank : axis;
    if (x->dtype == ESPY_DTYPE_NONE || at < 0 || at >= x->shape.rank)
        return false;
    const int64_t dim = x->shape.dims[(uint32_t)at];
    const int64_t length = lengths.data == NULL ? 1 : espy_tensor_integer(&lengths, 0);
    if (dim < 0 || (dim + length - 1) / length > LIST_MAX)
        return false;
    *count = (uint32_t)((dim + length - 1) / length);
    return true;
}

// The elements of what a node makes that starts a list.
static bool begin_list(const struct pass *pass, uint32_t index, struct list *list)
{
    const struct graph_node *node = &pass->graph->nodes[index];
    list->count = 0;
    if (strcmp(node->op, "SequenceEmpty") == 0)
        return true;
    if (strcmp(node->op, "SequenceConstruct") == 0) {
        for (; list->count < node->input_count; list->count++) {
            list->items[list->count] = (struct item){node->inputs[list->count], GRAPH_NONE, 0};
            if (node->inputs[list->count] == GRAPH_NONE)
                return false;
        }
        return true;
    }
    if (strcmp(node->op, "SplitToSequence") != 0 || !part_count(pass, node, &list->count))
        return false;
    for (uint32_t i = 0; i < list->count; i++)
        list->items[i] = (struct item){GRAPH_NONE, index, i};
    return true;
}

// The place in the list that a position means, counted from the back where it is negative.
static bool find_place(const struct pass *pass, const struct graph_node *node, uint32_t input,
                       uint32_t room, uint32_t fallback, uint32_t *place)
{
    int64_t position = fallback;
    if (espy_pass_input(node, input) != GRAPH_NONE &&
        !known_integer(pass, node->inputs[input], &position))
        return false;
    position += position < 0 ? room : 0;
    *place = (uint32_t)position;
    return position >= 0 && position < (int64_t)room;
}

// Applies SequenceInsert or SequenceErase.
static bool change_list(const struct pass *pass, const struct graph_node *node, struct list *list)
{
    const bool insert = strcmp(node->op, "SequenceInsert") == 0;
    uint32_t place;
    if (insert) {
        int64_t position = list->count;
        if (list->count == LIST_MAX || espy_pass_input(node, 1) == GRAPH_NONE ||
            (espy_pass_input(node, 2) != GRAPH_NONE &&
             !known_integer(pass, node->inputs[2], &position)))
            return false;
        position += position < 0 ? list->count : 0;
        if (position < 0 || position > (int64_t)list->count)
            return false;
        place = (uint32_t)position;
    } else if (list->count == 0 ||
               !find_place(pass, node, 1, list->count, list->count - 1, &place)) {
        return false;
    }
    struct item *at = &list->items[place];
    if (insert) {
        memmove(at + 1, at, (list->count++ - place) * sizeof(*at));
        *at = (struct item){node->inputs[1], GRAPH_NONE, 0};
    } else {
        memmove(at, at + 1, (--list->count - place) * sizeof(*at));
    }
    return true;
}

// true: the elements of the list `value` are known.
static bool find_list(const struct pass *pass, uint32_t value, struct list *list)
{
    uint32_t changes[LIST_MAX], change_count = 0, node = list_maker(pass, value);
    while (is_op(pass, node, "SequenceInsert") || is_op(pass, node, "SequenceErase")) {
        if (change_count == LIST_MAX)
            return false;
        changes[change_count++] = node;
        node = list_maker(pass, espy_pass_input(&pass->graph->nodes[node], 0));
    }
    if (node == GRAPH_NONE || !begin_list(pass, node, list))
        return false;
    while (change_count > 0)
        if (!change_list(pass, &pass->graph->nodes[changes[--change_count]], list))
            return false;
    return true;
}

// ---- operators on tensors -----------------------------------------------------------------------

// How an element is taken out of what its list was made of: op with the inputs, along axis.
struct taken {
    const char *op;
    uint32_t inputs[4], input_count;
    double axis; // of Gather
};

static espy_status integers(struct pass *pass, const char *hint, const double *numbers,
                            uint32_t rank, uint32_t *value)
{
    const struct shape shape = {.rank = rank, .dims = {1}};
    return espy_pass_constant(pass, hint, ESPY_INT64, &shape, numbers, 1, value);
}

static espy_status take_part(struct pass *pass, const struct item *item, struct taken *taken)
{
    const struct graph_node *node = &pass->graph->nodes[item->split];
    const bool keeps = espy_pass_number(node, "keepdims", 1) != 0;
    const double axis = espy_pass_number(node, "axis", 0), position = (double)item->position;
    struct tensor lengths;
    known_split(pass, node, &lengths); // the caller has seen that it is
    *taken = (struct taken){.op = "Gather", .inputs = {node->inputs[0]}, .input_count = 2};
    taken->axis = axis;
    if (lengths.data == NULL)
        return integers(pass, "position", &position, keeps ? 1 : 0, &taken->inputs[1]);
    double start = 0, length = (double)espy_tensor_integer(&lengths, 0);
    if (lengths.type.shape.rank == 0) {
        start = position * length;
    } else {
        for (int64_t i = 0; i < item->position; i++)
            start += (double)espy_tensor_integer(&lengths, (size_t)i);
        length = (double)espy_tensor_integer(&lengths, (size_t)item->position);
    }
    const double end = start + length;
    taken->op = "Slice";
    taken->input_count = 4;
    TRY(integers(pass, "start", &start, 1, &taken->inputs[1]));
    TRY(integers(pass, "end", &end, 1, &taken->inputs[2]));
    return integers(pass, "axis", &axis, 1, &taken->inputs[3]);
}

static espy_status take(struct pass *pass, const struct item *item, struct taken *taken)
{
    if (item->split != GRAPH_NONE)
        return take_part(pass, item, taken);
    *taken = (struct taken){.op = "Identity", .inputs = {item->value}, .input_count = 1};
    return ESPY_OK;
}

// Makes the node another one with the same outputs and no attributes.
static espy_status become(struct pass *pass, uint32_t index, const char *op, const uint32_t *inputs,
                          uint32_t count)
{
    struct graph_node *node = &pass->graph->nodes[index];
    uint32_t *copy = espy_arena_copy(&pass->graph->arena, inputs, count * sizeof(*inputs));
    if (copy == NULL)
        return ESPY_OUT_OF_MEMORY;
    node->op = op;
    node->inputs = copy;
    node->input_count = count;
    node->attr_count = 0;
    pass->changed = true;
    pass->counts->patterns++;
    return ESPY_OK;
}

static espy_status set_axis(struct pass *pass, uint32_t index, const char *op, double axis)
{
    struct graph_node *node = &pass->graph->nodes[index];
    return strcmp(node->op, op) == 0 ? espy_graph_set_number(pass->graph, node, "axis", axis)
                                     : ESPY_OK;
}

// SequenceAt. A part of a split can be taken without knowing how many there are.
static espy_status resolve_at(struct pass *pass, uint32_t index, struct list *list)
{
    const struct graph_node *node = &pass->graph->nodes[index];
    const uint32_t maker = list_maker(pass, node->inputs[0]);
    struct tensor lengths = {.data = NULL};
    struct item item = {GRAPH_NONE, maker, 0};
    uint32_t place;
    if (!known_integer(pass, espy_pass_input(node, 1), &item.position))
        return ESPY_OK;
    const bool part = is_op(pass, maker, "SplitToSequence") &&
                      known_split(pass, &pass->graph->nodes[maker], &lengths) &&
                      (lengths.data == NULL || lengths.type.shape.rank == 0) &&
                      (item.position >= 0 || lengths.data == NULL);
    if (!part) {
        if (!find_list(pass, node->inputs[0], list) ||
            !find_place(pass, node, 1, list->count, 0, &place))
            return ESPY_OK;
        item = list->items[place];
    }
    struct taken taken;
    TRY(take(pass, &item, &taken));
    TRY(become(pass, index, taken.op, taken.inputs, taken.input_count));
    return set_axis(pass, index, "Gather", taken.axis);
}

static espy_status resolve_concat(struct pass *pass, uint32_t index, struct list *list)
{
    const struct graph_node *node = &pass->graph->nodes[index];
    const double axis = espy_pass_number(node, "axis", 0);
    const bool new_axis = espy_pass_number(node, "new_axis", 0) != 0;
    uint32_t inputs[LIST_MAX], axes = GRAPH_NONE;
    if (!find_list(pass, node->inputs[0], list) || list->count == 0)
        return ESPY_OK;
    if (new_axis)
        TRY(integers(pass, "axis", &axis, 1, &axes));
    for (uint32_t i = 0; i < list->count; i++) {
        struct taken taken;
        struct graph_node *made;
        TRY(take(pass, &list->items[i], &taken));
        inputs[i] = taken.inputs[0];
        if (list->items[i].split != GRAPH_NONE) {
            TRY(espy_pass_add_node(pass, taken.op, "part", taken.inputs, taken.input_count,
                                   &inputs[i], &made));
            TRY(set_axis(pass, pass->graph->node_count - 1, "Gather", taken.axis));
        }
        if (new_axis)
            TRY(espy_pass_add_node(pass, "Unsqueeze", "row", (const uint32_t[]){inputs[i], axes}, 2,
                                   &inputs[i], &made));
    }
    TRY(become(pass, index, "Concat", inputs, list->count));
    return set_axis(pass, index, "Concat", axis);
}

static espy_status resolve_length(struct pass *pass, uint32_t index, struct list *list)
{
    uint32_t value;
    if (!find_list(pass, pass->graph->nodes[index].inputs[0], list))
        return ESPY_OK;
    const double count = list->count;
    TRY(integers(pass, "length", &count, 0, &value));
    return become(pass, index, "Identity", &value, 1);
}

espy_status espy_pass_sequence(struct pass *pass)
{
    const uint32_t node_count = pass->graph->node_count;
    struct list *list = espy_alloc(pass->host, sizeof(*list));
    if (list == NULL)
        return espy_fail_memory(pass->host, sizeof(*list), "lists of tensors");
    espy_status status = ESPY_OK;
    for (uint32_t n = 0; n < node_count && status == ESPY_OK; n++) {
        const struct graph_node *node = &pass->graph->nodes[n];
        if (node->input_count == 0 || node->inputs[0] == GRAPH_NONE)
            continue;
        if (strcmp(node->op, "SequenceAt") == 0)
            status = resolve_at(pass, n, list);
        else if (strcmp(node->op, "ConcatFromSequence") == 0)
            status = resolve_concat(pass, n, list);
        else if (strcmp(node->op, "SequenceLength") == 0)
            status = resolve_length(pass, n, list);
    }
    espy_free(pass->host, list);
    return status;
}
