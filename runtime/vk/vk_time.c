// How long a stage's dispatches take, by the device's own clock where its queue has one: without
// submitting, waiting, and copies, which are most of a short stage on a GPU with memory of its own.
#include "vk/vk_internal.h"

#include <time.h>

// C has no clock that cannot be set.
static double host_seconds(void)
{
    struct timespec time;
    (void)timespec_get(&time, TIME_UTC);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

// Of the two stamps in the pool.
static espy_status device_seconds(struct vk_device *device, VkQueryPool pool, double *seconds)
{
    struct vk_instance *vk = &device->vk;
    const uint64_t mask = device->clock_bits < 64 ? ((uint64_t)1 << device->clock_bits) - 1
                                                  : UINT64_MAX;
    uint64_t stamps[2] = {0, 0};
    espy_status status = ESPY_OK;
    VK(vk, vk->table.GetQueryPoolResults(device->device, pool, 0, 2, sizeof(stamps), stamps,
                                         sizeof(stamps[0]),
                                         VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT));
    *seconds = (double)((stamps[1] - stamps[0]) & mask) * device->clock_period;
error:
    return status;
}

espy_status espy_vk_program_time(struct vk_program *program, uint32_t stage, uint32_t repeats,
                                 double *seconds)
{
    struct vk_device *device = program->device;
    struct vk_instance *vk = &device->vk;
    const VkQueryPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                        .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                        .queryCount = 2};
    VkQueryPool pool = VK_NULL_HANDLE;
    espy_status status = ESPY_OK;
    if (device->clock_bits > 0)
        VK(vk, vk->table.CreateQueryPool(device->device, &info, NULL, &pool));
    CHECK(espy_vk_commands_record_repeats(program, stage, repeats, pool));
    const double start = host_seconds();
    CHECK(espy_vk_commands_run_once(program));
    *seconds = host_seconds() - start;
    if (pool != VK_NULL_HANDLE)
        CHECK(device_seconds(device, pool, seconds));
    *seconds /= repeats;
error:
    if (pool != VK_NULL_HANDLE) {
        espy_vk_commands_drain(program); // a wait that failed
        vk->table.DestroyQueryPool(device->device, pool, NULL);
    }
    return status;
}
