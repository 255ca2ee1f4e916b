// Splitting a view's dimensions in two: those that a kernel goes along (a row, what is reduced) and
// the others, one invocation each. For lower functions; implemented by the planner (plan/axes.c).
#ifndef RUNTIME_OP_AXES_H_
#define RUNTIME_OP_AXES_H_

#include "op/lower.h"

// Kernels decode at most this many dimensions of each of the two kinds.
enum { AXES_RANK_MAX = 4 };

// The dimensions of view whose bit is set in mask, in their order.
struct view espy_axes_select(const struct view *view, uint32_t mask);
// Reorders the dimensions of all views alike: large strides of views[0] first, so that neighbouring
// invocations meet neighbouring elements and more dimensions merge.
void espy_axes_sort(struct view *views, uint32_t count);
// Sorts (if asked) and collapses; then rank dimensions are written to dims and, per view, strides
// (view v's at strides + v * AXES_RANK_MAX). Unused entries become 1 and 0. Returns the rank.
uint32_t espy_axes_fill(struct view *views, uint32_t count, bool sort, uint32_t *dims,
                        int32_t *strides);
// Input i with strides such that the dimensions in mask collapse to at most inside_max and the
// others to at most AXES_RANK_MAX, in outputs like it too; a dense copy where they do not.
struct view espy_axes_input(struct op_lower *c, uint32_t i, uint32_t mask, uint32_t inside_max);
// How many elements one invocation should take of rows that are length long: length, or less where
// rows are too few to keep the device busy or so long that drivers stop the loop (they do after
// 65535 rounds of all loops of one invocation). At most 4096 parts for each row.
uint32_t espy_axes_part(const struct op_lower *c, size_t rows, size_t length);
// The dimension of every bit in mask, multiplied.
size_t espy_axes_count(const struct shape *shape, uint32_t mask);

#endif // RUNTIME_OP_AXES_H_
