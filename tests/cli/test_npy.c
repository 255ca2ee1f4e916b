// Goal: what is written is read back the same, and no file, however made, does more than fail.
// Method: round trips through a temporary file; every truncation and every one-byte change of a
// good file; headers that NumPy would not write.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli_file.h"
#include "cli_number.h"
#include "npy.h"

static void make_path(char path[64])
{
    (void)snprintf(path, 64, "/tmp/espy-npy-%ld.npy", (long)getpid());
}

static size_t make_file(unsigned char *bytes, unsigned version, const char *header,
                        const void *data, size_t data_size)
{
    const size_t length = strlen(header), prefix = version == 1 ? 10 : 12;
    memcpy(bytes, "\x93NUMPY", 6);
    bytes[6] = (unsigned char)version;
    bytes[7] = 0;
    bytes[8] = (unsigned char)(length & 255);
    bytes[9] = (unsigned char)(length >> 8);
    if (version > 1)
        bytes[10] = bytes[11] = 0;
    memcpy(bytes + prefix, header, length);
    if (data_size)
        memcpy(bytes + prefix + length, data, data_size);
    return prefix + length + data_size;
}

static bool parse(const void *bytes, size_t size, struct npy *array, struct cli_message *message)
{
    // A copy of the exact size, so that the sanitizer sees any reading past the end.
    unsigned char *copy = malloc(size ? size : 1);
    cr_assert_not_null(copy);
    memcpy(copy, bytes, size);
    const bool ok = espy_npy_parse("x.npy", copy, size, array, message);
    free(copy);
    return ok;
}

Test(npy, every_type_comes_back)
{
    static const int64_t dims[][3] = {{2, 3, 1}, {0, 5, 1}};
    unsigned char data[64];
    char path[64];
    make_path(path);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 37);
    for (int type = ESPY_FLOAT32; type <= ESPY_BOOL; type++) {
        for (uint32_t rank = 0; rank <= 3; rank++) {
            struct espy_tensor tensor = {.name = "x", .dtype = (espy_dtype)type, .rank = rank};
            struct npy array;
            struct cli_message message;
            size_t count = 1;
            for (uint32_t d = 0; d < rank; d++)
                count *= (size_t)(tensor.dims[d] = dims[type % 2][d]);
            if (type == ESPY_BFLOAT16)
                continue;
            unsigned char bools[] = {0, 1, 1, 0, 1, 1};
            tensor.data = type == ESPY_BOOL ? bools : data;
            tensor.size = count * espy_dtype_size(tensor.dtype);
            cr_assert(espy_npy_write(path, &tensor, &message), "%s", message.text);
            cr_assert(espy_npy_read(path, &array, &message), "%s", message.text);
            cr_expect_eq(array.dtype, tensor.dtype);
            cr_expect_eq(array.rank, rank);
            cr_expect(memcmp(array.dims, tensor.dims, rank * sizeof *dims[0]) == 0);
            cr_assert_eq(array.size, tensor.size);
            cr_expect(memcmp(array.data, tensor.data, array.size) == 0, "type %d", type);
            espy_npy_free(&array);
        }
    }
    (void)unlink(path);
}

Test(npy, bfloat16_is_written_as_float32)
{
    uint16_t values[] = {0x3F80, 0xC000};
    struct espy_tensor tensor = {
        .dtype = ESPY_BFLOAT16, .rank = 1, .dims = {2}, .data = values, .size = sizeof values};
    struct npy array;
    struct cli_message message;
    char path[64];
    make_path(path);
    cr_assert(espy_npy_write(path, &tensor, &message));
    cr_assert(espy_npy_read(path, &array, &message));
    cr_expect_eq(array.dtype, ESPY_FLOAT32);
    cr_expect_eq(((float *)array.data)[0], 1.0f);
    cr_expect_eq(((float *)array.data)[1], -2.0f);
    espy_npy_free(&array);
    (void)unlink(path);
}

Test(npy, reads_what_numpy_may_write)
{
    static const struct {
        unsigned version;
        const char *header;
        unsigned char data[8];
        size_t size;
        espy_dtype dtype;
        uint32_t rank;
    } cases[] = {
        {1,
         "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }  \n",
         {0},
         8,
         ESPY_FLOAT32,
         1},
        {2, "{'descr': '<f8', 'fortran_order': False, 'shape': (), }\n", {0}, 8, ESPY_FLOAT64, 0},
        {3,
         "{\"shape\": (1, 2), \"descr\": \"|u1\", \"fortran_order\": False}",
         {0},
         2,
         ESPY_UINT8,
         2},
        {1, "{'descr':'<V2','fortran_order':False,'shape':(1L,)}", {0}, 2, ESPY_BFLOAT16, 1},
        {1, "{'descr': '|b1', 'fortran_order': False, 'shape': (2, 0), }", {0}, 0, ESPY_BOOL, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char bytes[256];
        struct npy array;
        struct cli_message message = {""};
        const size_t size =
            make_file(bytes, cases[i].version, cases[i].header, cases[i].data, cases[i].size);
        cr_assert(parse(bytes, size, &array, &message), "case %zu: %s", i, message.text);
        cr_expect_eq(array.dtype, cases[i].dtype);
        cr_expect_eq(array.rank, cases[i].rank);
        espy_npy_free(&array);
    }
}

Test(npy, big_endian_is_swapped)
{
    unsigned char bytes[256];
    struct npy array;
    struct cli_message message;
    const size_t size = make_file(
        bytes, 1, "{'descr': '>i4', 'fortran_order': False, 'shape': (1,)}", "\x01\x02\x03\x04", 4);
    cr_assert(parse(bytes, size, &array, &message));
    cr_expect_eq(*(int32_t *)array.data, 0x01020304);
    espy_npy_free(&array);
}

Test(npy, hostile_headers_are_refused)
{
    static const char *const cases[][2] = {
        {"", "dictionary"},
        {"{", "quoted"},
        {"{'descr': '<f4'}", "missing"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}", "repeated"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1)}", "ascontiguousarray"},
        {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': ()}", "fortran_order"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': ()}", "astype"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': ()}", "astype"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}", "records"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "not a number"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1", "not closed"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "too large"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,4)}",
         "shape says"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807,0,)}",
         "too large"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", "dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", "after"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", "unknown"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", "shape says"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char bytes[512];
        struct npy array = {0};
        struct cli_message message = {""};
        const size_t size = make_file(bytes, 1, cases[i][0], "\0\0\0\0", 4);
        cr_expect_not(parse(bytes, size, &array, &message), "%s", cases[i][0]);
        cr_expect_not_null(strstr(message.text, cases[i][1]), "%s: %s", cases[i][0], message.text);
        cr_expect_null(array.data);
    }
}

Test(npy, truncations_and_flips_do_no_harm)
{
    unsigned char bytes[256];
    struct npy array;
    struct cli_message message;
    const size_t size =
        make_file(bytes, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n",
                  "012345678901234567890123", 24);
    for (size_t cut = 0; cut < size; cut++)
        cr_expect_not(parse(bytes, cut, &array, &message), "%zu bytes", cut);
    for (size_t at = 0; at < size; at++) {
        const unsigned char good = bytes[at];
        for (unsigned value = 0; value < 256; value++) {
            bytes[at] = (unsigned char)value;
            if (parse(bytes, size, &array, &message)) {
                cr_expect_leq(array.size, size);
                espy_npy_free(&array);
            }
        }
        bytes[at] = good;
    }
}

Test(npy, types_that_numpy_has_not_are_written_as_others)
{
    static const struct {
        espy_dtype dtype, written;
        unsigned char bytes[2];
        double numbers[3];
    } cases[] = {{ESPY_INT4, ESPY_INT8, {0x98, 0x07}, {-8, -7, 7}},
                 {ESPY_UINT4, ESPY_UINT8, {0x98, 0x07}, {8, 9, 7}},
                 {ESPY_INT2, ESPY_INT8, {0x39, 0}, {1, -2, -1}},
                 {ESPY_UINT2, ESPY_UINT8, {0x39, 0}, {1, 2, 3}},
                 {ESPY_FLOAT4E2M1, ESPY_FLOAT32, {0x2f, 0x07}, {-6, 1, 6}}};
    char path[64];
    make_path(path);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char bytes[2] = {cases[i].bytes[0], cases[i].bytes[1]};
        struct espy_tensor tensor = {.name = "x",
                                     .dtype = cases[i].dtype,
                                     .rank = 1,
                                     .dims = {3},
                                     .data = bytes,
                                     .size = espy_dtype_bits(cases[i].dtype) == 4 ? 2 : 1};
        struct npy array;
        struct cli_message message;
        unsigned char back[2] = {0};
        cr_assert(espy_npy_write(path, &tensor, &message), "%s", message.text);
        cr_assert(espy_npy_read(path, &array, &message), "%s", message.text);
        cr_expect_eq(array.dtype, cases[i].written);
        for (size_t k = 0; k < 3; k++)
            cr_expect_eq(espy_number_get(array.dtype, array.data, k), cases[i].numbers[k]);
        cr_expect(espy_number_is_float(cases[i].dtype) ||
                  espy_number_fits(array.dtype, array.data, 3, cases[i].dtype));
        espy_number_convert(array.dtype, array.data, 3, cases[i].dtype, back);
        cr_expect_eq(memcmp(back, bytes, sizeof back), 0, "%s", espy_dtype_name(cases[i].dtype));
        espy_npy_free(&array);
    }
    static const int8_t too_large = 8;
    cr_expect_not(espy_number_fits(ESPY_INT8, &too_large, 1, ESPY_INT4));
    remove(path);
}

Test(npy, failed_write_leaves_nothing)
{
    float value = 1;
    struct espy_tensor tensor = {.dtype = ESPY_FLOAT32, .data = &value, .size = sizeof value};
    struct cli_message message = {""};
    cr_expect_not(espy_npy_write("/tmp/espy-no-such-folder/x.npy", &tensor, &message));
    cr_expect_not_null(strstr(message.text, "/tmp/espy-no-such-folder/x.npy"));
}

Test(file, a_device_is_written_and_not_replaced)
{
    struct cli_message message = {""};
    const struct cli_part part = {"x", 1};
    cr_expect(espy_file_write("/dev/null", &part, 1, &message), "%s", message.text);
    cr_expect_eq(access("/dev/null", W_OK), 0);
    cr_expect_not(espy_file_write("/dev/full", &part, 1, &message));
    cr_expect_not_null(strstr(message.text, "/dev/full"));
}
