// The command line as data: one row per option is its parser, its range check and its help line.
#ifndef TOOLS_CLI_ARGS_H_
#define TOOLS_CLI_ARGS_H_

#include <stddef.h>

#include "cli_log.h"

enum { CLI_LIST_MAX = 1024 };

enum cli_option_type {
    CLI_FLAG,   // bool, set by being there
    CLI_TEXT,   // const char *, the last one given counts
    CLI_LIST,   // struct cli_list, in the order given
    CLI_SHAPES, // the same, of [NAME=]SHAPE
    CLI_COUNT,  // uint32_t in [min, max]
    CLI_SIZE,   // uint64_t of bytes, at least 1: 512M, 2G, 1500000
    CLI_NUMBER  // double in [min, max]
};

struct cli_list {
    const char *items[CLI_LIST_MAX];
    uint32_t count;
};

struct cli_option {
    const char *name; // without the dashes
    char letter;      // or 0
    enum cli_option_type type;
    size_t offset;     // of the member in the subcommand's options
    const char *value; // what --help calls the value; NULL for flags
    const char *help;  // may hold newlines
    double min, max;   // COUNT and NUMBER
};

struct cli_command {
    const char *name;
    const char *summary;              // one line for `espy --help`
    const char *arguments;            // "MODEL [FILE]"
    const char *details;              // more for `espy NAME --help`, ends in a newline; or NULL
    const struct cli_option *options; // ends with a row whose name is NULL; --help is implied
    uint32_t operands_min, operands_max;
    int (*run)(const struct cli_command *command, int argc, char **argv);
};

// Fills options, which the caller has set to the defaults, and operands, which has room for
// operands_max. argv[0] is the subcommand's name. Returns CLI_GO_ON, or the exit code after --help
// was printed or an error was logged.
enum cli_exit espy_args_parse(const struct cli_command *command, int argc, char **argv,
                              void *options, const char **operands, uint32_t *operand_count);

void espy_args_help(const struct cli_command *command);

// Splits "NAME=FILE": returns the file and, where there is a name, its length in *name_length
// (else 0). The name ends at the first '='.
const char *espy_args_split(const char *text, size_t *name_length);

#endif // TOOLS_CLI_ARGS_H_
