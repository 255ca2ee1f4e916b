// A model's graph with the maps of attention sites among its outputs, for a session that was asked
// for them. The model itself stays as it is, and so do its other sessions.
#ifndef RUNTIME_API_SITE_MAPS_H_
#define RUNTIME_API_SITE_MAPS_H_

#include "espy/espy.h"
#include "format/format.h"

struct site_maps {
    struct graph graph; // names, attributes and data are the model's, which must outlive it
    uint32_t count;
    const struct graph_site **sites;
    const struct espy_attention_rows *rows; // [count] or NULL; of the caller, read by init only
    uint32_t *outputs; // [count]; of the graph, by which of its outputs a map is delivered
};

// params: attention names sites of the graph, each once.
espy_status espy_site_maps_init(struct site_maps *maps, const struct host *host,
                                const struct graph *graph,
                                const struct espy_session_params *params);
void espy_site_maps_finish(struct site_maps *maps); // zeroed is fine

#endif // RUNTIME_API_SITE_MAPS_H_
