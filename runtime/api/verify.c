#include "api/compare.h"
#include "api/session.h"

#include <string.h>

struct verifier {
    espy_session *session;
    struct runner *runner;
    const struct segment *segment; // of the run, whose nodes are compared now
    double tolerance;
    espy_verify_fn callback;
    void *user;
    bool failed;
    bool *seen; // [bodies of the network]: compared already
};

// The value as the device has it (or as it is known without the device), from the arena.
static espy_status fetch(const struct verifier *v, uint32_t value, struct arena *arena,
                         struct tensor *tensor)
{
    const struct plan *plan = &v->segment->plan;
    *tensor = plan->walk.values[value];
    if (tensor->data != NULL)
        return ESPY_OK;
    for (uint32_t k = 0; k < plan->kept_count; k++) {
        if (plan->kept[k].value != value)
            continue;
        TRY(espy_segment_type(v->segment, &plan->kept[k], &tensor->type));
        espy_shape_count(&tensor->type.shape, &tensor->count);
        tensor->data = espy_arena_alloc(arena, espy_tensor_size(tensor));
        return tensor->data == NULL ? ESPY_OUT_OF_MEMORY
                                    : espy_segment_read(v->segment, &plan->kept[k], tensor);
    }
    return ESPY_OK; // data stays NULL: nobody made it
}

static bool ran_on_host(const struct plan *plan, uint32_t node)
{
    for (uint32_t h = 0; h < plan->host_node_count; h++)
        if (plan->host_nodes[h].node == node)
            return true;
    return false;
}

static void report(struct verifier *v, uint32_t node, const struct tensor *device,
                   const struct tensor *reference, uint32_t value)
{
    const struct graph *graph = v->segment->plan.graph;
    struct espy_verify_entry entry = {.node = graph->nodes[node].name,
                                      .op = graph->nodes[node].op,
                                      .value = graph->values[value].name,
                                      .element_count = device->count,
                                      .on_host = ran_on_host(&v->segment->plan, node)};
    const struct difference difference = espy_compare(device, reference);
    entry.relative_l2 = difference.relative_l2;
    entry.absolute_max = difference.absolute_max;
    entry.nonfinite_count = difference.nonfinite_count;
    const double tolerance =
        v->tolerance > 0 ? v->tolerance : espy_compare_tolerance(device->type.dtype);
    entry.passed = entry.relative_l2 <= tolerance && entry.nonfinite_count == 0;
    v->failed = v->failed || !entry.passed;
    v->callback(v->user, &entry);
}

// The types that the node's outputs have by the reference, where the device has counted.
static espy_status count_again(const struct verifier *v, uint32_t index,
                               const struct tensor *inputs, struct arena *arena,
                               struct tensor *reference)
{
    const struct graph_node *node = &v->segment->plan.graph->nodes[index];
    struct op_type *in = espy_arena_array(arena, node->input_count, sizeof(*in));
    struct op_type *out = espy_arena_array(arena, node->output_count, sizeof(*out));
    uint32_t needs;
    if (in == NULL || out == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < node->input_count; i++)
        in[i] = inputs[i].type;
    TRY(espy_op_infer(&v->session->host, arena, &v->segment->plan.walk.nodes[index], in, inputs,
                      node->input_count, out, node->output_count, &needs));
    for (uint32_t o = 0; o < node->output_count; o++)
        reference[o].type = out[o];
    return ESPY_OK;
}

static espy_status verify_node(struct verifier *v, uint32_t index, struct arena *arena)
{
    const struct plan *plan = &v->segment->plan;
    const struct graph_node *node = &plan->graph->nodes[index];
    struct tensor *inputs = espy_arena_array(arena, node->input_count, sizeof(*inputs));
    struct tensor *device = espy_arena_array(arena, node->output_count, sizeof(*device));
    struct tensor *reference = espy_arena_array(arena, node->output_count, sizeof(*reference));
    if (inputs == NULL || device == NULL || reference == NULL)
        return ESPY_OUT_OF_MEMORY;
    bool made_by_device = false;
    for (uint32_t o = 0; o < node->output_count; o++) {
        if (node->outputs[o] == GRAPH_NONE ||
            plan->walk.values[node->outputs[o]].data != NULL)
            continue;
        TRY(fetch(v, node->outputs[o], arena, &device[o]));
        made_by_device = made_by_device || device[o].data != NULL;
        reference[o].type = device[o].type;
    }
    if (!made_by_device)
        return ESPY_OK; // known before the run: there is nothing to compare
    for (uint32_t i = 0; i < node->input_count; i++)
        if (node->inputs[i] != GRAPH_NONE)
            TRY(fetch(v, node->inputs[i], arena, &inputs[i]));
    if (plan->counted[index])
        TRY(count_again(v, index, inputs, arena, reference));
    for (uint32_t o = 0; o < node->output_count; o++) {
        if (device[o].data == NULL)
            continue;
        espy_shape_count(&reference[o].type.shape, &reference[o].count);
        reference[o].data = espy_arena_alloc(arena, espy_tensor_size(&reference[o]));
        if (reference[o].data == NULL)
            return ESPY_OUT_OF_MEMORY;
    }
    TRY(espy_op_evaluate(&v->session->host, &plan->walk.nodes[index], inputs, node->input_count,
                         reference, node->output_count));
    for (uint32_t o = 0; o < node->output_count; o++)
        if (device[o].data != NULL)
            report(v, index, &device[o], &reference[o], node->outputs[o]);
    return ESPY_OK;
}

// The nodes that the segment's plan saw to: not those of segments before it, nor those after it, of
// which the host computes some by these same references.
static espy_status verify_segment(struct verifier *v)
{
    const struct plan *plan = &v->segment->plan;
    for (uint32_t n = 0; n < plan->graph->node_count; n++) {
        if (plan->pending[n] || (v->segment->done != NULL && v->segment->done[n]))
            continue;
        struct arena arena;
        espy_arena_init(&arena, &v->session->host);
        const espy_status status = verify_node(v, n, &arena);
        espy_arena_finish(&arena);
        TRY(status);
    }
    return ESPY_OK;
}

static espy_status verify_segments(struct verifier *v, const struct runner *runner)
{
    for (v->segment = runner->first; v->segment != NULL; v->segment = v->segment->next)
        TRY(verify_segment(v));
    return ESPY_OK;
}

// A body is compared the first time that it runs; a loop may run it often.
static espy_status verify_body(void *user, const struct runner *body)
{
    struct verifier *v = user;
    const struct graph *network = &v->session->model->graph;
    for (uint32_t b = 0; b < network->body_count; b++) {
        if (network->bodies[b] != body->graph || v->seen[b])
            continue;
        v->seen[b] = true;
        return verify_segments(v, body);
    }
    return ESPY_OK;
}

static espy_status verify(struct verifier *v)
{
    v->runner->watch = verify_body;
    v->runner->watch_user = v;
    espy_status status = espy_runner_start(v->runner, v->session->input_data);
    if (status == ESPY_OK)
        status = espy_runner_finish(v->runner, UINT64_MAX);
    v->runner->watch = NULL;
    return status == ESPY_OK ? verify_segments(v, v->runner) : status;
}

espy_status espy_session_verify(espy_session *session, const struct espy_tensor *inputs,
                                uint32_t input_count, double tolerance, espy_verify_fn callback,
                                void *user)
{
    if (session == NULL)
        return ESPY_INVALID_ARGUMENT;
    if (callback == NULL)
        return espy_fail(&session->host, ESPY_INVALID_ARGUMENT,
                         "espy_session_verify: callback is NULL");
    if (!session->keep_values)
        return espy_fail(&session->host, ESPY_INVALID_ARGUMENT,
                         "espy_session_verify needs a session made with keep_values");
    struct verifier v = {
        .session = session, .tolerance = tolerance, .callback = callback, .user = user};
    TRY(espy_session_prepare(session, inputs, input_count, true, &v.runner));
    // One more than needed: a network without bodies has a list too.
    v.seen = espy_alloc_array(&session->host, session->model->graph.body_count + 1u, sizeof(bool));
    if (v.seen == NULL)
        return espy_fail_memory(&session->host, session->model->graph.body_count, "verifying");
    const espy_status status = verify(&v);
    espy_free(&session->host, v.seen);
    TRY(status);
    return v.failed ? espy_fail(&session->host, ESPY_MISMATCH,
                                "this device computes the model differently from the reference")
                    : ESPY_OK;
}
