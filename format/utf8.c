#include "format/format_internal.h"

#include <string.h>

size_t espy_format_utf8(const char *text, const char *end)
{
    const unsigned char *byte = (const unsigned char *)text;
    const size_t room = (size_t)(end - text);
    if (byte[0] < 0x80)
        return 1;
    if (byte[0] < 0xc2 || byte[0] > 0xf4)
        return 0; // a continuation byte, an overlong form or beyond U+10FFFF
    const size_t length = byte[0] < 0xe0 ? 2 : byte[0] < 0xf0 ? 3 : 4;
    if (length > room)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((byte[i] & 0xc0) != 0x80)
            return 0;
    if ((byte[0] == 0xe0 && byte[1] < 0xa0) || (byte[0] == 0xf0 && byte[1] < 0x90))
        return 0; // overlong
    if ((byte[0] == 0xed && byte[1] > 0x9f) || (byte[0] == 0xf4 && byte[1] > 0x8f))
        return 0; // a surrogate, or beyond U+10FFFF
    return length;
}

bool espy_format_control(const char *text)
{
    const unsigned char *byte = (const unsigned char *)text;
    return byte[0] < 0x20 || byte[0] == 0x7f || (byte[0] == 0xc2 && byte[1] < 0xa0);
}

const char *espy_format_shown(const char *text, char buffer[FORMAT_TEXT_SHOWN_MAX])
{
    enum { LENGTH_MAX = FORMAT_TEXT_SHOWN_MAX - 4 }; // "..." and NUL
    size_t length = 0;
    if (text == NULL)
        text = "";
    const char *end = text + strlen(text);
    while (text < end) {
        size_t step = espy_format_utf8(text, end);
        const bool bad = step == 0 || espy_format_control(text);
        if (length + (bad ? 1 : step) > LENGTH_MAX) {
            memcpy(buffer + length, "...", 3);
            length += 3;
            break;
        }
        if (bad) {
            buffer[length++] = '?';
            step += step == 0;
        } else {
            memcpy(buffer + length, text, step);
            length += step;
        }
        text += step;
    }
    buffer[length] = '\0';
    return buffer;
}
