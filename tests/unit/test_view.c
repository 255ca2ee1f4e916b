// Goal: the functions on views say what is true of the elements they address.
// Method: brute force. A view is spelled out as the list of its elements' places in memory; shapes,
// orders of dimensions, steps, repeats and cuts are drawn at random, with a fixed seed.
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "op/lower.h"

enum { ROUNDS = 20000, PLACES_MAX = 4096 };

static uint32_t seed = 12345;

static uint32_t draw(uint32_t count)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % count;
}

// ---- brute force --------------------------------------------------------------------------------

// The place of every element, first index outermost.
static size_t spell_out(const struct view *view, int64_t *places)
{
    const size_t count = espy_view_count(view);
    cr_assert(count <= PLACES_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t rest = i;
        places[i] = view->offset;
        for (uint32_t d = view->rank; d-- > 0;) {
            places[i] += (int64_t)(rest % (size_t)view->dims[d]) * view->strides[d];
            rest /= (size_t)view->dims[d];
        }
    }
    return count;
}

static bool same_places(const struct view *a, const struct view *b)
{
    static int64_t left[PLACES_MAX], right[PLACES_MAX];
    const size_t count = spell_out(a, left);
    return spell_out(b, right) == count && memcmp(left, right, count * sizeof(*left)) == 0;
}

static const char *describe(const struct view *view)
{
    static char buffer[2][400];
    static int turn;
    char *text = buffer[turn = !turn];
    size_t length = 0;
    for (uint32_t d = 0; d < view->rank; d++)
        length += (size_t)snprintf(text + length, 400 - length, "%lld:%lld ",
                                   (long long)view->dims[d], (long long)view->strides[d]);
    if (length == 0)
        snprintf(text, 400, "scalar");
    return text;
}

// ---- random views -------------------------------------------------------------------------------

static struct view dense_view(const struct shape *shape)
{
    const struct view start = {.buffer = 0, .offset = 100};
    return espy_view_reshaped_dense(&start, shape);
}

static struct shape random_shape(uint32_t rank_max, bool zeros)
{
    static const int64_t dims[] = {1, 1, 2, 3, 4, 2};
    struct shape shape = {.rank = draw(rank_max + 1)};
    for (uint32_t d = 0; d < shape.rank; d++)
        shape.dims[d] = zeros && draw(8) == 0 ? 0 : dims[draw(6)];
    return shape;
}

static void swap(struct view *view, uint32_t a, uint32_t b)
{
    const int64_t dim = view->dims[a], stride = view->strides[a];
    view->dims[a] = view->dims[b];
    view->strides[a] = view->strides[b];
    view->dims[b] = dim;
    view->strides[b] = stride;
}

// Dense, then perhaps transposed, cut, stepped through, turned round and repeated.
static struct view random_view(uint32_t rank_max, bool zeros)
{
    const struct shape shape = random_shape(rank_max, zeros);
    struct view view = dense_view(&shape);
    for (uint32_t d = 0; d < view.rank; d++) {
        switch (draw(8)) {
        case 0:
            swap(&view, d, draw(view.rank));
            break;
        case 1: // from somewhere on, in steps
            if (view.dims[d] >= 2) {
                view.dims[d] /= 2;
                view.offset += view.strides[d];
                view.strides[d] *= 2;
            }
            break;
        case 2: // backwards
            if (view.dims[d] >= 1)
                view.offset += view.strides[d] * (view.dims[d] - 1);
            view.strides[d] = -view.strides[d];
            break;
        case 3:
            if (view.dims[d] == 1) {
                view.dims[d] = 3;
                view.strides[d] = 0;
            }
            break;
        case 4:
            if (view.dims[d] >= 2)
                view.dims[d]--;
            break;
        default:
            break;
        }
    }
    return view;
}

// Another shape of as many elements.
static struct shape random_reshape(const struct view *view)
{
    size_t left = espy_view_count(view);
    struct shape shape = {.rank = 0};
    if (left == 0) {
        shape = random_shape(4, true);
        if (shape.rank == 0)
            shape.rank = 1;
        shape.dims[draw(shape.rank)] = 0;
        return shape;
    }
    while (left > 1 && shape.rank < ESPY_RANK_MAX - 1) {
        size_t factor = draw(3) == 0 ? left : 1 + draw(6);
        while (left % factor != 0)
            factor--;
        shape.dims[shape.rank++] = (int64_t)factor;
        left /= factor;
    }
    if (left > 1 || draw(4) == 0)
        shape.dims[shape.rank++] = (int64_t)left;
    return shape;
}

// ---- properties ---------------------------------------------------------------------------------

Test(view, dense_says_that_elements_follow_each_other)
{
    static int64_t places[PLACES_MAX];
    uint32_t dense = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const struct view view = random_view(5, true);
        const size_t count = spell_out(&view, places);
        bool follow = true;
        for (size_t i = 0; i < count; i++)
            follow = follow && places[i] == view.offset + (int64_t)i;
        cr_assert(espy_view_dense(&view) == follow, "%s", describe(&view));
        dense += follow;
    }
    cr_expect(dense > ROUNDS / 10 && dense < ROUNDS);
}

static int compare_places(const void *left, const void *right)
{
    const int64_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

Test(view, contiguous_says_that_elements_fill_a_run_from_the_first_on)
{
    static int64_t places[PLACES_MAX];
    uint32_t found = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const struct view view = random_view(5, true);
        const size_t count = spell_out(&view, places);
        qsort(places, count, sizeof(*places), compare_places);
        bool filled = true;
        for (size_t i = 0; i < count; i++)
            filled = filled && places[i] == view.offset + (int64_t)i;
        cr_assert(espy_view_contiguous(&view) == filled, "%s", describe(&view));
        found += filled;
    }
    cr_expect(found > ROUNDS / 10 && found < ROUNDS);
}

Test(view, channels_last_says_that_the_moved_view_is_dense)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct shape shape = random_shape(5, false);
        if (shape.rank < 3)
            continue;
        // Dense as N, spatial..., C; then C moves to the second place.
        struct view view = dense_view(&shape);
        for (uint32_t d = view.rank - 1; d > 1; d--)
            swap(&view, d, d - 1);
        cr_assert(espy_view_channels_last(&view), "%s", describe(&view));
        cr_assert(espy_view_contiguous(&view), "%s", describe(&view));
        view.strides[draw(view.rank)] += 1;
        bool ones = true; // strides of dims of 1 say nothing
        for (uint32_t d = 0; d < view.rank; d++)
            ones = ones && view.dims[d] == 1;
        struct view moved = view;
        for (uint32_t d = 1; d + 1 < moved.rank; d++)
            swap(&moved, d, d + 1);
        cr_assert(espy_view_channels_last(&view) == (ones || espy_view_dense(&moved)), "%s",
                  describe(&view));
    }
    const struct view flat = {.rank = 2, .dims = {2, 2}, .strides = {2, 1}};
    cr_expect(!espy_view_channels_last(&flat), "it takes three dimensions");
}

Test(view, same_strides_look_only_at_dims_of_more_than_one)
{
    struct view a = {.rank = 3, .dims = {2, 1, 3}, .strides = {3, 3, 1}}, b = a;
    b.strides[1] = 77;
    cr_expect(espy_view_same_strides(&a, &b));
    b.strides[0] = 6;
    cr_expect(!espy_view_same_strides(&a, &b));
}

Test(view, broadcast_repeats_elements_without_moving_them)
{
    static int64_t places[PLACES_MAX], expected[PLACES_MAX];
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const struct view view = random_view(3, false);
        struct shape shape = {.rank = view.rank + draw(3)};
        const uint32_t lead = shape.rank - view.rank;
        for (uint32_t d = 0; d < shape.rank; d++) {
            const int64_t dim = d < lead ? 1 : view.dims[d - lead];
            shape.dims[d] = dim == 1 ? 1 + draw(3) : dim;
        }
        const struct view wide = espy_view_broadcast(&view, &shape);
        spell_out(&view, places);
        const size_t count = spell_out(&wide, expected);
        for (size_t i = 0; i < count; i++) {
            size_t rest = i, source = 0, step = 1;
            for (uint32_t d = shape.rank; d-- > lead;) {
                const size_t index = rest % (size_t)shape.dims[d];
                rest /= (size_t)shape.dims[d];
                source += view.dims[d - lead] == 1 ? 0 : index * step;
                step *= (size_t)view.dims[d - lead];
            }
            cr_assert(expected[i] == places[source], "%s", describe(&view));
        }
    }
}

// Strides under which shape addresses just these places, if there are any: each is the distance of
// the first step along its dimension.
static bool strides_exist(const int64_t *places, const struct shape *shape, struct view *view)
{
    size_t step = 1;
    *view = (struct view){.offset = places[0], .rank = shape->rank};
    for (uint32_t d = shape->rank; d-- > 0;) {
        view->dims[d] = shape->dims[d];
        view->strides[d] = shape->dims[d] > 1 ? places[step] - places[0] : 0;
        step *= (size_t)shape->dims[d];
    }
    static int64_t made[PLACES_MAX];
    const size_t count = spell_out(view, made);
    return memcmp(made, places, count * sizeof(*made)) == 0;
}

Test(view, reshape_needs_no_copy_exactly_where_strides_for_it_exist)
{
    static int64_t places[PLACES_MAX];
    uint32_t without = 0, with = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const struct view view = random_view(4, false);
        const struct shape shape = random_reshape(&view);
        struct view result = {.rank = 77}, possible;
        spell_out(&view, places);
        const bool exists = strides_exist(places, &shape, &possible);
        const bool reshaped = espy_view_reshape(&view, &shape, &result);
        cr_assert(reshaped == exists, "%s to %s: %s", describe(&view), describe(&possible),
                  exists ? "needs no copy" : "cannot be");
        if (!reshaped) {
            with++;
            cr_assert(result.rank == 77, "untouched when it does not work");
            continue;
        }
        without++;
        cr_assert(result.rank == shape.rank && result.buffer == view.buffer);
        cr_assert(memcmp(result.dims, shape.dims, shape.rank * sizeof(*shape.dims)) == 0);
        cr_assert(same_places(&view, &result), "%s to %s", describe(&view), describe(&result));
    }
    cr_expect(without > 1000 && with > 1000, "%u and %u", without, with);
}

Test(view, reshape_of_nothing_always_works)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const struct view view = random_view(4, true);
        if (espy_view_count(&view) != 0)
            continue;
        const struct shape shape = random_reshape(&view);
        struct view result;
        cr_assert(espy_view_reshape(&view, &shape, &result));
        cr_assert(espy_view_count(&result) == 0 && result.rank == shape.rank);
        cr_assert(espy_view_contiguous(&result) && espy_view_contiguous(&view));
    }
}

Test(view, collapse_keeps_the_elements_of_all_views_in_step)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct view before[3], after[3];
        before[0] = random_view(5, true);
        const uint32_t count = 1 + draw(3);
        for (uint32_t v = 1; v < count; v++) { // the same dims, other strides
            before[v] = before[0];
            for (uint32_t d = 0; d < before[v].rank; d++)
                if (draw(3) == 0)
                    before[v].strides[d] = (int64_t)draw(5);
            before[v].offset += (int64_t)draw(10);
        }
        memcpy(after, before, sizeof(after));
        const uint32_t rank = espy_view_collapse(after, count);
        cr_assert(rank >= 1 && (rank <= before[0].rank || before[0].rank == 0));
        for (uint32_t v = 0; v < count; v++) {
            cr_assert(after[v].rank == rank && after[v].offset == before[v].offset);
            cr_assert(same_places(&before[v], &after[v]), "%s became %s", describe(&before[v]),
                      describe(&after[v]));
        }
        for (uint32_t d = 0; rank > 1 && d < rank; d++)
            cr_assert(after[0].dims[d] != 1, "%s", describe(&after[0]));
    }
}

Test(view, collapse_merges_as_much_as_can_be)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct view view = random_view(5, false);
        espy_view_collapse(&view, 1);
        for (uint32_t d = 0; d + 1 < view.rank; d++)
            cr_assert(view.strides[d] != view.strides[d + 1] * view.dims[d + 1], "%s",
                      describe(&view));
        const struct shape shape = random_shape(5, false);
        struct view dense = dense_view(&shape);
        cr_assert(espy_view_collapse(&dense, 1) == 1 && dense.strides[0] == 1);
    }
}
