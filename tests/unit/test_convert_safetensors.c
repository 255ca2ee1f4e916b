// Goal: a safetensors file gives exactly the tensors that it says, and a damaged one is refused.
// Method: the shared files against sums made elsewhere, and small headers with one fault each.
#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "convert/safetensors.h"
#include "op/op.h"
#include "support/test_host.h"

static char *read_file(const char *path)
{
    FILE *stream = fopen(path, "rb");
    if (stream == NULL)
        return NULL;
    fseek(stream, 0, SEEK_END);
    const long size = ftell(stream);
    rewind(stream);
    char *text = calloc(1, (size_t)size + 1);
    cr_assert_not_null(text);
    cr_assert_eq(fread(text, 1, (size_t)size, stream), (size_t)size);
    fclose(stream);
    return text;
}

static void compare_tensor(const char *path, const struct safetensor *tensor, const cJSON *wanted)
{
    double sum = 0, magnitude = 0;
    const size_t element = espy_dtype_size(tensor->dtype);
    cr_expect_str_eq(tensor->type_name,
                     cJSON_GetObjectItemCaseSensitive(wanted, "dtype")->valuestring);
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(wanted, "shape");
    cr_assert_eq((int)tensor->shape.rank, cJSON_GetArraySize(shape));
    for (uint32_t d = 0; d < tensor->shape.rank; d++)
        cr_expect_eq((double)tensor->shape.dims[d], cJSON_GetArrayItem(shape, (int)d)->valuedouble);
    for (size_t i = 0; i < tensor->size / element; i++) {
        _Alignas(8) unsigned char bytes[8];
        memcpy(bytes, (const unsigned char *)tensor->data + i * element, element);
        const struct tensor one = {.type = {tensor->dtype, {.rank = 0}}, .count = 1, .data = bytes};
        sum += espy_tensor_number(&one, 0);
        magnitude += fabs(espy_tensor_number(&one, 0));
    }
    const double wanted_sum = cJSON_GetObjectItemCaseSensitive(wanted, "sum")->valuedouble;
    const double wanted_abs = cJSON_GetObjectItemCaseSensitive(wanted, "abs")->valuedouble;
    const double tolerance = 1e-9 * (1 + wanted_abs);
    cr_expect_float_eq(sum, wanted_sum, tolerance, "%s: %s", path, tensor->name);
    cr_expect_float_eq(magnitude, wanted_abs, tolerance, "%s: %s", path, tensor->name);
}

static void compare_file(const char *folder, const char *stem)
{
    char path[512], sums[512];
    struct test_host host;
    struct safetensors file;
    espy_test_host_init(&host);
    snprintf(path, sizeof(path), "%s/%s.safetensors", folder, stem);
    snprintf(sums, sizeof(sums), "%s/%s.tensors.json", folder, stem);
    cr_assert_eq(espy_safetensors_open(&host.host, path, &file), ESPY_OK, "%s", host.last_error);
    char *text = read_file(sums);
    cJSON *root = text == NULL ? NULL : cJSON_Parse(text);
    const cJSON *item;
    if (root != NULL)
        cr_expect_eq((int)file.count, cJSON_GetArraySize(root));
    cJSON_ArrayForEach(item, root)
    {
        const struct safetensor *tensor = espy_safetensors_find(&file, item->string);
        cr_assert_not_null(tensor, "%s has no %s", path, item->string);
        compare_tensor(path, tensor, item);
    }
    cr_expect_null(espy_safetensors_find(&file, "no such tensor"));
    cJSON_Delete(root);
    free(text);
    espy_safetensors_close(&file);
    cr_expect_eq(host.live_count, 0);
}

Test(convert_safetensors, shared_files_have_the_sums_noted_beside_them)
{
    static const char folder[] = ESPY_SOURCE_DIR "/../shared/safetensors";
    static const char ending[] = ".safetensors";
    DIR *directory = opendir(folder);
    if (directory == NULL) {
        fprintf(stderr, "skipped: %s is not there\n", folder);
        return;
    }
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        char stem[256];
        const size_t length = strlen(entry->d_name), end = sizeof(ending) - 1;
        if (length < end || strcmp(entry->d_name + length - end, ending) != 0)
            continue;
        snprintf(stem, sizeof(stem), "%.*s", (int)(length - end), entry->d_name);
        compare_file(folder, stem);
    }
    closedir(directory);
}

// ---- damaged files ------------------------------------------------------------------------------

static espy_status open_bytes(struct test_host *host, const void *bytes, size_t size,
                              struct safetensors *file)
{
    char path[64];
    snprintf(path, sizeof(path), "/tmp/espy_%p.safetensors", (const void *)host);
    FILE *stream = fopen(path, "wb");
    cr_assert_not_null(stream);
    fwrite(bytes, 1, size, stream);
    fclose(stream);
    espy_test_host_init(host);
    const espy_status status = espy_safetensors_open(&host->host, path, file);
    remove(path);
    return status;
}

static espy_status open_header(struct test_host *host, const char *header, size_t data_size,
                               struct safetensors *file)
{
    unsigned char bytes[1024] = {0};
    const size_t length = strlen(header);
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(length >> 8 * i);
    memcpy(bytes + 8, header, length);
    return open_bytes(host, bytes, 8 + length + data_size, file);
}

#define TENSOR(name, begin, end) \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[" begin "," end "]}"

Test(convert_safetensors, good_headers_are_read)
{
    static const struct {
        const char *header;
        size_t size;
        uint32_t count;
    } good[] = {
        {"{}", 0, 0},
        {"{\"__metadata__\":{\"format\":\"pt\"}}   ", 0, 0},
        {"{" TENSOR("b", "4", "8") "," TENSOR("a", "0", "4") "}", 8, 2},
        {"{\"e\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[0,0]}}", 0, 1},
        {"{\"s\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}}", 8, 1},
        {"{\"q\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[0,3]}}", 3, 1},
        {"{\"u\":{\"dtype\":\"C64\",\"shape\":[3],\"data_offsets\":[0,24]}}", 24,
         1}, // not a type here
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct test_host host;
        struct safetensors file;
        cr_assert_eq(open_header(&host, good[i].header, good[i].size, &file), ESPY_OK, "%s: %s",
                     good[i].header, host.last_error);
        cr_expect_eq(file.count, good[i].count);
        espy_safetensors_close(&file);
        cr_expect_eq(host.live_count, 0);
    }
}

Test(convert_safetensors, faulty_headers_are_refused)
{
    static const struct {
        const char *header;
        size_t size;
    } bad[] = {
        {"", 0},
        {"[]", 0},
        {"{", 0},
        {"{} x", 0},
        {"{}", 4}, // bytes that belong to nothing
        {"{" TENSOR("a", "0", "4") "," TENSOR("a", "4", "8") "}", 8},
        {"{" TENSOR("a", "0", "4") "," TENSOR("b", "0", "4") "}", 4},
        {"{" TENSOR("a", "0", "4") "," TENSOR("b", "8", "12") "}", 12},
        {"{" TENSOR("a", "4", "8") "}", 8},
        {"{" TENSOR("a", "0", "8") "}", 8},
        {"{" TENSOR("a", "0", "4") "}", 3},
        {"{" TENSOR("a", "4", "0") "}", 4},
        {"{" TENSOR("a", "-4", "0") "}", 4},
        {"{" TENSOR("a", "0.5", "4.5") "}", 4},
        {"{" TENSOR("a", "0", "1e300") "}", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"more\":1}}", 4},
        {"{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,4]}}", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[9007199254740992,9007199254740992],"
         "\"data_offsets\":[0,4]}}",
         4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4},
        {"{\"a\":{\"dtype\":\"F8_E5M2\",\"shape\":[3],\"data_offsets\":[0,4]}}", 4},
        {"{\"a\":7}", 0},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct test_host host;
        struct safetensors file;
        cr_expect_eq(open_header(&host, bad[i].header, bad[i].size, &file), ESPY_BAD_FORMAT, "%s",
                     bad[i].header);
        cr_expect_eq(host.error_count, 1, "%s", bad[i].header);
        cr_expect_eq(host.live_count, 0, "%s", bad[i].header);
    }
}

Test(convert_safetensors, headers_longer_than_the_file_are_refused)
{
    static const unsigned char lengths[][8] = {
        {3}, {0, 0, 0, 0, 0, 0, 0, 0x80}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    for (size_t i = 0; i < 3; i++) {
        struct test_host host;
        struct safetensors file;
        unsigned char bytes[10] = {0, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
        memcpy(bytes, lengths[i], 8);
        cr_expect_eq(open_bytes(&host, bytes, sizeof(bytes), &file), ESPY_BAD_FORMAT);
        cr_expect_eq(open_bytes(&host, bytes, i, &file), ESPY_BAD_FORMAT);
        cr_expect_eq(host.live_count, 0);
    }
}
