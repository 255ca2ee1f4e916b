#include "op/axes.h"

#include <assert.h>
#include <string.h>

// A row is cut when there are fewer rows than a device wants invocations and it is at least twice
// PART_MIN long, or when it is longer than ROW_MAX, of which a kernel makes up to three rounds.
enum { ROWS_CPU = 128, ROWS_GPU = 16384, PART_MIN = 256, ROW_MAX = 16384, PARTS_MAX = 4096 };

struct view espy_axes_select(const struct view *view, uint32_t mask)
{
    struct view result = *view;
    result.rank = 0;
    for (uint32_t d = 0; d < view->rank; d++) {
        if ((mask >> d & 1) == 0)
            continue;
        result.dims[result.rank] = view->dims[d];
        result.strides[result.rank++] = view->strides[d];
    }
    return result;
}

static int64_t magnitude(int64_t stride)
{
    return stride < 0 ? -stride : stride;
}

static void swap_dims(struct view *view, uint32_t a, uint32_t b)
{
    const int64_t dim = view->dims[a], stride = view->strides[a];
    view->dims[a] = view->dims[b];
    view->strides[a] = view->strides[b];
    view->dims[b] = dim;
    view->strides[b] = stride;
}

void espy_axes_sort(struct view *views, uint32_t count)
{
    for (uint32_t d = 1; d < views[0].rank; d++)
        for (uint32_t k = d; k > 0; k--) {
            if (magnitude(views[0].strides[k - 1]) >= magnitude(views[0].strides[k]))
                break;
            for (uint32_t v = 0; v < count; v++)
                swap_dims(&views[v], k - 1, k);
        }
}

uint32_t espy_axes_fill(struct view *views, uint32_t count, bool sort, uint32_t *dims,
                        int32_t *strides)
{
    // Dimensions of size 0 merge with nothing, but then there is nothing to decode either.
    const bool empty = espy_view_count(&views[0]) == 0;
    for (uint32_t v = 0; v < count && empty; v++)
        views[v].rank = 0;
    if (sort)
        espy_axes_sort(views, count);
    const uint32_t rank = espy_view_collapse(views, count);
    assert(rank <= AXES_RANK_MAX);
    for (uint32_t d = 0; d < AXES_RANK_MAX; d++) {
        dims[d] = d < rank ? (uint32_t)views[0].dims[d] : 1;
        for (uint32_t v = 0; v < count; v++)
            strides[v * AXES_RANK_MAX + d] = d < rank ? (int32_t)views[v].strides[d] : 0;
    }
    return rank;
}

// The number of dimensions left of those in mask. An output like a contiguous view has its very
// strides; one like another view may merge less, so nothing is taken to merge there.
static uint32_t merged_rank(const struct view *view, uint32_t mask)
{
    struct view part = espy_axes_select(view, mask);
    if (espy_view_contiguous(view))
        return espy_view_collapse(&part, 1);
    uint32_t rank = 0;
    for (uint32_t d = 0; d < part.rank; d++)
        rank += part.dims[d] != 1;
    return rank;
}

struct view espy_axes_input(struct op_lower *c, uint32_t i, uint32_t mask, uint32_t inside_max)
{
    const struct view view = espy_lower_input(c, i);
    if (view.buffer == VIEW_NONE)
        return view;
    if (espy_view_count(&view) == 0) {
        // Nothing of it is read, and its strides may be anything: dense ones merge.
        struct shape shape = {.rank = view.rank};
        memcpy(shape.dims, view.dims, sizeof(shape.dims));
        return espy_view_reshaped_dense(&view, &shape);
    }
    if (merged_rank(&view, mask) <= inside_max && merged_rank(&view, ~mask) <= AXES_RANK_MAX)
        return view;
    return espy_lower_dense_input(c, i);
}

uint32_t espy_axes_part(const struct op_lower *c, size_t rows, size_t length)
{
    const size_t enough = c->caps->cpu ? ROWS_CPU : ROWS_GPU;
    if (length <= ROW_MAX && (rows >= enough || length < 2 * (size_t)PART_MIN))
        return (uint32_t)(length == 0 ? 1 : length);
    size_t part = PART_MIN;
    while ((length + part - 1) / part > PARTS_MAX)
        part *= 2;
    return (uint32_t)part;
}

size_t espy_axes_count(const struct shape *shape, uint32_t mask)
{
    size_t count = 1;
    for (uint32_t d = 0; d < shape->rank; d++)
        if ((mask >> d & 1) != 0)
            count *= (size_t)shape->dims[d];
    return count;
}
