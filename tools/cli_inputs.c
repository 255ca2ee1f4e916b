#define _POSIX_C_SOURCE 200809L

#include "cli_inputs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli_fill.h"
#include "cli_number.h"
#include "npy.h"

#define INPUT_FILE_SIZE_MAX ((size_t)1 << 36)

uint32_t espy_inputs_find(const struct cli_inputs *inputs, const char *name)
{
    uint32_t i = 0;
    while (i < inputs->count && strcmp(inputs->inputs[i].info.name, name) != 0)
        i++;
    return i;
}

const struct cli_input *espy_inputs_of(const struct cli_inputs *inputs,
                                       const struct espy_value_info *output)
{
    const uint32_t named = output->of ? espy_inputs_find(inputs, output->of) : inputs->count;
    if (named < inputs->count)
        return &inputs->inputs[named];
    for (uint32_t i = 0; i < inputs->count; i++)
        if (inputs->inputs[i].picture.rgb)
            return &inputs->inputs[i];
    return NULL;
}

// ---- which input --------------------------------------------------------------------------------

bool espy_inputs_role_is(const struct espy_value_info *info, const char *role)
{
    return info->role && !strcmp(info->role, role);
}

// true: what the input holds need not be given.
static bool fills_itself(const struct espy_value_info *info)
{
    return espy_inputs_role_is(info, "latent") || espy_inputs_role_is(info, "image_size");
}

// " 'images' 1x3x224x224 float32, ..." for messages. Returns how many there are, but for those that
// there was no room for.
static uint32_t list_inputs(const struct cli_inputs *inputs, bool missing_only, char *buffer,
                            size_t size)
{
    uint32_t listed = 0;
    size_t at = 0;
    buffer[0] = '\0';
    for (uint32_t i = 0; i < inputs->count && at < size; i++) {
        char shape[SHAPE_TEXT_SIZE], labels[100];
        const struct espy_value_info *info = &inputs->inputs[i].info;
        if (missing_only && (inputs->inputs[i].named || fills_itself(info)))
            continue;
        const int length =
            snprintf(buffer + at, size - at, "%s'%s' %s %s%s%s%s", at ? ", " : "", info->name,
                     espy_shape_describe(info, shape, sizeof shape), espy_dtype_name(info->dtype),
                     info->label_count ? " (" : "", espy_labels_print(info, labels, sizeof labels),
                     info->label_count ? ")" : "");
        at += length > 0 ? (size_t)length : size;
        listed++;
    }
    return listed;
}

// The input that a file or shape without a name is for: the only one, or the only picture.
uint32_t espy_inputs_only(const struct cli_inputs *inputs)
{
    uint32_t found = inputs->count;
    if (inputs->count == 1)
        return 0;
    for (uint32_t i = 0; i < inputs->count; i++) {
        if (!espy_inputs_role_is(&inputs->inputs[i].info, "image"))
            continue;
        if (found != inputs->count)
            return inputs->count;
        found = i;
    }
    return found;
}

// Whether text with a '=' is a path all the same, and not an input's name that has a mistake in it.
static bool is_path(const char *text)
{
    const size_t name_length = strcspn(text, "=");
    return !text[name_length] || memchr(text, '/', name_length) || access(text, F_OK) == 0;
}

// Takes the name off "NAME=REST". A text without a known name is for the only input; so a path
// with '=' in it works there too.
static bool pick_input(const struct cli_inputs *inputs, const char *option, const char *text,
                       uint32_t *index, const char **rest, struct cli_message *message)
{
    char list[400];
    for (uint32_t i = 0; i < inputs->count; i++) {
        const size_t length = strlen(inputs->inputs[i].info.name);
        if (!strncmp(text, inputs->inputs[i].info.name, length) && text[length] == '=') {
            *index = i;
            *rest = text + length + 1;
            return true;
        }
    }
    *index = espy_inputs_only(inputs);
    *rest = text;
    if (*index < inputs->count && is_path(text))
        return true;
    (void)list_inputs(inputs, false, list, sizeof list);
    return espy_message_set(message, "%s%s%s: no input of that name; use NAME=... with one of: %s",
                            option, *option ? " " : "", text, list);
}

// ---- files --------------------------------------------------------------------------------------

static bool take_npy(struct cli_inputs *inputs, uint32_t i, const struct cli_bytes *bytes,
                     struct cli_message *message)
{
    struct cli_input *input = &inputs->inputs[i];
    struct espy_tensor *tensor = &inputs->tensors[i];
    struct npy array;
    size_t count = 0;
    if (!espy_npy_parse(input->path, bytes->data, bytes->size, &array, message))
        return false;
    bool ok = espy_inputs_set_dims(inputs, i, array.rank, array.dims, input->path, message) &&
              espy_inputs_allocate(tensor, &count, message);
    if (ok && !espy_number_fits(array.dtype, array.data, count, tensor->dtype)) {
        ok = espy_message_set(message,
                              "%s: holds %s, input '%s' takes %s; convert it with "
                              "array.astype('%s')",
                              input->path, espy_dtype_name(array.dtype), tensor->name,
                              espy_dtype_name(tensor->dtype), espy_dtype_name(tensor->dtype));
    }
    if (ok)
        espy_number_convert(array.dtype, array.data, count, tensor->dtype, tensor->data);
    espy_npy_free(&array);
    return ok;
}

// How a picture becomes this input: what the file says, else bytes to 0..1 in the layout that the
// shape suggests. false: the input is no picture.
static bool choose_preprocess(const struct espy_value_info *info, struct espy_preprocess *how)
{
    const uint32_t lead = info->rank == 4;
    if (info->rank != 3 && info->rank != 4)
        return false;
    if (info->preprocess) {
        *how = *info->preprocess;
    } else {
        const int64_t first = info->dims[lead], last = info->dims[lead + 2];
        const bool nchw = first == 1 || first == 3;
        if (!nchw && last != 1 && last != 3)
            return false;
        *how = (struct espy_preprocess){.resize = "stretch",
                                        .color = (nchw ? first : last) == 1 ? "gray" : "rgb",
                                        .layout = nchw ? "nchw" : "nhwc",
                                        .scale = 255,
                                        .std = {1, 1, 1, 1}};
    }
    return true;
}

// Where in the dims height stands; width follows.
static uint32_t height_index(const struct espy_value_info *info, const struct espy_preprocess *how)
{
    return info->rank - (how->layout && !strcmp(how->layout, "nhwc") ? 3 : 2);
}

bool espy_inputs_frame(const struct cli_inputs *inputs, uint32_t i, uint32_t *width,
                       uint32_t *height)
{
    struct espy_preprocess how;
    const struct espy_value_info *info = &inputs->inputs[i].info;
    if (!choose_preprocess(info, &how))
        return false;
    const int64_t *dims = inputs->tensors[i].dims + height_index(info, &how);
    *height = (uint32_t)dims[0];
    *width = (uint32_t)dims[1];
    return true;
}

static bool fill_picture(struct cli_inputs *inputs, uint32_t i, struct cli_message *message)
{
    struct cli_input *input = &inputs->inputs[i];
    struct espy_tensor *tensor = &inputs->tensors[i];
    size_t count = 0;
    if (!espy_inputs_allocate(tensor, &count, message))
        return false;
    float *values = malloc(count * sizeof *values);
    if (!values)
        return espy_message_set(message, "out of memory for input '%s'", tensor->name);
    const bool ok =
        espy_picture_preprocess(&input->picture, &input->preprocess, values, &input->area, message);
    if (ok)
        for (size_t k = 0; k < count; k++)
            espy_number_set(tensor->dtype, tensor->data, k, (double)values[k]);
    free(values);
    return ok;
}

static bool take_picture(struct cli_inputs *inputs, uint32_t i, const struct cli_bytes *bytes,
                         struct cli_message *message)
{
    struct cli_input *input = &inputs->inputs[i];
    struct espy_preprocess *how = &input->preprocess;
    const struct espy_value_info *info = &input->info;
    char shape[SHAPE_TEXT_SIZE];
    if (!choose_preprocess(info, how)) {
        return espy_message_set(
            message, "%s: input '%s' is no picture but %s %s; give an .npy file", input->path,
            info->name, espy_shape_describe(info, shape, sizeof shape),
            espy_dtype_name(info->dtype));
    }
    if (!espy_picture_parse(input->path, bytes->data, bytes->size, &input->picture, message))
        return false;
    const uint32_t at = height_index(info, how);
    const int64_t known[2] = {espy_inputs_known_dim(inputs, i, at),
                              espy_inputs_known_dim(inputs, i, at + 1)};
    if (!how->height && known[0] > 0 && known[0] <= PICTURE_SIDE_MAX)
        how->height = (uint32_t)known[0];
    if (!how->width && known[1] > 0 && known[1] <= PICTURE_SIDE_MAX)
        how->width = (uint32_t)known[1];
    uint32_t width, height;
    espy_picture_input_size(&input->picture, how, &width, &height);
    const uint32_t channels = espy_picture_channels(how);
    const bool last = at + 3 == info->rank;
    int64_t dims[4] = {1, 0, 0, 0};
    int64_t *frame = dims + (info->rank == 4);
    frame[last ? 2 : 0] = channels;
    frame[last ? 0 : 1] = height;
    frame[last ? 1 : 2] = width;
    input->frame_width = width;
    input->frame_height = height;
    return espy_inputs_set_dims(inputs, i, info->rank, dims, input->path, message) &&
           fill_picture(inputs, i, message);
}

// Reads the file and takes it where it describes itself; a raw one waits for the shapes that
// others may give.
static bool take_file(struct cli_inputs *inputs, uint32_t i, struct cli_message *message)
{
    struct cli_input *input = &inputs->inputs[i];
    struct cli_bytes bytes;
    if (!espy_file_read(input->path, INPUT_FILE_SIZE_MAX, &bytes, message))
        return false;
    bool ok = true;
    if (espy_npy_is(bytes.data, bytes.size)) {
        ok = take_npy(inputs, i, &bytes, message);
    } else if (espy_picture_format(bytes.data, bytes.size) != PICTURE_NONE) {
        ok = take_picture(inputs, i, &bytes, message);
    } else {
        input->raw = bytes;
        return true;
    }
    espy_file_free(&bytes);
    return ok;
}

// "[NAME=]FILE" or "[NAME=]VALUES". What can be read as values is; a file that is called so has a
// path with ./ before it.
static bool take_input(struct cli_inputs *inputs, const char *option, const char *text,
                       struct cli_message *message)
{
    uint32_t i;
    const char *given;
    struct cli_message reason;
    if (!pick_input(inputs, option, text, &i, &given, message))
        return false;
    struct cli_input *input = &inputs->inputs[i];
    if (input->named)
        return espy_message_set(message, "input '%s' is given twice: %s and %s", input->info.name,
                                input->path, given);
    for (uint32_t k = 0; k < inputs->count; k++) {
        if (!strcmp(given, "-") && inputs->inputs[k].named &&
            !strcmp(inputs->inputs[k].path, "-")) {
            return espy_message_set(
                message, "inputs '%s' and '%s' are both to be standard input; it holds one file",
                inputs->inputs[k].info.name, input->info.name);
        }
    }
    input->named = true;
    input->path = given;
    if (espy_values_parse(given, &input->info, &input->values, &reason))
        return true;
    if (!espy_inputs_role_is(&input->info, "image") && strcmp(given, "-") != 0 &&
        access(given, F_OK) != 0)
        return espy_message_set(message,
                                "%s: there is no such file, and as values of input '%s': %s", given,
                                input->info.name, reason.text);
    return take_file(inputs, i, message);
}

static bool take_raw(struct cli_inputs *inputs, uint32_t i, struct cli_message *message)
{
    struct cli_input *input = &inputs->inputs[i];
    struct espy_tensor *tensor = &inputs->tensors[i];
    char shape[SHAPE_TEXT_SIZE];
    size_t count = 0;
    if (!espy_inputs_resolve_dims(inputs, i, message) ||
        !espy_inputs_allocate(tensor, &count, message))
        return false;
    if (input->raw.size != tensor->size) {
        return espy_message_set(message,
                                "%s: neither JPEG, PNG nor .npy, and as raw data it has %zu bytes "
                                "where input '%s' (%s %s) takes %zu",
                                input->path, input->raw.size, tensor->name,
                                espy_shape_print(tensor->rank, tensor->dims, shape, sizeof shape),
                                espy_dtype_name(tensor->dtype), tensor->size);
    }
    if (tensor->size)
        memcpy(tensor->data, input->raw.data, tensor->size);
    espy_file_free(&input->raw);
    return true;
}

// ---- all together -------------------------------------------------------------------------------

static bool take_shape(struct cli_inputs *inputs, const char *text, struct cli_message *message)
{
    uint32_t i, rank;
    int64_t dims[ESPY_RANK_MAX];
    const char *shape;
    if (!pick_input(inputs, "--shape", text, &i, &shape, message))
        return false;
    if (!espy_shape_parse(shape, &rank, dims))
        return espy_message_set(message, "--shape %s: not a shape; write NAME=1x3x224x224", text);
    return espy_inputs_set_dims(inputs, i, rank, dims, "--shape", message);
}

static bool describe_inputs(struct cli_inputs *inputs, const espy_model *model,
                            struct cli_message *message)
{
    inputs->count = espy_model_input_count(model);
    const size_t room = inputs->count ? inputs->count : 1;
    inputs->inputs = calloc(room, sizeof *inputs->inputs);
    inputs->tensors = calloc(room, sizeof *inputs->tensors);
    inputs->symbols = calloc(room * ESPY_RANK_MAX, sizeof *inputs->symbols);
    if (!inputs->inputs || !inputs->tensors || !inputs->symbols)
        return espy_message_set(message, "out of memory");
    for (uint32_t i = 0; i < inputs->count; i++) {
        struct espy_value_info *info = &inputs->inputs[i].info;
        if (espy_model_input(model, i, info) != ESPY_OK)
            return espy_message_set(message, "input %u of the model cannot be read", i);
        inputs->tensors[i] =
            (struct espy_tensor){.name = info->name, .dtype = info->dtype, .rank = info->rank};
        memcpy(inputs->tensors[i].dims, info->dims, sizeof info->dims);
    }
    return true;
}

static bool fill_rest(struct cli_inputs *inputs, const struct cli_inputs_params *params,
                      struct cli_message *message)
{
    char list[400];
    bool ok = true;
    const uint32_t missing = list_inputs(inputs, true, list, sizeof list);
    if (missing && !params->random && !params->shapes_only) {
        return espy_message_set(message,
                                "missing input%s; give --input NAME=FILE or NAME=VALUES for: %s",
                                missing > 1 ? "s" : "", list);
    }
    for (uint32_t i = 0; ok && i < inputs->count; i++) {
        if (inputs->inputs[i].raw.data)
            ok = take_raw(inputs, i, message);
        else if (inputs->inputs[i].values.count)
            ok = espy_inputs_take_values(inputs, i, message);
        else if (params->shapes_only)
            ok = espy_inputs_resolve_dims(inputs, i, message);
    }
    for (uint32_t i = 0; ok && i < inputs->count; i++) {
        const struct espy_value_info *info = &inputs->inputs[i].info;
        if (inputs->inputs[i].named || params->shapes_only ||
            espy_inputs_role_is(info, "image_size"))
            continue;
        ok = espy_inputs_role_is(info, "latent")
                 ? espy_inputs_take_latent(inputs, i, params->seed, message)
                 : espy_inputs_take_random(inputs, i, params->seed, message);
    }
    for (uint32_t i = 0; ok && i < inputs->count; i++) { // of pictures, which are there now
        if (!inputs->inputs[i].named && !params->shapes_only &&
            espy_inputs_role_is(&inputs->inputs[i].info, "image_size"))
            ok = espy_inputs_take_image_size(inputs, i, message);
    }
    return ok;
}

bool espy_inputs_init(struct cli_inputs *inputs, const espy_model *model,
                      const struct cli_inputs_params *params, struct cli_message *message)
{
    *inputs = (struct cli_inputs){0};
    bool ok = describe_inputs(inputs, model, message);
    for (uint32_t i = 0; ok && params->shapes && i < params->shapes->count; i++)
        ok = take_shape(inputs, params->shapes->items[i], message);
    if (ok && params->operand)
        ok = take_input(inputs, "", params->operand, message);
    for (uint32_t i = 0; ok && params->files && i < params->files->count; i++)
        ok = take_input(inputs, "--input", params->files->items[i], message);
    ok = ok && fill_rest(inputs, params, message);
    if (!ok)
        espy_inputs_finish(inputs);
    return ok;
}

void espy_inputs_finish(struct cli_inputs *inputs)
{
    for (uint32_t i = 0; i < inputs->count && inputs->inputs && inputs->tensors; i++) {
        free(inputs->tensors[i].data);
        espy_file_free(&inputs->inputs[i].raw);
        espy_values_free(&inputs->inputs[i].values);
        espy_picture_free(&inputs->inputs[i].picture);
    }
    free(inputs->inputs);
    free(inputs->tensors);
    free(inputs->symbols);
    *inputs = (struct cli_inputs){0};
}
