#include <stdio.h>
#include <string.h>

#include "op/op.h"

enum { REASON_SIZE = 512 };

bool espy_control_has(const struct op_control *c, uint32_t i)
{
    return i < c->input_count && c->inputs[i].type.dtype != ESPY_DTYPE_NONE;
}

espy_status espy_control_fail(const struct op_control *c, const char *format, ...)
{
    char reason[REASON_SIZE];
    va_list list;
    va_start(list, format);
    vsnprintf(reason, sizeof(reason), format, list);
    va_end(list);
    return espy_fail(c->host, ESPY_BAD_FORMAT, "node '%s' (%s): %s", c->node->name,
                     c->node->op->name, reason);
}

espy_status espy_control_run(struct op_control *c, const struct graph *body,
                             const struct tensor *inputs, uint32_t input_count, struct arena *arena,
                             struct tensor *outputs)
{
    if (input_count != body->input_count)
        return espy_control_fail(c, "body '%s' takes %u inputs, not %u", body->name,
                                 (unsigned)body->input_count, (unsigned)input_count);
    for (uint32_t i = 0; i < input_count; i++)
        if (inputs[i].type.dtype == ESPY_DTYPE_NONE)
            return espy_control_fail(c, "input %u of body '%s' is absent", (unsigned)i, body->name);
    return c->run(c, body, inputs, arena, outputs);
}

struct tensor espy_control_copy(struct arena *arena, const struct tensor *tensor)
{
    struct tensor copy = *tensor;
    copy.data = espy_arena_copy(arena, tensor->data, espy_tensor_size(tensor));
    return copy;
}

static espy_status run_references(struct op_control *c, const struct graph *body,
                                  const struct tensor *inputs, struct arena *arena,
                                  struct tensor *outputs)
{
    return espy_graph_evaluate(c->host, body, inputs, arena, outputs);
}

espy_status espy_op_control(const struct op_control_params *params)
{
    struct op_control c = {.host = params->host,
                           .node = params->node,
                           .attrs = params->node->attrs,
                           .input_count = params->input_count,
                           .output_count = params->output_count,
                           .inputs = params->inputs,
                           .outputs = params->outputs,
                           .arena = params->arena,
                           .run = params->run == NULL ? run_references : params->run,
                           .run_user = params->run_user};
    return c.node->op->control(&c);
}

static espy_status copy_outputs(const struct op_walk *walk, struct arena *arena,
                                struct tensor *outputs)
{
    const struct graph *graph = walk->graph;
    for (uint32_t o = 0; o < graph->output_count; o++) {
        const uint32_t value = graph->outputs[o].value;
        if (walk->values[value].data == NULL)
            return espy_fail(walk->host, ESPY_UNSUPPORTED, "'%s' cannot be computed on the host",
                             graph->values[value].name);
        outputs[o] = espy_control_copy(arena, &walk->values[value]);
        if (outputs[o].data == NULL)
            return ESPY_OUT_OF_MEMORY;
    }
    return ESPY_OK;
}

espy_status espy_graph_evaluate(const struct host *host, const struct graph *graph,
                                const struct tensor *inputs, struct arena *arena,
                                struct tensor *outputs)
{
    struct op_source *sources = espy_arena_array(arena, graph->input_count, sizeof(*sources));
    if (sources == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < graph->input_count; i++)
        sources[i] = (struct op_source){.value = graph->inputs[i].value,
                                        .type = inputs[i].type,
                                        .data = inputs[i].data,
                                        .known = true};
    // With every input known, the walk computes everything.
    const struct op_walk_params params = {.sources = sources,
                                          .source_count = graph->input_count,
                                          .fold_elements_max = SIZE_MAX,
                                          .run_bodies = true};
    struct op_walk walk;
    TRY(espy_walk_init(&walk, host, graph, &params));
    const espy_status status = copy_outputs(&walk, arena, outputs);
    espy_walk_finish(&walk);
    return status;
}
