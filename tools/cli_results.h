// What a run's outputs mean to a person: class probabilities, pictures, files.
#ifndef TOOLS_CLI_RESULTS_H_
#define TOOLS_CLI_RESULTS_H_

#include "cli_inputs.h"

struct cli_class {
    uint32_t index;
    double probability;
    const char *label; // NULL: the file has none
};

// true: the output's role says that it is class scores.
bool espy_result_is_classes(const struct espy_value_info *info);
// Rows (pictures of a batch) and classes per row of such an output.
void espy_result_rows(const struct espy_value_info *info, const struct espy_tensor *tensor,
                      size_t *rows, size_t *classes);
// The most probable classes of one row, best first; softmax is applied to logits. Returns how many
// were written, at most top; UINT32_MAX when out of memory.
uint32_t espy_result_top(const struct espy_value_info *info, const struct espy_tensor *tensor,
                         size_t row, uint32_t top, struct cli_class *classes);

// NAME.npy with '/' and ':' as '_', in dir where that is not NULL. malloc; NULL: out of memory.
char *espy_result_path(const char *dir, const char *name);

// How an image output's numbers become bytes.
struct cli_range {
    bool given;       // --range
    double low, high; // these become 0 and 255
};
// An output [N,C,H,W] or [N,H,W,C], batch optional, C 1 or 3, as a picture; several side by side.
// input, which the output is `of`, may be NULL; docs/cli.md says how the range is found. Where it
// is of a picture that was resized, it becomes what of that the network saw, no smaller than
// either.
bool espy_result_picture(const struct espy_value_info *info, const struct espy_tensor *tensor,
                         const struct cli_input *input, const struct cli_range *range,
                         struct picture *picture, struct cli_message *message);
// The size of an output of one number per place, all of whose dimensions but height and width are
// 1; false, with a message: it is none.
bool espy_result_grid(const struct espy_value_info *info, const struct espy_tensor *tensor,
                      uint32_t *width, uint32_t *height, struct cli_message *message);
// An attention map [1,1,h,w] laid over the picture it is of.
bool espy_result_attention(const struct espy_value_info *info, const struct espy_tensor *tensor,
                           const struct cli_input *input, struct picture *picture,
                           struct cli_message *message);

#endif // TOOLS_CLI_RESULTS_H_
