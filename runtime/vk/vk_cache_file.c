// What is kept on disk by device and driver: the pipeline cache, what the tuner has decided, and a
// list of pipelines that have run.
// Drivers trust the bytes they are given, so a file is used only when its checksum and the driver's
// identity fit.
#include "vk/vk_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#if defined(_WIN32)
#include <direct.h>
#include <process.h>
#define make_folder(path) _mkdir(path)
#define process_id() _getpid()
#else
#include <sys/stat.h>
#include <unistd.h>
#define make_folder(path) mkdir(path, 0700)
#define process_id() getpid()
#endif

enum { MAGIC_SIZE = 8, CACHE_VERSION = 1, CACHE_SIZE_MAX = 256 << 20 };

// By enum vk_cache_kind.
static const struct cache_kind {
    char magic[MAGIC_SIZE + 1];
    const char *suffix, *noun;
} kinds[] = {{"EspyPipe", ".pipelines", "pipeline cache"},
             {"EspyTune", ".choices", "tuner's file"},
             {"EspyKnow", ".known", "list of pipelines that have run"}};

// As it lies in the file, in the host's byte order: the file never leaves the machine.
struct cache_header {
    char magic[MAGIC_SIZE];
    uint32_t version;
    uint32_t vendor_id, device_id, driver_version;
    uint8_t uuid[VK_UUID_SIZE];
    uint64_t size; // of the driver's data, which follows
    uint32_t crc;  // of the driver's data
    uint32_t reserved;
};
static_assert(sizeof(struct cache_header) == 56, "the header has no padding");

static struct cache_header make_header(const struct vk_cache_key *key, enum vk_cache_kind kind,
                                       const void *data, size_t size)
{
    struct cache_header header = {.version = CACHE_VERSION,
                                  .vendor_id = key->vendor_id,
                                  .device_id = key->device_id,
                                  .driver_version = key->driver_version,
                                  .size = size,
                                  .crc = espy_crc32(0, data, size)};
    memcpy(header.magic, kinds[kind].magic, MAGIC_SIZE);
    memcpy(header.uuid, key->uuid, VK_UUID_SIZE);
    return header;
}

// Creates the folder and those above it. Only the last one has to work out: the others may be
// folders that may not even be listed.
static bool make_folders(char *path)
{
    for (char *p = path + 1; *p != '\0'; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        (void)make_folder(path);
        *p = '/';
    }
    return make_folder(path) == 0 || errno == EEXIST;
}

espy_status espy_vk_cache_file_path(const struct host *host, const char *cache_dir,
                                    const struct vk_cache_key *key, enum vk_cache_kind kind,
                                    char **path)
{
    enum { NAME_SIZE_MAX = 80 };
    const size_t size = strlen(cache_dir) + NAME_SIZE_MAX;
    *path = NULL;
    char *text = espy_alloc(host, size);
    if (text == NULL)
        return espy_fail_memory(host, size, "the path of a file");
    memcpy(text, cache_dir, strlen(cache_dir));
    if (!make_folders(text)) {
        espy_log(host, ESPY_LOG_WARNING, "no %s: cannot create the folder '%s': %s",
                 kinds[kind].noun, cache_dir, strerror(errno));
        espy_free(host, text);
        return ESPY_OK;
    }
    size_t length = strlen(text);
    length += (size_t)snprintf(text + length, size - length, "/%08x-%08x-", key->vendor_id,
                               key->device_id);
    for (size_t i = 0; i < VK_UUID_SIZE; i++)
        length += (size_t)snprintf(text + length, size - length, "%02x", key->uuid[i]);
    snprintf(text + length, size - length, "%s", kinds[kind].suffix);
    *path = text;
    return ESPY_OK;
}

static void *refuse(const struct host *host, const char *path, enum vk_cache_kind kind,
                    const char *why)
{
    espy_log(host, ESPY_LOG_INFO, "the %s '%s' is not used: %s", kinds[kind].noun, path, why);
    return NULL;
}

static void *read_data(const struct host *host, const char *path, FILE *file,
                       const struct vk_cache_key *key, enum vk_cache_kind kind, size_t *size)
{
    struct cache_header header;
    if (fread(&header, sizeof(header), 1, file) != 1)
        return refuse(host, path, kind, "it is too short");
    if (memcmp(header.magic, kinds[kind].magic, MAGIC_SIZE) != 0 || header.version != CACHE_VERSION)
        return refuse(host, path, kind, "it is none of this version");
    if (header.size == 0 || header.size > CACHE_SIZE_MAX)
        return refuse(host, path, kind, "its size is out of range");
    if (header.vendor_id != key->vendor_id || header.device_id != key->device_id ||
        header.driver_version != key->driver_version ||
        memcmp(header.uuid, key->uuid, VK_UUID_SIZE) != 0)
        return refuse(host, path, kind, "it is of another device or driver");
    void *data = espy_alloc(host, (size_t)header.size);
    if (data == NULL)
        return refuse(host, path, kind, "out of memory");
    const bool whole = fread(data, (size_t)header.size, 1, file) == 1 && fgetc(file) == EOF;
    if (!whole || espy_crc32(0, data, (size_t)header.size) != header.crc) {
        espy_free(host, data);
        return refuse(host, path, kind, "it is damaged");
    }
    *size = (size_t)header.size;
    return data;
}

void *espy_vk_cache_file_load(const struct host *host, const char *path,
                              const struct vk_cache_key *key, enum vk_cache_kind kind,
                              size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return NULL; // the first time
    void *data = read_data(host, path, file, key, kind, size);
    fclose(file);
    return data;
}

// A reader, or a writer in another process, sees the old file or the new one, never half of one.
void espy_vk_cache_file_save(const struct host *host, const char *path,
                             const struct vk_cache_key *key, enum vk_cache_kind kind,
                             const void *data, size_t size)
{
    const struct cache_header header = make_header(key, kind, data, size);
    enum { SUFFIX_SIZE_MAX = 64 };
    const size_t name_size = strlen(path) + SUFFIX_SIZE_MAX;
    char *temporary = size > CACHE_SIZE_MAX ? NULL : espy_alloc(host, name_size);
    if (temporary == NULL) {
        espy_log(host, ESPY_LOG_WARNING, "the %s was not saved: %zu bytes",
                 kinds[kind].noun, size);
        return;
    }
    // The address tells threads of one process apart.
    snprintf(temporary, name_size, "%s.%ld.%p.tmp", path, (long)process_id(), data);
    FILE *file = fopen(temporary, "wb");
    bool written = false;
    if (file != NULL) {
        written = fwrite(&header, sizeof(header), 1, file) == 1 && fwrite(data, size, 1, file) == 1;
        written = fclose(file) == 0 && written;
    }
#if defined(_WIN32)
    (void)remove(path); // rename does not replace there
#endif
    if (!written || rename(temporary, path) != 0) {
        espy_log(host, ESPY_LOG_WARNING, "the %s '%s' was not saved: %s", kinds[kind].noun,
                 path, strerror(errno));
        (void)remove(temporary);
    }
    espy_free(host, temporary);
}

// ---- the tuner's --------------------------------------------------------------------------------

void *espy_vk_device_load_choices(const struct vk_device *device, size_t *size)
{
    if (device->choices_path == NULL)
        return NULL;
    return espy_vk_cache_file_load(&device->vk.host, device->choices_path, &device->cache_key,
                                   VK_CACHE_CHOICES, size);
}

void espy_vk_device_save_choices(const struct vk_device *device, const void *data, size_t size)
{
    if (device->choices_path != NULL)
        espy_vk_cache_file_save(&device->vk.host, device->choices_path, &device->cache_key,
                                VK_CACHE_CHOICES, data, size);
}
