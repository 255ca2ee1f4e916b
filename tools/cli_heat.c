#include "cli_heat.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli_number.h"
#include "draw.h"

enum { BARS_HEIGHT = 256, BARS_WIDTH = 512, BARS_MAX = 32768, SAMPLED_SIDE = 32 };

void espy_heat_free(struct heat *heat)
{
    free(heat->values);
    *heat = (struct heat){0};
}

static bool start(enum heat_form form, uint32_t rows, uint32_t columns, struct heat *heat,
                  struct cli_message *message)
{
    *heat = (struct heat){.form = form, .rows = rows, .columns = columns};
    if ((uint64_t)rows * columns > PICTURE_PIXELS_MAX)
        return espy_message_set(message, "a map of %ux%u is too large to draw", rows, columns);
    heat->values = calloc((size_t)rows * columns + 1, sizeof *heat->values);
    return heat->values || espy_message_set(message, "out of memory for a map");
}

static void measure(struct heat *heat)
{
    const size_t count = (size_t)heat->rows * heat->columns;
    heat->low = heat->high = count ? heat->values[0] : 0;
    for (size_t i = 0; i < count; i++) {
        heat->low = heat->values[i] < heat->low ? heat->values[i] : heat->low;
        heat->high = heat->values[i] > heat->high ? heat->values[i] : heat->high;
    }
}

void espy_heat_crop(struct heat *heat, uint32_t rows, uint32_t columns)
{
    for (uint32_t r = 1; r < rows; r++)
        memmove(heat->values + (size_t)r * columns, heat->values + (size_t)r * heat->columns,
                columns * sizeof *heat->values);
    heat->rows = rows;
    heat->columns = columns;
    measure(heat);
}

static double get(const struct espy_tensor *map, size_t index)
{
    return espy_number_get(map->dtype, map->data, index);
}

// ---- tokens -------------------------------------------------------------------------------------

// The map of the first picture: windows x heads x queries x keys.
struct weights {
    const struct espy_tensor *map;
    uint32_t windows, heads, queries, keys;
    uint32_t first, rows; // the queries that the map has
};

static uint32_t windows_of(const struct espy_token_grid *grid)
{
    return grid->window[0] == 0 ? 1
                                : grid->rows / grid->window[0] * (grid->columns / grid->window[1]);
}

static bool find_weights(const struct espy_attention_info *site, const struct espy_tensor *map,
                         struct weights *weights, struct cli_message *message)
{
    const uint32_t windows = windows_of(&site->keys), rank = map->rank;
    const int64_t *dims = map->dims;
    bool fits = rank >= 2;
    for (uint32_t d = 0; d < rank; d++)
        fits = fits && dims[d] > 0 && dims[d] <= UINT32_MAX;
    if (!fits)
        return espy_message_set(message, "site '%s': its map is no attention", site->name);
    *weights = (struct weights){.map = map,
                                .windows = windows,
                                .heads = 1,
                                .queries = (uint32_t)dims[rank - 2],
                                .rows = (uint32_t)dims[rank - 2],
                                .keys = (uint32_t)dims[rank - 1]};
    if (!strcmp(site->kind, "linear")) { // windows stand where queries do
        weights->queries = 1;
        fits = windows <= (uint32_t)dims[rank - 2];
    } else if (rank >= 3) {
        // Several pictures may stand before the heads, or in one dimension with them.
        weights->heads = (uint32_t)dims[rank - 3];
        if (site->heads && site->heads < weights->heads && windows == 1)
            weights->heads = site->heads;
        fits = windows == 1 || (rank == 4 && windows <= (uint64_t)dims[0]);
    } else {
        fits = windows == 1;
    }
    return fits ||
           espy_message_set(message, "site '%s': its map has not %u windows", site->name, windows);
}

static double weight(const struct weights *w, uint32_t window, uint32_t head, uint32_t query,
                     uint32_t key)
{
    const size_t row = ((size_t)window * w->heads + head) * w->rows + query - w->first;
    return get(w->map, row * w->keys + key);
}

static double mean_heads(const struct weights *w, const struct heat_params *params, uint32_t window,
                         uint32_t query, uint32_t key)
{
    double sum = 0;
    if (params->one_head)
        return weight(w, window, params->head, query, key);
    for (uint32_t h = 0; h < w->heads; h++)
        sum += weight(w, window, h, query, key);
    return sum / w->heads;
}

// The cell of the grid where a token of a window is; tokens count without the extra ones.
static size_t cell_of(const struct espy_token_grid *grid, uint32_t window, uint32_t token)
{
    if (grid->window[0] == 0)
        return token;
    const uint32_t sizes[2] = {grid->rows, grid->columns};
    const uint32_t across = grid->columns / grid->window[1];
    const uint32_t windows[2] = {window / across, window % across};
    const uint32_t tokens[2] = {token / grid->window[1], token % grid->window[1]};
    uint32_t at[2];
    for (uint32_t d = 0; d < 2; d++) {
        const uint32_t first = windows[d] * (grid->step[d] == 1 ? grid->window[d] : 1);
        at[d] = (first + tokens[d] * grid->step[d] + grid->shift[d]) % sizes[d];
    }
    return (size_t)at[0] * grid->columns + at[1];
}

static size_t asked_cell(const struct espy_token_grid *grid, const struct heat_params *params)
{
    uint32_t row = (uint32_t)(params->v * grid->rows);
    uint32_t column = (uint32_t)(params->u * grid->columns);
    row = row < grid->rows ? row : grid->rows - 1;
    column = column < grid->columns ? column : grid->columns - 1;
    return (size_t)row * grid->columns + column;
}

// Tokens of one window, or of the whole grid.
static uint64_t tokens_of(const struct espy_token_grid *grid)
{
    return grid->extra + (uint64_t)grid->rows * grid->columns / windows_of(grid);
}

static bool check_params(const struct espy_attention_info *site, const struct weights *w,
                         const struct heat_params *params, struct cli_message *message)
{
    if (params->one_head && params->head >= w->heads)
        return espy_message_set(message, "--head %u: site '%s' has %u heads", params->head + 1,
                                site->name, w->heads);
    if (params->one_query && (!site->queries.rows || tokens_of(&site->queries) != w->queries))
        return espy_message_set(message,
                                "--query: the queries of site '%s' are not known to lie on the "
                                "picture",
                                site->name);
    return true;
}

// true: this query is one of those whose attention is wanted.
static bool is_asked(const struct espy_attention_info *site, const struct heat_params *params,
                     uint32_t window, uint32_t query)
{
    if (!params->one_query)
        return true;
    return query >= site->queries.extra &&
           cell_of(&site->queries, window, query - site->queries.extra) ==
               asked_cell(&site->queries, params);
}

bool espy_heat_asked_row(const struct espy_attention_info *site, const struct heat_params *params,
                         uint32_t *row)
{
    const struct espy_token_grid *queries = &site->queries, *keys = &site->keys;
    if (!params->one_query || strcmp(site->kind, "softmax") != 0 || !queries->rows || !keys->rows ||
        windows_of(queries) != windows_of(keys))
        return false;
    const uint64_t tokens = tokens_of(queries);
    for (uint32_t n = 0; n < windows_of(queries); n++)
        for (uint32_t q = 0; q < tokens; q++)
            if (is_asked(site, params, n, q)) {
                *row = q;
                return true;
            }
    return false;
}

static bool draw_tokens(const struct espy_attention_info *site, const struct espy_tensor *map,
                        const struct heat_params *params, struct heat *heat,
                        struct cli_message *message)
{
    struct weights w;
    const struct espy_token_grid *keys = &site->keys;
    if (!find_weights(site, map, &w, message))
        return false;
    if (params->one_row) {
        w.first = params->row;
        w.queries = (uint32_t)tokens_of(&site->queries);
    }
    if (!check_params(site, &w, params, message))
        return false;
    const bool on_picture = keys->rows != 0 && tokens_of(keys) == w.keys;
    if (params->one_row && (!on_picture || w.rows != 1))
        return espy_message_set(
            message, "site '%s': its map is not of the tokens that the file says", site->name);
    if (!on_picture) {
        if (!start(HEAT_MATRIX, w.queries, w.keys, heat, message))
            return false;
        for (uint32_t q = 0; q < w.queries; q++)
            for (uint32_t k = 0; k < w.keys; k++)
                heat->values[(size_t)q * w.keys + k] = (float)mean_heads(&w, params, 0, q, k);
        return true;
    }
    if (!start(HEAT_PLACES, keys->rows, keys->columns, heat, message))
        return false;
    for (uint32_t n = 0; n < w.windows; n++) {
        uint32_t asked = 0;
        for (uint32_t q = 0; q < w.queries; q++)
            asked += is_asked(site, params, n, q);
        for (uint32_t q = 0; q < w.queries; q++)
            for (uint32_t k = keys->extra; k < w.keys && is_asked(site, params, n, q); k++)
                heat->values[cell_of(keys, n, k - keys->extra)] +=
                    (float)(mean_heads(&w, params, n, q, k) / asked);
    }
    return true;
}

// ---- rollout ------------------------------------------------------------------------------------

bool espy_heat_same_grid(const struct espy_token_grid *a, const struct espy_token_grid *b)
{
    const bool both = a->of && b->of;
    bool same = a->rows == b->rows && a->columns == b->columns && a->extra == b->extra &&
                (both ? !strcmp(a->of, b->of) : a->of == b->of);
    for (uint32_t d = 0; d < 2; d++)
        same = same && a->window[d] == b->window[d] && a->step[d] == b->step[d] &&
               a->shift[d] == b->shift[d];
    return same;
}

bool espy_heat_rolls(const struct espy_attention_info *site)
{
    return !strcmp(site->kind, "softmax") && site->keys.rows && !site->keys.window[0] &&
           espy_heat_same_grid(&site->keys, &site->queries);
}

// share of tokens after the layer -> share of tokens before it.
static void roll_back(const struct weights *w, const struct heat_params *params,
                      const double *after, double *before)
{
    for (uint32_t k = 0; k < w->keys; k++)
        before[k] = after[k] / 2;
    for (uint32_t q = 0; q < w->queries; q++)
        for (uint32_t k = 0; k < w->keys && after[q] > 0; k++)
            before[k] += after[q] * mean_heads(w, params, 0, q, k) / 2;
}

static void first_share(const struct espy_token_grid *grid, const struct heat_params *params,
                        double *share, uint32_t tokens)
{
    if (params->one_query)
        share[grid->extra + asked_cell(grid, params)] = 1;
    else if (grid->extra > 0)
        share[0] = 1;
    else
        for (uint32_t t = 0; t < tokens; t++)
            share[t] = 1.0 / tokens;
}

bool espy_heat_rollout(const struct espy_attention_info *sites, const struct espy_tensor *maps,
                       uint32_t count, const struct heat_params *params, struct heat *heat,
                       struct cli_message *message)
{
    const struct espy_token_grid *grid = &sites[0].keys;
    const uint64_t wanted = (uint64_t)grid->rows * grid->columns + grid->extra;
    const uint32_t tokens = wanted > PICTURE_PIXELS_MAX ? 0 : (uint32_t)wanted;
    if (tokens == 0)
        return espy_message_set(message, "site '%s' has too many tokens", sites[0].name);
    double *shares = calloc((size_t)tokens * 2, sizeof *shares);
    double *after = shares, *before = shares ? shares + tokens : NULL;
    *heat = (struct heat){0};
    bool ok = shares ? start(HEAT_PLACES, grid->rows, grid->columns, heat, message)
                     : espy_message_set(message, "out of memory for the rollout");
    if (ok)
        first_share(grid, params, after, tokens);
    for (uint32_t i = count; ok && i-- > 0;) {
        struct weights w;
        ok = find_weights(&sites[i], &maps[i], &w, message) &&
             check_params(&sites[i], &w, params, message);
        if (ok && (w.queries != tokens || w.keys != tokens))
            ok = espy_message_set(message, "site '%s' has not %u tokens", sites[i].name, tokens);
        if (!ok)
            break;
        roll_back(&w, params, after, before);
        double *swap = after;
        after = before;
        before = swap;
    }
    for (uint32_t t = grid->extra; ok && t < tokens; t++)
        heat->values[t - grid->extra] = (float)after[t];
    free(shares);
    if (ok)
        measure(heat);
    else
        espy_heat_free(heat);
    return ok;
}

// ---- gates, places ------------------------------------------------------------------------------

// [N,C,H,W]: of the first picture, the mean over channels or one of them.
static bool draw_gate(const struct espy_attention_info *site, const struct espy_tensor *map,
                      const struct heat_params *params, struct heat *heat,
                      struct cli_message *message)
{
    const bool whole = map->rank == 4;
    const uint32_t channels = whole ? (uint32_t)map->dims[1] : 1;
    const size_t plane = whole ? (size_t)map->dims[2] * (size_t)map->dims[3] : 0;
    if (!whole || !plane)
        return espy_message_set(message, "site '%s': its map is no gate of places", site->name);
    if (params->one_head && params->head >= channels)
        return espy_message_set(message, "--head %u: site '%s' has %u channels", params->head + 1,
                                site->name, channels);
    if (!start(HEAT_PLACES, (uint32_t)map->dims[2], (uint32_t)map->dims[3], heat, message))
        return false;
    for (size_t i = 0; i < plane; i++) {
        double sum = 0;
        for (uint32_t c = 0; c < channels; c++)
            if (!params->one_head || c == params->head)
                sum += get(map, c * plane + i);
        heat->values[i] = (float)(sum / (params->one_head ? 1 : channels));
    }
    return true;
}

static size_t first_picture(const struct espy_tensor *map)
{
    size_t count = 1;
    for (uint32_t d = map->rank > 1; d < map->rank; d++)
        count *= (size_t)map->dims[d];
    return map->rank > 0 && map->dims[0] == 0 ? 0 : count;
}

static bool draw_bars(const struct espy_tensor *map, struct heat *heat, struct cli_message *message)
{
    const size_t count = first_picture(map);
    if (count > BARS_MAX || !count)
        return espy_message_set(message, "a gate of %zu channels cannot be drawn", count);
    if (!start(HEAT_BARS, 1, (uint32_t)count, heat, message))
        return false;
    for (size_t i = 0; i < count; i++)
        heat->values[i] = (float)get(map, i);
    return true;
}

// Places as pairs from -1 to 1, counted in cells; offsets by their mean size at each place.
static bool draw_sampling(const struct espy_attention_info *site, const struct espy_tensor *map,
                          struct heat *heat, struct cli_message *message)
{
    const uint32_t rank = map->rank;
    size_t count = 1;
    for (uint32_t d = 0; d < rank; d++)
        count *= (size_t)map->dims[d];
    if (rank == 4 && map->dims[3] == 2) {
        if (!start(HEAT_PLACES, SAMPLED_SIDE, SAMPLED_SIDE, heat, message))
            return false;
        for (size_t i = 0; i + 1 < count; i += 2) {
            const double x = (get(map, i) + 1) / 2 * SAMPLED_SIDE;
            const double y = (get(map, i + 1) + 1) / 2 * SAMPLED_SIDE;
            if (x >= 0 && y >= 0 && x < SAMPLED_SIDE && y < SAMPLED_SIDE)
                heat->values[(uint32_t)y * SAMPLED_SIDE + (uint32_t)x] += 1;
        }
        return true;
    }
    if (rank != 4 || !count)
        return espy_message_set(message, "site '%s': its map is no list of places", site->name);
    const size_t plane = (size_t)map->dims[2] * (size_t)map->dims[3];
    if (!start(HEAT_PLACES, (uint32_t)map->dims[2], (uint32_t)map->dims[3], heat, message))
        return false;
    for (size_t i = 0; i < first_picture(map); i++)
        heat->values[i % plane] += (float)(fabs(get(map, i)) / (double)map->dims[1]);
    return true;
}

bool espy_heat_make(const struct espy_attention_info *site, const struct espy_tensor *map,
                    const struct heat_params *params, struct heat *heat,
                    struct cli_message *message)
{
    bool ok;
    *heat = (struct heat){0};
    if (!strcmp(site->kind, "channel_gate"))
        ok = draw_bars(map, heat, message);
    else if (!strcmp(site->kind, "spatial_gate"))
        ok = draw_gate(site, map, params, heat, message);
    else if (!strcmp(site->kind, "deformable"))
        ok = draw_sampling(site, map, heat, message);
    else
        ok = draw_tokens(site, map, params, heat, message);
    if (ok)
        measure(heat);
    else
        espy_heat_free(heat);
    return ok;
}

// ---- drawing ------------------------------------------------------------------------------------

static int compare(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

// The value that one place in a hundred is above: a few places far above all others would leave the
// rest in one colour. Uses sorted, which has room for all values.
static double brightest(const struct heat *heat, float *sorted)
{
    const size_t count = (size_t)heat->rows * heat->columns;
    memcpy(sorted, heat->values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare);
    const double high = sorted[(count - 1) * 99 / 100];
    return high > heat->low ? high : heat->high;
}

static bool draw_columns(const struct heat *heat, uint32_t side, struct picture *result,
                         struct cli_message *message)
{
    const struct draw_bars bars = {.count = heat->columns,
                                   .values = heat->values,
                                   .low = heat->low,
                                   .high = heat->high,
                                   .width = side                 ? side
                                            : heat->columns == 1 ? BARS_HEIGHT
                                                                 : BARS_WIDTH,
                                   .height = side ? side : BARS_HEIGHT};
    return espy_draw_bars(&bars, result, message);
}

bool espy_heat_draw(const struct heat *heat, const struct picture *picture,
                    const struct picture_area *area, const struct heat_words *words, uint32_t side,
                    struct picture *result, struct cli_message *message)
{
    if (heat->form == HEAT_BARS)
        return draw_columns(heat, side, result, message);
    const size_t count = (size_t)heat->rows * heat->columns;
    float *values = malloc((count + 1) * sizeof *values);
    if (!values)
        return espy_message_set(message, "out of memory for a map");
    const double span = brightest(heat, values) - heat->low;
    for (size_t i = 0; i < count; i++) { // the whole range of colours, whatever the numbers
        const double share = span > 0 ? (heat->values[i] - heat->low) / span : 0.5;
        values[i] = share < 1 ? (float)share : 1;
    }
    const bool labelled = words && heat->form == HEAT_MATRIX;
    const struct draw_matrix matrix = {.rows = heat->rows,
                                       .columns = heat->columns,
                                       .values = values,
                                       .labelled = labelled,
                                       .row_texts = labelled ? words->rows : NULL,
                                       .column_texts = labelled ? words->columns : NULL,
                                       .caption = "rows attend to columns"};
    bool ok;
    if (heat->form == HEAT_PLACES && picture)
        ok =
            espy_picture_overlay(picture, values, heat->columns, heat->rows, area, result, message);
    else
        ok = espy_draw_matrix(&matrix, result, message);
    free(values);
    return ok;
}
