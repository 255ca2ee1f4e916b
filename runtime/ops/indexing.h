// What the operators that move elements by indices share: row-major strides and indices that are data.
#ifndef RUNTIME_OPS_INDEXING_H_
#define RUNTIME_OPS_INDEXING_H_

#include "op/lower.h"
#include "op/op.h"

// How many elements of the innermost dimension one invocation takes, so that it decodes its place
// once for all of them. GPUs want neighbours in neighbouring lanes instead.
enum { INDEXING_RUN_CPU = 16, INDEXING_RUN_GPU = 1 };

static inline uint32_t indexing_run(const struct op_lower *c, size_t inner)
{
    const size_t run = c->caps->cpu ? INDEXING_RUN_CPU : INDEXING_RUN_GPU;
    return (uint32_t)(inner < run ? (inner > 0 ? inner : 1) : run);
}

// ceil(count / run)
static inline uint32_t indexing_runs(size_t count, uint32_t run)
{
    return (uint32_t)((count + run - 1) / run);
}

static inline void indexing_strides(const struct shape *shape, int64_t *strides)
{
    int64_t stride = 1;
    for (uint32_t d = shape->rank; d-- > 0;) {
        strides[d] = stride;
        stride *= shape->dims[d];
    }
}

// Turns an index in [-dim, dim) into [0, dim); false: it is outside.
static inline bool indexing_resolve(int64_t index, int64_t dim, int64_t *resolved)
{
    if (index < -dim || index >= dim)
        return false;
    *resolved = index < 0 ? index + dim : index;
    return true;
}

static inline bool indexing_is_index(espy_dtype dtype)
{
    return dtype == ESPY_INT32 || dtype == ESPY_INT64;
}

// dims[from] to dims[to - 1], multiplied.
static inline size_t indexing_product(const struct shape *shape, uint32_t from, uint32_t to)
{
    size_t product = 1;
    for (uint32_t d = from; d < to; d++)
        product *= (size_t)shape->dims[d];
    return product;
}

#endif // RUNTIME_OPS_INDEXING_H_
