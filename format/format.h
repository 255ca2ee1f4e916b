// The .espy container: graph to bytes and back, as SPEC.md says. Must not know operators or Vulkan.
#ifndef FORMAT_FORMAT_H_
#define FORMAT_FORMAT_H_

#include "format/graph.h"

enum {
    FORMAT_VERSION = 1,
    FORMAT_WEIGHTS_ALIGNMENT = 4096, // of the weights chunk's payload in the file
    FORMAT_TENSOR_ALIGNMENT = 64,    // of each tensor in the weights
    FORMAT_CHUNK_ALIGNMENT = 16,     // of each chunk's header
    FORMAT_CHUNKS_MAX = 64,
    FORMAT_JSON_DEPTH_MAX = 16,      // objects and arrays inside each other
    FORMAT_JSON_ITEMS_MAX = 1 << 24, // values of any kind in the JSON; bounds the reader's memory
    FORMAT_JSON_NUMBER_MAX = 60      // characters of a number
};
#define FORMAT_JSON_SIZE_MAX ((uint64_t)256 << 20)

// Reads and checks a whole file image. The graph's constants point into bytes, which must be
// aligned to 64 and outlive the graph. name is for messages ("model.espy"). On failure graph is
// zeroed; a version or a required chunk that is not known is ESPY_UNSUPPORTED.
espy_status espy_format_read(const struct host *host, const char *name, const void *bytes,
                             size_t size, struct graph *graph);

// Writes the graph to path: to a temporary file beside it first, then renamed. Same graph, same
// bytes. The graph must pass espy_graph_check.
espy_status espy_format_write_file(const struct host *host, const struct graph *graph,
                                   const char *path);
// The same into memory from the host's allocator, not aligned as espy_format_read needs it; the
// caller frees *bytes with espy_free.
espy_status espy_format_write(const struct host *host, const struct graph *graph, void **bytes,
                              size_t *size);

// Refuses everything that is not strict JSON (RFC 8259), and beyond it: control characters,
// "\u0000", lone surrogates, numbers of more than FORMAT_JSON_NUMBER_MAX characters, deep nesting
// and too many items. What passes is what cJSON reads without guessing.
espy_status espy_format_scan_json(const struct host *host, const char *file, const char *json,
                                  size_t size);

// Gives the data of tensors of the hand-written JSON form, which have no offsets: fills dtype,
// shape, data and data_size of the constant called name, which is the entry's "from" or else its
// key. The data must outlive the graph. Not found: ESPY_BAD_FORMAT, logged.
typedef espy_status (*espy_format_tensor_fn)(void *user, const char *name,
                                             struct graph_value *value);

// Adds the nodes of a hand-written form that has "layers" (docs/layers.md) to a graph that has its
// inputs and tensors. root is the whole JSON; values are the graph's by name, in and out, those
// that outputs and nodes may name.
struct cJSON;
typedef espy_status (*espy_format_layers_fn)(void *user, const struct cJSON *root,
                                             struct graph *graph, struct map *values);

// Reads the hand-written form: the same JSON as in the file, where "tensors" entries may leave out
// dtype, shape, offset and size, which then come from find. Result is checked as a file is.
espy_status espy_format_read_json(const struct host *host, const char *name, const char *json,
                                  size_t size, espy_format_tensor_fn find, void *user,
                                  struct graph *graph);

// The same, where "layers" may stand before "nodes" or in place of them.
struct format_hand {
    void *user;
    espy_format_tensor_fn find;   // NULL: there are no tensors
    espy_format_layers_fn layers; // NULL: "layers" is refused
};
espy_status espy_format_read_hand(const struct host *host, const char *name, const char *json,
                                  size_t size, const struct format_hand *hand, struct graph *graph);

// A file mapped read-only or, where mapping fails, read into memory. Aligned to 64. Whoever
// shortens a mapped file pulls the memory away (SIGBUS); replacing it by rename, as the writer
// does, is safe.
struct format_file {
    const struct host *host;
    const void *bytes;
    size_t size;
    bool mapped;
    void *allocation; // when not mapped
};
espy_status espy_format_file_open(const struct host *host, const char *path,
                                  struct format_file *file);
void espy_format_file_close(struct format_file *file);
// The pages that lie within these bytes need not stay in memory; reading them again is fine, and
// slower. Nothing where the bytes are not of the mapping, or the system knows no such advice.
void espy_format_file_forget(const struct format_file *file, const void *data, size_t size);

#endif // FORMAT_FORMAT_H_
