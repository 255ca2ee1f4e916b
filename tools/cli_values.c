#include "cli_values.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli_number.h"

// What stands in one place of the list. 64-bit integers are not exact as double.
struct cli_value {
    const char *text; // the argument's, for messages
    int length;
    double real;
    int64_t whole;
    bool is_whole;
};

enum { PIECE_SHOWN_MAX = 60, LABELS_SHOWN = 160 };

static int shown(size_t length)
{
    return length < PIECE_SHOWN_MAX ? (int)length : PIECE_SHOWN_MAX;
}

// false: not a number as a person writes it ("nan" and "infinity" are words).
static bool parse_number(const char *text, size_t length, struct cli_value *value)
{
    char copy[64], *end = NULL;
    const size_t sign = length > 0 && strchr("+-", text[0]) != NULL;
    if (length == 0 || length >= sizeof copy || sign >= length)
        return false;
    if (!isdigit((unsigned char)text[sign]) && text[sign] != '.')
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    value->real = strtod(copy, &end);
    if (end != copy + length)
        return false;
    errno = 0;
    value->whole = strtoll(copy, &end, 10);
    value->is_whole = end == copy + length && errno == 0;
    return true;
}

// A label by its exact text, else the only one that differs in case alone.
static bool find_label(const char *text, size_t length, const struct espy_value_info *info,
                       struct cli_value *value)
{
    uint32_t found = info->label_count, matches = 0;
    for (uint32_t i = 0; i < info->label_count; i++) {
        const char *label = info->labels[i];
        if (strlen(label) != length || length == 0)
            continue;
        if (!memcmp(label, text, length)) {
            found = i;
            matches = 1;
            break;
        }
        if (!strncasecmp(label, text, length)) {
            found = i;
            matches++;
        }
    }
    value->real = found;
    value->whole = found;
    value->is_whole = true;
    return matches == 1;
}

const char *espy_labels_print(const struct espy_value_info *info, char *buffer, size_t size)
{
    size_t at = 0;
    buffer[0] = '\0';
    for (uint32_t i = 0; i < info->label_count; i++) {
        const size_t length = strlen(info->labels[i]);
        if (at + length + sizeof ", , ..." > size) {
            (void)snprintf(buffer + at, size - at, "%s...", i ? ", " : "");
            break;
        }
        at += (size_t)snprintf(buffer + at, size - at, "%s%s", i ? ", " : "", info->labels[i]);
    }
    return buffer;
}

static bool take(const char *text, size_t length, bool words, const struct espy_value_info *info,
                 struct cli_values *values, struct cli_message *message)
{
    struct cli_value *value = &values->items[values->count];
    while (length > 0 && isspace((unsigned char)text[0])) {
        text++;
        length--;
    }
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    *value = (struct cli_value){.text = text, .length = shown(length)};
    if (!(words && find_label(text, length, info, value)) && !parse_number(text, length, value)) {
        char labels[LABELS_SHOWN];
        if (info->label_count)
            return espy_message_set(message, "'%.*s' is neither a number nor a label: %s",
                                    shown(length), text,
                                    espy_labels_print(info, labels, sizeof labels));
        return espy_message_set(message, "'%.*s' is no number", shown(length), text);
    }
    values->count++;
    return true;
}

// Every part between separators; blanks count as one where several stand together.
static bool take_all(const char *text, const char *separators, bool words,
                     const struct espy_value_info *info, struct cli_values *values,
                     struct cli_message *message)
{
    const bool blanks = separators[0] == ' ';
    values->count = 0;
    for (const char *at = text;;) {
        at += blanks ? strspn(at, separators) : 0;
        const size_t length = strcspn(at, separators);
        if (blanks && length == 0)
            return values->count > 0 || espy_message_set(message, "there is nothing in it");
        if (!take(at, length, words, info, values, message))
            return false;
        at += length;
        if (!*at)
            return true;
        at++;
    }
}

bool espy_values_parse(const char *text, const struct espy_value_info *info,
                       struct cli_values *values, struct cli_message *message)
{
    *values = (struct cli_values){.items = calloc(strlen(text) + 1, sizeof *values->items)};
    if (!values->items)
        return espy_message_set(message, "out of memory");
    bool ok = take_all(text, ",", false, info, values, message);
    if (!ok && info->label_count && find_label(text, strlen(text), info, &values->items[0])) {
        values->items[0].text = text; // a label with blanks or commas in it
        values->items[0].length = shown(strlen(text));
        values->count = 1;
        ok = true;
    }
    if (!ok && info->label_count)
        ok = take_all(text, strchr(text, ',') ? "," : " \t\n", true, info, values, message);
    if (!ok)
        espy_values_free(values);
    return ok;
}

void espy_values_free(struct cli_values *values)
{
    free(values->items);
    *values = (struct cli_values){0};
}

bool espy_values_store(const struct cli_values *values, const struct espy_value_info *info,
                       void *data, struct cli_message *message)
{
    for (size_t i = 0; i < values->count; i++) {
        const struct cli_value *value = &values->items[i];
        if (espy_number_is_float(info->dtype)) {
            espy_number_set(info->dtype, data, i, value->real);
            continue;
        }
        if (!value->is_whole || !espy_number_fits(ESPY_INT64, &value->whole, 1, info->dtype))
            return espy_message_set(message, "input '%s' takes whole numbers (%s), not '%.*s'",
                                    info->name, espy_dtype_name(info->dtype), value->length,
                                    value->text);
        if (info->label_count && (value->whole < 0 || value->whole >= info->label_count))
            return espy_message_set(message,
                                    "input '%s' takes 0 to %u, as many as it has labels, "
                                    "not %" PRId64,
                                    info->name, info->label_count - 1, value->whole);
        if (espy_dtype_size(info->dtype) == 8)
            ((int64_t *)data)[i] = value->whole;
        else
            espy_number_set(info->dtype, data, i, (double)value->whole);
    }
    return true;
}
