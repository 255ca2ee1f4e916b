// From layers as people write them (docs/layers.md) to operators of a graph. Must not know ONNX,
// safetensors, the passes, plans nor Vulkan.
#ifndef TOOLS_LAYERS_LAYERS_H_
#define TOOLS_LAYERS_LAYERS_H_

#include "format/format.h"

// Limits of what a few lines of JSON may turn into.
enum {
    LAYERS_DEPTH_MAX = 48,       // layers in layers, blocks of the file's own counted
    LAYERS_EXPANDED_MAX = 65536, // layers, repetitions counted
    LAYERS_BLOCKS_MAX = 1024,    // blocks of the file's own
    LAYERS_MEMBERS_MAX = 64      // of each
};

// Where the weights come from. at(user, i) walks the names that there are, NULL after the last;
// find gives one's data and says so when it cannot.
struct layers_weights {
    void *user;
    const char *(*at)(void *user, uint32_t index);
    espy_format_tensor_fn find;
};

// Adds what root's "layers" say to a graph that has its inputs and tensors already. file is for
// messages. values: the graph's values by name, in and out. When it fails there is one log line,
// with the place in the JSON.
espy_status espy_layers_expand(const struct host *host, const char *file,
                               const struct layers_weights *weights, const struct cJSON *root,
                               struct graph *graph, struct map *values);

#endif // TOOLS_LAYERS_LAYERS_H_
