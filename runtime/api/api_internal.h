// What the public handles hold; shared by the files that implement the public headers.
#ifndef RUNTIME_API_API_INTERNAL_H_
#define RUNTIME_API_API_INTERNAL_H_

#include "espy/espy.h"
#include "format/format.h"
#include "vk/vk.h"

struct espy_context {
    struct host host;
};

struct espy_device {
    struct host host;
    struct vk_device *vk;
};

struct espy_model {
    struct host host;
    struct format_file file; // or, from memory:
    void *allocation;
    struct graph graph;
};

// Copies the fields that the caller's struct has, so that a program built against an older header,
// with a smaller struct, gets defaults for the rest. params may be NULL.
#define READ_PARAMS(target, params)                                                                \
    do {                                                                                           \
        memset((target), 0, sizeof(*(target)));                                                    \
        if ((params) != NULL)                                                                      \
            memcpy((target), (params),                                                             \
                   (params)->size < sizeof(*(target)) ? (params)->size : sizeof(*(target)));       \
    } while (0)

#endif // RUNTIME_API_API_INTERNAL_H_
