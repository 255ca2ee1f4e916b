#include "op/op.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "op/op_table.h"

const struct op *espy_op_find(const char *name)
{
    for (uint32_t f = 0; f < espy_op_family_count; f++)
        for (uint32_t i = 0; i < espy_op_families[f]->count; i++)
            if (strcmp(espy_op_families[f]->ops[i].name, name) == 0)
                return &espy_op_families[f]->ops[i];
    return NULL;
}

const struct op *espy_op_at(uint32_t index)
{
    // Families are in order of file name; the index-th operator by name has index smaller ones.
    for (uint32_t f = 0; f < espy_op_family_count; f++) {
        for (uint32_t i = 0; i < espy_op_families[f]->count; i++) {
            const struct op *candidate = &espy_op_families[f]->ops[i];
            uint32_t smaller = 0;
            for (uint32_t g = 0; g < espy_op_family_count; g++)
                for (uint32_t j = 0; j < espy_op_families[g]->count; j++)
                    smaller += strcmp(espy_op_families[g]->ops[j].name, candidate->name) < 0;
            if (smaller == index)
                return candidate;
        }
    }
    return NULL;
}

// What binding one node needs at hand.
struct binder {
    const struct host *host;
    struct arena *arena;
    const struct graph *graph;
    const struct graph_node *node;
    const struct op *op;
    unsigned char *attrs; // the attribute struct being filled
};

static espy_status attr_fail(const struct binder *b, const struct op_attr *row, const char *what)
{
    return espy_fail(b->host, ESPY_BAD_FORMAT, "node '%s' (%s): attribute '%s' %s", b->node->name,
                     b->node->op, row->name, what);
}

static espy_status check_number(const struct binder *b, const struct op_attr *row, double number)
{
    const bool integer = row->type == OP_INT || row->type == OP_INTS || row->type == OP_BOOL;
    if (integer && (number != floor(number) || fabs(number) > 9007199254740992.0))
        return attr_fail(b, row, "must be an integer");
    char text[96];
    if (row->type == OP_BOOL && number != 0 && number != 1)
        return attr_fail(b, row, "must be 0 or 1");
    if ((row->min != 0 || row->max != 0) && !(number >= row->min && number <= row->max)) {
        snprintf(text, sizeof(text), "is %g, must be in %g..%g", number, row->min, row->max);
        return attr_fail(b, row, text);
    }
    return ESPY_OK;
}

static espy_status parse_list(const struct binder *b, const struct op_attr *row,
                              const struct graph_attr *attr)
{
    if (attr->type != GRAPH_ATTR_NUMBERS)
        return attr_fail(b, row, "must be a list of numbers");
    const size_t element_size = row->type == OP_INTS ? sizeof(int64_t) : sizeof(float);
    void *values = espy_arena_array(b->arena, attr->count, element_size);
    if (values == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < attr->count; i++) {
        TRY(check_number(b, row, attr->numbers[i]));
        if (row->type == OP_INTS)
            ((int64_t *)values)[i] = (int64_t)attr->numbers[i];
        else
            ((float *)values)[i] = (float)attr->numbers[i];
    }
    const struct op_ints ints = {values, attr->count};
    const struct op_floats floats = {values, attr->count};
    if (row->type == OP_INTS)
        memcpy(b->attrs + row->offset, &ints, sizeof(ints));
    else
        memcpy(b->attrs + row->offset, &floats, sizeof(floats));
    return ESPY_OK;
}

static void store_number(const struct binder *b, const struct op_attr *row, double number)
{
    void *member = b->attrs + row->offset;
    switch (row->type) {
    case OP_INT:
        memcpy(member, &(int64_t){(int64_t)number}, sizeof(int64_t));
        break;
    case OP_BOOL:
        memcpy(member, &(bool){number != 0}, sizeof(bool));
        break;
    case OP_FLOAT:
        memcpy(member, &(float){(float)number}, sizeof(float));
        break;
    case OP_DOUBLE:
        memcpy(member, &number, sizeof(number));
        break;
    case OP_ENUM:
        memcpy(member, &(int){(int)number}, sizeof(int));
        break;
    case OP_DTYPE:
        memcpy(member, &(espy_dtype){(espy_dtype)number}, sizeof(espy_dtype));
        break;
    default:
        break; // lists and strings are zero when absent
    }
}

static espy_status parse_string(const struct binder *b, const struct op_attr *row,
                                const struct graph_attr *attr)
{
    if (attr->type != GRAPH_ATTR_STRING)
        return attr_fail(b, row, "must be a string");
    const char *string = attr->strings[0];
    if (row->type == OP_STRING) {
        memcpy(b->attrs + row->offset, &string, sizeof(string));
        return ESPY_OK;
    }
    if (row->type == OP_BODY) {
        const struct graph *body = espy_graph_find_body(b->graph, string);
        if (body == NULL)
            return attr_fail(b, row, "names no body that stands before this one");
        memcpy(b->attrs + row->offset, &body, sizeof(body));
        return ESPY_OK;
    }
    if (row->type == OP_DTYPE) {
        const espy_dtype dtype = espy_dtype_from_name(string);
        if (dtype == ESPY_DTYPE_NONE)
            return attr_fail(b, row, "names an unknown type");
        store_number(b, row, dtype);
        return ESPY_OK;
    }
    for (int choice = 0; row->choices[choice] != NULL; choice++) {
        if (strcmp(row->choices[choice], string) == 0) {
            store_number(b, row, choice);
            return ESPY_OK;
        }
    }
    return attr_fail(b, row, "has a value that is not supported");
}

// The graph outlives what is bound to it, so the strings stay where they are. An empty list is kept
// as one of numbers there.
static espy_status parse_strings(const struct binder *b, const struct op_attr *row,
                                 const struct graph_attr *attr)
{
    const bool empty = attr->type == GRAPH_ATTR_NUMBERS && attr->count == 0;
    if (attr->type != GRAPH_ATTR_STRINGS && !empty)
        return attr_fail(b, row, "must be a list of strings");
    const struct op_strings strings = {empty ? NULL : attr->strings, attr->count};
    memcpy(b->attrs + row->offset, &strings, sizeof(strings));
    return ESPY_OK;
}

static espy_status parse_attr(const struct binder *b, const struct op_attr *row)
{
    const struct graph_attr *attr = espy_graph_find_attr(b->node, row->name);
    if (attr == NULL) {
        if (row->required)
            return attr_fail(b, row, "is missing");
        store_number(b, row, row->fallback);
        return ESPY_OK;
    }
    switch (row->type) {
    case OP_INTS:
    case OP_FLOATS:
        return parse_list(b, row, attr);
    case OP_STRINGS:
        return parse_strings(b, row, attr);
    case OP_ENUM:
    case OP_DTYPE:
    case OP_STRING:
    case OP_BODY:
        return parse_string(b, row, attr);
    default:
        if (attr->type != GRAPH_ATTR_NUMBER)
            return attr_fail(b, row, "must be a number");
        TRY(check_number(b, row, attr->numbers[0]));
        store_number(b, row, attr->numbers[0]);
        return ESPY_OK;
    }
}

static espy_status check_unknown_attrs(const struct binder *b)
{
    for (uint32_t i = 0; i < b->node->attr_count; i++) {
        bool known = false;
        for (uint32_t row = 0; row < b->op->attr_count; row++)
            known = known || strcmp(b->op->attrs[row].name, b->node->attrs[i].name) == 0;
        if (!known)
            return espy_fail(b->host, ESPY_UNSUPPORTED,
                             "node '%s' (%s): attribute '%s' is not known to this version of Espy",
                             b->node->name, b->node->op, b->node->attrs[i].name);
    }
    return ESPY_OK;
}

static espy_status bind_steps(const struct binder *b, struct op_node *node)
{
    const struct graph_node *from = b->node;
    if (from->step_count > 0 && (b->op->flags & OP_EPILOGUE) == 0)
        return espy_fail(b->host, ESPY_BAD_FORMAT, "node '%s' (%s): takes no epilogue", from->name,
                         from->op);
    for (uint32_t i = 0; i < from->step_count; i++) {
        const struct graph_step *step = &from->steps[i];
        const struct op_step_info *info = espy_step_find(step->op);
        if (info == NULL)
            return espy_fail(b->host, ESPY_UNSUPPORTED,
                             "node '%s' (%s): epilogue step '%s' is not known", from->name,
                             from->op, step->op);
        float parameters[2] = {info->fallback[0], info->fallback[1]};
        for (uint32_t a = 0; a < step->attr_count; a++) {
            uint32_t k = 0;
            while (k < 2 &&
                   (info->names[k] == NULL || strcmp(info->names[k], step->attrs[a].name) != 0))
                k++;
            if (k == 2)
                return espy_fail(b->host, ESPY_UNSUPPORTED,
                                 "node '%s' (%s): epilogue step '%s' has no attribute '%s'",
                                 from->name, from->op, step->op, step->attrs[a].name);
            parameters[k] = (float)step->attrs[a].numbers[0];
        }
        node->steps[i] = (struct op_step){info->function, parameters[0], parameters[1]};
    }
    node->step_count = from->step_count;
    return ESPY_OK;
}

static espy_status check_counts(const struct binder *b)
{
    const struct op *op = b->op;
    const struct graph_node *node = b->node;
    if (node->input_count < op->inputs_min || node->input_count > op->inputs_max)
        return espy_fail(b->host, ESPY_BAD_FORMAT, "node '%s' (%s): has %u inputs, takes %u to %u",
                         node->name, node->op, node->input_count, op->inputs_min, op->inputs_max);
    for (uint32_t i = 0; i < op->inputs_min; i++)
        if (node->inputs[i] == GRAPH_NONE)
            return espy_fail(b->host, ESPY_BAD_FORMAT, "node '%s' (%s): input %u is missing",
                             node->name, node->op, i);
    if (node->output_count < op->outputs_min || node->output_count > op->outputs_max)
        return espy_fail(b->host, ESPY_BAD_FORMAT, "node '%s' (%s): has %u outputs, makes %u to %u",
                         node->name, node->op, node->output_count, op->outputs_min,
                         op->outputs_max);
    return ESPY_OK;
}

espy_status espy_op_bind(const struct host *host, struct arena *arena, const struct graph *graph,
                         const struct graph_node *graph_node, struct op_node *node)
{
    struct binder b = {host, arena, graph, graph_node, espy_op_find(graph_node->op), NULL};
    if (b.op == NULL)
        return espy_fail(host, ESPY_UNSUPPORTED, "node '%s': operator '%s' is not supported",
                         graph_node->name, graph_node->op);
    TRY(check_counts(&b));
    TRY(check_unknown_attrs(&b));
    b.attrs = espy_arena_alloc(arena, b.op->attrs_size);
    if (b.attrs == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t row = 0; row < b.op->attr_count; row++)
        TRY(parse_attr(&b, &b.op->attrs[row]));
    *node = (struct op_node){.op = b.op, .name = graph_node->name, .attrs = b.attrs};
    return bind_steps(&b, node);
}
