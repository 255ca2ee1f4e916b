// What measurements have decided: for a kernel's problem, which of its forms (espy_lower_choose) is
// fastest on one device. A table of strings and numbers, and its form in a file. Where it lies and
// who measures is not known here.
#ifndef RUNTIME_PLAN_CHOICES_H_
#define RUNTIME_PLAN_CHOICES_H_

#include "base/base.h"

enum {
    CHOICES_MAX = 1 << 16,
    CHOICES_KEY_MAX = 200, // characters of a key
    CHOICES_FORMS_MAX = 16 // forms of a kernel
};

struct choices_entry {
    char *key; // without spaces; the table's
    uint32_t count, chosen; // chosen < count
};

struct choices {
    const struct host *host;
    uint32_t count, capacity;
    struct choices_entry *entries; // sorted by key
};

void espy_choices_init(struct choices *choices, const struct host *host);
void espy_choices_finish(struct choices *choices); // zeroed is fine
// true: the problem is decided among so many forms. choices NULL: nothing is.
bool espy_choices_find(const struct choices *choices, const char *key, uint32_t count,
                       uint32_t *chosen);
// Adds or replaces.
espy_status espy_choices_set(struct choices *choices, const char *key, uint32_t count,
                             uint32_t chosen);
// Adds or replaces all that `from` has.
espy_status espy_choices_merge(struct choices *choices, const struct choices *from);

// A first line that says which version of the library it is of, then a line per entry.
void espy_choices_write(const struct choices *choices, struct text *text);
// Adds what the bytes say. What another version has written, and what is no such table, is left
// aside with a line of information, and all of it.
espy_status espy_choices_read(struct choices *choices, const char *bytes, size_t size);

#endif // RUNTIME_PLAN_CHOICES_H_
