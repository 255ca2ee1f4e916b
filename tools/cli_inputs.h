// The inputs of a model from what the command line names: pictures, .npy, raw files, values, or
// random numbers. Reads the model's description through the public API only.
#ifndef TOOLS_CLI_INPUTS_H_
#define TOOLS_CLI_INPUTS_H_

#include "cli_args.h"
#include "cli_file.h"
#include "cli_values.h"
#include "espy/espy.h"
#include "picture_preprocess.h"

struct cli_input {
    struct espy_value_info info;
    bool named;               // --input or the operand gave it
    bool shaped;              // --shape or a file gave it concrete dims
    const char *path;         // or the values as they were written
    struct cli_values values; // of the command line
    struct cli_bytes raw;   // file content that is no picture and no .npy, until its size is known
    struct picture picture; // rgb NULL: the input was no picture
    uint32_t frame_width, frame_height; // of the picture that the network sees
    struct picture_area area;           // what of the picture the network sees
    struct espy_preprocess preprocess;  // what was done to the picture
};

// A symbolic dim that has been given a size.
struct cli_symbol {
    const char *name, *input;
    int64_t size;
};

struct cli_inputs {
    uint32_t count;
    struct cli_input *inputs;
    struct espy_tensor *tensors; // as espy_session_run wants them
    uint32_t symbol_count;
    struct cli_symbol *symbols; // [count * ESPY_RANK_MAX]
};

struct cli_inputs_params {
    const struct cli_list *files; // "NAME=FILE" or "NAME=1,5,9"; without "NAME=" for the only input
    const struct cli_list *shapes; // "NAME=1x3x224x224", or the shape alone
    const char *operand;           // a file or values without a name, or NULL
    bool random;                   // fill what is not given
    bool shapes_only;              // dims alone: no data, nothing is missing
    uint32_t seed;
};

// Reads everything. The model must outlive the inputs.
bool espy_inputs_init(struct cli_inputs *inputs, const espy_model *model,
                      const struct cli_inputs_params *params, struct cli_message *message);
void espy_inputs_finish(struct cli_inputs *inputs); // zeroed is fine

// The input that an output is `of`, else the first that is a picture; NULL: there is none.
const struct cli_input *espy_inputs_of(const struct cli_inputs *inputs,
                                       const struct espy_value_info *output);
// Index of the input called name, or inputs->count.
uint32_t espy_inputs_find(const struct cli_inputs *inputs, const char *name);

// "1x3x224x224", symbols by their names, "?" for others, "scalar" for rank 0. Returns buffer.
const char *espy_shape_describe(const struct espy_value_info *info, char *buffer, size_t size);
const char *espy_shape_print(uint32_t rank, const int64_t *dims, char *buffer, size_t size);
// "1+14x14" with a class token, "56x56/7x7 shifted" in windows, "12x16 of style" where there are
// several inputs, "-" where it is not known.
const char *espy_grid_print(const struct espy_token_grid *grid, char *buffer, size_t size);
// Parses "1x3x224x224", also with ',' or '*' between, or "scalar".
bool espy_shape_parse(const char *text, uint32_t *rank, int64_t dims[ESPY_RANK_MAX]);

#endif // TOOLS_CLI_INPUTS_H_
