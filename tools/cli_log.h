// What the program says to a person: error lines, warnings, progress. Everything that comes from a
// file is printed without its control bytes, so that a model cannot drive the terminal.
#ifndef TOOLS_CLI_LOG_H_
#define TOOLS_CLI_LOG_H_

#include <stdio.h>

#include "cli_message.h"
#include "espy/espy.h"

// Exit codes, as --help and docs/cli.md list them.
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,    // the work failed
    CLI_USAGE = 2,     // the command line was wrong
    CLI_MISMATCH = 3,  // verify: a node was out of tolerance
    CLI_NO_DEVICE = 4, // no Vulkan device, or none fits --device
    CLI_GO_ON = -1     // not an exit: the command line was fine
};

// The exit code for a status that the library returned and has logged.
enum cli_exit espy_cli_exit_of(espy_status status);

// "espy: error: ..." on standard error. Returns CLI_FAILED.
enum cli_exit espy_cli_fail(const char *format, ...) CLI_PRINTF(1, 2);
enum cli_exit espy_cli_fail_message(const struct cli_message *message);
// The same, with "see `espy COMMAND --help`" at the end. Returns CLI_USAGE.
enum cli_exit espy_cli_usage(const char *command, const char *format, ...) CLI_PRINTF(2, 3);
void espy_cli_warn(const char *format, ...) CLI_PRINTF(1, 2);

// The log callback of every context; user is not used.
void espy_cli_log(void *user, espy_log_level level, const char *message);

// Rewrites one line on standard error when that is a terminal; else does nothing. The next error,
// warning or espy_cli_progress_clear takes the line away.
void espy_cli_progress(const char *format, ...) CLI_PRINTF(1, 2);
void espy_cli_progress_clear(void);

// Copies text into buffer with control bytes replaced by '?', cut to fit. Returns buffer.
const char *espy_cli_clean(const char *text, char *buffer, size_t size);

// Flushes standard output: result, or CLI_FAILED when something could not be written (a full disk).
enum cli_exit espy_cli_finish_output(enum cli_exit result);

#endif // TOOLS_CLI_LOG_H_
