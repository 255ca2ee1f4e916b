#include "cli_inputs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static size_t append(char *buffer, size_t size, size_t at, const char *separator, const char *text)
{
    const int length = snprintf(buffer + at, size - at, "%s%s", separator, text);
    const size_t end = length < 0 ? at : at + (size_t)length;
    return end < size ? end : size - 1;
}

static const char *describe(uint32_t rank, const int64_t *dims, const char *const *symbols,
                            char *buffer, size_t size)
{
    size_t at = 0;
    buffer[0] = '\0';
    if (rank == 0)
        (void)append(buffer, size, 0, "", "scalar");
    for (uint32_t i = 0; i < rank; i++) {
        char number[24];
        const char *text = symbols && symbols[i] ? symbols[i] : "?";
        if (dims[i] >= 0) {
            (void)snprintf(number, sizeof number, "%" PRId64, dims[i]);
            text = number;
        }
        at = append(buffer, size, at, i ? "x" : "", text);
    }
    return buffer;
}

const char *espy_shape_describe(const struct espy_value_info *info, char *buffer, size_t size)
{
    if (!info->has_shape) {
        (void)append(buffer, size, 0, "", "?");
        return buffer;
    }
    return describe(info->rank, info->dims, info->symbols, buffer, size);
}

const char *espy_shape_print(uint32_t rank, const int64_t *dims, char *buffer, size_t size)
{
    return describe(rank, dims, NULL, buffer, size);
}

bool espy_shape_parse(const char *text, uint32_t *rank, int64_t dims[ESPY_RANK_MAX])
{
    *rank = 0;
    if (!strcmp(text, "scalar"))
        return true;
    for (;;) {
        int64_t dim = 0;
        const char *start = text;
        for (; *text >= '0' && *text <= '9'; text++) {
            dim = dim * 10 + (*text - '0');
            if (dim > INT32_MAX)
                return false;
        }
        if (text == start || *rank == ESPY_RANK_MAX)
            return false;
        dims[(*rank)++] = dim;
        if (!*text)
            return true;
        if (!strchr("x,*", *text++))
            return false;
    }
}

const char *espy_grid_print(const struct espy_token_grid *grid, char *buffer, size_t size)
{
    char extra[32] = "", windows[64] = "";
    if (grid->rows == 0)
        return "-";
    if (grid->extra)
        (void)snprintf(extra, sizeof extra, "%u+", grid->extra);
    if (grid->window[0])
        (void)snprintf(windows, sizeof windows, "/%ux%u%s", grid->window[0], grid->window[1],
                       grid->step[0] > 1 || grid->step[1] > 1 ? " spread"
                       : grid->shift[0] || grid->shift[1]     ? " shifted"
                                                              : "");
    (void)snprintf(buffer, size, "%s%ux%u%s%s%.64s", extra, grid->rows, grid->columns, windows,
                   grid->of ? " of " : "", grid->of ? grid->of : "");
    return buffer;
}
