#include "cli_words.h"

#include <stdlib.h>
#include <string.h>

#include "cli_number.h"

// Softmax leaves less than this for what a mask keeps out.
static const float attended_min = 1e-6F;

// Index of the only input with the role; count: there is none, or there are several.
static uint32_t only_tokens(const struct cli_inputs *inputs)
{
    uint32_t found = inputs->count;
    for (uint32_t i = 0; i < inputs->count; i++) {
        const char *role = inputs->inputs[i].info.role;
        if (!role || strcmp(role, "tokens") != 0)
            continue;
        if (found != inputs->count)
            return inputs->count;
        found = i;
    }
    return found;
}

bool espy_words_init(struct cli_words *words, const struct cli_inputs *inputs,
                     struct cli_message *message)
{
    enum { NUMBER_SIZE = 24 };
    const uint32_t index = only_tokens(inputs);
    *words = (struct cli_words){0};
    if (index == inputs->count || inputs->tensors[index].rank == 0)
        return true;
    const struct espy_value_info *info = &inputs->inputs[index].info;
    const struct espy_tensor *tensor = &inputs->tensors[index];
    const size_t given = inputs->inputs[index].values.count;
    const uint32_t count = (uint32_t)tensor->dims[tensor->rank - 1];
    // The numbers' text lies behind the pointers.
    words->texts = malloc(count * (sizeof *words->texts + NUMBER_SIZE) + 1);
    if (!words->texts)
        return espy_message_set(message, "out of memory for words");
    char *number = (char *)(words->texts + count);
    for (uint32_t i = 0; i < count; i++, number += NUMBER_SIZE) {
        const double id = espy_number_get(tensor->dtype, tensor->data, i);
        (void)snprintf(number, NUMBER_SIZE, "%.0f", id);
        words->texts[i] = id >= 0 && id < info->label_count ? info->labels[(uint32_t)id] : number;
    }
    words->count = count;
    words->given = given > 0 && given < count ? (uint32_t)given : count;
    return true;
}

void espy_words_finish(struct cli_words *words)
{
    free(words->texts);
    *words = (struct cli_words){0};
}

struct heat_words espy_words_beside(const struct cli_words *words, struct heat *heat)
{
    const bool down = words->count > 0 && heat->rows == words->count;
    const bool across = words->count > 0 && heat->columns == words->count;
    const uint32_t rows = down ? words->given : heat->rows;
    uint32_t columns = across ? words->given : heat->columns;
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = columns; c < heat->columns; c++)
            if (heat->values[(size_t)r * heat->columns + c] > attended_min)
                columns = c + 1;
    espy_heat_crop(heat, rows, columns);
    return (struct heat_words){down ? words->texts : NULL, across ? words->texts : NULL};
}
