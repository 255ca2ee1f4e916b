// The shapes that bench_ops measures: graphs of one operator, or of a few that belong together.
#ifndef BENCH_BENCH_PROBLEMS_H_
#define BENCH_BENCH_PROBLEMS_H_

#include "format/graph.h"

enum problem_kind {
    PROBLEM_CONV, // batch, size, in, out, kernel, stride; groups: 0 is 1, -1 is as many as channels
    PROBLEM_MATMUL,      // size rows of in, by in x out
    PROBLEM_ATTENTION,   // batch, size tokens, in heads of out channels, biased
    PROBLEM_LAYER_NORM,  // size rows of in
    PROBLEM_SOFTMAX,     // size rows of in
    PROBLEM_ADD,         // batch, size, in: two images
    PROBLEM_MAX_POOL,    // batch, size, in, kernel, stride
    PROBLEM_GLOBAL_POOL, // batch, size, in
    PROBLEM_RESIZE,      // batch, size, in: bilinear, twice as large
    PROBLEM_GATE         // batch, size, in: a gate through `hidden` numbers, the product with the
                         // map, and with out a 1x1 convolution of that
};

// An image has size x size pixels of `in` channels.
struct problem {
    const char *name;
    enum problem_kind kind;
    int64_t size, in, out, kernel, stride, groups, batch, hidden; // 0 where it says nothing: 1
    bool biased; // constants are added to the scores, the same for all of the batch
    bool half;            // float16
    // A kind of espy_lower_choose: `form` is taken there, and devices where nobody asks leave the
    // problem out. NULL: all is as it is estimated.
    const char *question;
    uint32_t form;
};

extern const struct problem espy_bench_problems[];
extern const uint32_t espy_bench_problem_count;

// What a problem costs if nothing is computed or moved twice.
struct problem_cost {
    double operations; // 0: too few to be what a kernel is limited by
    double bytes;      // of inputs, weights and output
};

// The graph has its inputs; images come and go channels-last, as in the middle of a network.
espy_status espy_bench_problem_graph(const struct problem *problem, struct graph *graph,
                                     struct problem_cost *cost);
// Numbers from -0.5 to 0.5 from the graph's arena, float32 or float16.
void *espy_bench_numbers(struct graph *graph, espy_dtype dtype, const struct shape *shape,
                         size_t *size);

#endif // BENCH_BENCH_PROBLEMS_H_
