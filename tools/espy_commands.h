// The subcommands: one file and one table row each.
#ifndef TOOLS_ESPY_COMMANDS_H_
#define TOOLS_ESPY_COMMANDS_H_

#include "cli_args.h"

extern const struct cli_command espy_command_attend, espy_command_bench, espy_command_convert,
    espy_command_devices, espy_command_inspect, espy_command_run, espy_command_tune,
    espy_command_verify;

#endif // TOOLS_ESPY_COMMANDS_H_
