#include "plan/choices.h"

#include <stdio.h>
#include <string.h>

// What numbers and keys mean is the library's, so a table is of one version of it.
enum { FORMAT_VERSION = 1 };

void espy_choices_init(struct choices *choices, const struct host *host)
{
    *choices = (struct choices){.host = host};
}

void espy_choices_finish(struct choices *choices)
{
    for (uint32_t i = 0; i < choices->count; i++)
        espy_free(choices->host, choices->entries[i].key);
    if (choices->host != NULL)
        espy_free(choices->host, choices->entries);
    *choices = (struct choices){.host = NULL};
}

// The first entry whose key is not less.
static uint32_t lower_bound(const struct choices *choices, const char *key)
{
    uint32_t low = 0, high = choices->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (strcmp(choices->entries[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct choices *choices, uint32_t at, const char *key)
{
    return at < choices->count && strcmp(choices->entries[at].key, key) == 0;
}

bool espy_choices_find(const struct choices *choices, const char *key, uint32_t count,
                       uint32_t *chosen)
{
    if (choices == NULL)
        return false;
    const uint32_t at = lower_bound(choices, key);
    if (!is_at(choices, at, key) || choices->entries[at].count != count)
        return false;
    *chosen = choices->entries[at].chosen;
    return true;
}

espy_status espy_choices_set(struct choices *choices, const char *key, uint32_t count,
                             uint32_t chosen)
{
    const uint32_t at = lower_bound(choices, key);
    if (!is_at(choices, at, key)) {
        if (choices->count == CHOICES_MAX)
            return espy_fail(choices->host, ESPY_UNSUPPORTED, "a table of more than %d choices",
                             CHOICES_MAX);
        TRY(espy_grow(choices->host, &choices->entries, choices->count, &choices->capacity,
                      sizeof(*choices->entries)));
        const size_t size = strlen(key) + 1;
        char *copy = espy_alloc(choices->host, size);
        if (copy == NULL)
            return espy_fail_memory(choices->host, size, "a choice");
        memcpy(copy, key, size);
        memmove(&choices->entries[at + 1], &choices->entries[at],
                (choices->count - at) * sizeof(*choices->entries));
        choices->entries[at] = (struct choices_entry){.key = copy};
        choices->count++;
    }
    choices->entries[at].count = count;
    choices->entries[at].chosen = chosen;
    return ESPY_OK;
}

espy_status espy_choices_merge(struct choices *choices, const struct choices *from)
{
    for (uint32_t i = 0; i < from->count; i++)
        TRY(espy_choices_set(choices, from->entries[i].key, from->entries[i].count,
                             from->entries[i].chosen));
    return ESPY_OK;
}

// ---- as text ------------------------------------------------------------------------------------

static void first_line(char *line, size_t size)
{
    (void)snprintf(line, size, "espy %d.%d.%d choices %d\n", ESPY_VERSION_MAJOR, ESPY_VERSION_MINOR,
                   ESPY_VERSION_PATCH, FORMAT_VERSION);
}

void espy_choices_write(const struct choices *choices, struct text *text)
{
    char line[80];
    first_line(line, sizeof(line));
    espy_text_add(text, "%s", line);
    for (uint32_t i = 0; i < choices->count; i++)
        espy_text_add(text, "%u/%u %s\n", choices->entries[i].chosen, choices->entries[i].count,
                      choices->entries[i].key);
}

// One number of at most two digits and the character after it.
static bool read_number(const char **at, const char *end, char after, uint32_t *number)
{
    const char *p = *at;
    *number = 0;
    while (p < end && p < *at + 2 && *p >= '0' && *p <= '9')
        *number = *number * 10 + (uint32_t)(*p++ - '0');
    if (p == *at || p == end || *p != after)
        return false;
    *at = p + 1;
    return true;
}

// One line, without its end. false: it is none of a table's.
static bool read_line(const char *at, const char *end, struct choices_entry *entry,
                      char key[CHOICES_KEY_MAX + 1])
{
    if (!read_number(&at, end, '/', &entry->chosen) || !read_number(&at, end, ' ', &entry->count) ||
        entry->count > CHOICES_FORMS_MAX || entry->chosen >= entry->count || at == end ||
        end - at > CHOICES_KEY_MAX)
        return false;
    for (const char *p = at; p < end; p++)
        if (*p <= ' ' || *p > '~')
            return false;
    memcpy(key, at, (size_t)(end - at));
    key[end - at] = '\0';
    return true;
}

static espy_status read_lines(struct choices *choices, const char *at, const char *end, bool *good)
{
    char key[CHOICES_KEY_MAX + 1];
    while (at < end) {
        struct choices_entry entry;
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        *good = *good && stop != NULL && choices->count < CHOICES_MAX &&
                read_line(at, stop, &entry, key);
        if (!*good)
            return ESPY_OK;
        TRY(espy_choices_set(choices, key, entry.count, entry.chosen));
        at = stop + 1;
    }
    return ESPY_OK;
}

espy_status espy_choices_read(struct choices *choices, const char *bytes, size_t size)
{
    char line[80];
    struct choices read;
    first_line(line, sizeof(line));
    const size_t length = strlen(line);
    bool good = size >= length && memcmp(bytes, line, length) == 0;
    espy_choices_init(&read, choices->host);
    espy_status status = ESPY_OK;
    if (good)
        status = read_lines(&read, bytes + length, bytes + size, &good);
    if (status == ESPY_OK && good)
        status = espy_choices_merge(choices, &read);
    espy_choices_finish(&read);
    if (!good)
        espy_log(choices->host, ESPY_LOG_INFO,
                 "what `espy tune` has saved is not used: another version has written it");
    return status;
}
