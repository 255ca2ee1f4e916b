// Rows for subgroups or workgroups to go along together on GPUs: shaders/include/row_group.glsl.
// One invocation to a row, which is right for CPU drivers, reads memory in strides of a row.
#ifndef RUNTIME_OPS_ROW_GROUP_H_
#define RUNTIME_OPS_ROW_GROUP_H_

#include "op/lower.h"

struct row_group {
    uint32_t subgroups; // of a workgroup
    bool together;      // all of them have one row; else each has its own
    uint32_t each;      // elements of one invocation, a power of two
};

// false: rows of this length, whose elements are step apart, are not for these kernels. Where
// elements are not neighbours rows usually are, and then one invocation to a row reads in order.
static inline bool row_group_choose(const struct op_lower *c, int64_t length, int64_t step,
                                    struct row_group *group)
{
    enum { LENGTH_MIN = 8, EACH_USUAL = 8, EACH_MAX = 32, SUBGROUPS_MAX = 8, THREADS = 256 };
    const struct caps *caps = c->caps;
    if (caps->cpu || !caps->subgroup_fixed || length < LENGTH_MIN || step != 1)
        return false;
    const uint32_t lanes = caps->subgroup_size;
    const uint32_t threads = caps->invocations_max < THREADS ? caps->invocations_max : THREADS;
    const uint32_t most = threads / lanes < SUBGROUPS_MAX ? threads / lanes : SUBGROUPS_MAX;
    if (most == 0)
        return false;
    *group = (struct row_group){1, false, 1};
    while (length > (int64_t)EACH_USUAL * lanes * group->subgroups && 2 * group->subgroups <= most)
        group->subgroups *= 2;
    while (length > (int64_t)group->each * lanes * group->subgroups)
        group->each *= 2;
    group->together = group->subgroups > 1;
    if (!group->together)
        group->subgroups = most;
    return group->each <= EACH_MAX;
}

// Fills what row_group.glsl declares, in a struct <kernel>_spec, and the workgroup's size.
#define ROW_GROUP_FILL(c, group, spec)                                      \
    do {                                                                    \
        (spec)->lanes = (c)->caps->subgroup_size;                           \
        (spec)->subgroups = (group)->subgroups;                             \
        (spec)->together = (group)->together;                               \
        (spec)->each = (group)->each;                                       \
        (spec)->local_size_x = (group)->subgroups * (c)->caps->subgroup_size; \
    } while (0)

// Workgroups for so many rows.
static inline void row_group_grid(const struct op_lower *c, const struct row_group *group,
                                  uint32_t rows, uint32_t groups[3])
{
    espy_lower_grid(c, rows, group->together ? 1 : group->subgroups, groups);
}

#endif // RUNTIME_OPS_ROW_GROUP_H_
