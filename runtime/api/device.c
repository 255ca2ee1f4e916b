#include "api/api_internal.h"

#include <stdlib.h>
#include <string.h>

espy_status espy_device_list(espy_context *context, struct espy_device_info *infos,
                             uint32_t *count)
{
    if (context == NULL)
        return ESPY_INVALID_ARGUMENT;
    if (count == NULL)
        return espy_fail(&context->host, ESPY_INVALID_ARGUMENT, "espy_device_list: count is NULL");
    return espy_vk_device_list(&context->host, infos, count);
}

// $XDG_CACHE_HOME/espy, else $HOME/.cache/espy, else none; from the arena.
static const char *default_cache_dir(struct arena *arena)
{
    const char *base = getenv("XDG_CACHE_HOME");
    if (base != NULL && base[0] == '/')
        return espy_arena_format(arena, "%s/espy", base);
    base = getenv("HOME");
    return base != NULL && base[0] == '/' ? espy_arena_format(arena, "%s/.cache/espy", base)
                                          : NULL;
}

espy_status espy_device_create(espy_context *context, const struct espy_device_params *params,
                               espy_device **device)
{
    if (context == NULL)
        return ESPY_INVALID_ARGUMENT;
    const struct host *host = &context->host;
    if (device == NULL)
        return espy_fail(host, ESPY_INVALID_ARGUMENT, "espy_device_create: device is NULL");
    struct espy_device_params known;
    READ_PARAMS(&known, params);
    espy_device *made = espy_alloc(host, sizeof(*made));
    if (made == NULL)
        return espy_fail_memory(host, sizeof(*made), "a device");
    made->host = *host;
    struct arena arena;
    espy_arena_init(&arena, host);
    const struct vk_device_params vk = {
        .host = &made->host,
        .name = known.name,
        .cache_dir = known.cache_dir != NULL ? known.cache_dir : default_cache_dir(&arena),
        .validation = known.validation,
        .exact = known.exact};
    const espy_status status = espy_vk_device_create(&vk, &made->vk);
    espy_arena_finish(&arena);
    if (status != ESPY_OK) {
        espy_free(host, made);
        return status;
    }
    *device = made;
    return ESPY_OK;
}

void espy_device_destroy(espy_device **device)
{
    if (device == NULL || *device == NULL)
        return;
    espy_vk_device_destroy(&(*device)->vk);
    const struct host host = (*device)->host;
    espy_free(&host, *device);
    *device = NULL;
}

void espy_device_get_info(const espy_device *device, struct espy_device_info *info)
{
    espy_vk_device_info(device->vk, info);
}

uint64_t espy_device_validation_count(const espy_device *device)
{
    return espy_vk_device_validation_count(device->vk);
}
