// If: one of two bodies, chosen by an element that is known when the model runs.
#include "op/op.h"

#include <stddef.h>

struct attrs {
    const struct graph *then_branch, *else_branch;
};

static const struct op_attr rows[] = {
    {.name = "then_branch",
     .type = OP_BODY,
     .offset = offsetof(struct attrs, then_branch),
     .required = true,
     .help =
         "runs where the condition is true, on the inputs after the condition, as many as it has"},
    {.name = "else_branch",
     .type = OP_BODY,
     .offset = offsetof(struct attrs, else_branch),
     .required = true,
     .help = "runs where it is false, on the inputs that are left"},
};

static espy_status control(struct op_control *c)
{
    const struct attrs *attrs = c->attrs;
    const struct tensor *condition = &c->inputs[0];
    const uint32_t then_inputs = attrs->then_branch->input_count;
    if (condition->type.dtype != ESPY_BOOL || condition->count != 1)
        return espy_control_fail(c, "the condition must be one bool");
    if (c->input_count != 1 + then_inputs + attrs->else_branch->input_count)
        return espy_control_fail(c, "has %u inputs, its branches take %u and %u",
                                 (unsigned)c->input_count, (unsigned)then_inputs,
                                 (unsigned)attrs->else_branch->input_count);
    const bool taken = espy_tensor_integer(condition, 0) != 0;
    const struct graph *branch = taken ? attrs->then_branch : attrs->else_branch;
    if (branch->output_count < c->output_count)
        return espy_control_fail(c, "body '%s' makes %u outputs, not %u", branch->name,
                                 (unsigned)branch->output_count, (unsigned)c->output_count);
    struct tensor *results = espy_arena_array(c->arena, branch->output_count, sizeof(*results));
    if (results == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(espy_control_run(c, branch, c->inputs + 1 + (taken ? 0 : then_inputs), branch->input_count,
                         c->arena, results));
    for (uint32_t o = 0; o < c->output_count; o++)
        c->outputs[o] = results[o];
    return ESPY_OK;
}

static const struct op ops[] = {{.name = "If",
                                 .summary = "runs one of two bodies",
                                 .inputs_min = 1,
                                 .inputs_max = OP_VARIADIC,
                                 .outputs_min = 1,
                                 .outputs_max = OP_VARIADIC,
                                 .flags = OP_HOST_ONLY | OP_DATA_SHAPE,
                                 .attrs = rows,
                                 .attr_count = sizeof(rows) / sizeof(rows[0]),
                                 .attrs_size = sizeof(struct attrs),
                                 .control = control}};

const struct op_family espy_ops_if = {ops, sizeof(ops) / sizeof(ops[0])};
