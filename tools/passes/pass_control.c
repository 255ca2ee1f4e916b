#include <stdio.h>
#include <string.h>

#include "passes/passes.h"

// Nodes with bodies that need not be decided while the network runs: an If whose condition is known
// or does not matter, a Loop or Scan whose trips are counted. Their bodies are written out in their
// place.

enum {
    THEN = 0,
    ELSE = 1,
    UNKNOWN = 2,
    WRITTEN_NODES_MAX = 1 << 13 // of one loop: more is better done by running it
};

// ---- which branch -------------------------------------------------------------------------------

// Goes back through nodes that keep the only element of a tensor as it is: a condition, or a count.
static uint32_t strip(const struct pass *pass, uint32_t value, bool condition)
{
    static const char *const keepers[] = {"Identity", "Squeeze", "Unsqueeze", "Reshape"};
    for (;;) {
        const struct graph_node *node = espy_pass_maker(pass, value, "Cast");
        if (node != NULL) {
            const bool kept = condition ? espy_pass_string_is(node, "to", "", "bool")
                                        : espy_pass_string_is(node, "to", "", "int64") ||
                                              espy_pass_string_is(node, "to", "", "int32");
            node = kept ? node : NULL;
        }
        for (size_t i = 0; node == NULL && i < sizeof(keepers) / sizeof(keepers[0]); i++)
            node = espy_pass_maker(pass, value, keepers[i]);
        if (node == NULL || espy_pass_input(node, 0) == GRAPH_NONE)
            return value;
        value = node->inputs[0];
    }
}

// A dim may be known where the whole shape is not: a Gather has the dims of its indices.
static bool is_dim_known(const struct pass *pass, uint32_t value, int64_t axis, int64_t *dim)
{
    const struct op_type *type = &pass->facts->types[value];
    if (type->dtype != ESPY_DTYPE_NONE) {
        const int64_t at = axis < 0 ? axis + type->shape.rank : axis;
        if (at < 0 || at >= type->shape.rank)
            return false;
        *dim = type->shape.dims[at];
        return *dim >= 0;
    }
    const struct graph_node *gather = espy_pass_maker(pass, value, "Gather");
    if (gather == NULL || espy_pass_input(gather, 1) == GRAPH_NONE)
        return false;
    const struct op_type *indices = &pass->facts->types[gather->inputs[1]];
    const int64_t first = (int64_t)espy_pass_number(gather, "axis", 0);
    if (indices->dtype == ESPY_DTYPE_NONE || first < 0 || axis < first ||
        axis >= first + indices->shape.rank)
        return false;
    *dim = indices->shape.dims[axis - first];
    return true;
}

// condition = (dim of a value == number): "squeeze if it is 1", as exporters write squeeze().
static uint32_t choose_by_dim(const struct pass *pass, uint32_t counted, double number)
{
    const struct graph_node *gather = espy_pass_maker(pass, strip(pass, counted, false), "Gather");
    double axis;
    int64_t dim;
    if (gather == NULL || !espy_pass_scalar(pass, espy_pass_input(gather, 1), &axis))
        return UNKNOWN;
    const struct graph_node *shape = espy_pass_maker(pass, gather->inputs[0], "Shape");
    if (shape == NULL || shape->attr_count > 0 || espy_pass_input(shape, 0) == GRAPH_NONE ||
        !is_dim_known(pass, shape->inputs[0], (int64_t)axis, &dim))
        return UNKNOWN;
    return (double)dim == number ? THEN : ELSE;
}

// true: the body only gives tensors without elements.
static bool makes_nothing(const struct graph *body)
{
    for (uint32_t o = 0; o < body->output_count; o++) {
        const struct graph_value *value = &body->values[body->outputs[o].value];
        if (value->data == NULL || value->data_size > 0)
            return false;
    }
    return true;
}

// condition = (element count of a value == 0), and then nothing comes out: "no boxes, no result".
// The other branch gives nothing for nothing too, operators being defined for empty tensors.
static uint32_t choose_by_count(const struct pass *pass, const struct graph *then_branch,
                                uint32_t counted, double number)
{
    const uint32_t count = strip(pass, counted, false);
    const struct graph_node *product = espy_pass_maker(pass, count, "ReduceProd");
    if (number != 0 || !makes_nothing(then_branch))
        return UNKNOWN;
    if (product != NULL && espy_pass_input(product, 0) != GRAPH_NONE &&
        espy_pass_maker(pass, strip(pass, product->inputs[0], false), "Shape") != NULL)
        return ELSE;
    return espy_pass_maker(pass, count, "Size") != NULL ? ELSE : UNKNOWN;
}

static uint32_t choose(const struct pass *pass, const struct graph_node *node,
                       const struct graph *then_branch)
{
    double number;
    if (espy_pass_scalar(pass, node->inputs[0], &number))
        return number != 0 ? THEN : ELSE;
    const struct graph_node *equal =
        espy_pass_maker(pass, strip(pass, node->inputs[0], true), "Equal");
    for (uint32_t i = 0; equal != NULL && i < 2; i++) {
        const uint32_t counted = espy_pass_input(equal, 1 - i);
        if (counted == GRAPH_NONE || !espy_pass_scalar(pass, espy_pass_input(equal, i), &number))
            continue;
        const uint32_t by_dim = choose_by_dim(pass, counted, number);
        return by_dim != UNKNOWN ? by_dim : choose_by_count(pass, then_branch, counted, number);
    }
    return UNKNOWN;
}

// ---- writing a body out -------------------------------------------------------------------------

// One copy of a body's nodes in the graph around it.
struct copy {
    struct pass *pass;
    const struct graph *body;
    const char *prefix; // of names
    uint32_t *values; // [body->value_count]: what stands for each outside; GRAPH_NONE: nothing yet
};

static espy_status copy_value(struct copy *copy, uint32_t index)
{
    const struct graph_value *value = &copy->body->values[index];
    struct graph *graph = copy->pass->graph;
    const char *hint = espy_arena_format(&graph->arena, "%s/%s", copy->prefix, value->name);
    const char *name = hint == NULL ? NULL : espy_pass_value_name(copy->pass, hint);
    if (name == NULL)
        return ESPY_OUT_OF_MEMORY;
    if (value->data != NULL)
        return espy_graph_add_constant(graph, name, value->dtype, &value->shape, value->data,
                                       value->data_size, &copy->values[index]);
    return espy_graph_add_value(graph, name, &copy->values[index]);
}

static espy_status copy_list(struct copy *copy, const uint32_t *list, uint32_t count,
                             uint32_t **made)
{
    *made = espy_arena_array(&copy->pass->graph->arena, count, sizeof(**made));
    if (*made == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        (*made)[i] = GRAPH_NONE;
        if (list[i] == GRAPH_NONE)
            continue;
        if (copy->values[list[i]] == GRAPH_NONE)
            TRY(copy_value(copy, list[i]));
        (*made)[i] = copy->values[list[i]];
    }
    return ESPY_OK;
}

static espy_status copy_node(struct copy *copy, const struct graph_node *node)
{
    struct graph *graph = copy->pass->graph;
    uint32_t *inputs, *outputs;
    struct graph_node *made;
    TRY(copy_list(copy, node->inputs, node->input_count, &inputs));
    TRY(copy_list(copy, node->outputs, node->output_count, &outputs));
    const char *hint = espy_arena_format(&graph->arena, "%s/%s", copy->prefix, node->name);
    const char *name = hint == NULL ? NULL : espy_pass_node_name(copy->pass, hint);
    if (name == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(espy_graph_add_node(graph, node->op, name, inputs, node->input_count, outputs,
                            node->output_count, &made));
    // What attributes and steps point to never changes; the lists of them do.
    made->attr_count = node->attr_count;
    made->step_count = node->step_count;
    made->attrs =
        espy_arena_copy(&graph->arena, node->attrs, node->attr_count * sizeof(*node->attrs));
    made->steps =
        espy_arena_copy(&graph->arena, node->steps, node->step_count * sizeof(*node->steps));
    return made->attrs == NULL || made->steps == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

// Copies the body's nodes for these inputs. outputs: one value outside per output of the body.
static espy_status write_out(struct pass *pass, const struct graph *body, const char *prefix,
                             const uint32_t *inputs, uint32_t *outputs)
{
    struct arena *arena = &pass->graph->arena;
    struct copy copy = {.pass = pass, .body = body, .prefix = prefix};
    copy.values = espy_arena_array(arena, body->value_count, sizeof(*copy.values));
    if (copy.values == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t v = 0; v < body->value_count; v++)
        copy.values[v] = GRAPH_NONE;
    for (uint32_t i = 0; i < body->input_count; i++)
        copy.values[body->inputs[i].value] = inputs[i];
    for (uint32_t n = 0; n < body->node_count; n++)
        TRY(copy_node(&copy, &body->nodes[n]));
    for (uint32_t o = 0; o < body->output_count; o++) {
        const uint32_t value = body->outputs[o].value;
        if (copy.values[value] == GRAPH_NONE)
            TRY(copy_value(&copy, value)); // a constant that no node reads
        outputs[o] = copy.values[value];
    }
    pass->changed = true;
    pass->counts->bodies++;
    return ESPY_OK;
}

// Lets Identity nodes make what the node at index made, which is dead then.
static espy_status hand_over(struct pass *pass, uint32_t index, const uint32_t *results)
{
    struct graph *graph = pass->graph;
    const struct graph_node node = graph->nodes[index];
    for (uint32_t o = 0; o < node.output_count; o++) {
        if (node.outputs[o] == GRAPH_NONE)
            continue;
        const char *name = espy_pass_node_name(pass, node.name);
        const char *dead = espy_pass_value_name(pass, node.name);
        struct graph_node *made;
        uint32_t unused;
        if (name == NULL || dead == NULL)
            return ESPY_OUT_OF_MEMORY;
        TRY(espy_graph_add_node(graph, "Identity", name, &results[o], 1, &node.outputs[o], 1,
                                &made));
        TRY(espy_graph_add_value(graph, dead, &unused));
        graph->nodes[index].outputs[o] = unused;
    }
    return ESPY_OK;
}

// ---- If -----------------------------------------------------------------------------------------

static const struct graph *find_body(const struct pass *pass, const struct graph_node *node,
                                     const char *attr)
{
    const struct graph_attr *named = espy_graph_find_attr(node, attr);
    return named == NULL || named->type != GRAPH_ATTR_STRING
               ? NULL
               : espy_graph_find_body(pass->graph, named->strings[0]);
}

static espy_status write_if(struct pass *pass, uint32_t index)
{
    const struct graph_node node = pass->graph->nodes[index];
    const struct graph *branches[2] = {find_body(pass, &node, "then_branch"),
                                       find_body(pass, &node, "else_branch")};
    if (branches[THEN] == NULL || branches[ELSE] == NULL ||
        espy_pass_input(&node, 0) == GRAPH_NONE ||
        node.input_count != 1 + branches[THEN]->input_count + branches[ELSE]->input_count)
        return ESPY_OK; // refused when it is bound, or when it runs
    const uint32_t which = choose(pass, &node, branches[THEN]);
    if (which == UNKNOWN || branches[which]->output_count < node.output_count)
        return ESPY_OK;
    const uint32_t first = which == THEN ? 1 : 1 + branches[THEN]->input_count;
    uint32_t *results =
        espy_arena_array(&pass->graph->arena, branches[which]->output_count, sizeof(*results));
    if (results == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(write_out(pass, branches[which], node.name, node.inputs + first, results));
    return hand_over(pass, index, results);
}

// ---- Loop and Scan ------------------------------------------------------------------------------

// What both have in common: a body that runs for a counted number of trips.
struct trips {
    struct pass *pass;
    struct graph_node node;
    const struct graph *body;
    uint32_t count;
    uint32_t first_state, state_count; // among the inputs of the node and of the body
    uint32_t first_result;             // of the body's states, among its outputs
    uint32_t stack_count;              // outputs that are collected
    uint32_t *inputs, *outputs;        // of the body in the trip being written
    uint32_t *collected;               // [stack_count][count]
};

static bool is_worth_it(const struct trips *trips, double count)
{
    return count >= 0 && count <= GRAPH_NODE_VALUES_MAX &&
           count * (trips->body->node_count + 1) <= WRITTEN_NODES_MAX &&
           (count > 0 || trips->stack_count == 0);
}

static espy_status make_room(struct trips *trips)
{
    struct arena *arena = &trips->pass->graph->arena;
    trips->inputs = espy_arena_array(arena, trips->body->input_count, sizeof(*trips->inputs));
    trips->outputs = espy_arena_array(arena, trips->body->output_count, sizeof(*trips->outputs));
    trips->collected = espy_arena_array(arena, (size_t)trips->stack_count * trips->count,
                                        sizeof(*trips->collected));
    return trips->inputs == NULL || trips->outputs == NULL || trips->collected == NULL
               ? ESPY_OUT_OF_MEMORY
               : ESPY_OK;
}

static espy_status write_trip(struct trips *trips, uint32_t number)
{
    char prefix[32];
    snprintf(prefix, sizeof(prefix), "%u", (unsigned)number);
    const char *name =
        espy_arena_format(&trips->pass->graph->arena, "%s/%s", trips->node.name, prefix);
    if (name == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(write_out(trips->pass, trips->body, name, trips->inputs, trips->outputs));
    for (uint32_t s = 0; s < trips->state_count; s++)
        trips->inputs[trips->first_state + s] = trips->outputs[trips->first_result + s];
    for (uint32_t k = 0; k < trips->stack_count; k++)
        trips->collected[k * trips->count + number] =
            trips->outputs[trips->first_result + trips->state_count + k];
    return ESPY_OK;
}

// Each collected value gets the axis, then all are joined along it.
static espy_status join(const struct trips *trips, uint32_t stack, double axis, bool reversed,
                        uint32_t *joined)
{
    struct pass *pass = trips->pass;
    const struct shape one = {.rank = 1, .dims = {1}};
    struct graph_node *concat;
    uint32_t axes;
    TRY(espy_pass_constant(pass, trips->node.name, ESPY_INT64, &one, &axis, 1, &axes));
    uint32_t *parts = espy_arena_array(&pass->graph->arena, trips->count, sizeof(*parts));
    if (parts == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < trips->count; i++) {
        const uint32_t place = reversed ? trips->count - 1 - i : i;
        const uint32_t inputs[2] = {trips->collected[stack * trips->count + i], axes};
        TRY(espy_pass_add_node(pass, "Unsqueeze", trips->node.name, inputs, 2, &parts[place],
                               NULL));
    }
    TRY(espy_pass_add_node(pass, "Concat", trips->node.name, parts, trips->count, joined, &concat));
    return espy_graph_set_number(pass->graph, concat, "axis", axis);
}

static double list_number(const struct graph_node *node, const char *name, uint32_t index)
{
    const struct graph_attr *attr = espy_graph_find_attr(node, name);
    return attr == NULL || attr->type != GRAPH_ATTR_NUMBERS || index >= attr->count
               ? 0
               : attr->numbers[index];
}

static espy_status finish_trips(struct trips *trips, uint32_t index)
{
    const struct graph_node *node = &trips->node;
    uint32_t *results =
        espy_arena_array(&trips->pass->graph->arena, node->output_count, sizeof(*results));
    if (results == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t o = 0; o < node->output_count; o++) {
        const uint32_t stack = o - trips->state_count;
        if (node->outputs[o] == GRAPH_NONE)
            continue;
        if (o < trips->state_count)
            results[o] = trips->inputs[trips->first_state + o];
        else
            TRY(join(trips, stack, list_number(node, "scan_output_axes", stack),
                     list_number(node, "scan_output_directions", stack) != 0, &results[o]));
    }
    return hand_over(trips->pass, index, results);
}

// true: the loop goes on whatever its body computes, when it has started.
static bool always_goes_on(const struct pass *pass, const struct trips *trips)
{
    const struct graph *body = trips->body;
    double condition;
    if (espy_pass_input(&trips->node, 1) == GRAPH_NONE)
        return true; // what the body makes of it does not count
    if (!espy_pass_scalar(pass, trips->node.inputs[1], &condition) || condition == 0)
        return false;
    uint32_t value = body->outputs[0].value;
    for (uint32_t n = body->node_count; n-- > 0;) {
        const struct graph_node *node = &body->nodes[n];
        if (node->outputs[0] == value && strcmp(node->op, "Identity") == 0)
            value = node->inputs[0];
    }
    if (value == body->inputs[1].value)
        return true;
    const unsigned char *data = body->values[value].data;
    return data != NULL && body->values[value].data_size == 1 && data[0] != 0;
}

static espy_status write_loop(struct pass *pass, uint32_t index)
{
    struct trips trips = {.pass = pass,
                          .node = pass->graph->nodes[index],
                          .body = find_body(pass, &pass->graph->nodes[index], "body")};
    const struct graph_node *node = &trips.node;
    const double captures = espy_pass_number(node, "captures", 0);
    const struct shape scalar = {.rank = 0};
    double count;
    if (trips.body == NULL || node->input_count < 2 + captures ||
        node->input_count != trips.body->input_count || trips.body->output_count == 0)
        return ESPY_OK;
    trips.first_state = 2;
    trips.state_count = node->input_count - 2 - (uint32_t)captures;
    trips.first_result = 1;
    if (trips.body->output_count < 1 + trips.state_count ||
        node->output_count > trips.body->output_count - 1)
        return ESPY_OK;
    trips.stack_count = trips.body->output_count - 1 - trips.state_count;
    if (!espy_pass_scalar(pass, espy_pass_input(node, 0), &count) || !is_worth_it(&trips, count) ||
        !always_goes_on(pass, &trips))
        return ESPY_OK;
    trips.count = (uint32_t)count;
    TRY(make_room(&trips));
    for (uint32_t i = 2; i < node->input_count; i++)
        trips.inputs[i] = node->inputs[i];
    TRY(espy_pass_constant(pass, node->name, ESPY_BOOL, &scalar, &(double){1}, 1,
                           &trips.inputs[1]));
    for (uint32_t i = 0; i < trips.count; i++) {
        TRY(espy_pass_constant(pass, node->name, ESPY_INT64, &scalar, &(double){i}, 1,
                               &trips.inputs[0]));
        TRY(write_trip(&trips, i));
    }
    return finish_trips(&trips, index);
}

// How many slices the scanned inputs have; false where that is not known, or makes no sense.
static bool count_slices(const struct trips *trips, uint32_t slices, double *count)
{
    for (uint32_t s = 0; s < slices; s++) {
        const uint32_t value = trips->node.inputs[trips->state_count + s];
        int64_t dim;
        const int64_t axis = (int64_t)list_number(&trips->node, "scan_input_axes", s);
        if (value == GRAPH_NONE || !is_dim_known(trips->pass, value, axis, &dim) ||
            (s > 0 && (double)dim != *count))
            return false;
        *count = (double)dim;
    }
    return slices > 0;
}

static espy_status write_scan_trip(struct trips *trips, uint32_t slices, uint32_t number)
{
    const struct shape scalar = {.rank = 0};
    for (uint32_t s = 0; s < slices; s++) {
        const bool reversed = list_number(&trips->node, "scan_input_directions", s) != 0;
        const double place = reversed ? trips->count - 1 - number : number;
        uint32_t inputs[2] = {trips->node.inputs[trips->state_count + s], GRAPH_NONE};
        struct graph_node *gather;
        TRY(espy_pass_constant(trips->pass, trips->node.name, ESPY_INT64, &scalar, &place, 1,
                               &inputs[1]));
        TRY(espy_pass_add_node(trips->pass, "Gather", trips->node.name, inputs, 2,
                               &trips->inputs[trips->state_count + s], &gather));
        TRY(espy_graph_set_number(trips->pass->graph, gather, "axis",
                                  list_number(&trips->node, "scan_input_axes", s)));
    }
    return write_trip(trips, number);
}

static espy_status write_scan(struct pass *pass, uint32_t index)
{
    struct trips trips = {.pass = pass,
                          .node = pass->graph->nodes[index],
                          .body = find_body(pass, &pass->graph->nodes[index], "body")};
    const struct graph_node *node = &trips.node;
    const double captures = espy_pass_number(node, "captures", 0);
    const double slices = espy_pass_number(node, "num_scan_inputs", 0);
    double count = 0;
    if (trips.body == NULL || slices < 1 || node->input_count < captures + slices ||
        node->input_count != trips.body->input_count)
        return ESPY_OK;
    trips.state_count = node->input_count - (uint32_t)(captures + slices);
    if (trips.body->output_count < trips.state_count ||
        node->output_count > trips.body->output_count)
        return ESPY_OK;
    trips.stack_count = trips.body->output_count - trips.state_count;
    if (!count_slices(&trips, (uint32_t)slices, &count) || !is_worth_it(&trips, count))
        return ESPY_OK;
    trips.count = (uint32_t)count;
    TRY(make_room(&trips));
    for (uint32_t i = 0; i < node->input_count; i++)
        trips.inputs[i] = node->inputs[i];
    for (uint32_t i = 0; i < trips.count; i++)
        TRY(write_scan_trip(&trips, (uint32_t)slices, i));
    return finish_trips(&trips, index);
}

espy_status espy_pass_control(struct pass *pass)
{
    const uint32_t count = pass->graph->node_count; // not those that come on the way
    for (uint32_t n = 0; n < count; n++) {
        const char *op = pass->graph->nodes[n].op;
        if (strcmp(op, "If") == 0)
            TRY(write_if(pass, n));
        else if (strcmp(op, "Loop") == 0)
            TRY(write_loop(pass, n));
        else if (strcmp(op, "Scan") == 0)
            TRY(write_scan(pass, n));
    }
    return ESPY_OK;
}
