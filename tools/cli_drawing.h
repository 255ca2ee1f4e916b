// An output as a picture, by its role: found objects, masks, depth, attention, pictures.
#ifndef TOOLS_CLI_DRAWING_H_
#define TOOLS_CLI_DRAWING_H_

#include "cli_results.h"
#include "cli_session.h"

struct cli_drawing_params {
    struct cli_range range; // --range
    double threshold;       // --threshold; below 0: the file's
};

// What drawing an output shows; DRAWING_NONE: its role says nothing of that. Found objects are one
// drawing, to which several outputs belong: only the first of them counts.
enum cli_drawing { DRAWING_NONE, DRAWING_RESULT, DRAWING_EXPLANATION };
enum cli_drawing espy_drawing_of(const struct cli_outputs *outputs, uint32_t output);

// Draws it, on the picture that it is of where its role asks for that. Without a role that says
// otherwise it is a picture itself.
bool espy_drawing_make(const struct cli_outputs *outputs, uint32_t output,
                       const struct cli_inputs *inputs, const struct cli_drawing_params *params,
                       struct picture *picture, struct cli_message *message);

#endif // TOOLS_CLI_DRAWING_H_
