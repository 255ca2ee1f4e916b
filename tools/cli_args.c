#include "cli_args.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli_inputs.h"

enum { HELP_COLUMN = 28 };

static void print_option(const struct cli_option *option)
{
    char left[64];
    const char letter[] = {'-', option->letter, ',', ' ', '\0'};
    int width =
        snprintf(left, sizeof left, "  %s--%s%s%s", option->letter ? letter : "    ", option->name,
                 option->value ? " " : "", option->value ? option->value : "");
    (void)fputs(left, stdout);
    if (width >= HELP_COLUMN) {
        (void)putchar('\n');
        width = 0;
    }
    for (const char *line = option->help; line; width = 0) {
        const char *end = strchr(line, '\n');
        (void)printf("%*s%.*s\n", HELP_COLUMN - width, "",
                     end ? (int)(end - line) : (int)strlen(line), line);
        line = end ? end + 1 : NULL;
    }
}

void espy_args_help(const struct cli_command *command)
{
    static const struct cli_option help = {"help", 'h', CLI_FLAG, 0, NULL, "Prints this.", 0, 0};
    (void)printf("espy %s: %s\n\nUsage: espy %s [options]%s%s\n\nOptions:\n", command->name,
                 command->summary, command->name, *command->arguments ? " " : "",
                 command->arguments);
    for (const struct cli_option *option = command->options; option->name; option++)
        print_option(option);
    print_option(&help);
    if (command->details)
        (void)printf("\n%s", command->details);
    (void)fputs("\nExit codes: 0 done, 1 the work failed, 2 wrong command line, 3 verify found a\n"
                "mismatch, 4 no usable device.\n",
                stdout);
}

// The row for "--name", "--name=value" or "-x"; *value is what follows '=', else NULL.
static const struct cli_option *find_option(const struct cli_command *command, const char *word,
                                            const char **value)
{
    const bool is_long = word[1] == '-';
    const char *name = word + (is_long ? 2 : 1);
    const char *equals = is_long ? strchr(name, '=') : NULL;
    const size_t length = equals ? (size_t)(equals - name) : strlen(name);
    *value = equals ? equals + 1 : NULL;
    for (const struct cli_option *option = command->options; option->name; option++) {
        if (is_long && strlen(option->name) == length && !strncmp(option->name, name, length))
            return option;
        if (!is_long && length == 1 && option->letter && option->letter == name[0])
            return option;
    }
    return NULL;
}

static enum cli_exit parse_number(const struct cli_command *command,
                                  const struct cli_option *option, const char *value,
                                  double *number)
{
    char *end = NULL;
    errno = 0;
    *number = strtod(value, &end);
    const bool whole =
        option->type != CLI_COUNT || (isfinite(*number) && floor(*number) == *number);
    if (end == value || *end || errno == ERANGE || !whole || !(*number >= option->min) ||
        !(*number <= option->max)) {
        return espy_cli_usage(command->name, "--%s takes a %s from %.10g to %.10g, not '%s'",
                              option->name, option->type == CLI_COUNT ? "whole number" : "number",
                              option->min, option->max, value);
    }
    return CLI_GO_ON;
}

// K, M and G are 1024 times the one before.
static enum cli_exit parse_size(const struct cli_command *command, const struct cli_option *option,
                                const char *value, uint64_t *size)
{
    static const char units[] = "KMG";
    char *end = NULL;
    errno = 0;
    const unsigned long long number = strtoull(value, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;
    const unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
    const bool good = value[0] >= '0' && value[0] <= '9' && errno == 0 && number > 0 &&
                      (!*end || (unit && !end[1])) && number <= UINT64_MAX >> shift;
    if (!good)
        return espy_cli_usage(command->name, "--%s takes a size such as 512M or 2G, not '%s'",
                              option->name, value);
    *size = (uint64_t)number << shift;
    return CLI_GO_ON;
}

static enum cli_exit append(const struct cli_command *command, const struct cli_option *option,
                            const char *value, struct cli_list *list)
{
    if (list->count == CLI_LIST_MAX) {
        return espy_cli_usage(command->name, "--%s is given more than %d times", option->name,
                              CLI_LIST_MAX);
    }
    list->items[list->count++] = value;
    return CLI_GO_ON;
}

static enum cli_exit store(const struct cli_command *command, const struct cli_option *option,
                           const char *value, void *options)
{
    void *member = (char *)options + option->offset;
    double number = 0;
    if (option->type == CLI_COUNT || option->type == CLI_NUMBER) {
        const enum cli_exit result = parse_number(command, option, value, &number);
        if (result != CLI_GO_ON)
            return result;
    }
    switch (option->type) {
    case CLI_FLAG:
        *(bool *)member = true;
        break;
    case CLI_TEXT:
        *(const char **)member = value;
        break;
    case CLI_COUNT:
        *(uint32_t *)member = (uint32_t)number;
        break;
    case CLI_NUMBER:
        *(double *)member = number;
        break;
    case CLI_SIZE:
        return parse_size(command, option, value, member);
    case CLI_SHAPES: {
        // No shape has a '=', but names may.
        const char *equals = strrchr(value, '=');
        uint32_t rank;
        int64_t dims[ESPY_RANK_MAX];
        if (!espy_shape_parse(equals ? equals + 1 : value, &rank, dims)) {
            return espy_cli_usage(command->name, "--%s takes %s, not '%s'", option->name,
                                  option->value, value);
        }
        return append(command, option, value, member);
    }
    case CLI_LIST:
        return append(command, option, value, member);
    }
    return CLI_GO_ON;
}

// One option at argv[*i]; *i moves on when its value is the next word.
static enum cli_exit parse_option(const struct cli_command *command, int argc, char **argv, int *i,
                                  void *options)
{
    const char *word = argv[*i], *value = NULL;
    if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
        espy_args_help(command);
        return espy_cli_finish_output(CLI_OK);
    }
    const struct cli_option *option = find_option(command, word, &value);
    if (!option)
        return espy_cli_usage(command->name, "unknown option '%s'", word);
    if (option->type == CLI_FLAG) {
        if (value)
            return espy_cli_usage(command->name, "--%s takes no value", option->name);
    } else if (!value) {
        if (*i + 1 >= argc)
            return espy_cli_usage(command->name, "--%s needs %s", option->name, option->value);
        value = argv[++*i];
    }
    return store(command, option, value, options);
}

enum cli_exit espy_args_parse(const struct cli_command *command, int argc, char **argv,
                              void *options, const char **operands, uint32_t *operand_count)
{
    bool only_operands = false;
    *operand_count = 0;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (!only_operands && !strcmp(word, "--")) {
            only_operands = true;
        } else if (!only_operands && word[0] == '-' && word[1]) {
            const enum cli_exit result = parse_option(command, argc, argv, &i, options);
            if (result != CLI_GO_ON)
                return result;
        } else if (*operand_count == command->operands_max) {
            return espy_cli_usage(command->name, "one argument too many: '%s'", word);
        } else {
            operands[(*operand_count)++] = word;
        }
    }
    if (*operand_count < command->operands_min)
        return espy_cli_usage(command->name, "missing argument; wanted: %s", command->arguments);
    return CLI_GO_ON;
}

const char *espy_args_split(const char *text, size_t *name_length)
{
    const char *equals = strchr(text, '=');
    *name_length = equals ? (size_t)(equals - text) : 0;
    return equals ? equals + 1 : text;
}
