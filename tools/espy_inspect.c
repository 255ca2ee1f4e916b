// `espy inspect`: what is in a file, and what a run of it will take.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli_cost.h"
#include "cli_json.h"
#include "cli_session.h"
#include "espy_commands.h"
#include "format/format.h"

struct options {
    struct cli_common common;
    bool no_device, plan;
};

#define COMMON(member) (offsetof(struct options, common) + offsetof(struct cli_common, member))
static const struct cli_option option_rows[] = {
    {"shape", 0, CLI_SHAPES, COMMON(shapes), "NAME=1x3x64x64",
     "Sizes of symbolic dimensions. A dimension called batch or\nN is 1 unless said otherwise.", 0,
     0},
    {"device", 'd', CLI_TEXT, COMMON(device), "NAME",
     "The device that peak memory is planned for. Default: the\nbest one; without any, peak memory "
     "stays unknown.",
     0, 0},
    {"no-device", 0, CLI_FLAG, offsetof(struct options, no_device), NULL,
     "Does not look for a device; peak memory stays unknown.", 0, 0},
    {"plan", 0, CLI_FLAG, offsetof(struct options, plan), NULL,
     "Prints the device's plan too: dispatches and buffers.", 0, 0},
    {"memory", 0, CLI_SIZE, COMMON(memory), "SIZE",
     "A limit of device memory, such as 512M; peak memory stays\nunknown where the plan needs "
     "more, and why is said.",
     0, 0},
    {"json", 0, CLI_FLAG, COMMON(json), NULL, "Prints one JSON object instead of text.", 0, 0},
    {"verbose", 'v', CLI_FLAG, COMMON(verbose), NULL, "Prints the library's notes too.", 0, 0},
    {0}};

struct inspection {
    const struct options *options;
    const char *path;
    struct host host;
    struct cli_session session;
    struct format_file file;
    struct graph graph;
    struct op_walk walk;
    struct cli_inputs inputs;
    bool concrete;              // inputs have sizes
    struct cli_message unknown; // why memory is not known
    bool planned;
    struct espy_plan_info plan;
    char *plan_text;
    struct cli_cost *costs; // [node_count]
    struct cli_cost total;
};

// ---- finding out --------------------------------------------------------------------------------

static enum cli_exit read_graph(struct inspection *inspection)
{
    const struct espy_context_params params = {
        .size = sizeof params,
        .log = espy_cli_log,
        .log_level = inspection->options->common.verbose ? ESPY_LOG_DEBUG : ESPY_LOG_WARNING};
    espy_host_init(&inspection->host, &params);
    espy_status status =
        espy_format_file_open(&inspection->host, inspection->path, &inspection->file);
    if (status == ESPY_OK)
        status = espy_format_read(&inspection->host, inspection->path, inspection->file.bytes,
                                  inspection->file.size, &inspection->graph);
    return status == ESPY_OK ? CLI_GO_ON : espy_cli_exit_of(status);
}

static enum cli_exit walk_graph(struct inspection *inspection)
{
    const struct cli_inputs *inputs = &inspection->inputs;
    struct op_source *sources = calloc(inputs->count ? inputs->count : 1, sizeof *sources);
    if (!sources)
        return espy_cli_fail("out of memory");
    for (uint32_t i = 0; inspection->concrete && i < inputs->count; i++) {
        struct op_type *type = &sources[i].type;
        sources[i].value = inspection->graph.inputs[i].value;
        type->dtype = inputs->tensors[i].dtype;
        type->shape.rank = inputs->tensors[i].rank;
        memcpy(type->shape.dims, inputs->tensors[i].dims, sizeof type->shape.dims);
    }
    const struct op_walk_params params = {.sources = inspection->concrete ? sources : NULL,
                                          .source_count = inputs->count,
                                          .fold_elements_max = 4096};
    const espy_status status =
        espy_walk_init(&inspection->walk, &inspection->host, &inspection->graph, &params);
    free(sources);
    return status == ESPY_OK ? CLI_GO_ON : espy_cli_exit_of(status);
}

static enum cli_exit count_costs(struct inspection *inspection)
{
    const struct graph *graph = &inspection->graph;
    bool *seen = calloc(graph->value_count ? graph->value_count : 1, sizeof *seen);
    inspection->costs =
        calloc(graph->node_count ? graph->node_count : 1, sizeof *inspection->costs);
    const bool ok = seen && inspection->costs;
    inspection->total.known = true;
    for (uint32_t i = 0; ok && i < graph->node_count; i++) {
        const struct cli_cost cost = espy_cost_of(&inspection->walk, i, seen);
        inspection->costs[i] = cost;
        inspection->total.parameters += cost.parameters;
        inspection->total.macs += cost.macs;
        inspection->total.known = inspection->total.known && cost.known;
    }
    free(seen);
    for (uint32_t b = 0; b < graph->body_count; b++)
        inspection->total.parameters += espy_cost_of_body(graph->bodies[b]);
    return ok ? CLI_GO_ON : espy_cli_fail("out of memory");
}

// Memory depends on the device, and a file can be looked at without one: no failure here is fatal
// unless a device was asked for by name.
static enum cli_exit plan_memory(struct inspection *inspection)
{
    struct cli_session *session = &inspection->session;
    if (inspection->options->no_device) {
        (void)espy_message_set(&inspection->unknown, "--no-device");
        return CLI_GO_ON;
    }
    if (!inspection->concrete)
        return CLI_GO_ON;
    session->log.quiet = !inspection->options->common.device;
    enum cli_exit result = espy_cli_open_session(session, &inspection->options->common, false);
    if (result == CLI_GO_ON) {
        espy_status status = espy_session_plan(session->session, inspection->inputs.tensors,
                                               inspection->inputs.count, &inspection->plan, NULL);
        if (status == ESPY_OK && inspection->options->plan)
            status = espy_session_plan_text(session->session, inspection->inputs.tensors,
                                            inspection->inputs.count, &inspection->plan_text);
        inspection->planned = status == ESPY_OK;
        result = status == ESPY_OK ? CLI_GO_ON : espy_cli_exit_of(status);
    }
    if (result != CLI_GO_ON && session->log.quiet) {
        (void)espy_message_set(&inspection->unknown, "%s", session->log.error);
        result = CLI_GO_ON;
    }
    session->log.quiet = false;
    return result;
}

// ---- printing -----------------------------------------------------------------------------------

static const char *node_shape(const struct inspection *inspection, uint32_t index, char *buffer,
                              size_t size)
{
    const struct graph_node *node = &inspection->graph.nodes[index];
    const uint32_t value = node->output_count ? node->outputs[0] : GRAPH_NONE;
    if (value == GRAPH_NONE || !inspection->walk.types[value].dtype)
        return "?";
    return espy_shape_text(&inspection->walk.types[value].shape, buffer, size);
}

// Input or output i as the file describes it; what it leaves open about an output is filled from
// the types that follow from the inputs. false after the last.
static bool value_at(const struct inspection *inspection, bool output, uint32_t i,
                     struct espy_value_info *info)
{
    const espy_model *model = inspection->session.model;
    if (i >= (output ? espy_model_output_count(model) : espy_model_input_count(model)))
        return false;
    if ((output ? espy_model_output : espy_model_input)(model, i, info) != ESPY_OK)
        return false;
    if (!output)
        return true;
    const struct op_type *type = &inspection->walk.types[inspection->graph.outputs[i].value];
    if (type->dtype && (!info->dtype || !info->has_shape)) {
        info->dtype = type->dtype;
        info->has_shape = true;
        info->rank = type->shape.rank;
        memcpy(info->dims, type->shape.dims, sizeof info->dims);
    }
    return true;
}

static void print_values(const struct inspection *inspection, bool output)
{
    struct espy_value_info info;
    for (uint32_t i = 0; value_at(inspection, output, i, &info); i++) {
        char shape[256], clean_shape[256], name[256], role[128];
        (void)espy_shape_describe(&info, shape, sizeof shape);
        (void)printf("%s %s %s %s", output ? "output" : "input ",
                     espy_cli_clean(info.name, name, sizeof name),
                     espy_cli_clean(shape, clean_shape, sizeof clean_shape),
                     espy_dtype_name(info.dtype));
        if (info.role)
            (void)printf(", %s", espy_cli_clean(info.role, role, sizeof role));
        if (info.label_count)
            (void)printf(", %u labels", info.label_count);
        (void)putchar('\n');
    }
}

// "Conv+Relu": the operator and what is applied to its result.
static const char *op_text(const struct graph_node *node, char *buffer, size_t size)
{
    char whole[256];
    size_t length = (size_t)snprintf(whole, sizeof whole, "%s", node->op);
    for (uint32_t i = 0; i < node->step_count && length < sizeof whole; i++)
        length += (size_t)snprintf(whole + length, sizeof whole - length, "+%s", node->steps[i].op);
    return espy_cli_clean(whole, buffer, size);
}

// What bodies compute depends on what they are given, so no shapes and no MACs.
static void print_bodies(const struct graph *graph)
{
    char name[256], op[64];
    for (uint32_t b = 0; b < graph->body_count; b++) {
        const struct graph *body = graph->bodies[b];
        (void)printf("\nbody   %s\n", espy_cli_clean(body->name, name, sizeof name));
        for (uint32_t i = 0; i < body->node_count; i++)
            (void)printf("%5u  %-22s %s\n", i, op_text(&body->nodes[i], op, sizeof op),
                         espy_cli_clean(body->nodes[i].name, name, sizeof name));
    }
}

static void print_sites(const struct graph *graph)
{
    char name[256], kind[64], queries[128], keys[128];
    if (graph->site_count == 0)
        return;
    (void)printf("\n%5s  %-14s %5s  %-22s %-22s %s\n", "", "attention", "heads", "queries", "keys",
                 "site");
    for (uint32_t i = 0; i < graph->site_count; i++) {
        const struct graph_site *site = &graph->sites[i];
        (void)printf("%5u  %-14s %5u  %-22s %-22s %s\n", i,
                     espy_cli_clean(site->kind, kind, sizeof kind), site->heads,
                     espy_grid_print(&site->queries, queries, sizeof queries),
                     espy_grid_print(&site->keys, keys, sizeof keys),
                     espy_cli_clean(site->name, name, sizeof name));
    }
}

static void print_text(const struct inspection *inspection)
{
    const struct graph *graph = &inspection->graph;
    char name[256], op[64], shape[256], macs[32] = "?";
    (void)printf("name   %s\n",
                 espy_cli_clean(graph->name ? graph->name : "(none)", name, sizeof name));
    if (graph->producer)
        (void)printf("from   %s\n", espy_cli_clean(graph->producer, name, sizeof name));
    print_values(inspection, false);
    print_values(inspection, true);
    (void)printf("\n%5s  %-22s %-22s %12s %15s  %s\n", "", "operator", "output", "parameters",
                 "MACs", "node");
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct cli_cost *cost = &inspection->costs[i];
        (void)snprintf(macs, sizeof macs, cost->known ? "%" PRIu64 : "?", cost->macs);
        (void)printf("%5u  %-22s %-22s %12" PRIu64 " %15s  %s\n", i,
                     op_text(&graph->nodes[i], op, sizeof op),
                     node_shape(inspection, i, shape, sizeof shape), cost->parameters, macs,
                     espy_cli_clean(graph->nodes[i].name, name, sizeof name));
    }
    print_bodies(graph);
    print_sites(graph);
    (void)printf("\nnodes        %u\nparameters   %" PRIu64 " (%.3f M)\n", graph->node_count,
                 inspection->total.parameters, (double)inspection->total.parameters / 1e6);
    (void)printf("MACs         %s%" PRIu64 " (%.3f G)\n",
                 inspection->total.known ? "" : "at least ", inspection->total.macs,
                 (double)inspection->total.macs / 1e9);
    if (inspection->planned) {
        (void)printf("peak memory  %.1f MiB (weights %.1f MiB) on %s\n"
                     "per run      %u dispatches, %u stages, %u nodes on the host%s\n"
                     "moved        %.1f MiB read, %.1f MiB written, %.1f MiB of weights read\n",
                     (double)inspection->plan.memory_size / (1 << 20),
                     (double)inspection->plan.weights_size / (1 << 20),
                     inspection->session.info.name, inspection->plan.dispatch_count,
                     inspection->plan.stage_count, inspection->plan.host_node_count,
                     inspection->plan.data_dependent ? ", up to where shapes depend on data" : "",
                     (double)inspection->plan.read_size / (1 << 20),
                     (double)inspection->plan.written_size / (1 << 20),
                     (double)inspection->plan.weights_read_size / (1 << 20));
        if (inspection->plan.float64_as_float32)
            (void)printf("float64      computed as float32\n");
    } else {
        (void)printf("peak memory  unknown: %s\n", inspection->unknown.text);
    }
    if (inspection->plan_text)
        (void)printf("\n%s", inspection->plan_text);
}

static void add_values(cJSON *json, const struct inspection *inspection, bool output)
{
    struct espy_value_info info;
    cJSON *array = cJSON_AddArrayToObject(json, output ? "outputs" : "inputs");
    for (uint32_t i = 0; value_at(inspection, output, i, &info); i++) {
        cJSON *entry = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(entry, "name", info.name);
        (void)cJSON_AddStringToObject(entry, "dtype", espy_dtype_name(info.dtype));
        cJSON *shape = info.has_shape ? cJSON_AddArrayToObject(entry, "shape") : NULL;
        for (uint32_t d = 0; info.has_shape && d < info.rank; d++) {
            const char *symbol = info.symbols[d] ? info.symbols[d] : "?";
            (void)cJSON_AddItemToArray(shape, info.dims[d] < 0
                                                  ? cJSON_CreateString(symbol)
                                                  : cJSON_CreateNumber((double)info.dims[d]));
        }
        if (info.role)
            (void)cJSON_AddStringToObject(entry, "role", info.role);
        if (info.of)
            (void)cJSON_AddStringToObject(entry, "of", info.of);
        if (info.label_count)
            (void)cJSON_AddNumberToObject(entry, "labels", info.label_count);
        (void)cJSON_AddItemToArray(array, entry);
    }
}

static void add_nodes(cJSON *json, const struct inspection *inspection)
{
    const struct graph *graph = &inspection->graph;
    cJSON *array = cJSON_AddArrayToObject(json, "nodes");
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct graph_node *node = &graph->nodes[i];
        const uint32_t value = node->output_count ? node->outputs[0] : GRAPH_NONE;
        cJSON *entry = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(entry, "name", node->name);
        (void)cJSON_AddStringToObject(entry, "op", node->op);
        cJSON *epilogue = node->step_count ? cJSON_AddArrayToObject(entry, "epilogue") : NULL;
        for (uint32_t k = 0; k < node->step_count; k++)
            (void)cJSON_AddItemToArray(epilogue, cJSON_CreateString(node->steps[k].op));
        if (value != GRAPH_NONE && inspection->walk.types[value].dtype) {
            const struct shape *shape = &inspection->walk.types[value].shape;
            espy_json_add_shape(entry, "shape", shape->rank, shape->dims);
        }
        (void)cJSON_AddNumberToObject(entry, "parameters", (double)inspection->costs[i].parameters);
        if (inspection->costs[i].known)
            (void)cJSON_AddNumberToObject(entry, "macs", (double)inspection->costs[i].macs);
        (void)cJSON_AddItemToArray(array, entry);
    }
}

static void add_pair(cJSON *json, const char *key, uint32_t rows, uint32_t columns)
{
    espy_json_add_shape(json, key, 2, (const int64_t[]){rows, columns});
}

static void add_grid(cJSON *json, const char *key, const struct espy_token_grid *grid)
{
    cJSON *entry = grid->rows ? cJSON_AddObjectToObject(json, key) : NULL;
    if (!entry)
        return;
    add_pair(entry, "grid", grid->rows, grid->columns);
    if (grid->of)
        (void)cJSON_AddStringToObject(entry, "of", grid->of);
    (void)cJSON_AddNumberToObject(entry, "extra", grid->extra);
    if (!grid->window[0])
        return;
    add_pair(entry, "window", grid->window[0], grid->window[1]);
    add_pair(entry, "step", grid->step[0], grid->step[1]);
    add_pair(entry, "shift", grid->shift[0], grid->shift[1]);
}

static void add_sites(cJSON *json, const struct graph *graph)
{
    cJSON *array = graph->site_count ? cJSON_AddArrayToObject(json, "attention") : NULL;
    for (uint32_t i = 0; i < graph->site_count; i++) {
        const struct graph_site *site = &graph->sites[i];
        cJSON *entry = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(entry, "name", site->name);
        (void)cJSON_AddStringToObject(entry, "kind", site->kind);
        (void)cJSON_AddStringToObject(entry, "node", graph->nodes[site->node].name);
        if (site->heads)
            (void)cJSON_AddNumberToObject(entry, "heads", site->heads);
        add_grid(entry, "queries", &site->queries);
        add_grid(entry, "keys", &site->keys);
        (void)cJSON_AddItemToArray(array, entry);
    }
}

static void add_bodies(cJSON *json, const struct graph *graph)
{
    cJSON *array = graph->body_count ? cJSON_AddArrayToObject(json, "bodies") : NULL;
    for (uint32_t b = 0; b < graph->body_count; b++) {
        const struct graph *body = graph->bodies[b];
        cJSON *entry = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(entry, "name", body->name);
        cJSON *nodes = cJSON_AddArrayToObject(entry, "nodes");
        for (uint32_t i = 0; i < body->node_count; i++) {
            cJSON *node = cJSON_CreateObject();
            (void)cJSON_AddStringToObject(node, "name", body->nodes[i].name);
            (void)cJSON_AddStringToObject(node, "op", body->nodes[i].op);
            (void)cJSON_AddItemToArray(nodes, node);
        }
        (void)cJSON_AddItemToArray(array, entry);
    }
}

static enum cli_exit print_json(const struct inspection *inspection)
{
    cJSON *json = cJSON_CreateObject();
    if (inspection->graph.name)
        (void)cJSON_AddStringToObject(json, "name", inspection->graph.name);
    if (inspection->graph.producer)
        (void)cJSON_AddStringToObject(json, "producer", inspection->graph.producer);
    add_values(json, inspection, false);
    add_values(json, inspection, true);
    add_nodes(json, inspection);
    add_sites(json, &inspection->graph);
    add_bodies(json, &inspection->graph);
    (void)cJSON_AddNumberToObject(json, "parameters", (double)inspection->total.parameters);
    (void)cJSON_AddNumberToObject(json, "macs", (double)inspection->total.macs);
    (void)cJSON_AddBoolToObject(json, "macs_complete", inspection->total.known);
    if (inspection->planned) {
        const struct espy_plan_info *plan = &inspection->plan;
        espy_json_add_device(json, &inspection->session.info);
        (void)cJSON_AddNumberToObject(json, "peak_memory_bytes", (double)plan->memory_size);
        (void)cJSON_AddNumberToObject(json, "weights_bytes", (double)plan->weights_size);
        (void)cJSON_AddNumberToObject(json, "dispatches", plan->dispatch_count);
        (void)cJSON_AddNumberToObject(json, "bytes_read", (double)plan->read_size);
        (void)cJSON_AddNumberToObject(json, "bytes_written", (double)plan->written_size);
        (void)cJSON_AddNumberToObject(json, "weights_bytes_read",
                                      (double)plan->weights_read_size);
        (void)cJSON_AddNumberToObject(json, "stages", plan->stage_count);
        (void)cJSON_AddNumberToObject(json, "host_nodes", plan->host_node_count);
        (void)cJSON_AddBoolToObject(json, "data_dependent", plan->data_dependent);
        (void)cJSON_AddBoolToObject(json, "float64_as_float32", plan->float64_as_float32);
    } else {
        (void)cJSON_AddNullToObject(json, "peak_memory_bytes");
        (void)cJSON_AddStringToObject(json, "peak_memory_unknown", inspection->unknown.text);
    }
    if (inspection->plan_text)
        (void)cJSON_AddStringToObject(json, "plan", inspection->plan_text);
    return espy_json_print(json, CLI_OK);
}

// ---- all together -------------------------------------------------------------------------------

// Sizes for the inputs. Symbols that nobody gave a size are fine until --shape is used.
static enum cli_exit size_inputs(struct inspection *inspection)
{
    const struct cli_inputs_params params = {.shapes = &inspection->options->common.shapes,
                                             .shapes_only = true};
    inspection->concrete = espy_inputs_init(&inspection->inputs, inspection->session.model, &params,
                                            &inspection->unknown);
    if (inspection->concrete || !inspection->options->common.shapes.count)
        return CLI_GO_ON;
    return espy_cli_fail_message(&inspection->unknown);
}

static enum cli_exit inspect(struct inspection *inspection)
{
    enum cli_exit result =
        espy_cli_open_context(&inspection->session, &inspection->options->common);
    if (result == CLI_GO_ON)
        result = espy_cli_open_model(&inspection->session, inspection->path);
    if (result == CLI_GO_ON)
        result = read_graph(inspection);
    if (result == CLI_GO_ON)
        result = size_inputs(inspection);
    if (result == CLI_GO_ON)
        result = walk_graph(inspection);
    if (result == CLI_GO_ON)
        result = count_costs(inspection);
    if (result == CLI_GO_ON)
        result = plan_memory(inspection);
    if (result != CLI_GO_ON)
        return result;
    if (inspection->options->common.json)
        return print_json(inspection);
    print_text(inspection);
    return CLI_OK;
}

static int run_inspect(const struct cli_command *command, int argc, char **argv)
{
    struct options options = {0};
    const char *operands[1] = {0};
    uint32_t operand_count;
    enum cli_exit result = espy_args_parse(command, argc, argv, &options, operands, &operand_count);
    if (result != CLI_GO_ON)
        return result;
    struct inspection inspection = {.options = &options, .path = operands[0]};
    result = inspect(&inspection);
    if (inspection.plan_text)
        espy_text_free(inspection.session.session, &inspection.plan_text);
    free(inspection.costs);
    espy_inputs_finish(&inspection.inputs);
    espy_walk_finish(&inspection.walk);
    espy_graph_finish(&inspection.graph);
    if (inspection.file.host)
        espy_format_file_close(&inspection.file);
    espy_cli_close(&inspection.session);
    return espy_cli_finish_output(result);
}

const struct cli_command espy_command_inspect = {
    .name = "inspect",
    .summary = "prints a model's nodes, parameters, MACs and peak memory",
    .arguments = "MODEL.espy",
    .details = "Peak memory is the device memory of one planned run, weights included. It needs a\n"
               "device to plan for and inputs whose sizes are known.\n",
    .options = option_rows,
    .operands_min = 1,
    .operands_max = 1,
    .run = run_inspect,
};
