#include "format/format_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// What is known about who makes a value, as bits.
enum { MADE_BY_INPUT = 1, MADE_BY_CONSTANT = 2, MADE_BY_NODE = 4, IS_OUTPUT = 8 };

enum { PLACE_SIZE_MAX = 2 * FORMAT_TEXT_SHOWN_MAX };

struct checker {
    const struct graph *graph;
    const struct host *host;
    const char *file;
    const char *body;         // name of the body that is checked; NULL: the network itself
    struct map values, nodes; // by name
    unsigned char *made;      // per value
};

static espy_status refuse(const struct checker *checker, const char *place, const char *format, ...)
    ESPY_PRINTF(3, 4);

static espy_status refuse(const struct checker *checker, const char *place, const char *format, ...)
{
    char reason[512];
    va_list list;
    va_start(list, format);
    vsnprintf(reason, sizeof(reason), format, list);
    va_end(list);
    if (checker->body == NULL)
        return espy_fail(checker->host, ESPY_BAD_FORMAT, "%s: %s: %s", checker->file, place,
                         reason);
    char shown[FORMAT_TEXT_SHOWN_MAX];
    return espy_fail(checker->host, ESPY_BAD_FORMAT, "%s: bodies \"%s\": %s: %s", checker->file,
                     espy_format_shown(checker->body, shown), place, reason);
}

// ---- strings ------------------------------------------------------------------------------------

// NULL where text is good, else what is wrong with it.
static const char *string_fault(const char *text, size_t size_max, bool control_allowed)
{
    if (text == NULL)
        return "missing";
    const size_t size = strlen(text);
    if (size > size_max)
        return size_max == GRAPH_NAME_SIZE_MAX ? "longer than 1024 bytes"
                                               : "longer than 65536 bytes";
    const char *end = text + size;
    while (text < end) {
        const size_t length = espy_format_utf8(text, end);
        if (length == 0)
            return "not valid UTF-8";
        if (!control_allowed && espy_format_control(text))
            return "has a control character";
        text += length;
    }
    return NULL;
}
_Static_assert(GRAPH_NAME_SIZE_MAX == 1024, "the message above says so");
_Static_assert(GRAPH_STRING_SIZE_MAX == 65536, "the message above says so");

static const char *name_fault(const char *name)
{
    if (name != NULL && name[0] == '\0')
        return "empty";
    return string_fault(name, GRAPH_NAME_SIZE_MAX, false);
}

static espy_status check_name(const struct checker *checker, const char *place, const char *key,
                              const char *name)
{
    const char *fault = name_fault(name);
    if (fault == NULL)
        return ESPY_OK;
    char shown[FORMAT_TEXT_SHOWN_MAX];
    return refuse(checker, place, "%s \"%s\" is not a name: %s", key,
                  espy_format_shown(name, shown), fault);
}

static bool is_role(const char *role)
{
    for (const char *c = role; *c != '\0'; c++) {
        const bool letter = *c >= 'a' && *c <= 'z';
        const bool later = (*c >= '0' && *c <= '9') || *c == '_';
        if (!letter && (c == role || !later))
            return false;
    }
    return role[0] != '\0';
}

// ---- values -------------------------------------------------------------------------------------

static espy_status check_shape(const struct checker *checker, const char *place,
                               const struct graph_value *value)
{
    if (value->shape.rank > ESPY_RANK_MAX)
        return refuse(checker, place, "rank %u, at most %d", (unsigned)value->shape.rank,
                      (int)ESPY_RANK_MAX);
    struct shape known = {0}; // the dims that are numbers must fit already
    for (uint32_t i = 0; i < value->shape.rank; i++) {
        const int64_t dim = value->shape.dims[i];
        if (dim < -1 || dim > GRAPH_DIM_MAX)
            return refuse(checker, place, "dimension %u is %lld, not in 0..%lld", (unsigned)i,
                          (long long)dim, (long long)GRAPH_DIM_MAX);
        const char *symbol = espy_graph_symbol(value, i);
        if (dim >= 0 && symbol != NULL)
            return refuse(checker, place, "dimension %u has both a size and a symbol", (unsigned)i);
        if (symbol != NULL)
            TRY(check_name(checker, place, "symbol", symbol));
        if (dim >= 0)
            known.dims[known.rank++] = dim;
    }
    size_t count, size;
    if (!espy_shape_count(&known, &count) || !espy_dtype_data_size(value->dtype, count, &size))
        return refuse(checker, place, "the shape has more elements than memory can hold");
    return ESPY_OK;
}

static espy_status check_constant(const struct checker *checker, const char *place,
                                  const struct graph_value *value)
{
    char shape[128];
    espy_shape_text(&value->shape, shape, sizeof(shape));
    if (!value->has_shape || value->dtype == ESPY_DTYPE_NONE)
        return refuse(checker, place, "a tensor needs a dtype and a shape");
    size_t count;
    if (!espy_shape_count(&value->shape, &count))
        return refuse(checker, place, "a tensor's shape must be all numbers, not %s", shape);
    size_t size = 0;
    espy_dtype_data_size(value->dtype, count, &size); // cannot overflow: check_shape did the same
    if (value->data_size != size)
        return refuse(checker, place, "%zu bytes of data, but %s of %s takes %zu", value->data_size,
                      espy_dtype_name(value->dtype), shape, size);
    const uint32_t used = (uint32_t)(count % 8) * espy_dtype_bits(value->dtype) % 8;
    if (used > 0 && ((const unsigned char *)value->data)[size - 1] >> used != 0)
        return refuse(checker, place, "the bits after the last element are not zero");
    if (value->dtype == ESPY_BOOL) {
        const unsigned char *bytes = value->data;
        for (size_t i = 0; i < count; i++)
            if (bytes[i] > 1)
                return refuse(checker, place, "element %zu of a bool tensor is %u, not 0 or 1", i,
                              (unsigned)bytes[i]);
    }
    return ESPY_OK;
}

static espy_status check_value(struct checker *checker, uint32_t index)
{
    const struct graph_value *value = &checker->graph->values[index];
    char place[PLACE_SIZE_MAX], shown[FORMAT_TEXT_SHOWN_MAX];
    snprintf(place, sizeof(place), "%s \"%s\"", value->data != NULL ? "tensor" : "value",
             espy_format_shown(value->name, shown));
    TRY(check_name(checker, place, "name", value->name));
    if (espy_map_get(&checker->values, value->name) != MAP_NONE)
        return refuse(checker, place, "the name is used twice");
    TRY(espy_map_put(&checker->values, value->name, index));
    if (value->dtype != ESPY_DTYPE_NONE && espy_dtype_bits(value->dtype) == 0)
        return refuse(checker, place, "unknown dtype %d", (int)value->dtype);
    if (value->has_shape)
        TRY(check_shape(checker, place, value));
    if (value->data == NULL)
        return ESPY_OK;
    checker->made[index] |= MADE_BY_CONSTANT;
    return check_constant(checker, place, value);
}

// ---- inputs and outputs -------------------------------------------------------------------------

static bool is_one_of(const char *text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (text != NULL && strcmp(text, words[i]) == 0)
            return true;
    return false;
}

// The input's shape must agree with the picture that preprocessing makes.
static espy_status check_picture(const struct checker *checker, const char *place,
                                 const struct espy_preprocess *pre, const struct graph_value *value)
{
    const bool nhwc = strcmp(pre->layout, "nhwc") == 0;
    const int64_t channels = strcmp(pre->color, "gray") == 0 ? 1 : 3;
    const int64_t *dims = value->shape.dims;
    if (value->shape.rank != 4)
        return refuse(checker, place, "layout %s needs 4 dimensions, the input has %u", pre->layout,
                      (unsigned)value->shape.rank);
    const int64_t depth = dims[nhwc ? 3 : 1];
    const int64_t height = dims[nhwc ? 1 : 2], width = dims[nhwc ? 2 : 3];
    if (depth >= 0 && depth != channels)
        return refuse(checker, place, "color %s has %lld channels, the input has %lld", pre->color,
                      (long long)channels, (long long)depth);
    if (pre->height != 0 &&
        ((height >= 0 && height != pre->height) || (width >= 0 && width != pre->width)))
        return refuse(checker, place, "size %ux%u is not the input's %lldx%lld",
                      (unsigned)pre->height, (unsigned)pre->width, (long long)height,
                      (long long)width);
    return ESPY_OK;
}

static espy_status check_preprocess(const struct checker *checker, const char *place,
                                    const struct graph_io *io)
{
    static const char *const resizes[] = {"stretch", "letterbox", "crop"};
    static const char *const colors[] = {"rgb", "bgr", "gray"};
    static const char *const layouts[] = {"nchw", "nhwc"};
    const struct espy_preprocess *pre = io->preprocess;
    if (io->role == NULL || strcmp(io->role, "image") != 0)
        return refuse(checker, place, "preprocess is for inputs with role \"image\"");
    if ((pre->height == 0) != (pre->width == 0) || pre->height > GRAPH_PICTURE_MAX ||
        pre->width > GRAPH_PICTURE_MAX)
        return refuse(checker, place, "preprocess.size %ux%u: both 0, or both in 1..%d",
                      (unsigned)pre->height, (unsigned)pre->width, (int)GRAPH_PICTURE_MAX);
    if (!is_one_of(pre->resize, resizes, 3))
        return refuse(checker, place, "preprocess.resize must be stretch, letterbox or crop");
    if (!is_one_of(pre->color, colors, 3))
        return refuse(checker, place, "preprocess.color must be rgb, bgr or gray");
    if (!is_one_of(pre->layout, layouts, 2))
        return refuse(checker, place, "preprocess.layout must be nchw or nhwc");
    if (!isfinite(pre->scale) || pre->scale <= 0)
        return refuse(checker, place, "preprocess.scale must be a number above 0");
    const int channels = strcmp(pre->color, "gray") == 0 ? 1 : 3;
    for (int i = 0; i < channels; i++) {
        if (!isfinite(pre->mean[i]))
            return refuse(checker, place, "preprocess.mean[%d] is not a finite number", i);
        if (!isfinite(pre->std[i]) || pre->std[i] <= 0)
            return refuse(checker, place, "preprocess.std[%d] must be a number above 0", i);
    }
    return check_picture(checker, place, pre, &checker->graph->values[io->value]);
}

static espy_status check_labels(const struct checker *checker, const char *place,
                                const struct graph_io *io)
{
    if (io->label_count > GRAPH_LABELS_MAX)
        return refuse(checker, place, "%u labels, at most %d", (unsigned)io->label_count,
                      (int)GRAPH_LABELS_MAX);
    for (uint32_t i = 0; i < io->label_count; i++) {
        const char *fault = string_fault(io->labels[i], GRAPH_NAME_SIZE_MAX, false);
        if (fault != NULL)
            return refuse(checker, place, "labels[%u]: %s", (unsigned)i, fault);
    }
    return ESPY_OK;
}

static espy_status check_input_labels(const struct checker *checker, const char *place,
                                      const struct graph_io *io)
{
    static const char *const roles[] = {"tokens", "class"};
    if (!is_one_of(io->role, roles, 2))
        return refuse(checker, place,
                      "labels are for inputs with role \"tokens\" or \"class\"");
    return check_labels(checker, place, io);
}

static espy_status check_input(struct checker *checker, uint32_t index)
{
    const struct graph_io *io = &checker->graph->inputs[index];
    char place[PLACE_SIZE_MAX], shown[FORMAT_TEXT_SHOWN_MAX];
    snprintf(place, sizeof(place), "inputs[%u]", (unsigned)index);
    if (io->value >= checker->graph->value_count)
        return refuse(checker, place, "value %u of %u", (unsigned)io->value,
                      (unsigned)checker->graph->value_count);
    const struct graph_value *value = &checker->graph->values[io->value];
    espy_format_shown(value->name, shown);
    snprintf(place, sizeof(place), "inputs[%u] \"%s\"", (unsigned)index, shown);
    if (checker->made[io->value] & MADE_BY_INPUT)
        return refuse(checker, place, "it is in the list twice");
    if (checker->made[io->value] & MADE_BY_CONSTANT)
        return refuse(checker, place, "it is a tensor too");
    checker->made[io->value] |= MADE_BY_INPUT;
    if (checker->body != NULL && (io->role != NULL || io->of != NULL || io->preprocess != NULL ||
                                  io->label_count > 0))
        return refuse(checker, place, "roles and preprocessing are for inputs of the network");
    if (checker->body == NULL && (value->dtype == ESPY_DTYPE_NONE || !value->has_shape))
        return refuse(checker, place, "an input needs a dtype and a shape");
    for (uint32_t i = 0; checker->body == NULL && i < value->shape.rank; i++)
        if (value->shape.dims[i] < 0 && espy_graph_symbol(value, i) == NULL)
            return refuse(checker, place, "dimension %u needs a size or a symbol", (unsigned)i);
    if (io->role != NULL && (!is_role(io->role) || name_fault(io->role) != NULL))
        return refuse(checker, place, "a role is a word of a-z, 0-9 and _");
    if (io->threshold != 0)
        return refuse(checker, place, "a threshold is for outputs");
    if (io->label_count > 0)
        TRY(check_input_labels(checker, place, io));
    return io->preprocess == NULL ? ESPY_OK : check_preprocess(checker, place, io);
}

static espy_status check_output_labels(const struct checker *checker, const char *place,
                                       const struct graph_io *io)
{
    static const char *const roles[] = {"logits", "probabilities", "classes", "mask"};
    if (!is_one_of(io->role, roles, 4))
        return refuse(checker, place,
                      "labels are for outputs with role \"logits\", \"probabilities\", "
                      "\"classes\" or \"mask\"");
    return check_labels(checker, place, io);
}

static espy_status check_threshold(const struct checker *checker, const char *place,
                                   const struct graph_io *io)
{
    if (io->role == NULL || strcmp(io->role, "scores") != 0)
        return refuse(checker, place, "a threshold is for outputs with role \"scores\"");
    // Written so that NaN is refused as well.
    if (!(io->threshold > 0 && io->threshold <= 1))
        return refuse(checker, place, "threshold %g is not in 0..1", io->threshold);
    return ESPY_OK;
}

static espy_status check_output(struct checker *checker, uint32_t index)
{
    const struct graph_io *io = &checker->graph->outputs[index];
    char place[PLACE_SIZE_MAX], shown[FORMAT_TEXT_SHOWN_MAX];
    snprintf(place, sizeof(place), "outputs[%u]", (unsigned)index);
    if (io->value >= checker->graph->value_count)
        return refuse(checker, place, "value %u of %u", (unsigned)io->value,
                      (unsigned)checker->graph->value_count);
    espy_format_shown(checker->graph->values[io->value].name, shown);
    snprintf(place, sizeof(place), "outputs[%u] \"%s\"", (unsigned)index, shown);
    if (checker->made[io->value] == 0)
        return refuse(checker, place, "nothing makes it");
    if (checker->made[io->value] & IS_OUTPUT)
        return refuse(checker, place, "it is in the list twice");
    checker->made[io->value] |= IS_OUTPUT;
    if (io->role != NULL && (!is_role(io->role) || name_fault(io->role) != NULL))
        return refuse(checker, place, "a role is a word of a-z, 0-9 and _");
    if (io->preprocess != NULL)
        return refuse(checker, place, "preprocess is for inputs");
    if (checker->body != NULL &&
        (io->role != NULL || io->of != NULL || io->label_count > 0 || io->threshold != 0))
        return refuse(checker, place, "roles and labels are for outputs of the network");
    if (io->threshold != 0)
        TRY(check_threshold(checker, place, io));
    return io->label_count == 0 ? ESPY_OK : check_output_labels(checker, place, io);
}

// Once every input and output is known.
static espy_status check_of(const struct checker *checker, const char *list,
                            const struct graph_io *ios, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const char *of = ios[i].of;
        if (of == NULL)
            continue;
        char place[PLACE_SIZE_MAX], shown[FORMAT_TEXT_SHOWN_MAX];
        snprintf(place, sizeof(place), "%s[%u].of", list, (unsigned)i);
        const uint32_t value = espy_map_get(&checker->values, of);
        if (value == MAP_NONE || !(checker->made[value] & (MADE_BY_INPUT | IS_OUTPUT)))
            return refuse(checker, place, "\"%s\" is not an input or output",
                          espy_format_shown(of, shown));
        if (value == ios[i].value)
            return refuse(checker, place, "\"%s\" describes itself", espy_format_shown(of, shown));
    }
    return ESPY_OK;
}

// ---- nodes --------------------------------------------------------------------------------------

static espy_status check_attr(const struct checker *checker, const char *place,
                              const struct graph_attr *attr)
{
    char shown[FORMAT_TEXT_SHOWN_MAX];
    espy_format_shown(attr->name, shown);
    const bool list = attr->type == GRAPH_ATTR_NUMBERS || attr->type == GRAPH_ATTR_STRINGS;
    const bool numbers = attr->type == GRAPH_ATTR_NUMBER || attr->type == GRAPH_ATTR_NUMBERS;
    TRY(check_name(checker, place, "attribute", attr->name));
    if (!list && attr->count != 1)
        return refuse(checker, place, "attribute \"%s\" has %u values", shown,
                      (unsigned)attr->count);
    if (attr->count > GRAPH_LIST_MAX)
        return refuse(checker, place, "attribute \"%s\" has %u values, at most %d", shown,
                      (unsigned)attr->count, (int)GRAPH_LIST_MAX);
    if (attr->type == GRAPH_ATTR_STRINGS && attr->count == 0)
        return refuse(checker, place, "attribute \"%s\": an empty list is a list of numbers",
                      shown);
    for (uint32_t i = 0; i < attr->count; i++) {
        if (numbers && !isfinite(attr->numbers[i]))
            return refuse(checker, place, "attribute \"%s\": number %u is not finite", shown,
                          (unsigned)i);
        const char *fault =
            numbers ? NULL : string_fault(attr->strings[i], GRAPH_STRING_SIZE_MAX, true);
        if (fault != NULL)
            return refuse(checker, place, "attribute \"%s\": string %u: %s", shown, (unsigned)i,
                          fault);
    }
    return ESPY_OK;
}

static espy_status check_attrs(const struct checker *checker, const char *place,
                               const struct graph_attr *attrs, uint32_t count)
{
    if (count > GRAPH_ATTRS_MAX)
        return refuse(checker, place, "%u attributes, at most %d", (unsigned)count,
                      (int)GRAPH_ATTRS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        TRY(check_attr(checker, place, &attrs[i]));
        for (uint32_t k = 0; k < i; k++) {
            char shown[FORMAT_TEXT_SHOWN_MAX];
            if (strcmp(attrs[i].name, attrs[k].name) == 0)
                return refuse(checker, place, "attribute \"%s\" is there twice",
                              espy_format_shown(attrs[i].name, shown));
        }
    }
    return ESPY_OK;
}

static espy_status check_steps(const struct checker *checker, const char *place,
                               const struct graph_node *node)
{
    if (node->step_count > GRAPH_STEPS_MAX)
        return refuse(checker, place, "%u epilogue steps, at most %d", (unsigned)node->step_count,
                      (int)GRAPH_STEPS_MAX);
    if (node->step_count > 0 && node->outputs[0] == GRAPH_NONE)
        return refuse(checker, place, "an epilogue needs the first output");
    for (uint32_t i = 0; i < node->step_count; i++) {
        const struct graph_step *step = &node->steps[i];
        TRY(check_name(checker, place, "epilogue op", step->op));
        TRY(check_attrs(checker, place, step->attrs, step->attr_count));
        for (uint32_t k = 0; k < step->attr_count; k++) {
            if (step->attrs[k].type != GRAPH_ATTR_NUMBER)
                return refuse(checker, place, "attributes of an epilogue step are numbers");
            if (strcmp(step->attrs[k].name, "op") == 0)
                return refuse(checker, place, "an epilogue attribute cannot be called \"op\"");
        }
    }
    return ESPY_OK;
}

static espy_status check_node_inputs(const struct checker *checker, const char *place,
                                     const struct graph_node *node)
{
    for (uint32_t i = 0; i < node->input_count; i++) {
        const uint32_t value = node->inputs[i];
        if (value == GRAPH_NONE)
            continue;
        if (value >= checker->graph->value_count)
            return refuse(checker, place, "inputs[%u]: value %u of %u", (unsigned)i,
                          (unsigned)value, (unsigned)checker->graph->value_count);
        char shown[FORMAT_TEXT_SHOWN_MAX];
        if (checker->made[value] == 0)
            return refuse(checker, place, "inputs[%u]: \"%s\" is not made before it is used",
                          (unsigned)i,
                          espy_format_shown(checker->graph->values[value].name, shown));
    }
    return ESPY_OK;
}

static espy_status check_node_outputs(const struct checker *checker, const char *place,
                                      const struct graph_node *node)
{
    bool any = false;
    for (uint32_t i = 0; i < node->output_count; i++) {
        const uint32_t value = node->outputs[i];
        if (value == GRAPH_NONE)
            continue;
        any = true;
        if (value >= checker->graph->value_count)
            return refuse(checker, place, "outputs[%u]: value %u of %u", (unsigned)i,
                          (unsigned)value, (unsigned)checker->graph->value_count);
        char shown[FORMAT_TEXT_SHOWN_MAX];
        if (checker->made[value] != 0)
            return refuse(checker, place, "outputs[%u]: \"%s\" is made twice", (unsigned)i,
                          espy_format_shown(checker->graph->values[value].name, shown));
        checker->made[value] |= MADE_BY_NODE;
    }
    return any ? ESPY_OK : refuse(checker, place, "a node needs an output");
}

static espy_status check_node(struct checker *checker, uint32_t index)
{
    const struct graph_node *node = &checker->graph->nodes[index];
    char place[PLACE_SIZE_MAX], shown[FORMAT_TEXT_SHOWN_MAX];
    snprintf(place, sizeof(place), "nodes[%u] \"%s\"", (unsigned)index,
             espy_format_shown(node->name, shown));
    TRY(check_name(checker, place, "op", node->op));
    TRY(check_name(checker, place, "name", node->name));
    if (espy_map_get(&checker->nodes, node->name) != MAP_NONE)
        return refuse(checker, place, "nodes[%u] has the same name",
                      (unsigned)espy_map_get(&checker->nodes, node->name));
    TRY(espy_map_put(&checker->nodes, node->name, index));
    if (node->input_count > GRAPH_NODE_VALUES_MAX || node->output_count > GRAPH_NODE_VALUES_MAX)
        return refuse(checker, place, "%u inputs and %u outputs, at most %d of each",
                      (unsigned)node->input_count, (unsigned)node->output_count,
                      (int)GRAPH_NODE_VALUES_MAX);
    TRY(check_node_inputs(checker, place, node));
    TRY(check_node_outputs(checker, place, node));
    TRY(check_attrs(checker, place, node->attrs, node->attr_count));
    return check_steps(checker, place, node);
}

// ---- attention ----------------------------------------------------------------------------------

static bool is_input(const struct graph *graph, const char *name)
{
    for (uint32_t i = 0; i < graph->input_count; i++)
        if (strcmp(graph->values[graph->inputs[i].value].name, name) == 0)
            return true;
    return false;
}

// Whole windows fill the grid, and a step is 1 or the number of windows that way.
static espy_status check_grid(const struct checker *checker, const char *place,
                              const struct espy_token_grid *grid)
{
    const uint32_t sizes[2] = {grid->rows, grid->columns};
    if ((sizes[0] == 0) != (sizes[1] == 0) || (grid->window[0] == 0) != (grid->window[1] == 0) ||
        sizes[0] > GRAPH_DIM_MAX || sizes[1] > GRAPH_DIM_MAX)
        return refuse(checker, place, "a grid has rows and columns");
    char shown[FORMAT_TEXT_SHOWN_MAX];
    if (grid->of != NULL && !is_input(checker->graph, grid->of))
        return refuse(checker, place, "\"%s\", where tokens lie, is not an input",
                      espy_format_shown(grid->of, shown));
    for (uint32_t d = 0; d < 2; d++) {
        const uint32_t window = grid->window[d];
        if (window == 0)
            continue;
        if (window > sizes[d] || sizes[d] % window != 0)
            return refuse(checker, place, "windows of %u do not fill a grid of %u",
                          (unsigned)window, (unsigned)sizes[d]);
        if ((grid->step[d] != 1 && grid->step[d] != sizes[d] / window) ||
            grid->shift[d] >= sizes[d])
            return refuse(checker, place, "step %u and shift %u do not fit a grid of %u",
                          (unsigned)grid->step[d], (unsigned)grid->shift[d], (unsigned)sizes[d]);
    }
    return ESPY_OK;
}

static espy_status check_sites(const struct checker *checker, struct map *names)
{
    const struct graph *graph = checker->graph;
    char place[PLACE_SIZE_MAX];
    for (uint32_t i = 0; i < graph->site_count; i++) {
        const struct graph_site *site = &graph->sites[i];
        char shown[FORMAT_TEXT_SHOWN_MAX];
        snprintf(place, sizeof(place), "attention[%u]", (unsigned)i);
        TRY(check_name(checker, place, "name", site->name));
        if (!is_role(site->kind))
            return refuse(checker, place, "kind \"%s\" is not a word of a-z, 0-9 and _",
                          espy_format_shown(site->kind, shown));
        if (site->node >= graph->node_count || site->heads > GRAPH_HEADS_MAX)
            return refuse(checker, place, "node %u of %u, %u heads", (unsigned)site->node,
                          (unsigned)graph->node_count, (unsigned)site->heads);
        const struct graph_node *node = &graph->nodes[site->node];
        if (strcmp(node->op, "Attention") != 0 && node->outputs[0] == GRAPH_NONE)
            return refuse(checker, place, "node \"%s\" has no first output",
                          espy_format_shown(node->name, shown));
        TRY(check_grid(checker, place, &site->queries));
        TRY(check_grid(checker, place, &site->keys));
        const uint32_t same = espy_map_get(names, site->name);
        if (same != MAP_NONE)
            return refuse(checker, place, "the name is that of %s %u",
                          same < graph->output_count ? "output" : "site",
                          (unsigned)(same < graph->output_count ? same
                                                                : same - graph->output_count));
        TRY(espy_map_put(names, site->name, graph->output_count + i));
    }
    return ESPY_OK;
}

// Outputs and sites share a space of names: a run is asked for both by name.
static espy_status check_attention(const struct checker *checker)
{
    const struct graph *graph = checker->graph;
    struct map names;
    espy_status status = ESPY_OK;
    if (graph->site_count == 0)
        return ESPY_OK;
    if (graph->site_count > GRAPH_SITES_MAX || checker->body != NULL)
        return refuse(checker, "attention", "%u sites, at most %d, and none in bodies",
                      (unsigned)graph->site_count, (int)GRAPH_SITES_MAX);
    espy_map_init(&names, checker->host);
    for (uint32_t i = 0; status == ESPY_OK && i < graph->output_count; i++)
        status = espy_map_put(&names, graph->values[graph->outputs[i].value].name, i);
    if (status == ESPY_OK)
        status = check_sites(checker, &names);
    espy_map_finish(&names);
    return status;
}

// ---- the whole ----------------------------------------------------------------------------------

static espy_status check_limits(const struct checker *checker)
{
    const struct graph *graph = checker->graph;
    if (graph->value_count > GRAPH_VALUES_MAX)
        return refuse(checker, "graph", "%u values, at most %d", (unsigned)graph->value_count,
                      (int)GRAPH_VALUES_MAX);
    if (graph->node_count > GRAPH_NODES_MAX)
        return refuse(checker, "nodes", "%u nodes, at most %d", (unsigned)graph->node_count,
                      (int)GRAPH_NODES_MAX);
    if (graph->input_count > GRAPH_IO_MAX)
        return refuse(checker, "inputs", "%u inputs, at most %d", (unsigned)graph->input_count,
                      (int)GRAPH_IO_MAX);
    if (graph->output_count == 0 || graph->output_count > GRAPH_IO_MAX)
        return refuse(checker, "outputs", "%u outputs, not in 1..%d", (unsigned)graph->output_count,
                      (int)GRAPH_IO_MAX);
    if (graph->body_count > GRAPH_BODIES_MAX)
        return refuse(checker, "bodies", "%u bodies, at most %d", (unsigned)graph->body_count,
                      (int)GRAPH_BODIES_MAX);
    if (graph->name != NULL || checker->body != NULL)
        TRY(check_name(checker, "graph", "name", graph->name));
    if (graph->producer != NULL)
        TRY(check_name(checker, "graph", "producer", graph->producer));
    return ESPY_OK;
}

static espy_status check_all(struct checker *checker)
{
    const struct graph *graph = checker->graph;
    for (uint32_t i = 0; i < graph->value_count; i++)
        TRY(check_value(checker, i));
    for (uint32_t i = 0; i < graph->input_count; i++)
        TRY(check_input(checker, i));
    for (uint32_t i = 0; i < graph->node_count; i++)
        TRY(check_node(checker, i));
    for (uint32_t i = 0; i < graph->output_count; i++)
        TRY(check_output(checker, i));
    TRY(check_of(checker, "inputs", graph->inputs, graph->input_count));
    TRY(check_of(checker, "outputs", graph->outputs, graph->output_count));
    TRY(check_attention(checker));
    for (uint32_t i = 0; i < graph->value_count; i++) {
        char shown[FORMAT_TEXT_SHOWN_MAX];
        if (checker->made[i] == 0)
            return refuse(checker, "graph", "nothing makes the value \"%s\"",
                          espy_format_shown(graph->values[i].name, shown));
    }
    return ESPY_OK;
}

static espy_status check_one(const struct graph *graph, const char *file, const char *body)
{
    struct checker checker = {
        .graph = graph, .host = graph->arena.host, .file = file, .body = body};
    TRY(check_limits(&checker));
    const size_t size = (size_t)graph->value_count + 1; // + 1: never 0
    checker.made = espy_alloc(checker.host, size);
    if (checker.made == NULL)
        return espy_fail_memory(checker.host, size, "checking the graph");
    espy_map_init(&checker.values, checker.host);
    espy_map_init(&checker.nodes, checker.host);
    const espy_status status = check_all(&checker);
    espy_map_finish(&checker.nodes);
    espy_map_finish(&checker.values);
    espy_free(checker.host, checker.made);
    return status;
}

static espy_status check_bodies(const struct graph *network, const char *file, struct map *names)
{
    for (uint32_t i = 0; i < network->body_count; i++) {
        const struct graph *body = network->bodies[i];
        char shown[FORMAT_TEXT_SHOWN_MAX];
        TRY(check_one(body, file, body->name == NULL ? "" : body->name));
        if (body->body_count > 0 || body->network != network)
            return espy_fail(network->arena.host, ESPY_BAD_FORMAT,
                             "%s: bodies \"%s\": bodies belong to the network", file,
                             espy_format_shown(body->name, shown));
        if (espy_map_get(names, body->name) != MAP_NONE)
            return espy_fail(network->arena.host, ESPY_BAD_FORMAT,
                             "%s: bodies \"%s\": the name is used twice", file,
                             espy_format_shown(body->name, shown));
        TRY(espy_map_put(names, body->name, i));
    }
    return ESPY_OK;
}

espy_status espy_format_check_graph(const struct graph *graph, const char *file)
{
    struct map names;
    TRY(check_one(graph, file, NULL));
    espy_map_init(&names, graph->arena.host);
    const espy_status status = check_bodies(graph, file, &names);
    espy_map_finish(&names);
    return status;
}

espy_status espy_graph_check(const struct graph *graph)
{
    char shown[FORMAT_TEXT_SHOWN_MAX];
    return espy_format_check_graph(graph, graph->name == NULL || graph->name[0] == '\0'
                                              ? "graph"
                                              : espy_format_shown(graph->name, shown));
}
