// What a node costs: parameters and multiply-accumulates, from types alone.
#ifndef TOOLS_CLI_COST_H_
#define TOOLS_CLI_COST_H_

#include "op/op.h"

struct cli_cost {
    uint64_t parameters; // elements of constants that no earlier node had counted
    uint64_t macs;
    bool known; // false: the shapes that macs follow from are not known
};

// seen has walk->graph->value_count entries, false before the first node.
struct cli_cost espy_cost_of(const struct op_walk *walk, uint32_t node, bool *seen);
// Parameters of a body that are not its network's too.
uint64_t espy_cost_of_body(const struct graph *body);

#endif // TOOLS_CLI_COST_H_
