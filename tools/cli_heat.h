// Maps of attention sites as what a person looks at: a value per place of the picture, a matrix, or
// bars. Reads tensors; must not know files nor devices.
#ifndef TOOLS_CLI_HEAT_H_
#define TOOLS_CLI_HEAT_H_

#include "cli_inputs.h"

enum heat_form {
    HEAT_PLACES, // rows and columns over the picture
    HEAT_MATRIX, // rows and columns of something else
    HEAT_BARS    // one row
};

struct heat {
    enum heat_form form;
    uint32_t rows, columns;
    float *values;    // malloc; as they are
    double low, high; // of the values
};

// What of a map is wanted.
struct heat_params {
    bool one_head;
    uint32_t head; // 0-based; of a gate per place the channel
    bool one_query;
    double u, v;  // where the query is, 0..1 across and down what the network sees
    bool one_row; // the map has only this row of each window, which espy_heat_asked_row has told
    uint32_t row;
};

// true: of this site's map only that row is drawn.
bool espy_heat_asked_row(const struct espy_attention_info *site, const struct heat_params *params,
                         uint32_t *row);

// The first picture's map of a site; means over heads and queries where none is chosen.
bool espy_heat_make(const struct espy_attention_info *site, const struct espy_tensor *map,
                    const struct heat_params *params, struct heat *heat,
                    struct cli_message *message);
// Leaves of a matrix only so many rows and columns, the first ones.
void espy_heat_crop(struct heat *heat, uint32_t rows, uint32_t columns);
// true: tokens lie in the same places.
bool espy_heat_same_grid(const struct espy_token_grid *a, const struct espy_token_grid *b);
// true: the site is of attention of tokens to one another on the whole picture.
bool espy_heat_rolls(const struct espy_attention_info *site);
// Attention rollout: how much of each place has come into the class token (else all tokens, or the
// query) by the last of these sites, of which all have the same tokens. Residual connections count
// one half.
bool espy_heat_rollout(const struct espy_attention_info *sites, const struct espy_tensor *maps,
                       uint32_t count, const struct heat_params *params, struct heat *heat,
                       struct cli_message *message);
void espy_heat_free(struct heat *heat); // zeroed is fine

// What a matrix's rows and columns are; NULL: numbers.
struct heat_words {
    const char *const *rows, *const *columns;
};
// Draws it: over the picture, of which area is what the network sees; else by itself. words NULL: a
// matrix without anything beside it. side: bars fill a square of that side; 0: a picture of their
// own.
bool espy_heat_draw(const struct heat *heat, const struct picture *picture,
                    const struct picture_area *area, const struct heat_words *words, uint32_t side,
                    struct picture *result, struct cli_message *message);

#endif // TOOLS_CLI_HEAT_H_
