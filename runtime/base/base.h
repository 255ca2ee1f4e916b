// What every module shares: the host (allocator and log), arenas, checked sizes, number formats,
// a name map and a text builder. Must not know graphs, operators or Vulkan.
#ifndef RUNTIME_BASE_BASE_H_
#define RUNTIME_BASE_BASE_H_

#include <stdarg.h>

#include "espy/espy.h"

#if defined(__GNUC__)
#define ESPY_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))
#else
#define ESPY_PRINTF(format_index, first)
#endif

// Returns the status of a failing call to the caller; the callee has logged it.
#define TRY(call)                                                                                  \
    do {                                                                                           \
        const espy_status try_status_ = (call);                                                    \
        if (try_status_ != ESPY_OK)                                                                \
            return try_status_;                                                                    \
    } while (0)

// ---- host: the application's allocator and log ---------------------------------------------------

struct host {
    espy_log_fn log; // may be NULL
    void *log_user;
    espy_log_level log_level;
    espy_realloc_fn realloc; // never NULL after espy_host_init
    void *realloc_user;
};

// Fills in C's realloc and the default level where params is NULL or leaves fields zero.
void espy_host_init(struct host *host, const struct espy_context_params *params);
void espy_log(const struct host *host, espy_log_level level, const char *format, ...)
    ESPY_PRINTF(3, 4);
// Logs an error line and returns status, for `return espy_fail(...)`.
espy_status espy_fail(const struct host *host, espy_status status, const char *format, ...)
    ESPY_PRINTF(3, 4);
// Logs "out of memory: <bytes> bytes for <what>" and returns ESPY_OUT_OF_MEMORY.
espy_status espy_fail_memory(const struct host *host, size_t size, const char *what);

// Zeroed memory or NULL. No log: the caller names what it was for. size 0 gives NULL.
void *espy_alloc(const struct host *host, size_t size);
void *espy_alloc_array(const struct host *host, size_t count, size_t element_size);
void *espy_realloc(const struct host *host, void *pointer, size_t size); // new bytes unset
void espy_free(const struct host *host, void *pointer);                  // NULL is fine

// Makes room for one more element in a growing array: doubles *capacity when count has reached it.
// array points to the array pointer. Logs on failure.
espy_status espy_grow(const struct host *host, void *array, uint32_t count, uint32_t *capacity,
                      size_t element_size);

// ---- arena: many small allocations, freed together -------------------------------------------------

struct arena_block;
struct arena {
    const struct host *host;
    struct arena_block *blocks;
    size_t used, room;
    size_t total, size_max; // bytes taken from the host, and the most it may be; 0: no limit
    bool failed; // out of memory; logged once, further calls give NULL until espy_arena_finish
};

void espy_arena_init(struct arena *arena, const struct host *host);
void espy_arena_finish(struct arena *arena); // a zeroed arena is fine
// Empties the arena but keeps a block for what comes next: for scratch needed over and over.
void espy_arena_reset(struct arena *arena);
// Everything in `from` lives as long as `arena` from here on, at the same addresses; from is empty then.
void espy_arena_adopt(struct arena *arena, struct arena *from);
// Zeroed, aligned to 8; NULL when out of memory (logged once). size 0 gives a valid pointer.
void *espy_arena_alloc(struct arena *arena, size_t size);
void *espy_arena_array(struct arena *arena, size_t count, size_t element_size); // overflow: NULL
void *espy_arena_copy(struct arena *arena, const void *bytes, size_t size);
char *espy_arena_string(struct arena *arena, const char *text);
char *espy_arena_format(struct arena *arena, const char *format, ...) ESPY_PRINTF(2, 3);

// ---- checked sizes ---------------------------------------------------------------------------------

// false, *result untouched, on overflow.
bool espy_checked_mul(size_t a, size_t b, size_t *result);
bool espy_checked_add(size_t a, size_t b, size_t *result);

// ---- number formats --------------------------------------------------------------------------------

float espy_half_to_float(uint16_t half);
uint16_t espy_float_to_half(float value); // round to nearest even; too large gives infinity
float espy_bfloat16_to_float(uint16_t bits);
uint16_t espy_float_to_bfloat16(float value); // round to nearest even

// Floats of at most 8 bits: a sign, an exponent and a mantissa, of a few forms.
enum float_special {
    FLOAT_IEEE,               // infinities and NaNs have the largest exponent
    FLOAT_ONE_NAN,            // no infinities; all bits but the sign's set is NaN
    FLOAT_NAN_FOR_MINUS_ZERO, // no infinities; what would be minus zero is NaN
    FLOAT_FINITE,             // neither; NaN becomes the largest number
    FLOAT_POWER               // positive powers of two only: no sign, no zero; 255 is NaN
};
struct float_form {
    int exponent_bits, mantissa_bits, bias;
    enum float_special special;
};
enum float_rounding { FLOAT_NEAREST, FLOAT_UP, FLOAT_DOWN }; // UP, DOWN: of FLOAT_POWER only

double espy_small_to_number(const struct float_form *form, uint8_t bits);
// To nearest even; FLOAT_POWER as asked, ties up. What is too large becomes the largest number when
// it saturates, else infinity or NaN.
uint8_t espy_number_to_small(const struct float_form *form, double value, bool saturate,
                             enum float_rounding rounding);

// CRC-32 (polynomial 0xEDB88320, as in zlib and PNG) of bytes, going on from crc (0 at the start).
uint32_t espy_crc32(uint32_t crc, const void *bytes, size_t size);
// FNV-1a, 64 bit, going on from hash (ESPY_HASH_START at the start).
#define ESPY_HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t espy_hash(uint64_t hash, const void *bytes, size_t size);

// ---- map: string to uint32 --------------------------------------------------------------------------

struct map_slot;
struct map {
    const struct host *host;
    struct map_slot *slots;
    uint32_t count, capacity;
};
#define MAP_NONE UINT32_MAX

void espy_map_init(struct map *map, const struct host *host);
void espy_map_finish(struct map *map);
// Keeps the key pointer, which must live as long as the map. A key already there is replaced.
espy_status espy_map_put(struct map *map, const char *key, uint32_t value);
uint32_t espy_map_get(const struct map *map, const char *key); // MAP_NONE when absent
// The pointer that was put for a key of this text; NULL when absent.
const char *espy_map_key(const struct map *map, const char *key);

// ---- text: a growing string --------------------------------------------------------------------------

struct text {
    const struct host *host;
    char *chars; // NUL-terminated once anything was added
    size_t length, room;
    bool failed; // out of memory; logged once, further calls do nothing
};

void espy_text_init(struct text *text, const struct host *host);
void espy_text_finish(struct text *text);
void espy_text_add(struct text *text, const char *format, ...) ESPY_PRINTF(2, 3);
void espy_text_add_bytes(struct text *text, const char *bytes, size_t size);

#endif // RUNTIME_BASE_BASE_H_
