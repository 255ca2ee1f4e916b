// Unique: the different elements of a tensor, or the different slices along an axis.
#include <math.h>
#include <string.h>

#include "op/op.h"

struct unique_attrs {
    int64_t axis;
    bool sorted;
};

enum { NO_AXIS = ESPY_RANK_MAX }; // as a default that the file cannot say

static const struct op_attr rows[] = {
    {.name = "axis",
     .type = OP_INT,
     .offset = offsetof(struct unique_attrs, axis),
     .fallback = NO_AXIS,
     .min = -ESPY_RANK_MAX,
     .max = ESPY_RANK_MAX - 1,
     .help = "whose slices are compared; absent: x is taken as flat"},
    {.name = "sorted",
     .type = OP_BOOL,
     .offset = offsetof(struct unique_attrs, sorted),
     .fallback = 1,
     .help = "in rising order; else in the order in which they first come"}};

// x as [outer, items, inner], of which items are compared, and how they fall into groups of equals.
struct grouping {
    const struct tensor *x;
    size_t outer, items, inner, groups;
    size_t *order, *scratch; // [items]: sorted items
    size_t *group;           // [items]: the group of each
    size_t *first, *sizes;   // [groups, at most items]: first item of it, and how many there are
};

static void split(struct grouping *g, const struct tensor *x, const struct unique_attrs *attrs)
{
    const struct shape *shape = &x->type.shape;
    *g = (struct grouping){.x = x, .outer = 1, .items = x->count, .inner = 1};
    if (attrs->axis == NO_AXIS)
        return;
    const uint32_t axis = (uint32_t)(attrs->axis < 0 ? attrs->axis + shape->rank : attrs->axis);
    g->items = (size_t)shape->dims[axis];
    for (uint32_t d = 0; d < axis; d++)
        g->outer *= (size_t)shape->dims[d];
    for (uint32_t d = axis + 1; d < shape->rank; d++)
        g->inner *= (size_t)shape->dims[d];
}

// NaN is equal to itself and comes last.
static int compare_elements(const struct tensor *x, size_t a, size_t b)
{
    if (espy_dtype_is_float(x->type.dtype)) {
        const double left = espy_tensor_number(x, a), right = espy_tensor_number(x, b);
        if (isnan(left) || isnan(right))
            return (isnan(left) != 0) - (isnan(right) != 0);
        return (left > right) - (left < right);
    }
    const int64_t left = espy_tensor_integer(x, a), right = espy_tensor_integer(x, b);
    if (x->type.dtype == ESPY_UINT64)
        return ((uint64_t)left > (uint64_t)right) - ((uint64_t)left < (uint64_t)right);
    return (left > right) - (left < right);
}

static int compare_items(const struct grouping *g, size_t a, size_t b)
{
    int result = 0;
    for (size_t o = 0; o < g->outer && result == 0; o++)
        for (size_t i = 0; i < g->inner && result == 0; i++)
            result = compare_elements(g->x, (o * g->items + a) * g->inner + i,
                                      (o * g->items + b) * g->inner + i);
    return result;
}

static void merge(struct grouping *g, size_t begin, size_t middle, size_t end)
{
    size_t left = begin, right = middle;
    for (size_t i = begin; i < end; i++) {
        const bool take_left =
            left < middle &&
            (right == end || compare_items(g, g->order[left], g->order[right]) <= 0);
        g->scratch[i] = g->order[take_left ? left++ : right++];
    }
    memcpy(g->order + begin, g->scratch + begin, (end - begin) * sizeof(*g->order));
}

// Sorts the items, equal ones in the order in which they come.
static void sort_items(struct grouping *g)
{
    for (size_t i = 0; i < g->items; i++)
        g->order[i] = i;
    for (size_t width = 1; width < g->items; width *= 2)
        for (size_t begin = 0; begin + width < g->items; begin += 2 * width) {
            const size_t end = begin + 2 * width;
            merge(g, begin, begin + width, end < g->items ? end : g->items);
        }
}

// Numbers groups by their first items rather than by size.
static void order_by_first(struct grouping *g)
{
    size_t next = 0;
    for (size_t i = 0; i < g->items; i++) // order is free now: new number by old
        if (g->first[g->group[i]] == i)
            g->order[g->group[i]] = next++;
    for (size_t i = 0; i < g->items; i++)
        g->group[i] = g->order[g->group[i]];
    memset(g->sizes, 0, g->groups * sizeof(*g->sizes));
    for (size_t i = g->items; i-- > 0;) {
        g->first[g->group[i]] = i;
        g->sizes[g->group[i]]++;
    }
}

// The lists have items entries each.
static void find_groups(struct grouping *g, bool sorted)
{
    sort_items(g);
    for (size_t i = 0; i < g->items; i++) {
        const size_t item = g->order[i];
        if (i == 0 || compare_items(g, g->order[i - 1], item) != 0) {
            g->first[g->groups] = item;
            g->sizes[g->groups++] = 0;
        }
        g->group[item] = g->groups - 1;
        g->sizes[g->groups - 1]++;
    }
    if (!sorted)
        order_by_first(g);
}

static espy_status infer(struct op_infer *c)
{
    const struct unique_attrs *attrs = c->attrs;
    uint32_t axis;
    if (attrs->axis != NO_AXIS)
        TRY(espy_infer_axis(c, attrs->axis, c->inputs[0].shape.rank, &axis));
    const struct tensor *x = espy_infer_value(c, 0);
    if (x == NULL)
        return espy_infer_wait(c);
    struct grouping g;
    split(&g, x, attrs);
    size_t **const lists[] = {&g.order, &g.scratch, &g.group, &g.first, &g.sizes};
    for (size_t i = 0; x->count > 0 && i < sizeof(lists) / sizeof(lists[0]); i++) {
        *lists[i] = espy_arena_array(c->arena, g.items, sizeof(size_t));
        if (*lists[i] == NULL)
            return ESPY_OUT_OF_MEMORY;
    }
    if (x->count > 0)
        find_groups(&g, attrs->sorted);
    else
        g.groups = g.items > 0; // slices without elements are all equal
    const int64_t groups = (int64_t)g.groups;
    const struct op_type list = {ESPY_INT64, {.rank = 1, .dims = {groups}}};
    c->outputs[0] = (struct op_type){c->inputs[0].dtype, {.rank = 1, .dims = {groups}}};
    if (attrs->axis != NO_AXIS) {
        c->outputs[0].shape = c->inputs[0].shape;
        c->outputs[0].shape.dims[axis] = groups;
    }
    for (uint32_t o = 1; o < c->output_count; o++) {
        c->outputs[o] = list;
        if (o == 2)
            c->outputs[o].shape.dims[0] = (int64_t)g.items;
    }
    return ESPY_OK;
}

static void fill_list(struct op_eval *c, uint32_t o, const size_t *numbers)
{
    for (size_t i = 0; o < c->output_count && c->outputs[o].data != NULL && i < c->outputs[o].count;
         i++)
        espy_tensor_set_integer(&c->outputs[o], i, (int64_t)numbers[i]);
}

static void reference(struct op_eval *c)
{
    const struct unique_attrs *attrs = c->attrs;
    struct grouping g;
    split(&g, &c->inputs[0], attrs);
    size_t **const lists[] = {&g.order, &g.scratch, &g.group, &g.first, &g.sizes};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        *lists[i] = espy_eval_scratch(c, g.items, sizeof(size_t));
        if (*lists[i] == NULL)
            return;
    }
    if (c->inputs[0].count > 0) {
        find_groups(&g, attrs->sorted);
    } else if (g.items > 0) { // the lists are zeroed
        g.groups = 1;
        g.sizes[0] = g.items;
    }
    const size_t run = g.inner * espy_dtype_size(c->inputs[0].type.dtype);
    const char *from = c->inputs[0].data;
    char *to = c->outputs[0].data;
    for (size_t o = 0; to != NULL && o < g.outer; o++)
        for (size_t i = 0; i < g.groups; i++)
            memcpy(to + (o * g.groups + i) * run, from + (o * g.items + g.first[i]) * run, run);
    fill_list(c, 1, g.first);
    fill_list(c, 2, g.group);
    fill_list(c, 3, g.sizes);
}

static const struct op ops[] = {{.name = "Unique",
                                 .summary = "the different elements or slices of a tensor",
                                 .inputs_min = 1,
                                 .inputs_max = 1,
                                 .outputs_min = 1,
                                 .outputs_max = 4,
                                 .flags = OP_HOST_ONLY | OP_DATA_SHAPE,
                                 .attrs = rows,
                                 .attr_count = sizeof(rows) / sizeof(rows[0]),
                                 .attrs_size = sizeof(struct unique_attrs),
                                 .infer = infer,
                                 .reference = reference}};

const struct op_family espy_ops_unique = {ops, sizeof(ops) / sizeof(ops[0])};
