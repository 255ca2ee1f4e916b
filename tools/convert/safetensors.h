// Reads .safetensors files. Must not know graphs' structure nor operators.
#ifndef TOOLS_CONVERT_SAFETENSORS_H_
#define TOOLS_CONVERT_SAFETENSORS_H_

#include "base/base.h"
#include "format/format.h"

#define SAFETENSORS_HEADER_SIZE_MAX ((uint64_t)100 << 20) // the format's own limit

struct safetensor {
    const char *name;
    const char *type_name; // as the file says it: "F32", "BF16", "F8_E4M3", ...
    espy_dtype dtype;      // ESPY_DTYPE_NONE for types that Espy does not have
    struct shape shape;
    const void *data; // in the mapped file; not necessarily aligned to the type
    size_t size;
};

struct safetensors {
    const struct host *host;
    const char *path;
    struct format_file file;
    struct arena arena;
    struct map names;
    uint32_t count;
    struct safetensor *tensors; // in order of their place in the file
};

// Checks the whole header: limits, keys, types and shapes against sizes, and that the tensors cover
// the data without holes or overlaps. On failure nothing needs closing.
espy_status espy_safetensors_open(const struct host *host, const char *path,
                                  struct safetensors *file);
void espy_safetensors_close(struct safetensors *file); // zeroed is fine
const struct safetensor *espy_safetensors_find(const struct safetensors *file, const char *name);

#endif // TOOLS_CONVERT_SAFETENSORS_H_
