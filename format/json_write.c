#include "format/format_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// One fixed order of keys and one way to print each thing: the same graph gives the same bytes.

static void add(struct text *text, const char *chars)
{
    espy_text_add_bytes(text, chars, strlen(chars));
}

static void add_string(struct text *text, const char *string)
{
    add(text, "\"");
    const char *run = string; // start of what needs no escape
    for (const char *c = string; *c != '\0'; c++) {
        const unsigned char byte = (unsigned char)*c;
        if (byte >= 0x20 && byte != '"' && byte != '\\')
            continue;
        espy_text_add_bytes(text, run, (size_t)(c - run));
        run = c + 1;
        if (byte == '\n')
            add(text, "\\n");
        else if (byte == '\t')
            add(text, "\\t");
        else if (byte < 0x20)
            espy_text_add(text, "\\u%04x", (unsigned)byte);
        else
            espy_text_add(text, "\\%c", *c);
    }
    add(text, run);
    add(text, "\"");
}

static void add_integer(struct text *text, uint64_t integer)
{
    espy_text_add(text, "%llu", (unsigned long long)integer);
}

// An integer without point or exponent, else the shortest of %.9g to %.17g that reads back equal.
static void add_number(struct text *text, double number)
{
    char chars[40];
    if (floor(number) == number && fabs(number) <= 9007199254740992.0) {
        snprintf(chars, sizeof(chars), "%.0f", number);
    } else {
        for (int digits = 9; digits <= 17; digits++) {
            snprintf(chars, sizeof(chars), "%.*g", digits, number);
            if (strtod(chars, NULL) == number)
                break;
        }
    }
    // The application's locale may have its own decimal point, of one byte or more.
    bool point = false;
    for (const char *c = chars; *c != '\0'; c++) {
        const bool plain = strchr("0123456789+-e", *c) != NULL;
        if (plain)
            espy_text_add_bytes(text, c, 1);
        else if (!point)
            add(text, ".");
        point = point || !plain;
    }
}

static void add_numbers(struct text *text, const double *numbers, uint32_t count)
{
    add(text, "[");
    for (uint32_t i = 0; i < count; i++) {
        add(text, i == 0 ? "" : ", ");
        add_number(text, numbers[i]);
    }
    add(text, "]");
}

static void add_strings(struct text *text, const char *const *strings, uint32_t count)
{
    add(text, "[");
    for (uint32_t i = 0; i < count; i++) {
        add(text, i == 0 ? "" : ", ");
        add_string(text, strings[i]);
    }
    add(text, "]");
}

// , "key": "string"
static void add_member(struct text *text, const char *key, const char *string)
{
    espy_text_add(text, ", \"%s\": ", key);
    add_string(text, string);
}

static void add_shape(struct text *text, const struct graph_value *value)
{
    add(text, ", \"shape\": [");
    for (uint32_t i = 0; i < value->shape.rank; i++) {
        add(text, i == 0 ? "" : ", ");
        if (value->shape.dims[i] >= 0)
            add_integer(text, (uint64_t)value->shape.dims[i]);
        else if (espy_graph_symbol(value, i) != NULL)
            add_string(text, espy_graph_symbol(value, i));
        else
            add(text, "null");
    }
    add(text, "]");
}

static void add_preprocess(struct text *text, const struct espy_preprocess *pre)
{
    const uint32_t channels = strcmp(pre->color, "gray") == 0 ? 1 : 3;
    espy_text_add(text, ", \"preprocess\": {\"size\": [%u, %u]", (unsigned)pre->height,
                  (unsigned)pre->width);
    add_member(text, "resize", pre->resize);
    add_member(text, "color", pre->color);
    add_member(text, "layout", pre->layout);
    add(text, ", \"scale\": ");
    add_number(text, pre->scale);
    add(text, ", \"mean\": ");
    add_numbers(text, pre->mean, channels);
    add(text, ", \"std\": ");
    add_numbers(text, pre->std, channels);
    add(text, "}");
}

static void add_io(struct text *text, const struct graph *graph, const struct graph_io *io,
                   bool typed)
{
    const struct graph_value *value = &graph->values[io->value];
    add(text, "{\"name\": ");
    add_string(text, value->name);
    if (typed && value->dtype != ESPY_DTYPE_NONE)
        add_member(text, "dtype", espy_dtype_name(value->dtype));
    if (typed && value->has_shape)
        add_shape(text, value);
    if (io->role != NULL)
        add_member(text, "role", io->role);
    if (io->of != NULL)
        add_member(text, "of", io->of);
    if (io->preprocess != NULL)
        add_preprocess(text, io->preprocess);
    if (io->threshold != 0) {
        add(text, ", \"threshold\": ");
        add_number(text, io->threshold);
    }
    if (io->label_count > 0) {
        add(text, ", \"labels\": ");
        add_strings(text, io->labels, io->label_count);
    }
    add(text, "}");
}

// Each entry of a list or object is on a line of its own.
static void add_line(struct text *text, bool first)
{
    add(text, first ? "\n    " : ",\n    ");
}

static void add_ios(struct text *text, const struct graph *graph)
{
    add(text, "  \"inputs\": [");
    for (uint32_t i = 0; i < graph->input_count; i++) {
        add_line(text, i == 0);
        add_io(text, graph, &graph->inputs[i], true);
    }
    add(text, graph->input_count > 0 ? "\n  ],\n  \"outputs\": [" : "],\n  \"outputs\": [");
    for (uint32_t i = 0; i < graph->output_count; i++) {
        const uint32_t value = graph->outputs[i].value;
        // What an input or a tensor is stands at its own place, and only there.
        bool typed = graph->values[value].data == NULL;
        for (uint32_t k = 0; k < graph->input_count; k++)
            typed = typed && graph->inputs[k].value != value;
        add_line(text, i == 0);
        add_io(text, graph, &graph->outputs[i], typed);
    }
    add(text, "\n  ],\n");
}

// *end: of the weights so far.
static void add_tensors(struct text *text, const struct graph *graph, size_t *end)
{
    bool first = true;
    add(text, "  \"tensors\": {");
    for (uint32_t i = 0; i < graph->value_count; i++) {
        const struct graph_value *value = &graph->values[i];
        if (value->data == NULL)
            continue;
        const uint32_t same = espy_format_same_tensor(graph, value);
        const size_t offset = espy_format_align(*end, FORMAT_TENSOR_ALIGNMENT);
        add_line(text, first);
        first = false;
        add_string(text, value->name);
        if (same != GRAPH_NONE) {
            add(text, ": {\"same_as\": ");
            add_string(text, graph->network->values[same].name);
            add(text, "}");
            continue;
        }
        espy_text_add(text, ": {\"dtype\": \"%s\"", espy_dtype_name(value->dtype));
        add_shape(text, value);
        espy_text_add(text, ", \"offset\": %zu, \"size\": %zu}", offset, value->data_size);
        *end = offset + value->data_size;
    }
    add(text, first ? "},\n" : "\n  },\n");
}

static void add_value_names(struct text *text, const struct graph *graph, const char *key,
                            const uint32_t *list, uint32_t count)
{
    espy_text_add(text, ", \"%s\": [", key);
    for (uint32_t i = 0; i < count; i++) {
        add(text, i == 0 ? "" : ", ");
        add_string(text, list[i] == GRAPH_NONE ? "" : graph->values[list[i]].name);
    }
    add(text, "]");
}

static void add_attr(struct text *text, const struct graph_attr *attr)
{
    add_string(text, attr->name);
    add(text, ": ");
    switch (attr->type) {
    case GRAPH_ATTR_NUMBER:
        add_number(text, attr->numbers[0]);
        break;
    case GRAPH_ATTR_NUMBERS:
        add_numbers(text, attr->numbers, attr->count);
        break;
    case GRAPH_ATTR_STRING:
        add_string(text, attr->strings[0]);
        break;
    case GRAPH_ATTR_STRINGS:
        add_strings(text, attr->strings, attr->count);
        break;
    }
}

static void add_steps(struct text *text, const struct graph_node *node)
{
    add(text, ", \"epilogue\": [");
    for (uint32_t i = 0; i < node->step_count; i++) {
        const struct graph_step *step = &node->steps[i];
        add(text, i == 0 ? "{\"op\": " : ", {\"op\": ");
        add_string(text, step->op);
        for (uint32_t k = 0; k < step->attr_count; k++) {
            add(text, ", ");
            add_attr(text, &step->attrs[k]);
        }
        add(text, "}");
    }
    add(text, "]");
}

static void add_node(struct text *text, const struct graph *graph, const struct graph_node *node)
{
    add(text, "{\"op\": ");
    add_string(text, node->op);
    add_member(text, "name", node->name);
    add_value_names(text, graph, "inputs", node->inputs, node->input_count);
    add_value_names(text, graph, "outputs", node->outputs, node->output_count);
    if (node->attr_count > 0) {
        add(text, ", \"attrs\": {");
        for (uint32_t i = 0; i < node->attr_count; i++) {
            add(text, i == 0 ? "" : ", ");
            add_attr(text, &node->attrs[i]);
        }
        add(text, "}");
    }
    if (node->step_count > 0)
        add_steps(text, node);
    add(text, "}");
}

// Inputs, outputs, tensors and nodes; a body's as well as the network's.
static void add_graph(struct text *text, const struct graph *graph, size_t *end)
{
    add_ios(text, graph);
    add_tensors(text, graph, end);
    add(text, "  \"nodes\": [");
    for (uint32_t i = 0; i < graph->node_count; i++) {
        add_line(text, i == 0);
        add_node(text, graph, &graph->nodes[i]);
    }
    add(text, graph->node_count > 0 ? "\n  ]" : "]");
}

static void add_bodies(struct text *text, const struct graph *network, size_t *end)
{
    add(text, ",\n  \"bodies\": [");
    for (uint32_t i = 0; i < network->body_count; i++) {
        add(text, i == 0 ? "{\n  \"name\": " : ", {\n  \"name\": ");
        add_string(text, network->bodies[i]->name);
        add(text, ",\n");
        add_graph(text, network->bodies[i], end);
        add(text, "\n  }");
    }
    add(text, "]");
}

static void add_pair(struct text *text, const char *key, uint32_t first, uint32_t second)
{
    espy_text_add(text, ", \"%s\": [%u, %u]", key, (unsigned)first, (unsigned)second);
}

static void add_grid(struct text *text, const char *key, const struct espy_token_grid *grid)
{
    if (grid->rows == 0)
        return;
    espy_text_add(text, ", \"%s\": {\"grid\": [%u, %u]", key, (unsigned)grid->rows,
                  (unsigned)grid->columns);
    if (grid->of != NULL)
        add_member(text, "of", grid->of);
    if (grid->extra > 0)
        espy_text_add(text, ", \"extra\": %u", (unsigned)grid->extra);
    if (grid->window[0] > 0) {
        add_pair(text, "window", grid->window[0], grid->window[1]);
        add_pair(text, "step", grid->step[0], grid->step[1]);
        add_pair(text, "shift", grid->shift[0], grid->shift[1]);
    }
    add(text, "}");
}

static void add_sites(struct text *text, const struct graph *network)
{
    add(text, ",\n  \"attention\": [");
    for (uint32_t i = 0; i < network->site_count; i++) {
        const struct graph_site *site = &network->sites[i];
        add_line(text, i == 0);
        add(text, "{\"name\": ");
        add_string(text, site->name);
        add_member(text, "kind", site->kind);
        add_member(text, "node", network->nodes[site->node].name);
        if (site->heads > 0)
            espy_text_add(text, ", \"heads\": %u", (unsigned)site->heads);
        add_grid(text, "queries", &site->queries);
        add_grid(text, "keys", &site->keys);
        add(text, "}");
    }
    add(text, "\n  ]");
}

void espy_format_print_json(const struct graph *graph, struct text *text)
{
    size_t end = 0;
    espy_text_add(text, "{\n  \"espy\": %d,\n", (int)FORMAT_VERSION);
    if (graph->name != NULL) {
        add(text, "  \"name\": ");
        add_string(text, graph->name);
        add(text, ",\n");
    }
    if (graph->producer != NULL) {
        add(text, "  \"producer\": ");
        add_string(text, graph->producer);
        add(text, ",\n");
    }
    add_graph(text, graph, &end);
    if (graph->site_count > 0)
        add_sites(text, graph);
    if (graph->body_count > 0)
        add_bodies(text, graph, &end);
    add(text, "\n}\n");
}
