#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_SIZE_MAX = 1024 };

static void *libc_realloc(void *user, void *pointer, size_t size)
{
    (void)user;
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    return realloc(pointer, size);
}

void espy_host_init(struct host *host, const struct espy_context_params *params)
{
    *host = (struct host){.log_level = ESPY_LOG_WARNING, .realloc = libc_realloc};
    if (params == NULL)
        return;
    host->log = params->log;
    host->log_user = params->log_user;
    if (params->log_level != 0)
        host->log_level = params->log_level;
    if (params->realloc != NULL) {
        host->realloc = params->realloc;
        host->realloc_user = params->realloc_user;
    }
}

static void log_list(const struct host *host, espy_log_level level, const char *format,
                     va_list list)
{
    if (host->log == NULL || level > host->log_level)
        return;
    char message[MESSAGE_SIZE_MAX];
    vsnprintf(message, sizeof(message), format, list);
    host->log(host->log_user, level, message);
}

void espy_log(const struct host *host, espy_log_level level, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    log_list(host, level, format, list);
    va_end(list);
}

espy_status espy_fail(const struct host *host, espy_status status, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    log_list(host, ESPY_LOG_ERROR, format, list);
    va_end(list);
    return status;
}

espy_status espy_fail_memory(const struct host *host, size_t size, const char *what)
{
    return espy_fail(host, ESPY_OUT_OF_MEMORY, "out of memory: %zu bytes for %s", size, what);
}

void *espy_alloc(const struct host *host, size_t size)
{
    if (size == 0)
        return NULL;
    void *pointer = host->realloc(host->realloc_user, NULL, size);
    if (pointer != NULL)
        memset(pointer, 0, size);
    return pointer;
}

void *espy_alloc_array(const struct host *host, size_t count, size_t element_size)
{
    size_t size;
    return espy_checked_mul(count, element_size, &size) ? espy_alloc(host, size) : NULL;
}

void *espy_realloc(const struct host *host, void *pointer, size_t size)
{
    return host->realloc(host->realloc_user, pointer, size);
}

void espy_free(const struct host *host, void *pointer)
{
    if (pointer != NULL)
        host->realloc(host->realloc_user, pointer, 0);
}

espy_status espy_grow(const struct host *host, void *array, uint32_t count, uint32_t *capacity,
                      size_t element_size)
{
    if (count < *capacity)
        return ESPY_OK;
    enum { FIRST_CAPACITY = 16 };
    const uint32_t wanted = *capacity == 0 ? FIRST_CAPACITY : *capacity * 2;
    size_t size;
    if (*capacity > UINT32_MAX / 2 || !espy_checked_mul(wanted, element_size, &size))
        return espy_fail_memory(host, SIZE_MAX, "a growing array");
    void *old;
    memcpy(&old, array, sizeof(old)); // array is a T **, whose T is not known here
    void *grown = espy_realloc(host, old, size);
    if (grown == NULL)
        return espy_fail_memory(host, size, "a growing array");
    memcpy(array, &grown, sizeof(grown));
    *capacity = wanted;
    return ESPY_OK;
}

bool espy_checked_mul(size_t a, size_t b, size_t *result)
{
    if (a != 0 && b > SIZE_MAX / a)
        return false;
    *result = a * b;
    return true;
}

bool espy_checked_add(size_t a, size_t b, size_t *result)
{
    if (b > SIZE_MAX - a)
        return false;
    *result = a + b;
    return true;
}
