#define _POSIX_C_SOURCE 200809L

#include "cli_inputs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli_number.h"
#include "cli_random.h"
#include "format/graph.h"
#include "npy.h"

enum { SHAPE_TEXT_SIZE = 256 };
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

// ---- which input
// -----------------------------------------------------------------------------------

static bool role_is(const struct espy_value_info *info, const char *role)
{
    return info->role && !strcmp(info->role, role);
}

// true: what the input holds need not be given.
static bool fills_itself(const struct espy_value_info *info)
{
    return role_is(info, "latent") || role_is(info, "image_size");
}

// " 'images' 1x3x224x224 float32, ..." for messages.
static void list_inputs(const struct cli_inputs *inputs, bool missing_only, char *buffer,
                        size_t size)
{
    size_t at = 0;
    buffer[0] = '\0';
    for (uint32_t i = 0; i < inputs->count && at < size; i++) {
        char shape[SHAPE_TEXT_SIZE];
        const struct espy_value_info *info = &inputs->inputs[i].info;
        if (missing_only && (inputs->inputs[i].named || fills_itself(info)))
            continue;
        const int length =
            snprintf(buffer + at, size - at, "%s'%s' %s %s", at ? ", " : "", info->name,
                     espy_shape_describe(info, shape, sizeof shape), espy_dtype_name(info->dtype));
        at += length > 0 ? (size_t)length : size;
    }
}

// The input that a file or shape without a name is for: the only one, or the only picture.
static uint32_t only_input(const struct cli_inputs *inputs)
{
    uint32_t found = inputs->count;
    if (inputs->count == 1)
        return 0;
    for (uint32_t i = 0; i < inputs->count; i++) {
        if (!role_is(&inputs->inputs[i].info, "image"))
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
    *index = only_input(inputs);
    *rest = text;
    if (*index < inputs->count && is_path(text))
        return true;
    list_inputs(inputs, false, list, sizeof list);
    return espy_message_set(message, "%s%s%s: no input of that name; use NAME=... with one of: %s",
                            option, *option ? " " : "", text, list);
}

// ---- dims
// ----------------------------------------------------------------------------------------

static bool bind_symbol(struct cli_inputs *inputs, const char *symbol, int64_t size,
                        const char *input, struct cli_message *message)
{
    for (uint32_t i = 0; i < inputs->symbol_count; i++) {
        const struct cli_symbol *known = &inputs->symbols[i];
        if (strcmp(known->name, symbol) != 0)
            continue;
        if (known->size == size)
            return true;
        return espy_message_set(message,
                                "dimension '%s' is %" PRId64 " in input '%s' but %" PRId64
                                " in input '%s'; they must be equal",
                                symbol, known->size, known->input, size, input);
    }
    inputs->symbols[inputs->symbol_count++] = (struct cli_symbol){symbol, input, size};
    return true;
}

// A dimension's size: the model's, what --shape made of it, or what its symbol got elsewhere; -1
// where nothing has said it yet.
static int64_t known_dim(const struct cli_inputs *inputs, uint32_t i, uint32_t d)
{
    const char *symbol = inputs->inputs[i].info.symbols[d];
    const int64_t size = inputs->tensors[i].dims[d];
    for (uint32_t s = 0; size < 0 && symbol && s < inputs->symbol_count; s++)
        if (!strcmp(inputs->symbols[s].name, symbol))
            return inputs->symbols[s].size;
    return size;
}

// Gives input i concrete dims; one leading 1 (the batch) may be left out.
static bool set_dims(struct cli_inputs *inputs, uint32_t i, uint32_t rank, const int64_t *dims,
                     const char *source, struct cli_message *message)
{
    struct cli_input *input = &inputs->inputs[i];
    struct espy_tensor *tensor = &inputs->tensors[i];
    const struct espy_value_info *info = &input->info;
    int64_t full[ESPY_RANK_MAX] = {1};
    char got[SHAPE_TEXT_SIZE], wanted[SHAPE_TEXT_SIZE];
    const uint32_t skip = rank + 1 == info->rank && (info->dims[0] == 1 || info->dims[0] == -1);
    bool ok = rank + skip == info->rank;
    for (uint32_t d = skip; ok && d < info->rank; d++) {
        full[d] = dims[d - skip];
        ok = info->dims[d] < 0 || info->dims[d] == full[d];
    }
    if (!ok) {
        return espy_message_set(message, "%s: shape %s does not fit input '%s', which is %s",
                                source, espy_shape_print(rank, dims, got, sizeof got), info->name,
                                espy_shape_describe(info, wanted, sizeof wanted));
    }
    for (uint32_t d = 0; d < info->rank; d++) {
        if (info->dims[d] < 0 && info->symbols[d] &&
            !bind_symbol(inputs, info->symbols[d], full[d], info->name, message))
            return false;
        if (input->shaped && tensor->dims[d] != full[d]) {
            return espy_message_set(
                message, "%s: shape %s, but --shape says %s", source,
                espy_shape_print(info->rank, full, got, sizeof got),
                espy_shape_print(info->rank, tensor->dims, wanted, sizeof wanted));
        }
    }
    memcpy(tensor->dims, full, sizeof full);
    input->shaped = true;
    return true;
}

// A shape to write after --shape: what is known, and for the rest what pictures often have.
static const char *example_shape(const struct espy_value_info *info, char *buffer, size_t size)
{
    int64_t dims[ESPY_RANK_MAX];
    for (uint32_t d = 0; d < info->rank; d++)
        dims[d] = info->dims[d] >= 0 ? info->dims[d] : d == 0 ? 1 : info->rank < 3 ? 16 : 224;
    return espy_shape_print(info->rank, dims, buffer, size);
}

static bool is_batch(const char *symbol)
{
    return symbol && (!strcmp(symbol, "N") || !strcmp(symbol, "n") || !strcmp(symbol, "B") ||
                      !strcmp(symbol, "bs") || strstr(symbol, "batch") || strstr(symbol, "Batch"));
}

// Fills dims that no file gave from equal symbols elsewhere; a batch that nobody names is 1.
static bool resolve_dims(struct cli_inputs *inputs, uint32_t i, struct cli_message *message)
{
    struct cli_input *input = &inputs->inputs[i];
    const struct espy_value_info *info = &input->info;
    int64_t dims[ESPY_RANK_MAX] = {0};
    char shape[SHAPE_TEXT_SIZE], example[SHAPE_TEXT_SIZE];
    if (input->shaped)
        return true;
    for (uint32_t d = 0; d < info->rank; d++) {
        dims[d] = known_dim(inputs, i, d);
        if (dims[d] < 0 && is_batch(info->symbols[d]))
            dims[d] = 1;
        if (dims[d] < 0) {
            return espy_message_set(message,
                                    "input '%s' has the shape %s: say how large with "
                                    "--shape %s=%s or the like",
                                    info->name, espy_shape_describe(info, shape, sizeof shape),
                                    info->name, example_shape(info, example, sizeof example));
        }
    }
    return set_dims(inputs, i, info->rank, dims, info->name, message);
}

// Elements of a tensor whose dims are concrete; allocates its data.
static bool allocate(struct espy_tensor *tensor, size_t *count, struct cli_message *message)
{
    size_t total = 1;
    for (uint32_t d = 0; d < tensor->rank; d++) {
        const size_t dim = (size_t)tensor->dims[d];
        if (dim && total > SIZE_MAX / 16 / dim)
            return espy_message_set(message, "input '%s' is too large", tensor->name);
        total *= dim;
    }
    espy_dtype_data_size(tensor->dtype, total, &tensor->size); // cannot overflow: total is small
    tensor->data = calloc(1, tensor->size ? tensor->size : 1);
    if (!tensor->data)
        return espy_message_set(message, "out of memory for input '%s' (%zu bytes)", tensor->name,
                                tensor->size);
    *count = total;
    return true;
}

// ---- files
// ---------------------------------------------------------------------------------------

static bool take_npy(struct cli_inputs *inputs, uint32_t i, const struct cli_bytes *bytes,
                     struct cli_message *message)
{
    struct cli_input *input = &inputs->inputs[i];
    struct espy_tensor *tensor = &inputs->tensors[i];
    struct npy array;
    size_t count = 0;
    if (!espy_npy_parse(input->path, bytes->data, bytes->size, &array, message))
        return false;
    bool ok = set_dims(inputs, i, array.rank, array.dims, input->path, message) &&
              allocate(tensor, &count, message);
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

static bool fill_picture(struct cli_inputs *inputs, uint32_t i, struct cli_message *message)
{
    struct cli_input *input = &inputs->inputs[i];
    struct espy_tensor *tensor = &inputs->tensors[i];
    size_t count = 0;
    if (!allocate(tensor, &count, message))
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
    const int64_t known[2] = {known_dim(inputs, i, at), known_dim(inputs, i, at + 1)};
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
    return set_dims(inputs, i, info->rank, dims, input->path, message) &&
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
    if (!role_is(&input->info, "image") && strcmp(given, "-") != 0 && access(given, F_OK) != 0)
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
    if (!resolve_dims(inputs, i, message) || !allocate(tensor, &count, message))
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

// ---- values
// --------------------------------------------------------------------------------------

// Dims for so many values: one dimension that nothing else says follows from their number. Tokens
// may be fewer than the last dimension takes.
static bool shape_values(struct cli_inputs *inputs, uint32_t i, struct cli_message *message)
{
    struct cli_input *input = &inputs->inputs[i];
    const struct espy_value_info *info = &input->info;
    const size_t count = input->values.count;
    int64_t dims[ESPY_RANK_MAX] = {0};
    char shape[SHAPE_TEXT_SIZE];
    uint32_t open = info->rank;
    uint64_t known = 1;
    for (uint32_t d = 0; d < info->rank; d++) {
        dims[d] = known_dim(inputs, i, d);
        if (dims[d] >= 0)
            known *= dims[d] ? (uint64_t)dims[d] : 1;
        else if (open == info->rank || is_batch(info->symbols[open]))
            open = d; // a batch rather than another
    }
    for (uint32_t d = 0; d < info->rank; d++)
        if (dims[d] < 0 && d != open && is_batch(info->symbols[d]))
            dims[d] = 1;
    if (open < info->rank) {
        const bool whole = count % known == 0;
        dims[open] = whole ? (int64_t)(count / known) : 1;
    }
    uint64_t places = 1;
    for (uint32_t d = 0; d < info->rank; d++) {
        if (dims[d] < 0)
            return resolve_dims(inputs, i, message); // says what is missing
        places *= (uint64_t)dims[d];
    }
    const bool padded = role_is(info, "tokens") && info->rank > 0 && count < places &&
                        places == (uint64_t)dims[info->rank - 1];
    if (places != count && !padded)
        return espy_message_set(message, "input '%s' (%s) takes %s%" PRIu64 " values, not %zu",
                                info->name, espy_shape_describe(info, shape, sizeof shape),
                                role_is(info, "tokens") ? "at most " : "", places, count);
    return set_dims(inputs, i, info->rank, dims, info->name, message);
}

static bool take_values(struct cli_inputs *inputs, uint32_t i, struct cli_message *message)
{
    struct cli_input *input = &inputs->inputs[i];
    struct espy_tensor *tensor = &inputs->tensors[i];
    size_t count = 0;
    return shape_values(inputs, i, message) && allocate(tensor, &count, message) &&
           espy_values_store(&input->values, &input->info, tensor->data, message);
}

// ---- what nobody gave
// -------------------------------------------------------------------------------

static bool take_latent(struct cli_inputs *inputs, uint32_t i, uint32_t seed,
                        struct cli_message *message)
{
    struct espy_tensor *tensor = &inputs->tensors[i];
    struct cli_random random;
    size_t count = 0;
    if (!resolve_dims(inputs, i, message) || !allocate(tensor, &count, message))
        return false;
    espy_random_init(&random, seed, i);
    for (size_t k = 0; k < count; k++)
        espy_number_set(tensor->dtype, tensor->data, k, espy_random_normal(&random));
    return true;
}

static bool find_frame(const struct cli_inputs *inputs, uint32_t i, uint32_t *width,
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

// Width and height of the picture as the network sees it.
static bool take_image_size(struct cli_inputs *inputs, uint32_t i, struct cli_message *message)
{
    const struct espy_value_info *info = &inputs->inputs[i].info;
    struct espy_tensor *tensor = &inputs->tensors[i];
    uint32_t of = info->of ? espy_inputs_find(inputs, info->of) : only_input(inputs);
    const int64_t dims[2] = {1, 2};
    const uint32_t leading = info->rank != 1;
    uint32_t size[2];
    size_t count = 0;
    if (!set_dims(inputs, i, 1 + leading, dims + !leading, info->name, message) ||
        !allocate(tensor, &count, message))
        return false;
    if (of >= inputs->count || count != 2 || !find_frame(inputs, of, &size[0], &size[1]))
        return espy_message_set(message,
                                "input '%s' is the size of a picture, but which is not "
                                "known; give --input %s=WIDTH,HEIGHT",
                                info->name, info->name);
    for (size_t k = 0; k < count; k++)
        espy_number_set(tensor->dtype, tensor->data, k, size[k]);
    return true;
}

// The generator of "Numerical Recipes": the same numbers everywhere.
static bool take_random(struct cli_inputs *inputs, uint32_t i, uint32_t seed,
                        struct cli_message *message)
{
    const struct espy_value_info *info = &inputs->inputs[i].info;
    struct espy_tensor *tensor = &inputs->tensors[i];
    const bool image = role_is(info, "image");
    const bool real = espy_number_is_float(tensor->dtype);
    size_t count = 0;
    if (!resolve_dims(inputs, i, message) || !allocate(tensor, &count, message))
        return false;
    uint32_t state = seed + i;
    for (size_t k = 0; k < count; k++) {
        state = state * 1664525u + 1013904223u;
        const double unit = (state >> 8) / 16777216.0;
        // Integers are mostly indices, of which 0 and 1 are the likeliest to be in range.
        const double value = !real ? (unit >= 0.5) : image ? unit : 2 * unit - 1;
        espy_number_set(tensor->dtype, tensor->data, k, value);
    }
    return true;
}

// ---- all together
// ----------------------------------------------------------------------------------

static bool take_shape(struct cli_inputs *inputs, const char *text, struct cli_message *message)
{
    uint32_t i, rank;
    int64_t dims[ESPY_RANK_MAX];
    const char *shape;
    if (!pick_input(inputs, "--shape", text, &i, &shape, message))
        return false;
    if (!espy_shape_parse(shape, &rank, dims))
        return espy_message_set(message, "--shape %s: not a shape; write NAME=1x3x224x224", text);
    return set_dims(inputs, i, rank, dims, "--shape", message);
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
    list_inputs(inputs, true, list, sizeof list);
    if (*list && !params->random && !params->shapes_only) {
        return espy_message_set(message, "missing input%s; give --input NAME=FILE for: %s",
                                strchr(list, ',') ? "s" : "", list);
    }
    for (uint32_t i = 0; ok && i < inputs->count; i++) {
        if (inputs->inputs[i].raw.data)
            ok = take_raw(inputs, i, message);
        else if (inputs->inputs[i].values.count)
            ok = take_values(inputs, i, message);
        else if (params->shapes_only)
            ok = resolve_dims(inputs, i, message);
    }
    for (uint32_t i = 0; ok && i < inputs->count; i++) {
        const struct espy_value_info *info = &inputs->inputs[i].info;
        if (inputs->inputs[i].named || params->shapes_only || role_is(info, "image_size"))
            continue;
        ok = role_is(info, "latent") ? take_latent(inputs, i, params->seed, message)
                                     : take_random(inputs, i, params->seed, message);
    }
    for (uint32_t i = 0; ok && i < inputs->count; i++) { // of pictures, which are there now
        if (!inputs->inputs[i].named && !params->shapes_only &&
            role_is(&inputs->inputs[i].info, "image_size"))
            ok = take_image_size(inputs, i, message);
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
