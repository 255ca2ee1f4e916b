// Unique: the different elements of a tensor, or the different slices along an axis.
#include <math.h>
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/picks.h"
#include "shaders/include/unique_codes.glsl"
#include "shaders/unique_flags.spv.h"
#include "shaders/unique_groups.spv.h"
#include "shaders/unique_sort.spv.h"

struct unique_attrs {
    int64_t axis;
    bool sorted;
};

enum { NO_AXIS = ESPY_RANK_MAX }; // as a default that the file cannot say

// Items of the lists that are sorted first, and how many of them an invocation merges.
enum { CPU_BLOCK = 16, CPU_RUN = 16, GPU_BLOCK = 32, GPU_RUN = 4 };

// Elements that the kernel compares in an item: all loops of one invocation together stop silently
// after 65535 rounds on some software drivers, and an invocation compares 40 pairs at most. Lists
// of more items are larger than every device binds.
enum { ITEM_ELEMENTS_MAX = 1024, ITEMS_MAX = 1 << 24 };

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

// The axis, or the rank when x is taken as flat.
static uint32_t axis_of(const struct unique_attrs *attrs, uint32_t rank)
{
    return attrs->axis == NO_AXIS ? rank
                                  : (uint32_t)(attrs->axis < 0 ? attrs->axis + rank : attrs->axis);
}

static void split(struct grouping *g, const struct tensor *x, const struct unique_attrs *attrs)
{
    const struct shape *shape = &x->type.shape;
    const struct picks_split axes = picks_split(shape, axis_of(attrs, shape->rank));
    *g = (struct grouping){.x = x, .outer = axes.outer, .items = axes.length, .inner = axes.inner};
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

// The outputs' types for a number of groups, and in which dimension it stands.
static void fill_types(struct op_infer *c, size_t items, size_t groups, uint32_t *counted)
{
    const struct op_type *x = &c->inputs[0];
    const uint32_t axis = axis_of(c->attrs, x->shape.rank);
    const struct op_type list = {ESPY_INT64, {.rank = 1, .dims = {(int64_t)groups}}};
    for (uint32_t o = 0; o < c->output_count; o++) {
        c->outputs[o] = list;
        if (o != 2)
            counted[o] = 0;
    }
    if (c->output_count > 2)
        c->outputs[2].shape.dims[0] = (int64_t)items;
    c->outputs[0].dtype = x->dtype;
    if (axis < x->shape.rank) {
        c->outputs[0].shape = x->shape;
        c->outputs[0].shape.dims[axis] = (int64_t)groups;
        counted[0] = axis;
    }
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
    uint32_t counted[4];
    fill_types(c, g.items, g.groups, counted);
    return ESPY_OK;
}

// NULL: the device computes it.
static const char *why_host(const struct op_type *x, const struct picks_split *axes)
{
    if (!picks_exactly(x->dtype))
        return "float64 is float32 on the device";
    if (axes->outer * axes->inner > ITEM_ELEMENTS_MAX)
        return "slices of more than 1024 elements";
    return axes->length > ITEMS_MAX ? "more than 2^24 items" : NULL;
}

static espy_status bound(struct op_infer *c)
{
    const struct shape *x = &c->inputs[0].shape;
    const struct picks_split axes = picks_split(x, axis_of(c->attrs, x->rank));
    if (why_host(&c->inputs[0], &axes) != NULL)
        return espy_infer_wait(c);
    fill_types(c, axes.length, axes.length, c->counted);
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

// ---- lower --------------------------------------------------------------------------------------

struct sorting {
    struct view x;
    struct unique_sort_push push;
    struct unique_sort_spec spec;
};

static void sort_stage(struct op_lower *c, struct sorting *s, uint32_t stage,
                       const struct view *source, const struct view *target)
{
    const enum storage storage = s->x.storage;
    s->spec.stage = stage;
    s->push.count = stage == UNIQUE_HEADS   ? picks_words(s->push.items)
                    : stage == UNIQUE_MERGE ? (s->push.items + s->spec.run - 1) / s->spec.run
                                            : s->push.items;
    struct op_dispatch dispatch = {
        .shader = unique_sort_shaders
                      .variants[storage == STORAGE_I64 ? VARIANT_W64 : espy_variant(storage)],
        .bindings = {s->x, *source, *target},
        .binding_count = 3,
        .push = &s->push,
        .push_size = sizeof(s->push),
        .spec = &s->spec,
        .spec_size = sizeof(s->spec)};
    espy_lower_grid(c, s->push.count, s->spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

// The items in rising order; bits for the places where other items begin go to *masks.
static struct view sort_on_device(struct op_lower *c, const struct view *x,
                                  const struct picks_split *axes, struct view *masks)
{
    const struct shape list = {1, {(int64_t)axes->length}};
    const struct view none = {.buffer = VIEW_NONE};
    struct sorting s = {.x = *x,
                        .push = {.items = (uint32_t)axes->length,
                                 .span = c->caps->cpu ? CPU_BLOCK : GPU_BLOCK,
                                 .elements = (uint32_t)(axes->outer * axes->inner),
                                 .inner = (uint32_t)axes->inner,
                                 .x_offset = (int32_t)x->offset},
                        .spec = UNIQUE_SORT_SPEC_DEFAULT};
    s.spec.local_size_x = c->caps->local_size;
    s.spec.no_sign = !espy_dtype_is_signed(x->dtype);
    s.spec.empty = espy_view_count(x) == 0;
    s.spec.run = c->caps->cpu ? CPU_RUN : GPU_RUN;
    struct view order = espy_lower_temporary(c, ESPY_UINT32, &list);
    sort_stage(c, &s, UNIQUE_SORT, &none, &order);
    for (; s.push.span < s.push.items; s.push.span *= 2) {
        const struct view merged = espy_lower_temporary(c, ESPY_UINT32, &list);
        sort_stage(c, &s, UNIQUE_MERGE, &order, &merged);
        order = merged;
    }
    *masks = espy_lower_temporary(c, ESPY_UINT32, &(struct shape){1, {picks_words(s.push.items)}});
    sort_stage(c, &s, UNIQUE_HEADS, &order, masks);
    return order;
}

// By item: bits for those that are the first of their group.
static struct view first_masks(struct op_lower *c, const struct view *order,
                               const struct view *masks)
{
    const struct unique_flags_push push = {(uint32_t)espy_view_count(order)};
    struct unique_flags_spec spec = UNIQUE_FLAGS_SPEC_DEFAULT;
    const struct view flags =
        espy_lower_temporary(c, ESPY_UINT32, &(struct shape){1, {push.items}});
    spec.local_size_x = c->caps->local_size;
    struct op_dispatch dispatch = {.shader = unique_flags_shaders.variants[VARIANT_NONE],
                                   .bindings = {*order, *masks, flags},
                                   .binding_count = 3,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.items, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return picks_masks(c, &flags);
}

static struct view output_or_temporary(struct op_lower *c, uint32_t o, size_t items)
{
    if (espy_lower_wants(c, o))
        return espy_lower_output(c, o);
    return espy_lower_temporary(c, ESPY_INT64, &(struct shape){1, {(int64_t)items}});
}

// Numbers the groups, fills the lists and returns the first item of each group.
static struct view number_groups(struct op_lower *c, const struct view *order,
                                 const struct view *masks, const struct view *count)
{
    const bool sorted = ((const struct unique_attrs *)c->attrs)->sorted;
    const size_t items = espy_view_count(order);
    const struct view none = {.buffer = VIEW_NONE};
    const struct view sums = picks_sums(c, masks, RANKS_MASKS, count);
    const struct view heads = picks_positions(c, masks, &sums, items);
    struct view item_masks = none, item_sums = none;
    if (!sorted) {
        const struct view total = espy_lower_temporary(c, ESPY_UINT32, &(struct shape){1, {1}});
        item_masks = first_masks(c, order, masks);
        item_sums = picks_sums(c, &item_masks, RANKS_MASKS, &total);
    }
    const struct view firsts =
        espy_lower_temporary(c, ESPY_UINT32, &(struct shape){1, {(int64_t)items}});
    const struct view first_list = output_or_temporary(c, 1, items);
    const struct view inverse = output_or_temporary(c, 2, items);
    const struct view sizes = output_or_temporary(c, 3, items);
    const struct unique_groups_push push = {(uint32_t)items, picks_words(items)};
    struct unique_groups_spec spec = UNIQUE_GROUPS_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.shift = picks_shift(c);
    spec.sorted = sorted;
    struct op_dispatch dispatch = {.shader = unique_groups_shaders.variants[VARIANT_NONE],
                                   .bindings = {*order, *masks, sums, heads, *count, item_masks,
                                                item_sums, firsts, first_list, inverse, sizes},
                                   .binding_count = 11,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, items, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return firsts;
}

static espy_status lower(struct op_lower *c)
{
    const struct shape *shape = &c->inputs[0].shape;
    const struct picks_split axes = picks_split(shape, axis_of(c->attrs, shape->rank));
    const char *why = why_host(&c->inputs[0], &axes);
    if (why != NULL)
        return espy_lower_on_host(c, why);
    struct view masks;
    const struct view x = espy_lower_dense_input(c, 0), y = espy_lower_output(c, 0);
    const struct view count = espy_lower_count(c), order = sort_on_device(c, &x, &axes, &masks);
    const struct view firsts = number_groups(c, &order, &masks, &count);
    if (y.buffer != VIEW_NONE && espy_view_count(&x) > 0)
        picks_slices(c, &x, &axes, &firsts, &count, axes.length, &y);
    return espy_lower_status(c);
}

static const struct op ops[] = {{.name = "Unique",
                                 .summary = "the different elements or slices of a tensor",
                                 .inputs_min = 1,
                                 .inputs_max = 1,
                                 .outputs_min = 1,
                                 .outputs_max = 4,
                                 .flags = OP_DATA_SHAPE,
                                 .bindings = 11,
                                 .attrs = rows,
                                 .attr_count = sizeof(rows) / sizeof(rows[0]),
                                 .attrs_size = sizeof(struct unique_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower,
                                 .bound = bound}};

const struct op_family espy_ops_unique = {ops, sizeof(ops) / sizeof(ops[0])};
