#include "op/op.h"

#include <assert.h>
#include <stdio.h>

enum { REASON_SIZE = 512 };

bool espy_eval_has(const struct op_eval *c, uint32_t i)
{
    return i < c->input_count && c->inputs[i].type.dtype != ESPY_DTYPE_NONE;
}

void espy_eval_fail(struct op_eval *c, espy_status status, const char *format, ...)
{
    if (c->status != ESPY_OK)
        return; // one message per failure
    char reason[REASON_SIZE];
    va_list list;
    va_start(list, format);
    vsnprintf(reason, sizeof(reason), format, list);
    va_end(list);
    c->status = espy_fail(c->host, status, "node '%s' (%s): %s", c->node->name, c->node->op->name,
                          reason);
}

void *espy_eval_scratch(struct op_eval *c, size_t count, size_t element_size)
{
    if (c->status != ESPY_OK)
        return NULL;
    void *memory = espy_arena_array(c->arena, count, element_size);
    if (memory == NULL)
        c->status = ESPY_OUT_OF_MEMORY; // the arena has logged it
    return memory;
}

const float *espy_eval_floats(struct op_eval *c, uint32_t i)
{
    const struct tensor *input = &c->inputs[i];
    if (input->type.dtype == ESPY_FLOAT32)
        return input->data;
    float *floats = espy_eval_scratch(c, input->count, sizeof(*floats));
    for (size_t k = 0; floats != NULL && k < input->count; k++)
        floats[k] = (float)espy_tensor_number(input, k);
    return floats;
}

static void apply_steps(const struct op_node *node, struct tensor *output)
{
    for (size_t k = 0; k < output->count; k++) {
        double value = espy_tensor_number(output, k);
        for (uint32_t i = 0; i < node->step_count; i++)
            value = espy_step_apply(&node->steps[i], value);
        espy_tensor_set_number(output, k, value);
    }
}

espy_status espy_op_evaluate(const struct host *host, const struct op_node *node,
                             const struct tensor *inputs, uint32_t input_count,
                             struct tensor *outputs, uint32_t output_count)
{
    assert(node->op->reference != NULL);
    struct arena scratch;
    espy_arena_init(&scratch, host);
    struct op_eval c = {.host = host,
                        .node = node,
                        .attrs = node->attrs,
                        .input_count = input_count,
                        .output_count = output_count,
                        .inputs = inputs,
                        .outputs = outputs,
                        .arena = &scratch};
    node->op->reference(&c);
    if (c.status == ESPY_OK && node->step_count > 0 && outputs[0].data != NULL)
        apply_steps(node, &outputs[0]);
    espy_arena_finish(&scratch);
    return c.status;
}
