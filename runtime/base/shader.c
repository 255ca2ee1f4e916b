#include "base/shader.h"

#include <string.h>

bool espy_shader_same(const struct shader *a, const struct shader *b)
{
    return a == b || (a->words_size == b->words_size && strcmp(a->name, b->name) == 0 &&
                      memcmp(a->words, b->words, a->words_size) == 0);
}
