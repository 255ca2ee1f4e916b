#define _POSIX_C_SOURCE 200809L

#include "cli_log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { LINE_SIZE = 2048 };

// The terminal is one per process, and so is what stands on its last line.
static atomic_bool progress_shown;

static void print_line(const char *level, const char *text)
{
    char clean[LINE_SIZE];
    espy_cli_progress_clear();
    (void)fprintf(stderr, "espy: %s: %s\n", level, espy_cli_clean(text, clean, sizeof clean));
}

enum cli_exit espy_cli_exit_of(espy_status status)
{
    switch (status) {
    case ESPY_OK:
        return CLI_OK;
    case ESPY_MISMATCH:
        return CLI_MISMATCH;
    case ESPY_NO_DEVICE:
        return CLI_NO_DEVICE;
    default:
        return CLI_FAILED;
    }
}

enum cli_exit espy_cli_fail(const char *format, ...)
{
    char text[LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    print_line("error", text);
    return CLI_FAILED;
}

enum cli_exit espy_cli_fail_message(const struct cli_message *message)
{
    print_line("error", message->text);
    return CLI_FAILED;
}

enum cli_exit espy_cli_usage(const char *command, const char *format, ...)
{
    char text[LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof text) {
        (void)snprintf(text + length, sizeof text - (size_t)length, "; see `espy%s%s --help`",
                       command ? " " : "", command ? command : "");
    }
    print_line("error", text);
    return CLI_USAGE;
}

void espy_cli_warn(const char *format, ...)
{
    char text[LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    print_line("warning", text);
}

void espy_cli_log(void *user, espy_log_level level, const char *message)
{
    static const char *const names[] = {"log", "error", "warning", "info", "debug"};
    (void)user;
    print_line(level <= ESPY_LOG_DEBUG ? names[level] : names[0], message);
}

void espy_cli_progress(const char *format, ...)
{
    if (!isatty(STDERR_FILENO))
        return;
    char text[LINE_SIZE], clean[120];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    // Erase to the end of the line first: the new text may be shorter.
    (void)fprintf(stderr, "\r\033[K%s", espy_cli_clean(text, clean, sizeof clean));
    (void)fflush(stderr);
    atomic_store(&progress_shown, true);
}

void espy_cli_progress_clear(void)
{
    if (atomic_exchange(&progress_shown, false)) {
        (void)fputs("\r\033[K", stderr);
        (void)fflush(stderr);
    }
}

const char *espy_cli_clean(const char *text, char *buffer, size_t size)
{
    size_t length = 0;
    for (; text[length] && length + 1 < size; length++) {
        const unsigned char c = (unsigned char)text[length];
        // 0xC2 followed by 0x80..0x9F is a control character too (C1), and some terminals obey it.
        const bool c1 =
            c >= 0x80 && c < 0xA0 && length > 0 && (unsigned char)text[length - 1] == 0xC2;
        buffer[length] = (c < 0x20 || c == 0x7F || c1) ? '?' : text[length];
    }
    buffer[length] = '\0';
    return buffer;
}

enum cli_exit espy_cli_finish_output(enum cli_exit result)
{
    espy_cli_progress_clear();
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return result;
    const int error = errno;
    return espy_cli_fail("standard output could not be written: %s",
                         error ? strerror(error) : "the reader or the disk refused it");
}
