// Pipelines that ran here before.
//
// Where pipelines are compiled late, the driver keeps the machine code on disk and does not say so.
// A list beside the pipeline cache tells which have run, so that no second core compiles what is
// there already. Where the driver's folder was emptied since, one first run is as slow as without
// that core.
#include "vk/vk_internal.h"

#include <string.h>

enum { KNOWN_MAX = 4096 }; // a file of 32 KiB; the oldest go

static uint64_t pipeline_hash(const struct shader *shader, const void *spec, size_t spec_size)
{
    const uint32_t words = espy_crc32(0, shader->words, shader->words_size);
    uint64_t hash = espy_hash(ESPY_HASH_START, shader->name, strlen(shader->name) + 1);
    hash = espy_hash(hash, &words, sizeof(words));
    return espy_hash(hash, spec, spec_size);
}

static bool has(const uint64_t *hashes, uint32_t count, uint64_t hash)
{
    for (uint32_t i = 0; i < count; i++)
        if (hashes[i] == hash)
            return true;
    return false;
}

espy_status espy_vk_known_init(struct vk_device *device, const char *cache_dir)
{
    const struct host *host = &device->vk.host;
    struct vk_known *known = &device->known;
    size_t size = 0;
    if (!device->compiles_late || device->pipelines.cache_path == NULL) // it has been said why
        return ESPY_OK;
    TRY(espy_vk_cache_file_path(host, cache_dir, &device->cache_key, VK_CACHE_KNOWN, &known->path));
    if (known->path == NULL)
        return ESPY_OK;
    known->hashes =
        espy_vk_cache_file_load(host, known->path, &device->cache_key, VK_CACHE_KNOWN, &size);
    known->count = (uint32_t)(size / sizeof(uint64_t));
    return ESPY_OK;
}

bool espy_vk_known_has(const struct vk_device *device, const struct plan_dispatch *dispatch)
{
    const struct vk_known *known = &device->known;
    return known->count > 0 &&
           has(known->hashes, known->count,
               pipeline_hash(dispatch->shader, dispatch->spec, dispatch->spec_size));
}

// Only warns: a program that worked must not fail at its end.
static void save(struct vk_device *device)
{
    const struct host *host = &device->vk.host;
    const struct vk_pipelines *pipelines = &device->pipelines;
    const struct vk_known *known = &device->known;
    const size_t room = (size_t)known->count + pipelines->count;
    uint32_t count = known->count;
    uint64_t *hashes = room == 0 ? NULL : espy_alloc_array(host, room, sizeof(*hashes));
    if (hashes == NULL) {
        if (room > 0)
            espy_log(host, ESPY_LOG_WARNING,
                     "which pipelines have run was not saved: out of memory");
        return;
    }
    if (count > 0)
        memcpy(hashes, known->hashes, count * sizeof(*hashes));
    for (uint32_t i = 0; i < pipelines->count; i++) {
        const struct vk_pipeline *item = pipelines->items[i];
        if (!item->ran)
            continue;
        const uint64_t hash = pipeline_hash(item->kernel->shader, item->spec, item->spec_size);
        if (!has(hashes, count, hash))
            hashes[count++] = hash;
    }
    const uint32_t over = count > KNOWN_MAX ? count - KNOWN_MAX : 0;
    if (count > known->count)
        espy_vk_cache_file_save(host, known->path, &device->cache_key, VK_CACHE_KNOWN,
                                hashes + over, (count - over) * sizeof(*hashes));
    espy_free(host, hashes);
}

void espy_vk_known_finish(struct vk_device *device)
{
    struct vk_known *known = &device->known;
    if (known->path != NULL && !atomic_load(&device->vk.lost))
        save(device);
    espy_free(&device->vk.host, known->hashes);
    espy_free(&device->vk.host, known->path);
    *known = (struct vk_known){0};
}
