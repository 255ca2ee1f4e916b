// An output with the role "mask": the class of every place, or how much it is of the foreground.
#ifndef TOOLS_CLI_MASK_H_
#define TOOLS_CLI_MASK_H_

#include "cli_session.h"

// How much of the picture a class has.
struct cli_share {
    uint32_t index;
    const char *label; // or NULL
    double share;      // 0 to 1, of the places that lie on the picture
    bool hidden;       // background, which is not painted
};

struct cli_mask {
    bool is_foreground; // else classes
    uint32_t width, height;
    int32_t *indices; // of classes; of a foreground 1 where it is
    float *values;    // of a foreground
    uint32_t share_count;
    struct cli_share *shares; // of the classes there are, the largest first
};

// input is the picture that it is of; NULL: unknown. With labels "__background__", "background" and
// "" are hidden, without them class 0.
bool espy_mask_init(struct cli_mask *mask, const struct espy_value_info *info,
                    const struct espy_tensor *tensor, const struct cli_input *input,
                    struct cli_message *message);
void espy_mask_finish(struct cli_mask *mask); // zeroed is fine

#endif // TOOLS_CLI_MASK_H_
