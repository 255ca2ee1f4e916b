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

// RADV's names first, then those of ANV, NVK, Turnip, PanVK, V3DV and Honeykrisp for
// the same, each in its own unit of registers.
#define FIND(...) find(compiled, (const char *const[]){__VA_ARGS__, NULL})

struct compiled_summary espy_test_compiled_summary(const struct vk_compiled *compiled)
{
    return (struct compiled_summary){
        .registers = FIND("VGPRs", "Max live registers", "Number of GPRs", "Registers used", "GPRs"),
        .scalars = FIND("SGPRs"),
        .spilled = FIND("Spilled VGPRs", "Spilled SGPRs", "Spills", "Spills to memory",
                        "STP Count", "TMU Spills"),
        .scratch_size = FIND("Scratch size", "Scratch Memory Size", "SLM size", "Scratch",
                             "Spill Size"),
        .shared_size = FIND("LDS size", "Workgroup Memory Size"),
        .code_size = FIND("Code size", "Code Size"),
        .instructions = FIND("Instructions", "Instruction count", "Instruction Count"),
        .subgroups = FIND("Subgroups per SIMD", "Max warps/SM", "Max Waves Per Core"),
        .latency = FIND("Latency", "Cycles", "Static cycle count"),
        .throughput = FIND("Inverse Throughput")};
}
