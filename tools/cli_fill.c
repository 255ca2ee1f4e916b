#include "cli_fill.h"

#include <inttypes.h>
#include <string.h>

#include "cli_number.h"
#include "cli_random.h"

// ---- values -------------------------------------------------------------------------------------

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
        dims[d] = espy_inputs_known_dim(inputs, i, d);
        if (dims[d] >= 0)
            known *= dims[d] ? (uint64_t)dims[d] : 1;
        else if (open == info->rank || espy_inputs_is_batch(info->symbols[open]))
            open = d; // a batch rather than another
    }
    for (uint32_t d = 0; d < info->rank; d++)
        if (dims[d] < 0 && d != open && espy_inputs_is_batch(info->symbols[d]))
            dims[d] = 1;
    if (open < info->rank) {
        const bool whole = count % known == 0;
        dims[open] = whole ? (int64_t)(count / known) : 1;
    }
    uint64_t places = 1;
    for (uint32_t d = 0; d < info->rank; d++) {
        if (dims[d] < 0)
            return espy_inputs_resolve_dims(inputs, i, message); // says what is missing
        places *= (uint64_t)dims[d];
    }
    const bool padded = espy_inputs_role_is(info, "tokens") && info->rank > 0 && count < places &&
                        places == (uint64_t)dims[info->rank - 1];
    if (places != count && !padded)
        return espy_message_set(message, "input '%s' (%s) takes %s%" PRIu64 " values, not %zu",
                                info->name, espy_shape_describe(info, shape, sizeof shape),
                                espy_inputs_role_is(info, "tokens") ? "at most " : "", places,
                                count);
    return espy_inputs_set_dims(inputs, i, info->rank, dims, info->name, message);
}

bool espy_inputs_take_values(struct cli_inputs *inputs, uint32_t i, struct cli_message *message)
{
    struct cli_input *input = &inputs->inputs[i];
    struct espy_tensor *tensor = &inputs->tensors[i];
    size_t count = 0;
    return shape_values(inputs, i, message) && espy_inputs_allocate(tensor, &count, message) &&
           espy_values_store(&input->values, &input->info, tensor->data, message);
}

// ---- what nobody gave ---------------------------------------------------------------------------

bool espy_inputs_take_latent(struct cli_inputs *inputs, uint32_t i, uint32_t seed,
                             struct cli_message *message)
{
    struct espy_tensor *tensor = &inputs->tensors[i];
    struct cli_random random;
    size_t count = 0;
    if (!espy_inputs_resolve_dims(inputs, i, message) ||
        !espy_inputs_allocate(tensor, &count, message))
        return false;
    espy_random_init(&random, seed, i);
    for (size_t k = 0; k < count; k++)
        espy_number_set(tensor->dtype, tensor->data, k, espy_random_normal(&random));
    return true;
}

// Width and height of the picture as the network sees it.
bool espy_inputs_take_image_size(struct cli_inputs *inputs, uint32_t i, struct cli_message *message)
{
    const struct espy_value_info *info = &inputs->inputs[i].info;
    struct espy_tensor *tensor = &inputs->tensors[i];
    uint32_t of = info->of ? espy_inputs_find(inputs, info->of) : espy_inputs_only(inputs);
    const int64_t dims[2] = {1, 2};
    const uint32_t leading = info->rank != 1;
    uint32_t size[2];
    size_t count = 0;
    if (!espy_inputs_set_dims(inputs, i, 1 + leading, dims + !leading, info->name, message) ||
        !espy_inputs_allocate(tensor, &count, message))
        return false;
    if (of >= inputs->count || count != 2 || !espy_inputs_frame(inputs, of, &size[0], &size[1]))
        return espy_message_set(message,
                                "input '%s' is the size of a picture, but which is not "
                                "known; give --input %s=WIDTH,HEIGHT",
                                info->name, info->name);
    for (size_t k = 0; k < count; k++)
        espy_number_set(tensor->dtype, tensor->data, k, size[k]);
    return true;
}

// The generator of "Numerical Recipes": the same numbers everywhere.
bool espy_inputs_take_random(struct cli_inputs *inputs, uint32_t i, uint32_t seed,
                             struct cli_message *message)
{
    const struct espy_value_info *info = &inputs->inputs[i].info;
    struct espy_tensor *tensor = &inputs->tensors[i];
    const bool image = espy_inputs_role_is(info, "image");
    const bool real = espy_number_is_float(tensor->dtype);
    size_t count = 0;
    if (!espy_inputs_resolve_dims(inputs, i, message) ||
        !espy_inputs_allocate(tensor, &count, message))
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
