#include "npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_file.h"
#include "cli_number.h"
#include "format/graph.h"

#define NPY_MAGIC "\x93NUMPY"
enum { MAGIC_SIZE = 6, PREFIX_SIZE = 10, HEADER_ALIGNMENT = 64 };
#define FILE_SIZE_MAX ((size_t)1 << 40)

// NumPy's kind letter and item size for each type, in the order of espy_dtype.
static const struct {
    char kind;
    unsigned size;
} npy_types[] = {
    [ESPY_FLOAT32] = {'f', 4}, [ESPY_FLOAT16] = {'f', 2}, [ESPY_BFLOAT16] = {'V', 2},
    [ESPY_FLOAT64] = {'f', 8}, [ESPY_INT8] = {'i', 1},    [ESPY_UINT8] = {'u', 1},
    [ESPY_INT16] = {'i', 2},   [ESPY_UINT16] = {'u', 2},  [ESPY_INT32] = {'i', 4},
    [ESPY_UINT32] = {'u', 4},  [ESPY_INT64] = {'i', 8},   [ESPY_UINT64] = {'u', 8},
    [ESPY_BOOL] = {'b', 1},
};

static bool host_is_little(void)
{
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 1;
}

// The header is a Python dictionary; this reads the few forms that NumPy writes.
struct reader {
    const char *at, *end;
    const char *name;
    struct cli_message *message;
};

static bool refuse(struct reader *reader, const char *what)
{
    return espy_message_set(reader->message, "%s: damaged .npy header: %s", reader->name, what);
}

static void skip_spaces(struct reader *reader)
{
    while (reader->at < reader->end && strchr(" \t\r\n", *reader->at) && *reader->at)
        reader->at++;
}

static bool take(struct reader *reader, char wanted)
{
    skip_spaces(reader);
    if (reader->at == reader->end || *reader->at != wanted)
        return false;
    reader->at++;
    return true;
}

static bool take_word(struct reader *reader, const char *word)
{
    const size_t length = strlen(word);
    skip_spaces(reader);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0)
        return false;
    reader->at += length;
    return true;
}

// A quoted string without escapes, cut to room; NumPy's own strings are short.
static bool take_string(struct reader *reader, char *text, size_t room)
{
    skip_spaces(reader);
    if (reader->at == reader->end || (*reader->at != '\'' && *reader->at != '"'))
        return refuse(reader, "a quoted string is missing");
    const char quote = *reader->at++;
    size_t length = 0;
    while (reader->at < reader->end && *reader->at != quote) {
        if (*reader->at == '\\' || length + 1 >= room)
            return refuse(reader, "a string that NumPy does not write");
        text[length++] = *reader->at++;
    }
    if (reader->at == reader->end)
        return refuse(reader, "an open string");
    reader->at++;
    text[length] = '\0';
    return true;
}

static bool read_descr(struct reader *reader, struct npy *array, bool *swap)
{
    char text[16];
    skip_spaces(reader);
    if (reader->at < reader->end && *reader->at == '[')
        return espy_message_set(reader->message,
                                "%s: has records; save one field of them, as a plain array",
                                reader->name);
    if (!take_string(reader, text, sizeof text))
        return false;
    if (strlen(text) >= 3 && strchr("<>|=", text[0])) {
        char *end = NULL;
        const unsigned long size = strtoul(text + 2, &end, 10);
        for (size_t i = 1; *end == '\0' && i < sizeof npy_types / sizeof *npy_types; i++) {
            if (npy_types[i].kind != text[1] || npy_types[i].size != size)
                continue;
            array->dtype = (espy_dtype)i;
            *swap = size > 1 && text[0] == (host_is_little() ? '>' : '<');
            return true;
        }
    }
    return espy_message_set(reader->message,
                            "%s: element type '%s' is not supported; save it with "
                            "array.astype('float32') or another plain number type",
                            reader->name, text);
}

static bool read_order(struct reader *reader)
{
    if (take_word(reader, "False"))
        return true;
    if (take_word(reader, "True"))
        return espy_message_set(reader->message,
                                "%s: is in Fortran order; save it with "
                                "numpy.ascontiguousarray(array)",
                                reader->name);
    return refuse(reader, "fortran_order is neither True nor False");
}

static bool read_shape(struct reader *reader, struct npy *array)
{
    if (!take(reader, '('))
        return refuse(reader, "shape is not a tuple");
    while (!take(reader, ')')) {
        int64_t dim = 0;
        const char *start = reader->at;
        for (; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++) {
            if (dim > (INT64_MAX - 9) / 10)
                return refuse(reader, "a dimension is too large");
            dim = dim * 10 + (*reader->at - '0');
        }
        if (reader->at == start)
            return refuse(reader, "a dimension is not a number");
        (void)(reader->at < reader->end && *reader->at == 'L' && reader->at++); // Python 2
        if (array->rank == ESPY_RANK_MAX)
            return espy_message_set(reader->message, "%s: more than %d dimensions", reader->name,
                                    ESPY_RANK_MAX);
        array->dims[array->rank++] = dim;
        if (!take(reader, ',') && !(reader->at < reader->end && *reader->at == ')'))
            return refuse(reader, "the shape is not closed");
    }
    return true;
}

static bool read_header(struct reader *reader, struct npy *array, bool *swap)
{
    enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
    unsigned seen = 0;
    if (!take(reader, '{'))
        return refuse(reader, "it is not a dictionary");
    while (!take(reader, '}')) {
        char key[32];
        if (!take_string(reader, key, sizeof key))
            return false;
        if (!take(reader, ':'))
            return refuse(reader, "a colon is missing");
        const unsigned bit = !strcmp(key, "descr")           ? DESCR
                             : !strcmp(key, "fortran_order") ? ORDER
                             : !strcmp(key, "shape")         ? SHAPE
                                                             : 0;
        if (!bit || (seen & bit))
            return refuse(reader, "an unknown or repeated key");
        seen |= bit;
        const bool ok = bit == DESCR   ? read_descr(reader, array, swap)
                        : bit == ORDER ? read_order(reader)
                                       : read_shape(reader, array);
        if (!ok)
            return false;
        if (!take(reader, ',')) {
            if (!take(reader, '}'))
                return refuse(reader, "the dictionary is not closed");
            break;
        }
    }
    skip_spaces(reader);
    if (reader->at != reader->end)
        return refuse(reader, "text after the dictionary");
    return seen == (DESCR | ORDER | SHAPE) ||
           refuse(reader, "descr, fortran_order or shape is missing");
}

// Finds header and payload. *header_size includes the magic.
static bool find_header(const char *name, const unsigned char *bytes, size_t size,
                        struct reader *reader, size_t *header_size, struct cli_message *message)
{
    if (!espy_npy_is(bytes, size))
        return espy_message_set(message, "%s: not an .npy file", name);
    const unsigned version = size > MAGIC_SIZE ? bytes[MAGIC_SIZE] : 0;
    const size_t prefix = version == 1 ? PREFIX_SIZE : PREFIX_SIZE + 2;
    if (size < prefix)
        return espy_message_set(message, "%s: cut off in its .npy header", name);
    if (version < 1 || version > 3)
        return espy_message_set(message, "%s: .npy version %u; versions 1 to 3 are known", name,
                                version);
    size_t length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (version > 1)
        length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (length > NPY_HEADER_SIZE_MAX)
        return espy_message_set(message, "%s: .npy header larger than %d bytes", name,
                                NPY_HEADER_SIZE_MAX);
    if (length > size - prefix)
        return espy_message_set(message, "%s: cut off in its .npy header", name);
    *header_size = prefix + length;
    *reader = (struct reader){.at = (const char *)bytes + prefix,
                              .end = (const char *)bytes + prefix + length,
                              .name = name,
                              .message = message};
    return true;
}

static void swap_elements(unsigned char *bytes, size_t size, size_t element)
{
    for (size_t at = 0; at + element <= size; at += element) {
        for (size_t i = 0; i < element / 2; i++) {
            const unsigned char other = bytes[at + i];
            bytes[at + i] = bytes[at + element - 1 - i];
            bytes[at + element - 1 - i] = other;
        }
    }
}

bool espy_npy_is(const void *bytes, size_t size)
{
    return size >= MAGIC_SIZE && !memcmp(bytes, NPY_MAGIC, MAGIC_SIZE);
}

bool espy_npy_parse(const char *name, const void *bytes, size_t size, struct npy *array,
                    struct cli_message *message)
{
    struct reader reader = {0};
    struct npy found = {0};
    size_t header_size = 0;
    bool swap = false;
    if (!find_header(name, bytes, size, &reader, &header_size, message) ||
        !read_header(&reader, &found, &swap))
        return false;
    // Dims of zero make the product zero whatever the others are, so overflow is looked for in the
    // others alone.
    const size_t element = npy_types[found.dtype].size, have = size - header_size;
    size_t product = element;
    bool empty = false, fits = true;
    for (uint32_t i = 0; i < found.rank; i++) {
        const uint64_t dim = (uint64_t)found.dims[i];
        empty = empty || dim == 0;
        fits = fits && (dim == 0 || product <= SIZE_MAX / 2 / dim);
        product *= fits && dim ? (size_t)dim : 1;
    }
    found.size = empty ? 0 : product;
    if (!fits || found.size != have)
        return espy_message_set(message, "%s: %zu bytes of elements, but its shape says %s%zu",
                                name, have, fits ? "" : "more than ", found.size);
    found.data = malloc(have ? have : 1);
    if (!found.data)
        return espy_message_set(message, "%s: out of memory for %zu bytes", name, have);
    if (have)
        memcpy(found.data, (const char *)bytes + header_size, have);
    if (swap)
        swap_elements(found.data, found.size, element);
    if (found.dtype == ESPY_BOOL) {
        unsigned char *values = found.data;
        for (size_t i = 0; i < found.size; i++)
            values[i] = values[i] != 0;
    }
    *array = found;
    return true;
}

bool espy_npy_read(const char *path, struct npy *array, struct cli_message *message)
{
    struct cli_bytes bytes;
    if (!espy_file_read(path, FILE_SIZE_MAX, &bytes, message))
        return false;
    const bool ok = espy_npy_parse(path, bytes.data, bytes.size, array, message);
    espy_file_free(&bytes);
    return ok;
}

void espy_npy_free(struct npy *array)
{
    free(array->data);
    *array = (struct npy){0};
}

// The type that NumPy has for a tensor's elements: it knows neither bfloat16 nor what is narrower
// than a byte, nor floats of a byte.
static espy_dtype numpy_type(espy_dtype dtype)
{
    if (dtype == ESPY_BFLOAT16)
        return ESPY_FLOAT32;
    if (!espy_dtype_is_narrow(dtype))
        return dtype;
    if (espy_dtype_is_float(dtype))
        return ESPY_FLOAT32;
    return espy_dtype_is_signed(dtype) ? ESPY_INT8 : ESPY_UINT8;
}

static void *widen(const struct espy_tensor *tensor, espy_dtype to, size_t *size)
{
    size_t count = 1;
    for (uint32_t i = 0; i < tensor->rank; i++)
        count *= (size_t)tensor->dims[i]; // cannot overflow: they are all there
    if (!espy_dtype_data_size(to, count, size))
        return NULL;
    void *wide = malloc(*size ? *size : 1);
    if (wide)
        espy_number_convert(tensor->dtype, tensor->data, count, to, wide);
    return wide;
}

static size_t print_header(const struct espy_tensor *tensor, espy_dtype dtype, char *header,
                           size_t room)
{
    const char order = npy_types[dtype].size == 1 ? '|' : host_is_little() ? '<' : '>';
    size_t length = PREFIX_SIZE;
    length += (size_t)snprintf(header + length, room - length,
                               "{'descr': '%c%c%u', 'fortran_order': False, 'shape': (", order,
                               npy_types[dtype].kind, npy_types[dtype].size);
    for (uint32_t i = 0; i < tensor->rank; i++) {
        const char *separator = i + 1 < tensor->rank ? ", " : tensor->rank == 1 ? "," : "";
        length += (size_t)snprintf(header + length, room - length, "%" PRId64 "%s", tensor->dims[i],
                                   separator);
    }
    length += (size_t)snprintf(header + length, room - length, "), }");
    while ((length + 1) % HEADER_ALIGNMENT)
        header[length++] = ' ';
    header[length++] = '\n';
    memcpy(header, NPY_MAGIC "\x01\x00", 8);
    header[8] = (char)((length - PREFIX_SIZE) & 0xFF);
    header[9] = (char)((length - PREFIX_SIZE) >> 8);
    return length;
}

bool espy_npy_write(const char *path, const struct espy_tensor *tensor, struct cli_message *message)
{
    char header[512];
    void *wide = NULL;
    const espy_dtype dtype = numpy_type(tensor->dtype);
    struct cli_part parts[2] = {{.data = header}, {tensor->data, tensor->size}};
    if (dtype != tensor->dtype) {
        size_t size = 0;
        wide = widen(tensor, dtype, &size);
        if (!wide)
            return espy_message_set(message, "%s: out of memory writing it", path);
        parts[1] = (struct cli_part){wide, size};
    }
    parts[0].size = print_header(tensor, dtype, header, sizeof header);
    const bool ok = espy_file_write(path, parts, 2, message);
    free(wide);
    return ok;
}
