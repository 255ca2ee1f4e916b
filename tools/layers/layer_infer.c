#include "layers/layer_build.h"

#include <stdio.h>
#include <string.h>

// What is known of values while layers are added, so that a block can look at what it is given and
// a mistake is told with its place. Where the inputs have symbols, two networks are looked at.

enum { EVALUATED_MAX = 64 }; // elements: shape arithmetic, not weights
static const int64_t sample_sizes[LAYER_SAMPLES] = {32, 48};

// Keeps what an operator logs, for the message with the place.
struct capture {
    char message[1024];
};

static void capture_log(void *user, espy_log_level level, const char *message)
{
    struct capture *capture = user;
    if (level == ESPY_LOG_ERROR)
        snprintf(capture->message, sizeof(capture->message), "%s", message);
}

// Constants and inputs are known at once, results when their node is inferred.
static void note_value(const struct layer_build *build, const struct graph_value *value,
                       struct layer_note *note)
{
    *note = (struct layer_note){.types = {{.dtype = ESPY_DTYPE_NONE}}};
    if (!value->has_shape)
        return;
    for (uint32_t s = 0; s < LAYER_SAMPLES; s++) {
        struct op_type *type = &note->types[s];
        *type = (struct op_type){value->dtype, value->shape};
        for (uint32_t d = 0; d < type->shape.rank; d++)
            if (type->shape.dims[d] < 0)
                type->shape.dims[d] = sample_sizes[build->exact ? 0 : s];
        struct tensor *known = &note->values[s];
        if (value->data == NULL || !espy_shape_count(&type->shape, &known->count))
            continue;
        known->type = *type;
        // Nothing writes through it.
        memcpy(&known->data, &value->data, sizeof(known->data));
    }
}

void espy_layer_init_notes(struct layer *layer)
{
    struct layer_build *build = layer->build;
    while (!espy_layer_failed(layer) && build->note_count < build->graph->value_count) {
        if (!espy_layer_ok(layer, espy_grow(build->host, &build->notes, build->note_count,
                                            &build->note_capacity, sizeof(*build->notes))))
            return;
        note_value(build, &build->graph->values[build->note_count],
                   &build->notes[build->note_count]);
        build->note_count++;
    }
}

// A node in one of the two networks.
struct trial {
    const struct host *quiet;
    const struct graph_node *node;
    const struct op_node *bound;
    uint32_t sample;
    struct op_type *types, *output_types;
    struct tensor *values, *outputs;
};

// false: an input is not known.
static bool gather(const struct layer_build *build, struct trial *trial, bool *with_data)
{
    *with_data = true;
    for (uint32_t i = 0; i < trial->node->input_count; i++) {
        const uint32_t v = trial->node->inputs[i];
        trial->types[i] = (struct op_type){.dtype = ESPY_DTYPE_NONE};
        trial->values[i] = (struct tensor){.data = NULL};
        if (v == GRAPH_NONE)
            continue;
        trial->types[i] = build->notes[v].types[trial->sample];
        trial->values[i] = build->notes[v].values[trial->sample];
        trial->values[i].type = trial->types[i];
        *with_data = *with_data && trial->values[i].data != NULL;
        if (trial->types[i].dtype == ESPY_DTYPE_NONE)
            return false;
    }
    *with_data = *with_data || (trial->bound->op->flags & OP_SHAPE_ONLY) != 0;
    return true;
}

static espy_status evaluate(struct layer_build *build, struct trial *trial)
{
    for (uint32_t o = 0; o < trial->node->output_count; o++) {
        struct tensor *output = &trial->outputs[o];
        *output = (struct tensor){.type = trial->output_types[o]};
        if (!espy_shape_count(&output->type.shape, &output->count) || output->count > EVALUATED_MAX)
            return ESPY_OK;
        output->data = espy_arena_alloc(&build->arena, espy_tensor_size(output));
        if (output->data == NULL)
            return ESPY_OUT_OF_MEMORY;
    }
    const espy_status status =
        espy_op_evaluate(trial->quiet, trial->bound, trial->values, trial->node->input_count,
                         trial->outputs, trial->node->output_count);
    for (uint32_t o = 0; status == ESPY_OK && o < trial->node->output_count; o++)
        build->notes[trial->node->outputs[o]].values[trial->sample] = trial->outputs[o];
    return status == ESPY_OUT_OF_MEMORY ? status : ESPY_OK; // else it fails when it runs
}

static espy_status infer_sample(struct layer_build *build, struct trial *trial)
{
    const struct graph_node *node = trial->node;
    bool with_data;
    uint32_t needs = GRAPH_NONE;
    if (!gather(build, trial, &with_data) || trial->bound->op->control != NULL)
        return ESPY_OK;
    const espy_status status =
        espy_op_infer(trial->quiet, &build->arena, trial->bound, trial->types, trial->values,
                      node->input_count, trial->output_types, node->output_count, &needs);
    if (status != ESPY_OK) // a size that was made up may not fit
        return needs != GRAPH_NONE || (status != ESPY_OUT_OF_MEMORY && !build->exact) ? ESPY_OK
                                                                                      : status;
    for (uint32_t o = 0; o < node->output_count; o++)
        build->notes[node->outputs[o]].types[trial->sample] = trial->output_types[o];
    return with_data ? evaluate(build, trial) : ESPY_OK;
}

static espy_status infer_node(struct layer_build *build, const struct host *quiet,
                              const struct graph_node *node)
{
    struct op_node bound;
    TRY(espy_op_bind(quiet, &build->arena, build->graph, node, &bound));
    struct trial trial = {.quiet = quiet, .node = node, .bound = &bound};
    trial.types = espy_arena_array(&build->arena, node->input_count, sizeof(*trial.types));
    trial.values = espy_arena_array(&build->arena, node->input_count, sizeof(*trial.values));
    trial.output_types = espy_arena_array(&build->arena, node->output_count, sizeof(*trial.types));
    trial.outputs = espy_arena_array(&build->arena, node->output_count, sizeof(*trial.outputs));
    if (trial.types == NULL || trial.values == NULL || trial.output_types == NULL ||
        trial.outputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (; trial.sample < LAYER_SAMPLES; trial.sample++)
        TRY(infer_sample(build, &trial));
    return ESPY_OK;
}

void espy_layer_infer(struct layer *layer)
{
    struct layer_build *build = layer->build;
    struct capture capture = {""};
    struct host quiet = *build->host;
    quiet.log = capture_log;
    quiet.log_user = &capture;
    espy_layer_init_notes(layer);
    while (!espy_layer_failed(layer) && build->inferred < build->graph->node_count) {
        const struct graph_node *node = &build->graph->nodes[build->inferred++];
        const espy_status status = infer_node(build, &quiet, node);
        const bool said = capture.message[0] != '\0';
        if (status == ESPY_OUT_OF_MEMORY) { // an arena says so itself
            espy_layer_ok(layer,
                          said ? espy_fail(build->host, status, "%s", capture.message) : status);
        } else if (status != ESPY_OK) {
            espy_layer_fail(layer, "%s", said ? capture.message : "it is refused");
            build->status = status;
        }
    }
}

uint32_t espy_layer_rank(struct layer *layer, uint32_t value)
{
    espy_layer_infer(layer);
    if (espy_layer_failed(layer) || value == GRAPH_NONE)
        return 0;
    const struct op_type *types = layer->build->notes[value].types;
    const bool known = types[0].dtype != ESPY_DTYPE_NONE && types[1].dtype != ESPY_DTYPE_NONE &&
                       types[0].shape.rank == types[1].shape.rank;
    return known ? types[0].shape.rank : 0;
}

int64_t espy_layer_dim(struct layer *layer, uint32_t value, int64_t axis)
{
    const uint32_t rank = espy_layer_rank(layer, value);
    if (axis < 0)
        axis += rank;
    if (axis < 0 || axis >= (int64_t)rank)
        return -1;
    const struct op_type *types = layer->build->notes[value].types;
    return types[0].shape.dims[axis] == types[1].shape.dims[axis] ? types[0].shape.dims[axis] : -1;
}
_Static_assert(LAYER_SAMPLES == 2, "two samples are compared");
