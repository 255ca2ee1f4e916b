// The program `espy`: finds the subcommand and runs it.
#define _POSIX_C_SOURCE 200809L

#include "espy_commands.h"

#include <signal.h>
#include <string.h>

static const struct cli_command *const commands[] = {
    &espy_command_devices, &espy_command_convert, &espy_command_inspect,
    &espy_command_run,     &espy_command_attend,  &espy_command_bench,
    &espy_command_tune,    &espy_command_verify,
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static const struct cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (!strcmp(commands[i]->name, name))
            return commands[i];
    }
    return NULL;
}

static enum cli_exit print_help(void)
{
    (void)fputs("espy: runs attention CNNs on any Vulkan GPU\n\n"
                "Usage: espy COMMAND [options] [arguments]\n\nCommands:\n",
                stdout);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        (void)printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    (void)fputs("\n`espy COMMAND --help` says more; `espy --version` prints the version.\n\n"
                "Exit codes:\n"
                "  0  done\n"
                "  1  the work failed; one line on standard error says why and what to do\n"
                "  2  the command line was wrong\n"
                "  3  verify: a node was out of tolerance\n"
                "  4  no Vulkan device, or none fits --device\n",
                stdout);
    return espy_cli_finish_output(CLI_OK);
}

int main(int argc, char **argv)
{
    // A reader that goes away (`espy inspect | head`) is an error of a write, not a signal.
    (void)signal(SIGPIPE, SIG_IGN);
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name)
        return espy_cli_usage(NULL, "which command?");
    if (!strcmp(name, "--help") || !strcmp(name, "-h"))
        return print_help();
    if (!strcmp(name, "help")) {
        if (argc == 2)
            return print_help();
        const struct cli_command *command = find_command(argv[2]);
        if (!command)
            return espy_cli_usage(NULL, "unknown command '%s'", argv[2]);
        espy_args_help(command);
        return espy_cli_finish_output(CLI_OK);
    }
    if (!strcmp(name, "--version")) {
        (void)printf("espy %d.%d.%d\n", ESPY_VERSION_MAJOR, ESPY_VERSION_MINOR, ESPY_VERSION_PATCH);
        return espy_cli_finish_output(CLI_OK);
    }
    const struct cli_command *command = find_command(name);
    if (!command)
        return espy_cli_usage(NULL, "unknown command '%s'", name);
    return command->run(command, argc - 1, argv + 1);
}
