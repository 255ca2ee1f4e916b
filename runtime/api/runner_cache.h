// Runners by what they were made for: the graph, the types of its inputs and the elements that
// shapes depend on. Holds as many as it was told to; the one used longest ago goes.
#ifndef RUNTIME_API_RUNNER_CACHE_H_
#define RUNTIME_API_RUNNER_CACHE_H_

#include "api/runner.h"

struct runner_cache_entry {
    struct runner *runner;
    struct op_type *types; // one per input of the graph
    uint64_t used;         // by runner_cache.clock
};

struct runner_cache {
    const struct host *host;
    uint32_t count, max;
    struct runner_cache_entry *entries; // room for max
    uint64_t clock;
};

espy_status espy_runner_cache_init(struct runner_cache *cache, const struct host *host,
                                   uint32_t max);
void espy_runner_cache_finish(struct runner_cache *cache); // zeroed is fine
// The runner that fits params, made where there is none. It stays the cache's.
espy_status espy_runner_cache_get(struct runner_cache *cache, const struct runner_params *params,
                                  struct runner **runner);
// true: get finds a runner that is there already.
bool espy_runner_cache_has(const struct runner_cache *cache, const struct runner_params *params);
// Device memory in bytes of all runners, as memory_max counts it.
uint64_t espy_runner_cache_memory(const struct runner_cache *cache);

#endif // RUNTIME_API_RUNNER_CACHE_H_
