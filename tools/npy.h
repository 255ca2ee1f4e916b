// NumPy's .npy files, versions 1 to 3, every element type that Espy has. Files may be hostile.
// Must not know models.
#ifndef TOOLS_NPY_H_
#define TOOLS_NPY_H_

#include "cli_message.h"
#include "espy/espy.h"

enum { NPY_HEADER_SIZE_MAX = 65536 };

struct npy {
    espy_dtype dtype;
    uint32_t rank;
    int64_t dims[ESPY_RANK_MAX];
    void *data;  // malloc, dense, row-major, in the host's byte order; never NULL after a read
    size_t size; // bytes
};

// true: the bytes start as an .npy file does.
bool espy_npy_is(const void *bytes, size_t size);
// name is for messages. Big-endian files are swapped; '<V2' is read as bfloat16.
bool espy_npy_parse(const char *name, const void *bytes, size_t size, struct npy *array,
                    struct cli_message *message);
bool espy_npy_read(const char *path, struct npy *array, struct cli_message *message);
void espy_npy_free(struct npy *array); // zeroed is fine

// Writes the tensor's dims and elements; bfloat16, which NumPy has not, becomes float32.
bool espy_npy_write(const char *path, const struct espy_tensor *tensor,
                    struct cli_message *message);

#endif // TOOLS_NPY_H_
