// POSIX for mmap, more for madvise; 64-bit sizes of files on 32-bit systems too.
#define _DEFAULT_SOURCE
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include "format/format.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#if !defined(_WIN32)
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

// Room for size bytes from an address that is a multiple of 64; *allocation is what to free.
static unsigned char *alloc_aligned(const struct host *host, size_t size, void **allocation)
{
    size_t padded;
    *allocation = NULL;
    if (espy_checked_add(size, FORMAT_TENSOR_ALIGNMENT, &padded))
        *allocation = espy_alloc(host, padded);
    if (*allocation == NULL) {
        espy_fail_memory(host, size, "a file's bytes");
        return NULL;
    }
    unsigned char *bytes = *allocation;
    return bytes + (FORMAT_TENSOR_ALIGNMENT - (uintptr_t)bytes % FORMAT_TENSOR_ALIGNMENT) %
                       FORMAT_TENSOR_ALIGNMENT;
}

static espy_status read_stream(const struct host *host, const char *path, FILE *stream,
                               struct format_file *file)
{
    enum { FIRST_ROOM = 1 << 16 };
    size_t room = FIRST_ROOM, used = 0;
    unsigned char *bytes = alloc_aligned(host, room, &file->allocation);
    while (bytes != NULL) {
        used += fread(bytes + used, 1, room - used, stream);
        if (used < room)
            break;
        void *old = file->allocation;
        room = room > SIZE_MAX / 2 ? SIZE_MAX : room * 2;
        unsigned char *larger = alloc_aligned(host, room, &file->allocation);
        if (larger != NULL)
            memcpy(larger, bytes, used);
        espy_free(host, old);
        bytes = larger;
    }
    if (bytes == NULL)
        return ESPY_OUT_OF_MEMORY;
    if (ferror(stream)) {
        const int error = errno;
        espy_free(host, file->allocation);
        file->allocation = NULL;
        return espy_fail(host, ESPY_IO_ERROR, "%s: cannot be read: %s", path, strerror(error));
    }
    file->bytes = bytes;
    file->size = used;
    return ESPY_OK;
}

#if defined(_WIN32)

espy_status espy_format_file_open(const struct host *host, const char *path,
                                  struct format_file *file)
{
    *file = (struct format_file){.host = host};
    FILE *stream = fopen(path, "rb");
    if (stream == NULL)
        return espy_fail(host, ESPY_IO_ERROR, "%s: cannot be opened: %s", path, strerror(errno));
    const espy_status status = read_stream(host, path, stream, file);
    fclose(stream);
    return status;
}

void espy_format_file_close(struct format_file *file)
{
    espy_free(file->host, file->allocation);
    *file = (struct format_file){0};
}

void espy_format_file_forget(const struct format_file *file, const void *data, size_t size)
{
    (void)file;
    (void)data;
    (void)size;
}

#else

// Maps a file that is a plain one with something in it; leaves *file alone where that fails.
static void map_file(int descriptor, const struct stat *info, struct format_file *file)
{
    if (!S_ISREG(info->st_mode) || info->st_size <= 0 || (uintmax_t)info->st_size > SIZE_MAX)
        return;
    const size_t size = (size_t)info->st_size;
    void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (bytes == MAP_FAILED)
        return;
    file->bytes = bytes;
    file->size = size;
    file->mapped = true;
}

espy_status espy_format_file_open(const struct host *host, const char *path,
                                  struct format_file *file)
{
    *file = (struct format_file){.host = host};
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return espy_fail(host, ESPY_IO_ERROR, "%s: cannot be opened: %s", path, strerror(errno));
    struct stat info;
    if (fstat(descriptor, &info) == 0)
        map_file(descriptor, &info, file);
    if (file->mapped) {
        close(descriptor); // the mapping stays
        return ESPY_OK;
    }
    // A pipe can be opened once only, so it is read through this descriptor.
    FILE *stream = fdopen(descriptor, "rb");
    if (stream == NULL) {
        const int error = errno;
        close(descriptor);
        return espy_fail(host, ESPY_IO_ERROR, "%s: cannot be read: %s", path, strerror(error));
    }
    const espy_status status = read_stream(host, path, stream, file);
    fclose(stream);
    return status;
}

void espy_format_file_close(struct format_file *file)
{
    if (file->mapped)
        munmap((void *)(uintptr_t)file->bytes, file->size); // the mapping is ours to end
    espy_free(file->host, file->allocation);
    *file = (struct format_file){0};
}

void espy_format_file_forget(const struct format_file *file, const void *data, size_t size)
{
#if defined(MADV_DONTNEED)
    const long page = sysconf(_SC_PAGESIZE);
    const uintptr_t base = (uintptr_t)file->bytes, first = (uintptr_t)data;
    if (!file->mapped || page <= 0 || first < base || first - base > file->size ||
        size > file->size - (first - base))
        return;
    const uintptr_t unit = (uintptr_t)page;
    const uintptr_t begin = (first + unit - 1) / unit * unit, end = (first + size) / unit * unit;
    if (begin < end) // the mapping is private, read-only and of a file: nothing is lost
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
#else
    (void)file;
    (void)data;
    (void)size;
#endif
}

#endif
