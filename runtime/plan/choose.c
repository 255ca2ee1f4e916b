// Which of a kernel's forms a plan takes, and the note of every such question.
#include "plan/plan_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static struct view lies(const struct planner *planner, uint32_t value)
{
    const struct view none = {.buffer = VIEW_NONE};
    if (value == GRAPH_NONE || !planner->places[value].placed)
        return none;
    const struct place *place = &planner->places[value];
    return place->has_channels_last ? place->channels_last
           : place->has_dense       ? place->dense
                                    : place->view;
}

// false: out of memory.
static bool note_places(struct op_lower *c, struct plan_choice *choice)
{
    const struct planner *planner = c->planner;
    const struct graph_node *node = &planner->params->graph->nodes[planner->node];
    struct arena *memory = &planner->plan->memory;
    choice->inputs = espy_arena_array(memory, c->input_count, sizeof(*choice->inputs));
    choice->outputs = espy_arena_array(memory, c->output_count, sizeof(*choice->outputs));
    choice->constant = espy_arena_array(memory, c->input_count, sizeof(*choice->constant));
    if (choice->inputs == NULL || choice->outputs == NULL || choice->constant == NULL)
        return false;
    for (uint32_t i = 0; i < c->input_count; i++) {
        choice->inputs[i] = lies(planner, i == 0 && c->map_taken ? c->map : node->inputs[i]);
        choice->constant[i] = espy_lower_is_constant(c, i);
    }
    for (uint32_t o = 0; o < c->output_count; o++)
        choice->outputs[o] =
            lies(planner, o == 0 && c->tail_taken ? c->tail->output : node->outputs[o]);
    return true;
}

uint32_t espy_lower_choose(struct op_lower *c, uint32_t count, uint32_t fallback, const char *kind,
                           const char *format, ...)
{
    struct planner *planner = c->planner;
    struct plan *plan = planner->plan;
    char key[CHOICES_KEY_MAX + 1];
    assert(fallback < count && count <= CHOICES_FORMS_MAX);
    if (planner->status != ESPY_OK || count == 1)
        return fallback;
    int length = snprintf(key, sizeof(key), "%s:", kind);
    va_list arguments;
    va_start(arguments, format);
    length += vsnprintf(key + length, sizeof(key) - (size_t)length, format, arguments);
    va_end(arguments);
    assert(length <= CHOICES_KEY_MAX && strchr(key, ' ') == NULL);
    struct plan_choice choice = {.node = planner->node,
                                 .count = count,
                                 .fallback = fallback,
                                 .chosen = fallback,
                                 .spare_size = planner->node_spare_size};
    espy_choices_find(planner->params->choices, key, count, &choice.chosen);
    choice.key = espy_arena_string(&plan->memory, key);
    planner->status = choice.key != NULL && note_places(c, &choice) ? ESPY_OK : ESPY_OUT_OF_MEMORY;
    if (planner->status == ESPY_OK)
        planner->status = espy_grow(planner->host, &planner->choices, plan->choice_count,
                                    &planner->choice_capacity, sizeof(choice));
    if (planner->status != ESPY_OK)
        return fallback;
    planner->choices[plan->choice_count++] = choice;
    return choice.chosen;
}
