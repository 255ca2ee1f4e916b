#include "suites/detections.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { DETECTIONS_MAX = 1024 };

struct detections espy_suite_detections_of(const struct graph *graph, const struct tensor *outputs)
{
    struct detections found = {NULL, NULL, NULL};
    for (uint32_t o = 0; o < graph->output_count; o++) {
        const char *name = graph->values[graph->outputs[o].value].name;
        if (strcmp(name, "labels") == 0)
            found.labels = &outputs[o];
        else if (strcmp(name, "boxes") == 0)
            found.boxes = &outputs[o];
        else if (strcmp(name, "scores") == 0)
            found.scores = &outputs[o];
    }
    cr_assert(found.labels != NULL && found.boxes != NULL && found.scores != NULL);
    return found;
}

static double largest(const struct tensor *tensor)
{
    double most = 0;
    for (size_t i = 0; i < tensor->count; i++)
        most = fmax(most, fabs(espy_tensor_number(tensor, i)));
    return most;
}

static bool same_row(const struct detections *a, size_t i, const struct detections *b, size_t k)
{
    bool same = espy_tensor_integer(a->labels, i) == espy_tensor_integer(b->labels, k) &&
                fabs(espy_tensor_number(a->scores, i) - espy_tensor_number(b->scores, k)) <= 1e-4;
    const double slack = same ? 1e-4 * largest(a->boxes) : 0;
    for (size_t c = 0; same && c < 4; c++)
        same = fabs(espy_tensor_number(a->boxes, 4 * i + c) -
                    espy_tensor_number(b->boxes, 4 * k + c)) <= slack;
    return same;
}

// At the end of a list that was cut a row may fall out of it for one of nearly equal score.
void espy_suite_check_detections(const char *id, const struct detections *actual,
                                 const struct detections *expected)
{
    const size_t count = expected->scores->count;
    bool used[DETECTIONS_MAX] = {false};
    cr_assert(count > 0 && count <= DETECTIONS_MAX);
    cr_assert(actual->scores->count == count && actual->labels->count == count &&
                  actual->boxes->count == 4 * count,
              "%s: %zu detections, expected %zu", id, actual->scores->count, count);
    const double last = espy_tensor_number(expected->scores, count - 1);
    for (size_t i = 0; i < count; i++) {
        size_t k = i; // where it should be, or anywhere
        if (used[k] || !same_row(expected, i, actual, k))
            for (k = 0; k < count && (used[k] || !same_row(expected, i, actual, k));)
                k++;
        if (k < count)
            used[k] = true;
        const double score = espy_tensor_number(expected->scores, i);
        cr_expect(k < count || score <= last + 1e-4, "%s: detection %zu (score %.4f) is not found",
                  id, i, score);
    }
}
