#include "api/runner_cache.h"

#include <string.h>

espy_status espy_runner_cache_init(struct runner_cache *cache, const struct host *host,
                                   uint32_t max)
{
    *cache = (struct runner_cache){.host = host, .max = max};
    cache->entries = espy_alloc_array(host, max, sizeof(*cache->entries));
    return cache->entries == NULL ? espy_fail_memory(host, max * sizeof(*cache->entries), "plans")
                                  : ESPY_OK;
}

static void drop(struct runner_cache *cache, struct runner_cache_entry *entry)
{
    espy_runner_destroy(&entry->runner);
    espy_free(cache->host, entry->types);
    *entry = cache->entries[--cache->count];
}

void espy_runner_cache_finish(struct runner_cache *cache)
{
    while (cache->count > 0)
        drop(cache, &cache->entries[cache->count - 1]);
    if (cache->host != NULL)
        espy_free(cache->host, cache->entries);
    *cache = (struct runner_cache){.host = NULL};
}

static bool fits(const struct runner_cache_entry *entry, const struct runner_params *params)
{
    if (entry->runner->graph != params->graph)
        return false;
    for (uint32_t i = 0; i < params->graph->input_count; i++) {
        const struct op_type *own = &entry->types[i], *wanted = &params->inputs[i];
        if (own->dtype != wanted->dtype || !espy_shape_equal(&own->shape, &wanted->shape))
            return false;
        // Where shapes depend on an input's elements, a plan is for these elements only.
        const struct tensor *known = &entry->runner->first->plan.input_values[i];
        const void *data = params->input_data == NULL ? NULL : params->input_data[i];
        if (known->data != NULL &&
            (data == NULL || memcmp(known->data, data, espy_tensor_size(known)) != 0))
            return false;
    }
    return true;
}

static espy_status add(struct runner_cache *cache, const struct runner_params *params,
                       struct runner_cache_entry **added)
{
    if (cache->count == cache->max) {
        struct runner_cache_entry *oldest = &cache->entries[0];
        for (uint32_t i = 1; i < cache->count; i++)
            if (cache->entries[i].used < oldest->used)
                oldest = &cache->entries[i];
        drop(cache, oldest);
    }
    // One more byte than needed: a graph without inputs has a key too.
    const size_t size = params->graph->input_count * sizeof(struct op_type) + 1;
    struct runner_cache_entry entry = {.types = espy_alloc(cache->host, size)};
    if (entry.types == NULL)
        return espy_fail_memory(cache->host, size, "a plan");
    memcpy(entry.types, params->inputs, size - 1);
    struct runner_params own = *params;
    own.inputs = entry.types;
    const espy_status status = espy_runner_create(&own, &entry.runner);
    if (status != ESPY_OK) {
        espy_free(cache->host, entry.types);
        return status;
    }
    cache->entries[cache->count] = entry;
    *added = &cache->entries[cache->count++];
    return ESPY_OK;
}

static struct runner_cache_entry *find(const struct runner_cache *cache,
                                       const struct runner_params *params)
{
    for (uint32_t i = 0; i < cache->count; i++)
        if (fits(&cache->entries[i], params))
            return &cache->entries[i];
    return NULL;
}

bool espy_runner_cache_has(const struct runner_cache *cache, const struct runner_params *params)
{
    return find(cache, params) != NULL;
}

espy_status espy_runner_cache_get(struct runner_cache *cache, const struct runner_params *params,
                                  struct runner **runner)
{
    struct runner_cache_entry *entry = find(cache, params);
    if (entry == NULL)
        TRY(add(cache, params, &entry));
    entry->used = ++cache->clock;
    *runner = entry->runner;
    return ESPY_OK;
}

uint64_t espy_runner_cache_memory(const struct runner_cache *cache)
{
    uint64_t memory = 0;
    for (uint32_t i = 0; i < cache->count; i++)
        memory += espy_runner_memory(cache->entries[i].runner);
    return memory;
}
