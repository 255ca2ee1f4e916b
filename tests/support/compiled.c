#include "support/compiled.h"

#include <string.h>

// The sum of the facts with these names: NULL ends them.
static double find(const struct vk_compiled *compiled, const char *const *names)
{
    double sum = 0;
    bool found = false;
    for (; *names != NULL; names++) {
        for (uint32_t i = 0; i < compiled->fact_count; i++) {
            if (strcmp(compiled->facts[i].name, *names) != 0)
                continue;
            sum += compiled->facts[i].value;
            found = true;
        }
    }
    return found ? sum : -1;
}

// RADV's names first, then ANV's and others' for the same.
#define FIND(...) find(compiled, (const char *const[]){__VA_ARGS__, NULL})

struct compiled_summary espy_test_compiled_summary(const struct vk_compiled *compiled)
{
    return (struct compiled_summary){
        .registers = FIND("VGPRs", "Max live registers", "Register Count"),
        .scalars = FIND("SGPRs"),
        .spilled = FIND("Spilled VGPRs", "Spilled SGPRs", "Spill Count"),
        .scratch_size = FIND("Scratch size", "Scratch Memory Size", "Local Memory Size"),
        .shared_size = FIND("LDS size", "LDS Size", "Workgroup Memory Size", "Shared Memory Size"),
        .code_size = FIND("Code size", "Code Size", "Binary Size"),
        .instructions = FIND("Instructions", "Instruction Count"),
        .subgroups = FIND("Subgroups per SIMD"),
        .latency = FIND("Latency"),
        .throughput = FIND("Inverse Throughput", "Cycle Count")};
}
