// One line of text that says what went wrong and what to do, from the function that knows to the
// subcommand that prints it. Nothing here prints.
#ifndef TOOLS_CLI_MESSAGE_H_
#define TOOLS_CLI_MESSAGE_H_

#include <stdbool.h>

#if defined(__GNUC__)
#define CLI_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))
#else
#define CLI_PRINTF(format_index, first)
#endif

struct cli_message {
    char text[768]; // cut where longer
};

// Writes the text and returns false, for `return espy_message_set(...)`.
bool espy_message_set(struct cli_message *message, const char *format, ...) CLI_PRINTF(2, 3);

#endif // TOOLS_CLI_MESSAGE_H_
