// The rules that every plan keeps, checked from what its dispatches touch and in which order, by
// other means than the planner's own.
#ifndef TESTS_UNIT_TEST_PLAN_RULES_H_
#define TESTS_UNIT_TEST_PLAN_RULES_H_

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "plan/plan.h"

// What is wrong with a plan; "" when nothing is.
struct rules {
    const struct plan *plan;
    const struct caps *caps;
    char wrong[512];
};

#define RULE(rules, condition, ...)                                        \
    do {                                                                   \
        if (!(condition) && (rules)->wrong[0] == '\0')                     \
            snprintf((rules)->wrong, sizeof((rules)->wrong), __VA_ARGS__); \
    } while (0)

// From the first to the last step that touches a buffer; step 0 is before everything.
struct lifetime {
    bool touched;
    uint32_t first, last;
};

static inline void rules_touch(struct lifetime *lives, uint32_t buffer, uint32_t step)
{
    if (buffer == VIEW_NONE)
        return;
    struct lifetime *life = &lives[buffer];
    if (!life->touched)
        *life = (struct lifetime){true, step, step};
    life->first = step < life->first ? step : life->first;
    life->last = step > life->last ? step : life->last;
}

static inline struct lifetime *rules_lifetimes(const struct plan *plan)
{
    struct lifetime *lives = calloc(plan->buffer_count + 1u, sizeof(*lives));
    cr_assert(lives != NULL);
    uint32_t step = 0;
    for (uint32_t i = 0; i < plan->input_count; i++)
        if (plan->inputs[i].constant == NULL)
            rules_touch(lives, plan->inputs[i].view.buffer, step);
    for (uint32_t s = 0; s < plan->stage_count; s++) {
        const struct plan_stage *stage = &plan->stages[s];
        if (stage->host_node != GRAPH_NONE) {
            const struct plan_host_node *host = &plan->host_nodes[stage->host_node];
            step++;
            for (uint32_t i = 0; i < host->input_count; i++)
                rules_touch(lives, host->inputs[i].buffer, step);
            for (uint32_t o = 0; o < host->output_count; o++)
                rules_touch(lives, host->outputs[o].buffer, step);
        }
        for (uint32_t d = stage->first; d < stage->first + stage->count; d++) {
            step++;
            for (uint32_t b = 0; b < plan->dispatches[d].binding_count; b++)
                rules_touch(lives, plan->dispatches[d].bindings[b].buffer, step);
        }
    }
    step++;
    for (uint32_t o = 0; o < plan->output_count; o++) {
        if (plan->outputs[o].constant == NULL)
            rules_touch(lives, plan->outputs[o].view.buffer, step);
        if (plan->outputs[o].counted)
            rules_touch(lives, plan->outputs[o].count.buffer, step);
    }
    for (uint32_t k = 0; k < plan->kept_count; k++) { // from the beginning to the end
        rules_touch(lives, plan->kept[k].view.buffer, 0);
        rules_touch(lives, plan->kept[k].view.buffer, step);
        if (plan->kept[k].counted)
            rules_touch(lives, plan->kept[k].count.buffer, step);
    }
    return lives;
}

// Transient buffers of one batch are apart from those of others by time.
static inline bool rules_overlap(const struct plan_buffer *a, const struct plan_buffer *b)
{
    return (a->kind == PLAN_ARENA) == (b->kind == PLAN_ARENA) && a->transient == b->transient &&
           (!a->transient || (a->batch == b->batch && a->batch != GRAPH_NONE)) &&
           a->offset < b->offset + b->size && b->offset < a->offset + a->size;
}

static inline void rules_memory(struct rules *rules)
{
    const struct plan *plan = rules->plan;
    struct lifetime *lives = rules_lifetimes(plan);
    for (uint32_t i = 0; i < plan->buffer_count; i++) {
        const struct plan_buffer *a = &plan->buffers[i];
        if (a->kind == PLAN_ARENA && !lives[i].touched)
            continue;
        const uint64_t room = a->kind == PLAN_ARENA ? plan->arena_size
                              : a->transient        ? plan->transient_size
                                                    : plan->constants_size;
        RULE(rules, !a->transient || (a->kind != PLAN_ARENA && !lives[i].touched),
             "buffer %u is transient and a run touches it", i);
        RULE(rules, a->offset + a->size <= room || (a->transient && a->batch == GRAPH_NONE),
             "buffer %u reaches over the end", i);
        RULE(rules, a->offset % rules->caps->buffer_alignment == 0, "buffer %u is not aligned", i);
        RULE(rules, a->size % 4 == 0 && a->size >= a->count * espy_storage_size(a->storage),
             "buffer %u is too small for its elements", i);
        RULE(rules, (a->kind == PLAN_CONSTANT) == (a->data != NULL), "buffer %u: data", i);
        for (uint32_t k = 0; k < i; k++) {
            const struct plan_buffer *b = &plan->buffers[k];
            if (b->kind == PLAN_ARENA && !lives[k].touched)
                continue;
            const bool together = a->kind != PLAN_ARENA || (lives[i].first <= lives[k].last &&
                                                            lives[k].first <= lives[i].last);
            RULE(rules, !together || !rules_overlap(a, b),
                 "buffers %u and %u are alive together and overlap", k, i);
        }
    }
    free(lives);
}

// Two dispatches that may not run at the same time: one writes what the other touches.
static inline bool rules_conflict(const struct plan *plan, const struct plan_dispatch *a,
                                  const struct plan_dispatch *b)
{
    for (uint32_t i = 0; i < a->binding_count; i++)
        for (uint32_t k = 0; k < b->binding_count; k++) {
            const struct plan_binding *x = &a->bindings[i], *y = &b->bindings[k];
            const bool used = (x->reads || x->writes) && (y->reads || y->writes);
            if (used && (x->writes || y->writes) &&
                rules_overlap(&plan->buffers[x->buffer], &plan->buffers[y->buffer]))
                return true;
        }
    return false;
}

static inline void rules_barriers(struct rules *rules, const struct plan_dispatch *list,
                                  uint32_t count, const char *where)
{
    uint32_t first = 0; // after the last barrier
    for (uint32_t i = 0; i < count; i++) {
        first = list[i].barrier ? i : first;
        for (uint32_t k = first; k < i; k++)
            RULE(rules, !rules_conflict(rules->plan, &list[k], &list[i]),
                 "%s: dispatches %u and %u conflict with no barrier between", where, k, i);
    }
}

// Batches are all prepare dispatches in order, and touch no transient buffers but their own.
static inline void rules_batches(struct rules *rules)
{
    const struct plan *plan = rules->plan;
    uint32_t next = 0;
    for (uint32_t k = 0; k < plan->batch_count; k++) {
        const struct plan_batch *batch = &plan->batches[k];
        RULE(rules, batch->first == next && batch->count > 0, "batch %u is not the next", k);
        next += batch->count;
        for (uint32_t d = batch->first; d < next; d++)
            for (uint32_t b = 0; b < plan->prepare[d].binding_count; b++) {
                const struct plan_buffer *buffer =
                    &plan->buffers[plan->prepare[d].bindings[b].buffer];
                RULE(rules, !buffer->transient || buffer->batch == k,
                     "prepare %u touches a transient buffer of another batch", d);
            }
    }
    RULE(rules, next == plan->prepare_count, "prepare dispatches are in no batch");
}

static inline void rules_dispatches(struct rules *rules)
{
    const struct plan *plan = rules->plan;
    rules_batches(rules);
    rules_barriers(rules, plan->prepare, plan->prepare_count, "prepare");
    uint32_t next = 0;
    for (uint32_t s = 0; s < plan->stage_count; s++) {
        const struct plan_stage *stage = &plan->stages[s];
        RULE(rules, stage->first == next, "stage %u does not follow the one before", s);
        RULE(rules, (stage->host_node == GRAPH_NONE) == (s == 0), "stage %u and its host node", s);
        rules_barriers(rules, plan->dispatches + stage->first, stage->count, "stage");
        next += stage->count;
    }
    RULE(rules, next == plan->dispatch_count, "%u dispatches are in no stage",
         plan->dispatch_count - next);
    RULE(rules, plan->stage_count == plan->host_node_count + 1, "stages and host nodes");
}

// Before a run only constants exist; a run writes none of them, and reads nothing not yet written.
static inline void rules_data_flow(struct rules *rules)
{
    const struct plan *plan = rules->plan;
    bool *written = calloc(plan->buffer_count + 1u, sizeof(*written));
    cr_assert(written != NULL);
    for (uint32_t i = 0; i < plan->buffer_count; i++)
        written[i] = plan->buffers[i].kind == PLAN_CONSTANT || plan->buffers[i].count == 0;
    for (uint32_t i = 0; i < plan->input_count; i++)
        if (plan->inputs[i].view.buffer != VIEW_NONE)
            written[plan->inputs[i].view.buffer] = true;
    for (uint32_t h = 0; h < plan->host_node_count; h++) // their order is not checked here
        for (uint32_t o = 0; o < plan->host_nodes[h].output_count; o++)
            if (plan->host_nodes[h].outputs[o].buffer != VIEW_NONE)
                written[plan->host_nodes[h].outputs[o].buffer] = true;
    for (uint32_t d = 0; d < plan->prepare_count + plan->dispatch_count; d++) {
        const bool prepare = d < plan->prepare_count;
        const struct plan_dispatch *dispatch =
            prepare ? &plan->prepare[d] : &plan->dispatches[d - plan->prepare_count];
        for (uint32_t b = 0; b < dispatch->binding_count; b++) {
            const struct plan_binding *binding = &dispatch->bindings[b];
            const bool arena = plan->buffers[binding->buffer].kind == PLAN_ARENA;
            RULE(rules, !binding->reads || written[binding->buffer],
                 "%s %u reads buffer %u, which nothing has written",
                 prepare ? "prepare" : "dispatch", d, binding->buffer);
            RULE(rules, !(binding->reads || binding->writes) || !prepare || !arena,
                 "prepare %u touches the arena", d);
            RULE(rules, !binding->writes || prepare || arena, "dispatch %u writes a constant", d);
        }
        for (uint32_t b = 0; b < dispatch->binding_count; b++)
            if (dispatch->bindings[b].writes)
                written[dispatch->bindings[b].buffer] = true;
    }
    for (uint32_t o = 0; o < plan->output_count; o++)
        RULE(rules,
             plan->outputs[o].constant != NULL ||
                 (written[plan->outputs[o].view.buffer] && espy_view_dense(&plan->outputs[o].view)),
             "output %u is not made, or not dense", o);
    for (uint32_t o = 0; o < plan->output_count; o++)
        RULE(rules, !plan->outputs[o].counted || written[plan->outputs[o].count.buffer],
             "output %u is not counted", o);
    free(written);
}

static inline void rules_limits(struct rules *rules)
{
    const struct plan *plan = rules->plan;
    for (uint32_t d = 0; d < plan->prepare_count + plan->dispatch_count; d++) {
        const struct plan_dispatch *dispatch = d < plan->prepare_count
                                                   ? &plan->prepare[d]
                                                   : &plan->dispatches[d - plan->prepare_count];
        for (int k = 0; k < 3; k++)
            RULE(rules,
                 dispatch->groups[k] > 0 && dispatch->groups[k] <= rules->caps->groups_max[k],
                 "%s: %u workgroups", dispatch->shader->name, dispatch->groups[k]);
        RULE(rules, dispatch->binding_count == dispatch->shader->binding_count, "%s: bindings",
             dispatch->shader->name);
    }
}

// "" or what is wrong.
static inline const char *rules_broken(struct rules *rules, const struct plan *plan,
                                       const struct caps *caps)
{
    *rules = (struct rules){.plan = plan, .caps = caps};
    rules_memory(rules);
    rules_dispatches(rules);
    rules_data_flow(rules);
    rules_limits(rules);
    return rules->wrong;
}

#endif // TESTS_UNIT_TEST_PLAN_RULES_H_
