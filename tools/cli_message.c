#include "cli_message.h"

#include <stdarg.h>
#include <stdio.h>

bool espy_message_set(struct cli_message *message, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message->text, sizeof message->text, format, arguments);
    va_end(arguments);
    return false;
}
