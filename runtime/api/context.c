#include "api/api_internal.h"

#include <string.h>

espy_status espy_context_create(const struct espy_context_params *params, espy_context **context)
{
    if (context == NULL)
        return ESPY_INVALID_ARGUMENT; // there is no log to say it in
    struct espy_context_params known;
    READ_PARAMS(&known, params);
    struct host host;
    espy_host_init(&host, &known);
    espy_context *made = espy_alloc(&host, sizeof(*made));
    if (made == NULL)
        return espy_fail_memory(&host, sizeof(*made), "a context");
    made->host = host;
    *context = made;
    return ESPY_OK;
}

void espy_context_destroy(espy_context **context)
{
    if (context == NULL || *context == NULL)
        return;
    const struct host host = (*context)->host; // outlives the memory it frees
    espy_free(&host, *context);
    *context = NULL;
}
