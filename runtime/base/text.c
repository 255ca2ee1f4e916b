#include "base/base.h"

#include <stdio.h>
#include <string.h>

void espy_text_init(struct text *text, const struct host *host)
{
    *text = (struct text){.host = host};
}

void espy_text_finish(struct text *text)
{
    if (text->chars != NULL)
        espy_free(text->host, text->chars);
    text->chars = NULL;
    text->length = text->room = 0;
}

static bool reserve(struct text *text, size_t more)
{
    size_t needed;
    if (text->failed)
        return false;
    if (espy_checked_add(text->length, more, &needed) && needed < text->room)
        return true;
    const size_t room = needed < 128 ? 256 : needed * 2;
    char *chars = needed > SIZE_MAX / 4 ? NULL : espy_realloc(text->host, text->chars, room);
    if (chars == NULL) {
        espy_fail_memory(text->host, room, "a text");
        text->failed = true;
        return false;
    }
    text->chars = chars;
    text->room = room;
    return true;
}

void espy_text_add_bytes(struct text *text, const char *bytes, size_t size)
{
    if (size == SIZE_MAX || !reserve(text, size + 1))
        return;
    memcpy(text->chars + text->length, bytes, size);
    text->length += size;
    text->chars[text->length] = '\0';
}

void espy_text_add(struct text *text, const char *format, ...)
{
    va_list list, again;
    va_start(list, format);
    va_copy(again, list);
    const int length = vsnprintf(NULL, 0, format, list);
    va_end(list);
    if (length >= 0 && reserve(text, (size_t)length + 1)) {
        vsnprintf(text->chars + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
}
