#include "base/base.h"

#include <string.h>

struct map_slot {
    const char *key; // NULL: free
    uint32_t value, hash;
};

void espy_map_init(struct map *map, const struct host *host)
{
    *map = (struct map){.host = host};
}

void espy_map_finish(struct map *map)
{
    if (map->slots != NULL)
        espy_free(map->host, map->slots);
    map->slots = NULL;
    map->count = map->capacity = 0;
}

static uint32_t hash_of(const char *key)
{
    return (uint32_t)espy_hash(ESPY_HASH_START, key, strlen(key));
}

static struct map_slot *find_slot(struct map_slot *slots, uint32_t capacity, const char *key,
                                  uint32_t hash)
{
    const uint32_t mask = capacity - 1;
    uint32_t index = hash & mask;
    while (slots[index].key != NULL &&
           (slots[index].hash != hash || strcmp(slots[index].key, key) != 0))
        index = (index + 1) & mask;
    return &slots[index];
}

static espy_status rehash(struct map *map)
{
    enum { FIRST_CAPACITY = 16 };
    if (map->capacity > UINT32_MAX / 2)
        return espy_fail_memory(map->host, SIZE_MAX, "a name table");
    const uint32_t capacity = map->capacity == 0 ? FIRST_CAPACITY : map->capacity * 2;
    struct map_slot *slots = espy_alloc_array(map->host, capacity, sizeof(*slots));
    if (slots == NULL)
        return espy_fail_memory(map->host, capacity * sizeof(*slots), "a name table");
    for (uint32_t i = 0; i < map->capacity; i++)
        if (map->slots[i].key != NULL)
            *find_slot(slots, capacity, map->slots[i].key, map->slots[i].hash) = map->slots[i];
    espy_free(map->host, map->slots);
    map->slots = slots;
    map->capacity = capacity;
    return ESPY_OK;
}

espy_status espy_map_put(struct map *map, const char *key, uint32_t value)
{
    if (map->count >= map->capacity / 4 * 3) // free slots end searches, and hashes keep them cheap
        TRY(rehash(map));
    const uint32_t hash = hash_of(key);
    struct map_slot *slot = find_slot(map->slots, map->capacity, key, hash);
    if (slot->key == NULL)
        map->count++;
    *slot = (struct map_slot){key, value, hash};
    return ESPY_OK;
}

static const struct map_slot *look_up(const struct map *map, const char *key)
{
    return map->capacity == 0 ? NULL : find_slot(map->slots, map->capacity, key, hash_of(key));
}

uint32_t espy_map_get(const struct map *map, const char *key)
{
    const struct map_slot *slot = look_up(map, key);
    return slot == NULL || slot->key == NULL ? MAP_NONE : slot->value;
}

const char *espy_map_key(const struct map *map, const char *key)
{
    const struct map_slot *slot = look_up(map, key);
    return slot == NULL ? NULL : slot->key;
}
