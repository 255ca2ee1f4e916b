// Scan: a body for every slice of its inputs, with values that go from one iteration to the next
// and values that are collected.
#include <stddef.h>

#include "op/op.h"
#include "ops/stack.h"

struct attrs {
    const struct graph *body;
    int64_t captures, num_scan_inputs;
    struct op_ints input_axes, input_directions, output_axes, output_directions;
};

static const struct op_attr rows[] = {
    {.name = "body",
     .type = OP_BODY,
     .offset = offsetof(struct attrs, body),
     .required = true,
     .help =
         "takes the carried values, a slice of every scanned input, and the captures; makes the "
         "carried values, and what is collected"},
    {.name = "captures",
     .type = OP_INT,
     .offset = offsetof(struct attrs, captures),
     .max = GRAPH_NODE_VALUES_MAX,
     .help = "how many inputs at the end go to every iteration as they are"},
    {.name = "num_scan_inputs",
     .type = OP_INT,
     .offset = offsetof(struct attrs, num_scan_inputs),
     .min = 1,
     .max = GRAPH_NODE_VALUES_MAX,
     .required = true,
     .help = "how many inputs before the captures are scanned"},
    {.name = "scan_input_axes",
     .type = OP_INTS,
     .offset = offsetof(struct attrs, input_axes),
     .help = "axis along which each is cut; default 0"},
    {.name = "scan_input_directions",
     .type = OP_INTS,
     .offset = offsetof(struct attrs, input_directions),
     .min = 0,
     .max = 1,
     .help = "1: from the last slice to the first; default 0"},
    {.name = "scan_output_axes",
     .type = OP_INTS,
     .offset = offsetof(struct attrs, output_axes),
     .help = "axis along which each is collected; default 0"},
    {.name = "scan_output_directions",
     .type = OP_INTS,
     .offset = offsetof(struct attrs, output_directions),
     .min = 0,
     .max = 1,
     .help = "1: the first iteration comes last; default 0"},
};

struct scan {
    struct op_control *c;
    const struct attrs *attrs;
    uint32_t state_count, slice_count, stack_count;
    size_t trips;
    struct tensor *inputs, *results;
    struct stack *stacks;
    struct arena arenas[2]; // of the iteration in progress and the one before, by turns
};

static int64_t number_at(const struct op_ints *list, uint32_t index)
{
    return index < list->count ? list->values[index] : 0;
}

static espy_status check_counts(struct scan *scan)
{
    struct op_control *c = scan->c;
    const struct attrs *attrs = scan->attrs;
    scan->slice_count = (uint32_t)attrs->num_scan_inputs;
    if (c->input_count < (uint32_t)attrs->captures + scan->slice_count)
        return espy_control_fail(c, "has fewer inputs than captures and scanned inputs");
    scan->state_count = c->input_count - scan->slice_count - (uint32_t)attrs->captures;
    if (attrs->body->output_count < scan->state_count)
        return espy_control_fail(c, "body '%s' makes %u outputs, at least %u are needed",
                                 attrs->body->name, (unsigned)attrs->body->output_count,
                                 (unsigned)scan->state_count);
    scan->stack_count = attrs->body->output_count - scan->state_count;
    if (c->output_count > attrs->body->output_count)
        return espy_control_fail(c, "has %u outputs, its body makes %u", (unsigned)c->output_count,
                                 (unsigned)attrs->body->output_count);
    return ESPY_OK;
}

static uint32_t slice_axis(const struct scan *scan, uint32_t slice)
{
    const int64_t axis = number_at(&scan->attrs->input_axes, slice);
    const uint32_t rank = scan->c->inputs[scan->state_count + slice].type.shape.rank;
    return axis < 0 ? (uint32_t)(axis + rank) : (uint32_t)axis;
}

// All scanned inputs have as many slices.
static espy_status check_slices(struct scan *scan)
{
    struct op_control *c = scan->c;
    for (uint32_t s = 0; s < scan->slice_count; s++) {
        const struct tensor *input = &c->inputs[scan->state_count + s];
        const int64_t axis = number_at(&scan->attrs->input_axes, s);
        const int64_t rank = input->type.shape.rank;
        if (axis < -rank || axis >= rank)
            return espy_control_fail(c, "axis %lld is outside a scanned input of rank %lld",
                                     (long long)axis, (long long)rank);
        const size_t trips = (size_t)input->type.shape.dims[slice_axis(scan, s)];
        if (s > 0 && trips != scan->trips)
            return espy_control_fail(c, "scanned inputs have %zu and %zu slices", scan->trips,
                                     trips);
        scan->trips = trips;
    }
    return ESPY_OK;
}

static espy_status prepare(struct scan *scan)
{
    struct op_control *c = scan->c;
    scan->inputs = espy_arena_array(c->arena, c->input_count, sizeof(*scan->inputs));
    scan->results =
        espy_arena_array(c->arena, scan->attrs->body->output_count, sizeof(*scan->results));
    scan->stacks = espy_arena_array(c->arena, scan->stack_count, sizeof(*scan->stacks));
    if (scan->inputs == NULL || scan->results == NULL || scan->stacks == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < c->input_count; i++)
        scan->inputs[i] = c->inputs[i];
    return ESPY_OK;
}

// Copies out slice `index` of a scanned input.
static espy_status take_slice(const struct scan *scan, uint32_t slice, size_t index,
                              struct arena *arena, struct tensor *taken)
{
    const struct tensor *from = &scan->c->inputs[scan->state_count + slice];
    const uint32_t axis = slice_axis(scan, slice);
    size_t outer = 1, run = 1;
    *taken = (struct tensor){.type = {from->type.dtype, {.rank = from->type.shape.rank - 1}}};
    for (uint32_t d = 0; d < from->type.shape.rank; d++) {
        const int64_t dim = from->type.shape.dims[d];
        if (d != axis)
            taken->type.shape.dims[d < axis ? d : d - 1] = dim;
        outer *= d < axis ? (size_t)dim : 1;
        run *= d > axis ? (size_t)dim : 1;
    }
    espy_shape_count(&taken->type.shape, &taken->count); // a part of what fits
    taken->data = espy_arena_alloc(arena, espy_tensor_size(taken));
    if (taken->data == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (size_t o = 0; o < outer; o++)
        espy_tensor_move(taken, o * run, from, (o * scan->trips + index) * run, run);
    return ESPY_OK;
}

static espy_status iterate(struct scan *scan, size_t number)
{
    struct op_control *c = scan->c;
    // What the iteration before made is read by this one; what was made before that is not.
    struct arena *arena = &scan->arenas[number % 2];
    espy_arena_finish(arena);
    espy_arena_init(arena, c->host);
    for (uint32_t s = 0; s < scan->slice_count; s++) {
        const bool reversed = number_at(&scan->attrs->input_directions, s) != 0;
        const size_t index = reversed ? scan->trips - 1 - number : number;
        TRY(take_slice(scan, s, index, arena, &scan->inputs[scan->state_count + s]));
    }
    TRY(espy_control_run(c, scan->attrs->body, scan->inputs, c->input_count, arena, scan->results));
    for (uint32_t i = 0; i < scan->state_count; i++)
        scan->inputs[i] = scan->results[i];
    for (uint32_t i = 0; i < scan->stack_count; i++)
        TRY(stack_push(c, &scan->stacks[i], &scan->results[scan->state_count + i]));
    return ESPY_OK;
}

static espy_status finish(struct scan *scan)
{
    struct op_control *c = scan->c;
    for (uint32_t o = 0; o < c->output_count; o++) {
        if (o < scan->state_count) {
            c->outputs[o] = espy_control_copy(c->arena, &scan->inputs[o]);
            if (c->outputs[o].data == NULL)
                return ESPY_OUT_OF_MEMORY;
            continue;
        }
        const uint32_t s = o - scan->state_count;
        TRY(stack_declare(c, &scan->stacks[s], scan->attrs->body, o));
        TRY(stack_join(c, &scan->stacks[s], number_at(&scan->attrs->output_axes, s),
                       number_at(&scan->attrs->output_directions, s) != 0, &c->outputs[o]));
    }
    return ESPY_OK;
}

static espy_status control(struct op_control *c)
{
    struct scan scan = {.c = c, .attrs = c->attrs};
    TRY(check_counts(&scan));
    TRY(check_slices(&scan));
    TRY(prepare(&scan));
    espy_arena_init(&scan.arenas[0], c->host);
    espy_arena_init(&scan.arenas[1], c->host);
    espy_status status = ESPY_OK;
    for (size_t i = 0; i < scan.trips && status == ESPY_OK; i++)
        status = iterate(&scan, i);
    if (status == ESPY_OK)
        status = finish(&scan);
    for (uint32_t i = 0; i < scan.stack_count; i++)
        espy_free(c->host, scan.stacks[i].bytes);
    espy_arena_finish(&scan.arenas[1]);
    espy_arena_finish(&scan.arenas[0]);
    return status;
}

static const struct op ops[] = {{.name = "Scan",
                                 .summary = "runs a body for every slice of its inputs",
                                 .inputs_min = 1,
                                 .inputs_max = OP_VARIADIC,
                                 .outputs_min = 1,
                                 .outputs_max = OP_VARIADIC,
                                 .flags = OP_HOST_ONLY | OP_DATA_SHAPE,
                                 .attrs = rows,
                                 .attr_count = sizeof(rows) / sizeof(rows[0]),
                                 .attrs_size = sizeof(struct attrs),
                                 .control = control}};

const struct op_family espy_ops_scan = {ops, sizeof(ops) / sizeof(ops[0])};
