// Loop: a body again and again, with values that go from one iteration to the next and values that
// are collected.
#include <stddef.h>

#include "op/op.h"
#include "ops/stack.h"

// A file may ask for more than any machine does; this many trips of the smallest body take a minute.
enum { LOOP_TRIPS_MAX = 1 << 20 };

struct attrs {
    const struct graph *body;
    int64_t captures;
};

static const struct op_attr rows[] = {
    {.name = "body",
     .type = OP_BODY,
     .offset = offsetof(struct attrs, body),
     .required = true,
     .help = "takes the iteration's number (int64), the condition, the carried values and the "
             "captures; makes the next condition, the carried values, and what is collected"},
    {.name = "captures",
     .type = OP_INT,
     .offset = offsetof(struct attrs, captures),
     .max = GRAPH_NODE_VALUES_MAX,
     .help = "how many inputs at the end go to every iteration as they are"},
};

struct loop {
    struct op_control *c;
    const struct graph *body;
    uint32_t state_count, stack_count, input_count; // inputs of the body
    struct tensor *inputs, *results;
    struct stack *stacks;
    struct arena arenas[2]; // of the iteration in progress and the one before, by turns
};

static espy_status check(struct loop *loop)
{
    struct op_control *c = loop->c;
    const struct attrs *attrs = c->attrs;
    const uint32_t captures = (uint32_t)attrs->captures;
    if (c->input_count < 2 + captures)
        return espy_control_fail(c, "has fewer inputs than captures");
    loop->body = attrs->body;
    loop->input_count = c->input_count;
    loop->state_count = c->input_count - 2 - captures;
    if (loop->body->output_count < 1 + loop->state_count)
        return espy_control_fail(c, "body '%s' makes %u outputs, at least %u are needed",
                                 loop->body->name, (unsigned)loop->body->output_count,
                                 (unsigned)(1 + loop->state_count));
    loop->stack_count = loop->body->output_count - 1 - loop->state_count;
    if (c->output_count > loop->state_count + loop->stack_count)
        return espy_control_fail(c, "has %u outputs, its body makes %u", (unsigned)c->output_count,
                                 (unsigned)(loop->state_count + loop->stack_count));
    if (espy_control_has(c, 0) &&
        (c->inputs[0].count != 1 || c->inputs[0].type.dtype != ESPY_INT64))
        return espy_control_fail(c, "the trip count must be one int64");
    if (espy_control_has(c, 1) && (c->inputs[1].count != 1 || c->inputs[1].type.dtype != ESPY_BOOL))
        return espy_control_fail(c, "the condition must be one bool");
    return ESPY_OK;
}

static espy_status prepare(struct loop *loop)
{
    struct op_control *c = loop->c;
    loop->inputs = espy_arena_array(c->arena, loop->input_count, sizeof(*loop->inputs));
    loop->results = espy_arena_array(c->arena, loop->body->output_count, sizeof(*loop->results));
    loop->stacks = espy_arena_array(c->arena, loop->stack_count, sizeof(*loop->stacks));
    if (loop->inputs == NULL || loop->results == NULL || loop->stacks == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 2; i < loop->input_count; i++)
        loop->inputs[i] = c->inputs[i];
    return ESPY_OK;
}

static espy_status iterate(struct loop *loop, int64_t number, bool *condition)
{
    struct op_control *c = loop->c;
    // What the iteration before made is read by this one; what was made before that is not.
    struct arena *arena = &loop->arenas[number % 2];
    espy_arena_finish(arena);
    espy_arena_init(arena, c->host);
    bool go_on = *condition;
    loop->inputs[0] = (struct tensor){.type = {ESPY_INT64, {.rank = 0}}, 1, &number};
    loop->inputs[1] = (struct tensor){.type = {ESPY_BOOL, {.rank = 0}}, 1, &go_on};
    TRY(espy_control_run(c, loop->body, loop->inputs, loop->input_count, arena, loop->results));
    if (loop->results[0].type.dtype != ESPY_BOOL || loop->results[0].count != 1)
        return espy_control_fail(c, "the body's condition must be one bool");
    *condition = espy_tensor_integer(&loop->results[0], 0) != 0;
    for (uint32_t i = 0; i < loop->state_count; i++)
        loop->inputs[2 + i] = loop->results[1 + i];
    for (uint32_t i = 0; i < loop->stack_count; i++)
        TRY(stack_push(c, &loop->stacks[i], &loop->results[1 + loop->state_count + i]));
    return ESPY_OK;
}

static espy_status iterate_all(struct loop *loop)
{
    struct op_control *c = loop->c;
    const bool has_condition = espy_control_has(c, 1);
    int64_t trips = INT64_MAX;
    bool condition = !has_condition || espy_tensor_integer(&c->inputs[1], 0) != 0;
    if (espy_control_has(c, 0))
        trips = espy_tensor_integer(&c->inputs[0], 0);
    for (int64_t i = 0; i < trips && condition; i++) {
        if (i == LOOP_TRIPS_MAX)
            return espy_control_fail(c, "still runs after %d iterations", (int)LOOP_TRIPS_MAX);
        TRY(iterate(loop, i, &condition));
        // Without the condition's input, what the body makes of it does not count (ONNX's table).
        condition = condition || !has_condition;
    }
    return ESPY_OK;
}

static espy_status finish(struct loop *loop)
{
    struct op_control *c = loop->c;
    for (uint32_t o = 0; o < c->output_count; o++) {
        if (o < loop->state_count) {
            c->outputs[o] = espy_control_copy(c->arena, &loop->inputs[2 + o]);
            if (c->outputs[o].data == NULL)
                return ESPY_OUT_OF_MEMORY;
            continue;
        }
        struct stack *stack = &loop->stacks[o - loop->state_count];
        TRY(stack_declare(c, stack, loop->body, 1 + o));
        TRY(stack_join(c, stack, 0, false, &c->outputs[o]));
    }
    return ESPY_OK;
}

static espy_status control(struct op_control *c)
{
    struct loop loop = {.c = c};
    TRY(check(&loop));
    TRY(prepare(&loop));
    espy_arena_init(&loop.arenas[0], c->host);
    espy_arena_init(&loop.arenas[1], c->host);
    espy_status status = iterate_all(&loop);
    if (status == ESPY_OK)
        status = finish(&loop);
    for (uint32_t i = 0; i < loop.stack_count; i++)
        espy_free(c->host, loop.stacks[i].bytes);
    espy_arena_finish(&loop.arenas[1]);
    espy_arena_finish(&loop.arenas[0]);
    return status;
}

static const struct op ops[] = {
    {.name = "Loop",
     .summary = "runs a body a number of times, or while a condition is true",
     .inputs_min = 0,
     .inputs_max = OP_VARIADIC,
     .outputs_min = 1,
     .outputs_max = OP_VARIADIC,
     .flags = OP_HOST_ONLY | OP_DATA_SHAPE,
     .attrs = rows,
     .attr_count = sizeof(rows) / sizeof(rows[0]),
     .attrs_size = sizeof(struct attrs),
     .control = control}};

const struct op_family espy_ops_loop = {ops, sizeof(ops) / sizeof(ops[0])};
