#include "suites/precision.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static double area(const double *box)
{
    return fmax(box[2] - box[0], 0) * fmax(box[3] - box[1], 0);
}

static double overlap(const double *a, const double *b)
{
    const double shared[4] = {fmax(a[0], b[0]), fmax(a[1], b[1]), fmin(a[2], b[2]),
                              fmin(a[3], b[3])};
    const double both = area(shared);
    return both / (area(a) + area(b) - both);
}

static int by_falling_score(const void *left, const void *right)
{
    const struct located *a = left, *b = right;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return (a->picture > b->picture) - (a->picture < b->picture);
}

// Takes the object of this kind and picture that is overlapped most, if by half or more.
static bool is_right(const struct located *found, struct located_list truths)
{
    struct located *best = NULL;
    double most = 0.5;
    for (uint32_t i = 0; i < truths.count; i++) {
        struct located *truth = &truths.items[i];
        if (truth->picture != found->picture || truth->kind != found->kind || truth->taken)
            continue;
        const double shared = overlap(found->box, truth->box);
        if (shared >= most) {
            most = shared;
            best = truth;
        }
    }
    if (best != NULL)
        best->taken = true;
    return best != NULL;
}

// Every right one is a step of recall by 1 / total, as high as the best precision from there on:
// going backwards, the largest so far.
static double area_under_envelope(const bool *right, uint32_t count, uint32_t right_count,
                                  uint32_t total)
{
    double sum = 0, best = 0;
    for (uint32_t i = count; i-- > 0;) {
        best = fmax(best, (double)right_count / (i + 1));
        if (right[i]) {
            sum += best;
            right_count--;
        }
    }
    return sum / total;
}

double espy_average_precision(struct located_list found, struct located_list truths, uint32_t kind)
{
    bool *right = calloc(found.count + 1, sizeof(*right));
    uint32_t count = 0, right_count = 0, total = 0;
    cr_assert(right != NULL);
    for (uint32_t i = 0; i < truths.count; i++)
        total += truths.items[i].kind == kind;
    cr_assert(total > 0);
    qsort(found.items, found.count, sizeof(*found.items), by_falling_score);
    for (uint32_t i = 0; i < found.count; i++) {
        if (found.items[i].kind != kind)
            continue;
        right[count] = is_right(&found.items[i], truths);
        right_count += right[count++];
    }
    const double precision = area_under_envelope(right, count, right_count, total);
    free(right);
    return precision;
}
