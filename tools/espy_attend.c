// `espy attend`: runs a model on a picture and draws where it attends.
#include <stdlib.h>
#include <string.h>

#include "cli_json.h"
#include "cli_session.h"
#include "cli_words.h"
#include "draw.h"
#include "espy_commands.h"

struct options {
    struct cli_common common;
    const char *site, *query, *output;
    uint32_t head; // 1-based, 0: the mean
};

// Tiles of words are larger, so that these can be read.
enum {
    HEADS_MAX = 65536,
    SHEET_COLUMNS = 4,
    TILE_SIDE = 256,
    WORDS_TILE_SIDE = 512,
    TILE_TITLE = 14,
    TILE_GAP = 2,
    TILES_MAX = 256
};

static const struct cli_option option_rows[] = {
    CLI_COMMON_OPTIONS(struct options, common),
    {"site", 's', CLI_TEXT, offsetof(struct options, site), "NAME|all",
     "One site by its name or number, as `espy inspect` lists\nthem; or all, as a sheet of "
     "pictures. Default: what the\ntokens of the whole picture have taken from each other\nthrough "
     "all layers (attention rollout), where the model\nhas such layers; else all.",
     0, 0},
    {"head", 0, CLI_COUNT, offsetof(struct options, head), "N",
     "Only this head, counted from 1; of a gate per place, this\nchannel. Default: the mean.", 1,
     HEADS_MAX},
    {"query", 'q', CLI_TEXT, offsetof(struct options, query), "X,Y",
     "What the place at this pixel of the picture attends to.\nDefault: the mean over all places.",
     0, 0},
    {"output", 'o', CLI_TEXT, offsetof(struct options, output), "FILE",
     "The PNG to write. Default: attention.png.", 0, 0},
    {0}};

struct attend {
    const struct options *options;
    struct cli_session session;
    struct cli_inputs inputs;
    const struct cli_input *picture; // the first input that is one; NULL: none
    struct cli_words words;
    uint32_t tile_side;
    double x, y; // --query
    bool rollout;
    uint32_t count;
    struct espy_attention_info *sites; // [count]
    uint32_t *numbers;                 // [count]; as `inspect` lists them
    const char **names;                // [count]
    struct espy_attention_rows *rows;  // [count]
    struct espy_tensor *maps;          // [count]
    struct heat_params params;
};

// ---- which sites --------------------------------------------------------------------------------

static bool site_at(const struct attend *attend, uint32_t index, struct espy_attention_info *site)
{
    return espy_model_attention(attend->session.model, index, site) == ESPY_OK;
}

static bool is_site(const char *text, uint32_t index, const struct espy_attention_info *site)
{
    char number[16];
    (void)snprintf(number, sizeof number, "%u", index);
    return !strcmp(text, site->name) || !strcmp(text, number);
}

static void keep(struct attend *attend, const struct espy_attention_info *site, uint32_t number)
{
    attend->numbers[attend->count] = number;
    attend->names[attend->count] = site->name;
    attend->sites[attend->count++] = *site;
}

// Of the sites that a rollout can go through, those with the tokens that most of them have; none
// where these are less than half of all attention between tokens, since too little would be seen.
static void keep_rollout(struct attend *attend, uint32_t count)
{
    struct espy_attention_info site, other;
    uint32_t best = 0, best_count = 0, tokens = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t like = 0;
        if (!site_at(attend, i, &site))
            continue;
        tokens += !strcmp(site.kind, "softmax");
        if (!espy_heat_rolls(&site))
            continue;
        for (uint32_t k = 0; k < count; k++)
            like += site_at(attend, k, &other) && espy_heat_rolls(&other) &&
                    espy_heat_same_grid(&site.keys, &other.keys);
        if (like > best_count) {
            best = i;
            best_count = like;
        }
    }
    attend->rollout = best_count > 0 && best_count * 2 >= tokens;
    if (!attend->rollout || !site_at(attend, best, &site))
        return;
    for (uint32_t k = 0; k < count; k++)
        if (site_at(attend, k, &other) && espy_heat_rolls(&other) &&
            espy_heat_same_grid(&site.keys, &other.keys))
            keep(attend, &other, k);
}

static enum cli_exit choose_sites(struct attend *attend)
{
    const uint32_t count = espy_model_attention_count(attend->session.model);
    const char *asked = attend->options->site;
    struct espy_attention_info site;
    if (!count)
        return espy_cli_fail("the model has no attention sites; convert it again if it was made "
                             "before files listed them");
    attend->sites = calloc(count, sizeof *attend->sites);
    attend->numbers = calloc(count, sizeof *attend->numbers);
    attend->names = calloc(count, sizeof *attend->names);
    attend->rows = calloc(count, sizeof *attend->rows);
    attend->maps = calloc(count, sizeof *attend->maps);
    if (!attend->sites || !attend->numbers || !attend->names || !attend->rows || !attend->maps)
        return espy_cli_fail("out of memory");
    if (!asked)
        keep_rollout(attend, count);
    const bool all = (!asked && !attend->rollout) || (asked && !strcmp(asked, "all"));
    for (uint32_t i = 0; i < count && !attend->rollout; i++)
        if (site_at(attend, i, &site) && (all || (!attend->count && is_site(asked, i, &site))))
            keep(attend, &site, i);
    if (!attend->count)
        return espy_cli_fail("--site %s: there is no such site; `espy inspect` lists %u", asked,
                             count);
    if (attend->count > TILES_MAX)
        attend->count = TILES_MAX;
    attend->session.attention = attend->names;
    attend->session.attention_count = attend->count;
    attend->session.attention_rows = attend->rows;
    return CLI_GO_ON;
}

// ---- the run ------------------------------------------------------------------------------------

// The picture that tokens lie on; NULL: none.
static const struct cli_input *picture_of(const struct attend *attend,
                                          const struct espy_token_grid *grid)
{
    const struct cli_inputs *inputs = &attend->inputs;
    const uint32_t named = grid->of ? espy_inputs_find(inputs, grid->of) : inputs->count;
    if (named == inputs->count)
        return attend->picture;
    return inputs->inputs[named].picture.rgb ? &inputs->inputs[named] : NULL;
}

static enum cli_exit find_query(struct attend *attend)
{
    const char *text = attend->options->query;
    char *end = NULL;
    if (!text)
        return CLI_GO_ON;
    attend->x = strtod(text, &end);
    if (end == text || *end != ',')
        return espy_cli_usage("attend", "--query takes X,Y such as 120,80, not '%s'", text);
    text = end + 1;
    attend->y = strtod(text, &end);
    attend->params.one_query = true;
    if (end == text || *end)
        return espy_cli_usage("attend", "--query takes X,Y such as 120,80, not '%s'",
                              attend->options->query);
    return attend->picture ? CLI_GO_ON
                           : espy_cli_fail("--query is a place of a picture, and no input is one");
}

// What is asked of a site: the query is a place on the picture where the site's queries lie.
static bool find_params(const struct attend *attend, const struct espy_attention_info *site,
                        struct heat_params *params, struct cli_message *message)
{
    const struct cli_input *picture = picture_of(attend, &site->queries);
    *params = attend->params;
    if (!params->one_query)
        return true;
    if (!picture)
        return espy_message_set(message,
                                "--query: the queries of site '%s' lie on input '%s', "
                                "which is no picture",
                                site->name, site->queries.of);
    const struct picture_area *area = &picture->area;
    params->u = (attend->x + 0.5 - area->left) / (area->right - area->left);
    params->v = (attend->y + 0.5 - area->top) / (area->bottom - area->top);
    return (params->u >= 0 && params->u < 1 && params->v >= 0 && params->v < 1) ||
           espy_message_set(message,
                            "--query %s is outside of what the network sees of the picture '%s'",
                            attend->options->query, picture->info.name);
}

// Of maps of which only one row is drawn, only that is computed. A rollout goes through all of
// them.
static void ask_rows(struct attend *attend)
{
    struct cli_message message; // of places that are outside, which is told when they are drawn
    struct heat_params params;
    uint32_t row;
    for (uint32_t i = 0; i < attend->count && !attend->rollout; i++)
        if (find_params(attend, &attend->sites[i], &params, &message) &&
            espy_heat_asked_row(&attend->sites[i], &params, &row))
            attend->rows[i] = (struct espy_attention_rows){.first = row, .count = 1};
}

static enum cli_exit run_maps(struct attend *attend)
{
    for (uint32_t i = 0; i < attend->count; i++) // the session gives memory
        attend->maps[i] = (struct espy_tensor){.name = attend->names[i]};
    espy_cli_progress("running on %s", attend->session.info.name);
    const espy_status status = espy_session_run(attend->session.session, attend->inputs.tensors,
                                                attend->inputs.count, attend->maps, attend->count);
    espy_cli_progress_clear();
    return status == ESPY_OK ? CLI_GO_ON : espy_cli_exit_of(status);
}

// ---- drawing ------------------------------------------------------------------------------------

static void mark_query(const struct attend *attend, const struct cli_input *input,
                       struct picture *result)
{
    const struct draw_color dark = {{0, 0, 0}}, light = {{255, 255, 255}};
    const double factor = (double)result->width / input->picture.width;
    const double x = (attend->x + 0.5) * factor, y = (attend->y + 0.5) * factor;
    const double radius = 3 * espy_draw_unit(result);
    if (!attend->params.one_query)
        return;
    espy_draw_disc(result, x, y, radius * 1.5, dark);
    espy_draw_disc(result, x, y, radius, light);
}

static bool draw(const struct attend *attend, const struct espy_attention_info *site,
                 struct heat *heat, struct picture *result, struct cli_message *message)
{
    const struct cli_input *input = picture_of(attend, &site->keys);
    // On a sheet of small tiles there is no room for anything beside a matrix.
    const bool labelled = heat->form == HEAT_MATRIX && strcmp(site->kind, "transposed") != 0 &&
                          (attend->count == 1 || attend->tile_side == WORDS_TILE_SIDE);
    struct heat_words beside = {0};
    if (labelled)
        beside = espy_words_beside(&attend->words, heat);
    const bool ok =
        espy_heat_draw(heat, input ? &input->picture : NULL, input ? &input->area : NULL,
                       labelled ? &beside : NULL,
                       attend->count > 1 ? attend->tile_side - 2 * TILE_GAP : 0, result, message);
    if (ok && heat->form == HEAT_PLACES && input && input == picture_of(attend, &site->queries))
        mark_query(attend, input, result);
    return ok;
}

static void paste(const struct picture *tile, struct picture *sheet, uint32_t left, uint32_t top)
{
    for (uint32_t y = 0; y < tile->height; y++)
        memcpy(sheet->rgb + ((size_t)(top + y) * sheet->width + left) * 3,
               tile->rgb + (size_t)y * tile->width * 3, (size_t)tile->width * 3);
}

// As many rows as tiles need, each as full as the others.
static uint32_t sheet_columns(uint32_t count)
{
    const uint32_t rows = (count + SHEET_COLUMNS - 1) / SHEET_COLUMNS;
    return (count + rows - 1) / rows;
}

// Above a tile: the site's number and name, and at the right what is darkest and brightest in it.
static void write_title(const struct attend *attend, uint32_t index, const struct heat *heat,
                        struct picture_area area, struct picture *sheet)
{
    const struct draw_color ink = {{20, 20, 20}};
    char title[64], number[16], range[64] = "";
    (void)snprintf(number, sizeof number, "%u  ", attend->numbers[index]);
    if (heat->rows * heat->columns > 1)
        (void)snprintf(range, sizeof range, "%.2g to %.2g", heat->low, heat->high);
    const double range_width = espy_draw_text_width(range, 1);
    const double room = area.right - area.left - range_width - espy_draw_text_width(number, 1) - 14;
    // The end of a name tells more than its start.
    const char *name = attend->names[index];
    while (*name && espy_draw_text_width(name, 1) > room)
        name++;
    (void)snprintf(title, sizeof title, "%s%s", number, name);
    espy_draw_text(sheet, area.left, area.top, 1, title, ink);
    espy_draw_text(sheet, area.right - range_width - 6, area.top, 1, range, ink);
}

// Makes the picture fit a tile of the sheet and lays it there, with the site's name above it.
static bool add_tile(const struct attend *attend, const struct picture *picture, uint32_t index,
                     const struct heat *heat, struct picture *sheet, struct cli_message *message)
{
    const uint32_t side = attend->tile_side - 2 * TILE_GAP, across = sheet_columns(attend->count);
    const uint32_t left = index % across * attend->tile_side + TILE_GAP;
    const uint32_t top = index / across * (attend->tile_side + TILE_TITLE) + TILE_GAP;
    const uint32_t longer = picture->width > picture->height ? picture->width : picture->height;
    const double scale = (double)side / longer;
    const uint32_t width = (uint32_t)(picture->width * scale),
                   height = (uint32_t)(picture->height * scale);
    struct picture tile;
    if (!espy_picture_resize(picture, width ? width : 1, height ? height : 1, &tile, message))
        return false;
    write_title(attend, index, heat, (struct picture_area){left, top, left + side, top}, sheet);
    paste(&tile, sheet, left, top + TILE_TITLE);
    espy_picture_free(&tile);
    return true;
}

static void describe(const struct attend *attend, const struct espy_attention_info *site,
                     const struct heat *heat, uint32_t index, cJSON *list)
{
    char name[256], kind[64];
    if (!list) {
        (void)printf("%5u  %-14s %ux%u  %.4g to %.4g  %s\n", attend->numbers[index],
                     attend->rollout ? "rollout" : espy_cli_clean(site->kind, kind, sizeof kind),
                     heat->rows, heat->columns, heat->low, heat->high,
                     attend->rollout ? "" : espy_cli_clean(site->name, name, sizeof name));
        return;
    }
    cJSON *entry = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(entry, "site", attend->rollout ? "" : site->name);
    (void)cJSON_AddStringToObject(entry, "kind", attend->rollout ? "rollout" : site->kind);
    espy_json_add_shape(entry, "drawn", 2, (const int64_t[]){heat->rows, heat->columns});
    espy_json_add_number(entry, "low", heat->low);
    espy_json_add_number(entry, "high", heat->high);
    (void)cJSON_AddItemToArray(list, entry);
}

// What is drawn of a site, or of all of them at once. heat keeps its numbers, without the values.
static bool make_picture(const struct attend *attend, uint32_t index, cJSON *list,
                         struct picture *picture, struct heat *heat, struct cli_message *message)
{
    struct heat_params params;
    const struct espy_attention_info *site = &attend->sites[index];
    if (!find_params(attend, site, &params, message))
        return false;
    params.one_row = attend->rows[index].count == 1;
    params.row = attend->rows[index].first;
    const bool made =
        attend->rollout
            ? espy_heat_rollout(attend->sites, attend->maps, attend->count, &params, heat, message)
            : espy_heat_make(site, &attend->maps[index], &params, heat, message);
    if (!made)
        return false;
    const bool ok = draw(attend, site, heat, picture, message);
    if (ok)
        describe(attend, site, heat, index, list);
    free(heat->values);
    heat->values = NULL;
    return ok;
}

static bool make_sheet(const struct attend *attend, cJSON *list, struct picture *sheet,
                       struct cli_message *message)
{
    const uint32_t across = sheet_columns(attend->count);
    const uint32_t down = (attend->count + across - 1) / across;
    if (!espy_picture_create(across * attend->tile_side, down * (attend->tile_side + TILE_TITLE),
                             sheet, message))
        return false;
    memset(sheet->rgb, 255, (size_t)sheet->width * sheet->height * 3);
    bool ok = true;
    for (uint32_t i = 0; ok && i < attend->count; i++) {
        struct picture picture;
        struct heat heat;
        ok = make_picture(attend, i, list, &picture, &heat, message);
        if (!ok)
            break;
        ok = add_tile(attend, &picture, i, &heat, sheet, message);
        espy_picture_free(&picture);
    }
    if (!ok)
        espy_picture_free(sheet);
    return ok;
}

static enum cli_exit present(struct attend *attend)
{
    const bool as_json = attend->options->common.json;
    const char *file = attend->options->output ? attend->options->output : "attention.png";
    struct cli_message message;
    struct picture picture;
    struct heat heat;
    cJSON *json = as_json ? cJSON_CreateObject() : NULL;
    cJSON *list = as_json ? cJSON_AddArrayToObject(json, "maps") : NULL;
    const bool one = attend->rollout || attend->count == 1;
    enum cli_exit result = CLI_OK;
    bool ok = one ? make_picture(attend, 0, list, &picture, &heat, &message)
                  : make_sheet(attend, list, &picture, &message);
    if (ok) {
        ok = espy_picture_write_png(file, &picture, &message);
        espy_picture_free(&picture);
    }
    if (!ok) {
        cJSON_Delete(json);
        return espy_cli_fail_message(&message);
    }
    if (!as_json) {
        char clean[512];
        (void)printf("%s\n", espy_cli_clean(file, clean, sizeof clean));
        return CLI_OK;
    }
    (void)cJSON_AddStringToObject(json, "file", file);
    return espy_json_print(json, result);
}

static enum cli_exit attend_model(struct attend *attend, const char *model, const char *file)
{
    struct cli_message message;
    const struct cli_common *common = &attend->options->common;
    const struct cli_inputs_params params = {
        .files = &common->files, .shapes = &common->shapes, .operand = file, .seed = common->seed};
    enum cli_exit result = espy_cli_open_context(&attend->session, common);
    if (result == CLI_GO_ON)
        result = espy_cli_open_model(&attend->session, model);
    if (result == CLI_GO_ON)
        result = choose_sites(attend);
    if (result == CLI_GO_ON &&
        !espy_inputs_init(&attend->inputs, attend->session.model, &params, &message))
        result = espy_cli_fail_message(&message);
    if (result == CLI_GO_ON && !espy_words_init(&attend->words, &attend->inputs, &message))
        result = espy_cli_fail_message(&message);
    for (uint32_t i = 0; i < attend->inputs.count && !attend->picture; i++)
        if (attend->inputs.inputs[i].picture.rgb)
            attend->picture = &attend->inputs.inputs[i];
    attend->tile_side = attend->words.count ? WORDS_TILE_SIDE : TILE_SIDE;
    if (result == CLI_GO_ON)
        result = find_query(attend);
    if (result == CLI_GO_ON)
        ask_rows(attend);
    if (result == CLI_GO_ON)
        result = espy_cli_open_session(&attend->session, common, false);
    if (result == CLI_GO_ON)
        result = run_maps(attend);
    return result == CLI_GO_ON ? present(attend) : result;
}

static int run_attend(const struct cli_command *command, int argc, char **argv)
{
    struct options options = {0};
    const char *operands[2] = {0};
    uint32_t operand_count;
    enum cli_exit result = espy_args_parse(command, argc, argv, &options, operands, &operand_count);
    if (result != CLI_GO_ON)
        return result;
    struct attend attend = {.options = &options};
    attend.params.one_head = options.head > 0;
    attend.params.head = options.head > 0 ? options.head - 1 : 0;
    result = attend_model(&attend, operands[0], operands[1]);
    espy_words_finish(&attend.words);
    espy_inputs_finish(&attend.inputs);
    espy_cli_close(&attend.session);
    free(attend.maps);
    free(attend.rows);
    free(attend.names);
    free(attend.numbers);
    free(attend.sites);
    return espy_cli_finish_output(result);
}

const struct cli_command espy_command_attend = {
    .name = "attend",
    .summary = "draws where a model attends on a picture",
    .arguments = "MODEL.espy [FILE]",
    .details =
        "FILE is for the model's only input, or its only one with the role \"image\". Attention "
        "of\n"
        "tokens and gates per place are laid over the picture, gates of channels are drawn as "
        "bars,\n"
        "and attention that is nowhere on the picture as a matrix. Colours go from the lowest to\n"
        "the highest value, which are printed.\n",
    .options = option_rows,
    .operands_min = 1,
    .operands_max = 2,
    .run = run_attend,
};
