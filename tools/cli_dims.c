// The shapes of inputs: from the model, files, --shape and equal symbols.
#include "cli_fill.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format/graph.h"

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
int64_t espy_inputs_known_dim(const struct cli_inputs *inputs, uint32_t i, uint32_t d)
{
    const char *symbol = inputs->inputs[i].info.symbols[d];
    const int64_t size = inputs->tensors[i].dims[d];
    for (uint32_t s = 0; size < 0 && symbol && s < inputs->symbol_count; s++)
        if (!strcmp(inputs->symbols[s].name, symbol))
            return inputs->symbols[s].size;
    return size;
}

// Gives input i concrete dims; one leading 1 (the batch) may be left out.
bool espy_inputs_set_dims(struct cli_inputs *inputs, uint32_t i, uint32_t rank, const int64_t *dims,
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

bool espy_inputs_is_batch(const char *symbol)
{
    return symbol && (!strcmp(symbol, "N") || !strcmp(symbol, "n") || !strcmp(symbol, "B") ||
                      !strcmp(symbol, "bs") || strstr(symbol, "batch") || strstr(symbol, "Batch"));
}

// Fills dims that no file gave from equal symbols elsewhere; a batch that nobody names is 1.
bool espy_inputs_resolve_dims(struct cli_inputs *inputs, uint32_t i, struct cli_message *message)
{
    struct cli_input *input = &inputs->inputs[i];
    const struct espy_value_info *info = &input->info;
    int64_t dims[ESPY_RANK_MAX] = {0};
    char shape[SHAPE_TEXT_SIZE], example[SHAPE_TEXT_SIZE];
    if (input->shaped)
        return true;
    for (uint32_t d = 0; d < info->rank; d++) {
        dims[d] = espy_inputs_known_dim(inputs, i, d);
        if (dims[d] < 0 && espy_inputs_is_batch(info->symbols[d]))
            dims[d] = 1;
        if (dims[d] < 0) {
            return espy_message_set(message,
                                    "input '%s' has the shape %s: say how large with "
                                    "--shape %s=%s or the like",
                                    info->name, espy_shape_describe(info, shape, sizeof shape),
                                    info->name, example_shape(info, example, sizeof example));
        }
    }
    return espy_inputs_set_dims(inputs, i, info->rank, dims, info->name, message);
}

// Elements of a tensor whose dims are concrete; allocates its data.
bool espy_inputs_allocate(struct espy_tensor *tensor, size_t *count, struct cli_message *message)
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
