#include "convert/convert_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void espy_convert_report_init(struct convert_report *report, const struct host *host)
{
    *report = (struct convert_report){0};
    espy_arena_init(&report->arena, host);
}

void espy_convert_report_finish(struct convert_report *report)
{
    if (report->arena.host == NULL)
        return;
    espy_free(report->arena.host, report->problems);
    espy_arena_finish(&report->arena);
    *report = (struct convert_report){0};
}

espy_status espy_convert_problem(struct convert_report *report, const char *node, const char *op,
                                 const char *format, ...)
{
    char reason[512];
    va_list list;
    va_start(list, format);
    vsnprintf(reason, sizeof(reason), format, list);
    va_end(list);
    TRY(espy_grow(report->arena.host, &report->problems, report->problem_count,
                  &report->problem_capacity, sizeof(*report->problems)));
    const struct convert_problem problem = {
        .node = espy_arena_string(&report->arena, node),
        .op = espy_arena_string(&report->arena, op),
        .reason = espy_arena_string(&report->arena, reason),
    };
    if (problem.node == NULL || problem.op == NULL || problem.reason == NULL)
        return ESPY_OUT_OF_MEMORY;
    report->problems[report->problem_count++] = problem;
    return ESPY_OK;
}

static const char *parse_dim(const char *text, int64_t *dim)
{
    if (*text < '0' || *text > '9')
        return NULL;
    for (*dim = 0; *text >= '0' && *text <= '9'; text++) {
        if (*dim > INT32_MAX)
            return NULL;
        *dim = *dim * 10 + (*text - '0');
    }
    return text;
}

espy_status espy_convert_parse_shape(struct arena *arena, const char *text,
                                     struct convert_shape *shape)
{
    // A name may have '=' in it, a shape has not.
    const char *equals = strrchr(text, '=');
    *shape = (struct convert_shape){.name = NULL};
    const char *at = equals == NULL || equals == text ? NULL : equals + 1;
    if (at != NULL && strcmp(at, "scalar") == 0) {
        at += strlen(at);
    } else {
        while (at != NULL) {
            at = shape->shape.rank == ESPY_RANK_MAX
                     ? NULL
                     : parse_dim(at, &shape->shape.dims[shape->shape.rank++]);
            if (at != NULL && *at != 'x')
                break;
            at = at == NULL ? NULL : at + 1;
        }
    }
    if (at == NULL || *at != '\0')
        return espy_fail(arena->host, ESPY_INVALID_ARGUMENT,
                         "'%s' is not an input's shape; write name=1x3x224x224", text);
    shape->name = espy_arena_format(arena, "%.*s", (int)(equals - text), text);
    return shape->name == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}
