#include "op/lower.h"

#include <assert.h>

size_t espy_view_count(const struct view *view)
{
    size_t count = 1;
    for (uint32_t i = 0; i < view->rank; i++)
        count *= (size_t)view->dims[i];
    return count;
}

// Dense with dimension order[0] outermost.
static bool dense_in_order(const struct view *view, const uint32_t *order)
{
    int64_t expected = 1;
    for (uint32_t k = view->rank; k-- > 0;) {
        const uint32_t i = order[k];
        if (view->dims[i] != 1 && view->strides[i] != expected)
            return espy_view_count(view) == 0;
        expected *= view->dims[i];
    }
    return true;
}

bool espy_view_dense(const struct view *view)
{
    static const uint32_t order[ESPY_RANK_MAX] = {0, 1, 2, 3, 4, 5, 6, 7};
    return dense_in_order(view, order);
}

static void channels_last_order(uint32_t rank, uint32_t *order)
{
    order[0] = 0;
    for (uint32_t i = 2; i < rank; i++)
        order[i - 1] = i;
    order[rank - 1] = 1;
}

bool espy_view_channels_last(const struct view *view)
{
    if (view->rank < 3)
        return false;
    uint32_t order[ESPY_RANK_MAX];
    channels_last_order(view->rank, order);
    return dense_in_order(view, order);
}

bool espy_view_vectors(const struct view *view, uint32_t along, bool padded)
{
    if ((!padded && view->dims[along] % 4 != 0) || view->strides[along] != 1 ||
        view->offset % 4 != 0)
        return false;
    for (uint32_t i = 0; i < view->rank; i++)
        if (i != along && view->dims[i] > 1 && view->strides[i] % 4 != 0)
            return false;
    return true;
}

void espy_view_make_channels_last(struct view *view)
{
    int64_t stride = view->dims[1];
    view->strides[1] = 1;
    for (uint32_t d = view->rank; d-- > 2;) {
        view->strides[d] = stride;
        stride *= view->dims[d];
    }
    view->strides[0] = stride;
}

bool espy_view_contiguous(const struct view *view)
{
    // Selection by stride, innermost first: each must continue where the one inside it ends.
    bool used[ESPY_RANK_MAX] = {false};
    int64_t expected = 1;
    for (uint32_t k = 0; k < view->rank; k++) {
        uint32_t next = view->rank;
        for (uint32_t i = 0; i < view->rank; i++)
            if (!used[i] && (view->dims[i] == 1 || view->strides[i] == expected))
                next = i;
        if (next == view->rank)
            return espy_view_count(view) == 0;
        used[next] = true;
        expected *= view->dims[next];
    }
    return true;
}

bool espy_view_same_strides(const struct view *a, const struct view *b)
{
    assert(a->rank == b->rank);
    for (uint32_t i = 0; i < a->rank; i++)
        if ((a->dims[i] != 1 || b->dims[i] != 1) && a->strides[i] != b->strides[i])
            return false;
    return true;
}

struct view espy_view_broadcast(const struct view *view, const struct shape *shape)
{
    struct view result = *view;
    assert(shape->rank >= view->rank);
    result.rank = shape->rank;
    const uint32_t lead = shape->rank - view->rank;
    for (uint32_t i = 0; i < shape->rank; i++) {
        result.dims[i] = shape->dims[i];
        const bool repeated = i < lead || (view->dims[i - lead] == 1 && shape->dims[i] != 1);
        assert(repeated || view->dims[i - lead] == shape->dims[i]);
        result.strides[i] = repeated ? 0 : view->strides[i - lead];
    }
    return result;
}

struct view espy_view_reshaped_dense(const struct view *view, const struct shape *shape)
{
    struct view result = *view;
    result.rank = shape->rank;
    int64_t stride = 1;
    for (uint32_t i = shape->rank; i-- > 0;) {
        result.dims[i] = shape->dims[i];
        result.strides[i] = stride;
        stride *= shape->dims[i] > 0 ? shape->dims[i] : 1;
    }
    return result;
}

bool espy_view_reshape(const struct view *view, const struct shape *shape, struct view *result)
{
    if (espy_view_count(view) == 0 || espy_view_dense(view)) {
        *result = espy_view_reshaped_dense(view, shape);
        return true;
    }
    // Old dimensions that are contiguous with each other form a run; every new dimension must be
    // cut out of one run (numpy's no-copy rule).
    struct view cut = *view;
    cut.rank = shape->rank;
    uint32_t old = 0, made = 0;
    while (old < view->rank || made < shape->rank) {
        int64_t old_count = old < view->rank ? view->dims[old] : 1;
        int64_t new_count = made < shape->rank ? shape->dims[made] : 1;
        uint32_t old_end = old + 1, new_end = made + 1;
        while (old_count != new_count) {
            if (old_count < new_count)
                old_count *= view->dims[old_end++];
            else
                new_count *= shape->dims[new_end++];
        }
        int64_t run_stride = 1, expected = 0;
        bool first = true;
        for (uint32_t i = old_end < view->rank ? old_end : view->rank; i-- > old;) {
            if (view->dims[i] == 1)
                continue;
            if (!first && view->strides[i] != expected)
                return false;
            if (first)
                run_stride = view->strides[i];
            first = false;
            expected = view->strides[i] * view->dims[i];
        }
        int64_t stride = run_stride;
        for (uint32_t i = new_end < shape->rank ? new_end : shape->rank; i-- > made;) {
            cut.dims[i] = shape->dims[i];
            cut.strides[i] = stride;
            stride *= shape->dims[i];
        }
        old = old_end;
        made = new_end;
    }
    *result = cut;
    return true;
}

static bool mergeable(const struct view *views, uint32_t count, uint32_t outer, uint32_t inner)
{
    for (uint32_t v = 0; v < count; v++)
        if (views[v].strides[outer] != views[v].strides[inner] * views[v].dims[inner])
            return false;
    return true;
}

uint32_t espy_view_collapse(struct view *views, uint32_t count)
{
    assert(count > 0);
    uint32_t rank = 0;
    for (uint32_t i = 0; i < views[0].rank; i++) {
        if (views[0].dims[i] == 1)
            continue;
        for (uint32_t v = 0; v < count; v++) {
            assert(views[v].dims[i] == views[0].dims[i]);
            views[v].dims[rank] = views[v].dims[i];
            views[v].strides[rank] = views[v].strides[i];
        }
        rank++;
        if (rank < 2 || !mergeable(views, count, rank - 2, rank - 1))
            continue;
        for (uint32_t v = 0; v < count; v++) {
            views[v].dims[rank - 2] *= views[v].dims[rank - 1];
            views[v].strides[rank - 2] = views[v].strides[rank - 1];
        }
        rank--;
    }
    for (uint32_t v = 0; v < count; v++) {
        if (rank == 0) {
            views[v].dims[0] = 1;
            views[v].strides[0] = 1;
        }
        views[v].rank = rank == 0 ? 1 : rank;
    }
    return views[0].rank;
}
