// The values of an input as a list on the command line: numbers, or words that its labels name.
#ifndef TOOLS_CLI_VALUES_H_
#define TOOLS_CLI_VALUES_H_

#include <stddef.h>

#include "cli_message.h"
#include "espy/espy.h"

struct cli_values {
    size_t count;
    struct cli_value *items; // malloc
};

// Numbers with commas between; where the input has labels, words too: with commas, or else blanks
// between, each a label (exactly, or but for the case) or a number. false: it is no such list, and
// the message says which part is not.
bool espy_values_parse(const char *text, const struct espy_value_info *info,
                       struct cli_values *values, struct cli_message *message);
// "cat, dog, ..." for messages: the first labels, as many as there is room for. Returns buffer.
const char *espy_labels_print(const struct espy_value_info *info, char *buffer, size_t size);
void espy_values_free(struct cli_values *values); // zeroed is fine

// Writes the values as elements of the input; data has room for all. Refuses what the type does not
// hold and, of an input with labels, numbers beyond them.
bool espy_values_store(const struct cli_values *values, const struct espy_value_info *info,
                       void *data, struct cli_message *message);

#endif // TOOLS_CLI_VALUES_H_
