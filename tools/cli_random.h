// Numbers for `--seed`: the same on every machine. Must not know models.
#ifndef TOOLS_CLI_RANDOM_H_
#define TOOLS_CLI_RANDOM_H_

#include <stdbool.h>
#include <stdint.h>

struct cli_random {
    uint64_t state;
    bool has_spare;
    double spare;
};

// Streams of one seed have nothing to do with each other, nor have those of seeds side by side.
void espy_random_init(struct cli_random *random, uint32_t seed, uint32_t stream);
// Standard normal: mean 0, variance 1.
double espy_random_normal(struct cli_random *random);

#endif // TOOLS_CLI_RANDOM_H_
