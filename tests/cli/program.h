// Runs the built program and keeps what it said.
#ifndef TESTS_CLI_PROGRAM_H_
#define TESTS_CLI_PROGRAM_H_

#include <criterion/criterion.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { TEXT_SIZE = 65536, ARGUMENTS_MAX = 14 };

struct result {
    int code;
    char out[TEXT_SIZE], err[TEXT_SIZE];
};

static inline void slurp(const char *path, char text[TEXT_SIZE])
{
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file);
    text[fread(text, 1, TEXT_SIZE - 1, file)] = '\0';
    (void)fclose(file);
    (void)unlink(path);
}

// ESPY_TEST_DEVICE is the device of every command that runs a model and is given none.
static inline void add_device(char **argv)
{
    char *device = getenv("ESPY_TEST_DEVICE");
    size_t count = 0;
    bool takes_one = false;
    for (; argv[count]; count++) {
        takes_one = takes_one || (count == 1 && (strcmp(argv[1], "run") == 0 ||
                                                 strcmp(argv[1], "attend") == 0 ||
                                                 strcmp(argv[1], "bench") == 0 ||
                                                 strcmp(argv[1], "tune") == 0 ||
                                                 strcmp(argv[1], "verify") == 0));
        if (strcmp(argv[count], "--device") == 0 || strcmp(argv[count], "-d") == 0)
            return;
    }
    if (!device || !takes_one || count < 3 || count + 2 > ARGUMENTS_MAX)
        return;
    argv[count] = strdup("--device");
    argv[count + 1] = strdup(device);
}

// Runs `espy` with arguments up to NULL. Standard input is empty.
static inline void run(const char *const *arguments, struct result *result)
{
    char out[64], err[64], *argv[ARGUMENTS_MAX + 2] = {ESPY_PROGRAM};
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status;
    (void)snprintf(out, sizeof out, "/tmp/espy-cli-out-%ld", (long)getpid());
    (void)snprintf(err, sizeof err, "/tmp/espy-cli-err-%ld", (long)getpid());
    for (size_t i = 0; i < ARGUMENTS_MAX && arguments[i]; i++)
        argv[i + 1] = strdup(arguments[i]);
    add_device(argv);
    cr_assert_eq(posix_spawn_file_actions_init(&actions), 0);
    const int flags = O_WRONLY | O_CREAT | O_TRUNC;
    (void)posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_addopen(&actions, 1, out, flags, 0600);
    (void)posix_spawn_file_actions_addopen(&actions, 2, err, flags, 0600);
    cr_assert_eq(posix_spawn(&child, argv[0], &actions, NULL, argv, environ), 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
    (void)posix_spawn_file_actions_destroy(&actions);
    for (size_t i = 1; argv[i]; i++)
        free(argv[i]);
    cr_assert(WIFEXITED(status), "did not exit by itself");
    result->code = WEXITSTATUS(status);
    slurp(out, result->out);
    slurp(err, result->err);
}

static inline size_t line_count(const char *text)
{
    size_t count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

#endif // TESTS_CLI_PROGRAM_H_
