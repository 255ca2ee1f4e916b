#define _POSIX_C_SOURCE 200809L // mkdir, popen

#include "suites/weights.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suites/suite.h"

#define FAIL(...) return snprintf(error, error_size, __VA_ARGS__), false

static double number_of(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItem(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : -1;
}

// s = (s * 1664525 + 1013904223) mod 2^32 for every element; its upper 24 bits are where between lo
// and hi the element lies.
static void fill(float *elements, size_t count, uint32_t seed, double lo, double hi)
{
    uint32_t state = seed;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525 + 1013904223;
        elements[i] = (float)(lo + (double)(state >> 8) / (1 << 24) * (hi - lo));
    }
}

static bool fill_tensors(const cJSON *json, float *elements, size_t count)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(json, "tensors"))
    {
        const double offset = number_of(item, "offset") / 4, n = number_of(item, "count");
        if (offset < 0 || n < 0 || offset + n > (double)count)
            return false;
        fill(elements + (size_t)offset, (size_t)n, (uint32_t)number_of(item, "seed"),
             cJSON_GetNumberValue(cJSON_GetObjectItem(item, "lo")),
             cJSON_GetNumberValue(cJSON_GetObjectItem(item, "hi")));
    }
    return true;
}

// By sha256sum, which every Debian has and nobody here wrote.
static bool has_digest(const char *path, const char *digest)
{
    char command[1200], line[65] = "";
    snprintf(command, sizeof(command), "sha256sum '%s'", path);
    FILE *output = popen(command, "r");
    if (output == NULL)
        return false;
    const bool read = fread(line, 1, 64, output) == 64;
    while (fgetc(output) != EOF)
        continue;
    return pclose(output) == 0 && read && strcmp(line, digest) == 0;
}

static bool write_file(const char *path, const void *bytes, size_t size)
{
    char temporary[1100];
    snprintf(temporary, sizeof(temporary), "%s.part", path);
    FILE *stream = fopen(temporary, "wb");
    if (stream == NULL)
        return false;
    const bool written = fwrite(bytes, 1, size, stream) == size;
    return fclose(stream) == 0 && written && rename(temporary, path) == 0;
}

static bool make_file(const cJSON *json, const char *path, char *error, size_t error_size)
{
    const cJSON *digest = cJSON_GetObjectItem(json, "sha256");
    const double bytes = number_of(json, "bytes");
    if (bytes < 4 || !cJSON_IsString(digest))
        FAIL("weights.lcg.json has no size or no sha256");
    float *elements = calloc((size_t)bytes / 4, sizeof(*elements));
    if (elements == NULL)
        FAIL("out of memory");
    bool good = fill_tensors(json, elements, (size_t)bytes / 4);
    if (!good)
        snprintf(error, error_size, "weights.lcg.json has a tensor beyond the file's end");
    else if (!write_file(path, elements, (size_t)bytes)) {
        snprintf(error, error_size, "%s cannot be written", path);
        good = false;
    }
    free(elements);
    if (good && !has_digest(path, digest->valuestring))
        FAIL("%s has another sha256 than weights.lcg.json says", path);
    return good;
}

bool espy_suite_make_weights(const char *folder, const char *made, struct arena *arena, char *error,
                             size_t error_size)
{
    char path[1024];
    size_t size = 0;
    snprintf(path, sizeof(path), "%s/model.onnx", folder);
    const void *model = espy_suite_read_bytes(path, arena, &size);
    snprintf(path, sizeof(path), "%s/weights.lcg.json", folder);
    const char *text = espy_suite_read_text(path, arena);
    if (model == NULL || text == NULL)
        FAIL("%s has no model.onnx or no weights.lcg.json", folder);
    if (mkdir(made, 0777) != 0 && errno != EEXIST)
        FAIL("%s cannot be made", made);
    snprintf(path, sizeof(path), "%s/model.onnx", made);
    if (!write_file(path, model, size))
        FAIL("%s cannot be written", path);
    snprintf(path, sizeof(path), "%s/weights.bin", made);
    cJSON *json = cJSON_Parse(text);
    const bool good = make_file(json, path, error, error_size);
    cJSON_Delete(json);
    return good;
}

void espy_suite_remove_weights(const char *made)
{
    static const char *const names[] = {"model.onnx", "model.onnx.part", "weights.bin",
                                        "weights.bin.part"};
    char path[1024];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", made, names[i]);
        remove(path);
    }
    rmdir(made);
}
