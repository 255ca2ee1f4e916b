#include "plan/plan.h"

#include <string.h>

static const char *kind_name(enum plan_buffer_kind kind)
{
    static const char *const names[] = {
        [PLAN_ARENA] = "arena", [PLAN_CONSTANT] = "constant", [PLAN_PERSISTENT] = "persistent"};
    return names[kind];
}

static const char *storage_name(enum storage storage)
{
    static const char *const names[] = {
        [STORAGE_F32] = "f32", [STORAGE_F16] = "f16", [STORAGE_I32] = "i32",
        [STORAGE_U32] = "u32", [STORAGE_I64] = "i64", [STORAGE_PACKED] = "packed"};
    return names[storage];
}

static void print_buffers(const struct plan *plan, struct text *text)
{
    for (uint32_t i = 0; i < plan->buffer_count; i++) {
        const struct plan_buffer *buffer = &plan->buffers[i];
        espy_text_add(text, "buffer %u %s %s %llu @ %llu", i, kind_name(buffer->kind),
                      storage_name(buffer->storage), (unsigned long long)buffer->size,
                      (unsigned long long)buffer->offset);
        if (buffer->kind == PLAN_ARENA && buffer->first != UINT32_MAX)
            espy_text_add(text, " alive %u..%u", buffer->first, buffer->last);
        if (buffer->transient)
            espy_text_add(text, " transient");
        espy_text_add(text, "%s%s\n", buffer->name != NULL ? " " : "",
                      buffer->name != NULL ? buffer->name : "");
    }
}

static void print_dispatch(const struct plan *plan, const struct plan_dispatch *dispatch,
                           struct text *text)
{
    espy_text_add(text, "  %s%s [%u %u %u]", dispatch->barrier ? "| " : "  ",
                  dispatch->shader->name, dispatch->groups[0], dispatch->groups[1],
                  dispatch->groups[2]);
    for (uint32_t b = 0; b < dispatch->binding_count; b++) {
        const struct plan_binding *binding = &dispatch->bindings[b];
        espy_text_add(text, " %s%u", binding->writes ? ">" : binding->reads ? "" : "-",
                      binding->buffer);
    }
    espy_text_add(text, "  %s\n", dispatch->node == GRAPH_NONE
                                      ? "(output)"
                                      : plan->graph->nodes[dispatch->node].name);
}

// Of the prepare dispatches and the others in a row.
static const struct plan_dispatch *dispatch_at(const struct plan *plan, uint32_t index)
{
    return index < plan->prepare_count ? &plan->prepare[index]
                                       : &plan->dispatches[index - plan->prepare_count];
}

static void print_nodes(const struct plan *plan, const char *title, uint32_t count,
                        const bool *listed, struct text *text)
{
    if (count > 0)
        espy_text_add(text, "%s\n", title);
    for (uint32_t n = 0; count > 0 && n < plan->graph->node_count; n++)
        if (listed[n])
            espy_text_add(text, "  %s  %s\n", plan->graph->nodes[n].op, plan->graph->nodes[n].name);
}

void espy_plan_traffic(const struct plan *plan, struct plan_traffic *traffic)
{
    *traffic = (struct plan_traffic){0};
    for (uint32_t i = 0; i < plan->dispatch_count; i++) {
        for (uint32_t b = 0; b < plan->dispatches[i].binding_count; b++) {
            const struct plan_binding *binding = &plan->dispatches[i].bindings[b];
            if (binding->writes)
                traffic->written += binding->size;
            else if (plan->buffers[binding->buffer].kind == PLAN_ARENA)
                traffic->read += binding->size;
            else
                traffic->weights += binding->size;
        }
    }
}

bool espy_plan_same_pipeline(const struct plan_dispatch *a, const struct plan_dispatch *b)
{
    return a->spec_size == b->spec_size &&
           (a->spec_size == 0 || memcmp(a->spec, b->spec, a->spec_size) == 0) &&
           espy_shader_same(a->shader, b->shader);
}

uint32_t espy_plan_pipelines(const struct plan *plan)
{
    const uint32_t all = plan->prepare_count + plan->dispatch_count;
    uint32_t count = 0;
    for (uint32_t i = 0; i < all; i++) {
        bool met = false;
        for (uint32_t k = 0; k < i && !met; k++)
            met = espy_plan_same_pipeline(dispatch_at(plan, i), dispatch_at(plan, k));
        count += !met;
    }
    return count;
}

void espy_plan_print(const struct plan *plan, struct text *text)
{
    struct plan_traffic traffic;
    espy_plan_traffic(plan, &traffic);
    espy_text_add(text,
                  "arena %llu constants %llu buffers %u prepare %u dispatches %u pipelines %u "
                  "stages %u\n",
                  (unsigned long long)plan->arena_size, (unsigned long long)plan->constants_size,
                  plan->buffer_count, plan->prepare_count, plan->dispatch_count,
                  espy_plan_pipelines(plan), plan->stage_count);
    espy_text_add(text, "moves: reads %llu writes %llu weights %llu\n",
                  (unsigned long long)traffic.read, (unsigned long long)traffic.written,
                  (unsigned long long)traffic.weights);
    print_buffers(plan, text);
    espy_text_add(text, "prepare\n");
    for (uint32_t k = 0; k < plan->batch_count; k++) {
        if (k > 0)
            espy_text_add(text, "batch %u\n", k);
        for (uint32_t i = 0; i < plan->batches[k].count; i++)
            print_dispatch(plan, &plan->prepare[plan->batches[k].first + i], text);
    }
    for (uint32_t s = 0; s < plan->stage_count; s++) {
        const struct plan_stage *stage = &plan->stages[s];
        if (stage->host_node != GRAPH_NONE) {
            const struct plan_host_node *host = &plan->host_nodes[stage->host_node];
            espy_text_add(text, "host %s (%s)\n", plan->graph->nodes[host->node].name, host->why);
        }
        espy_text_add(text, "stage %u\n", s);
        for (uint32_t i = 0; i < stage->count; i++)
            print_dispatch(plan, &plan->dispatches[stage->first + i], text);
    }
    print_nodes(plan, "counted", plan->counted_count, plan->counted, text);
    print_nodes(plan, "pending", plan->pending_count, plan->pending, text);
}
