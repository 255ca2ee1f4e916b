#include "base/base.h"

#include <stdio.h>
#include <string.h>

enum { ARENA_ALIGNMENT = 8, ARENA_FIRST_SIZE = 1024, ARENA_BLOCK_SIZE = 64 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t size; // of what follows
};
_Static_assert(sizeof(struct arena_block) % ARENA_ALIGNMENT == 0, "block header keeps alignment");

void espy_arena_init(struct arena *arena, const struct host *host)
{
    *arena = (struct arena){.host = host};
}

void espy_arena_finish(struct arena *arena)
{
    while (arena->blocks != NULL) {
        struct arena_block *next = arena->blocks->next;
        espy_free(arena->host, arena->blocks);
        arena->blocks = next;
    }
    arena->used = arena->room = arena->total = 0;
    arena->failed = false;
}

void espy_arena_reset(struct arena *arena)
{
    struct arena_block *block = arena->blocks;
    // Without room the block may be one of its own, which was given whole.
    if (arena->room == 0) {
        espy_arena_finish(arena);
        return;
    }
    struct arena rest = {.host = arena->host, .blocks = block->next};
    espy_arena_finish(&rest);
    unsigned char *bytes = (unsigned char *)(block + 1);
    memset(bytes, 0, arena->used);
    memset(bytes + arena->room, 0, block->size - arena->room);
    block->next = NULL;
    arena->used = 0;
    arena->room = block->size;
    arena->total = block->size + sizeof(*block);
    arena->failed = false;
}

void espy_arena_adopt(struct arena *arena, struct arena *from)
{
    if (from->blocks == NULL)
        return;
    struct arena_block *last = from->blocks;
    while (last->next != NULL)
        last = last->next;
    if (arena->blocks == NULL) {
        arena->blocks = from->blocks;
        arena->used = from->used;
        arena->room = from->room;
    } else { // behind the current block, whose room stays in use
        last->next = arena->blocks->next;
        arena->blocks->next = from->blocks;
    }
    arena->total += from->total;
    from->blocks = NULL;
    from->used = from->room = from->total = 0;
}

// Callers take several pieces and then look at all of them, so only the first failure is logged.
static void *fail(struct arena *arena, size_t size, const char *what)
{
    if (!arena->failed)
        espy_fail_memory(arena->host, size, what);
    arena->failed = true;
    return NULL;
}

// The current block is filled from both ends: up to `used` with what is aligned, and from `room` on
// with text, which then needs no padding.
static struct arena_block *push_block(struct arena *arena, size_t size)
{
    size_t bytes, total = 0;
    struct arena_block *block = NULL;
    if (espy_checked_add(size, sizeof(struct arena_block), &bytes) &&
        espy_checked_add(arena->total, bytes, &total) &&
        (arena->size_max == 0 || total <= arena->size_max))
        block = espy_alloc(arena->host, bytes);
    if (block == NULL)
        return fail(arena, size, "an arena block");
    arena->total = total;
    block->size = size;
    return block;
}

// Blocks grow with the arena, so that a small one does not take much more than it holds.
static bool next_block(struct arena *arena, size_t size)
{
    size_t wanted = arena->total / 2 / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    wanted = wanted < ARENA_FIRST_SIZE ? ARENA_FIRST_SIZE : wanted;
    wanted = wanted > ARENA_BLOCK_SIZE ? ARENA_BLOCK_SIZE : wanted;
    wanted = wanted < size ? size : wanted;
    struct arena_block *block = push_block(arena, wanted);
    if (block == NULL)
        return false;
    block->next = arena->blocks;
    arena->blocks = block;
    arena->used = 0;
    arena->room = wanted;
    return true;
}

void *espy_arena_alloc(struct arena *arena, size_t size)
{
    if (arena->failed || size > SIZE_MAX - ARENA_ALIGNMENT)
        return fail(arena, size, "an arena block");
    size = (size + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    if (size > ARENA_BLOCK_SIZE / 4) {
        // A block of its own goes behind the current one, whose room stays in use.
        struct arena_block *own = push_block(arena, size);
        if (own == NULL)
            return NULL;
        if (arena->blocks == NULL) {
            arena->blocks = own;
            arena->used = arena->room = 0;
        } else {
            own->next = arena->blocks->next;
            arena->blocks->next = own;
        }
        return own + 1;
    }
    // An arena without a block has no address to give, not even for size 0.
    if ((arena->blocks == NULL || arena->room - arena->used < size) && !next_block(arena, size))
        return NULL;
    unsigned char *bytes = (unsigned char *)(arena->blocks + 1) + arena->used;
    arena->used += size;
    return bytes;
}

void *espy_arena_array(struct arena *arena, size_t count, size_t element_size)
{
    size_t size;
    if (!espy_checked_mul(count, element_size, &size))
        return fail(arena, SIZE_MAX, "an array");
    return espy_arena_alloc(arena, size);
}

void *espy_arena_copy(struct arena *arena, const void *bytes, size_t size)
{
    void *copy = espy_arena_alloc(arena, size);
    if (copy != NULL && size > 0)
        memcpy(copy, bytes, size);
    return copy;
}

// Room for text, from the end of the block.
static char *take_chars(struct arena *arena, size_t size)
{
    const size_t rounded = (size + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    if (arena->failed || size > ARENA_BLOCK_SIZE / 4)
        return espy_arena_alloc(arena, size);
    if ((arena->blocks == NULL || arena->room - arena->used < size) && !next_block(arena, rounded))
        return NULL;
    arena->room -= size;
    return (char *)(arena->blocks + 1) + arena->room;
}

char *espy_arena_string(struct arena *arena, const char *text)
{
    const size_t size = strlen(text) + 1;
    char *chars = take_chars(arena, size);
    if (chars != NULL)
        memcpy(chars, text, size);
    return chars;
}

char *espy_arena_format(struct arena *arena, const char *format, ...)
{
    va_list list, again;
    va_start(list, format);
    va_copy(again, list);
    const int length = vsnprintf(NULL, 0, format, list);
    va_end(list);
    char *chars = length < 0 ? NULL : take_chars(arena, (size_t)length + 1);
    if (chars != NULL)
        vsnprintf(chars, (size_t)length + 1, format, again);
    va_end(again);
    return chars;
}
