// What a run's outputs say in words: classes, found objects, what a mask shows. As text or JSON.
#ifndef TOOLS_CLI_LISTING_H_
#define TOOLS_CLI_LISTING_H_

#include <cjson/cJSON.h>

#include "cli_session.h"

struct cli_listing {
    const struct cli_outputs *outputs;
    const struct cli_inputs *inputs;
    uint32_t top;     // classes of a row
    double threshold; // below 0: the file's
};

// true: the output is told in words, by itself or with others.
bool espy_listing_tells(const struct cli_listing *listing, uint32_t output);
// Prints it, or adds it to json unless that is NULL. Of outputs that belong together all is told at
// the first. Outputs that are not told print nothing.
bool espy_listing_print(const struct cli_listing *listing, uint32_t output, cJSON *json,
                        struct cli_message *message);

#endif // TOOLS_CLI_LISTING_H_
