// The inside of espy_session, for session.c and verify.c.
#ifndef RUNTIME_API_SESSION_H_
#define RUNTIME_API_SESSION_H_

#include "api/api_internal.h"
#include "api/runner_cache.h"
#include "api/site_maps.h"

// Memory for an output that the caller gave none for.
struct session_room {
    void *data;
    size_t size;
};

struct espy_session {
    struct host host;
    espy_device *device;
    espy_model *model;
    const struct graph *graph; // the model's, or that of maps where maps were asked for
    struct site_maps maps;
    bool keep_values;
    uint64_t memory_max;
    bool float64_said; // the warning that float64 is computed as float32
    struct vk_weights *weights; // of all plans
    struct choices choices;     // of all plans: what the tuner has decided for the device
    espy_tune tune;
    espy_tune_fn tuned;         // may be NULL
    void *tune_user;
    struct runner_cache plans;
    // Of one call, by graph input; made once so that runs allocate nothing.
    struct op_type *types;
    const void **input_data;
    struct session_room *rooms; // by output of graph; grow as they are needed
    // The run in flight.
    struct runner *running;
    espy_ticket ticket;
    struct espy_tensor *outputs;
    uint32_t output_count;
};

// Checks the inputs (data too, when asked) and finds or makes the plan for their shapes.
espy_status espy_session_prepare(espy_session *session, const struct espy_tensor *inputs,
                                 uint32_t input_count, bool with_data, struct runner **runner);

#endif // RUNTIME_API_SESSION_H_
