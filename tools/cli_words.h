// The tokens that a network was given, as words beside its attention matrices.
#ifndef TOOLS_CLI_WORDS_H_
#define TOOLS_CLI_WORDS_H_

#include "cli_heat.h"

struct cli_words {
    uint32_t count, given; // tokens; of these, those that do not only pad the input
    const char **texts;    // [count]; labels, or numbers where there are none
};

// Of the only input with the role "tokens", its first row. Without such an input there are no
// words.
bool espy_words_init(struct cli_words *words, const struct cli_inputs *inputs,
                     struct cli_message *message);
void espy_words_finish(struct cli_words *words); // zeroed is fine

// What stands beside a matrix: words where a side has as many places as there are tokens. Padding
// is taken off such sides, but for columns that something attends to.
struct heat_words espy_words_beside(const struct cli_words *words, struct heat *heat);

#endif // TOOLS_CLI_WORDS_H_
