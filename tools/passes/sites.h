// What the recognition of attention (sites.c) and the tracing of tokens (site_places.c) share.
#ifndef TOOLS_PASSES_SITES_H_
#define TOOLS_PASSES_SITES_H_

#include "passes/passes.h"

// A value of which some axis counts tokens; `batch`, the axis that counts windows; or GRAPH_NONE.
struct site_tokens {
    uint32_t value, axis, batch;
    uint32_t inner; // the axis that a product sums over
};

// Finds how the tokens lie on a feature map, by following each back to where it came from. What is
// not understood leaves *grid as it is.
espy_status espy_site_grid(const struct facts *facts, const struct site_tokens *tokens,
                           struct espy_token_grid *grid);
// true: all "tokens" come from one place, and the axis that is summed over goes along the picture.
bool espy_site_is_transposed(const struct facts *facts, const struct site_tokens *tokens);
// true: known before the run.
bool espy_site_is_known(const struct facts *facts, uint32_t value);
// The letters of an operand of an Einsum, or of its result. false: they are not spelled out.
enum { SITE_TERM_SIZE = ESPY_RANK_MAX + 1 };
#define SITE_RESULT UINT32_MAX
bool espy_site_einsum_term(const struct graph_node *node, uint32_t operand,
                           char term[SITE_TERM_SIZE]);
// Which dimension has the letter, or GRAPH_NONE.
uint32_t espy_site_letter_axis(const char *term, char letter);

#endif // TOOLS_PASSES_SITES_H_
