// Products of matrices whose operands both change from run to run, on CPU drivers:
// shaders/panel_product.comp.
#ifndef RUNTIME_OPS_PANEL_PRODUCT_H_
#define RUNTIME_OPS_PANEL_PRODUCT_H_

#include "ops/panel.h"
#include "shaders/include/panel_product_codes.glsl"
#include "shaders/panel_product.spv.h"

// All views have rank 4: two dimensions of batches, then the matrix; stride 0 where a batch is
// repeated.
struct panel_product {
    struct view a; // rows, depth
    struct view b; // depth, columns
    struct view c; // rows, columns: added to the product; VIEW_NONE: nothing is
    struct view y; // rows, columns: steps of 1 from column to column
    // PRODUCT_SOFTMAX_...: of A, which must be read four at a time, and then alpha is not used; or
    // of Y, whose rows may not be filled, and then no steps come after it.
    uint32_t softmax;
    // [row of all batches, 2], dense: of each row of scores the largest, and one over the sum of
    // what the exponential makes of the differences from it. Only with a softmax.
    struct view stats;
    float alpha;   // scale of the product
    // A's rows go on with zeros up to a multiple of four.
    bool padded;
    // Rows of y go on with minus infinity up to a multiple of four.
    bool fill;
    bool last; // the node's steps come after it
};

static inline bool panel_product_suits(const struct op_lower *c, const struct panel_product *p)
{
    enum { COLUMNS_MIN = 3 };
    const bool c_fits =
        p->c.buffer == VIEW_NONE ||
        (p->c.storage == STORAGE_F32 && (p->c.strides[3] == 0 || p->c.strides[3] == 1));
    return p->y.dims[3] >= COLUMNS_MIN && p->y.strides[3] == 1 && p->a.dims[3] > 0 && c_fits &&
           p->a.storage == STORAGE_F32 && p->b.storage == STORAGE_F32 &&
           panel_suits(c, p->y.storage);
}

static inline uint32_t panel_product_choose(struct op_lower *c, const struct panel_product *p,
                                            uint32_t b_mode)
{
    return panel_forms[espy_lower_choose(
        c, PANEL_FORMS, 0, "panel_product", "%lldx%lldx%lld,b%lld,%u%d%d",
        (long long)p->y.dims[2], (long long)p->a.dims[3], (long long)p->y.dims[3],
        (long long)(p->y.dims[0] * p->y.dims[1]), b_mode, espy_view_vectors(&p->a, 3, p->padded),
        (int)p->softmax)];
}

static inline struct panel_product_spec panel_product_spec_of(struct op_lower *c,
                                                              const struct panel_product *p)
{
    struct panel_product_spec spec = PANEL_PRODUCT_SPEC_DEFAULT;
    spec.local_size_x = spec.lanes = c->caps->subgroup_size;
    spec.a_vector = espy_view_vectors(&p->a, 3, p->padded);
    spec.b_mode = espy_view_vectors(&p->b, 3, false)   ? PRODUCT_B_COLUMNS
                  : espy_view_vectors(&p->b, 2, false) ? PRODUCT_B_DEPTH
                                                          : PRODUCT_B_ANY;
    spec.pixels = panel_pixels(p->y.dims[2], panel_product_choose(c, p, spec.b_mode));
    spec.cols = spec.b_mode == PRODUCT_B_COLUMNS ? 4 : panel_columns(p->y.dims[3], spec.lanes);
    spec.ragged = p->a.dims[3] % 4 != 0;
    spec.has_c = p->c.buffer != VIEW_NONE;
    spec.c_column = p->c.strides[3] != 0;
    spec.store_vector = spec.cols == 4 && espy_view_vectors(&p->y, 3, p->fill) ? 4 : 1;
    spec.fill = p->fill;
    spec.softmax = p->softmax;
    return spec;
}

static inline void panel_product_lower(struct op_lower *c, const struct panel_product *p)
{
    struct panel_product_spec spec = panel_product_spec_of(c, p);
    struct panel_product_push push = {.batches = (uint32_t)(p->y.dims[0] * p->y.dims[1]),
                                      .batch_inner = (uint32_t)p->y.dims[1],
                                      .rows = (uint32_t)p->y.dims[2],
                                      .columns = (uint32_t)p->y.dims[3],
                                      .depth = (uint32_t)p->a.dims[3],
                                      .a_offset = (int32_t)p->a.offset,
                                      .a_row = (int32_t)p->a.strides[2],
                                      .a_depth = (int32_t)p->a.strides[3],
                                      .b_offset = (int32_t)p->b.offset,
                                      .b_depth = (int32_t)p->b.strides[2],
                                      .b_column = (int32_t)p->b.strides[3],
                                      .y_offset = (int32_t)p->y.offset,
                                      .y_row = (int32_t)p->y.strides[2],
                                      .alpha = p->alpha};
    if (spec.has_c) {
        push.c_offset = (int32_t)p->c.offset;
        push.c_row = (int32_t)p->c.strides[2];
    }
    for (uint32_t i = 0; i < 2; i++) {
        push.a_batch[i] = (int32_t)p->a.strides[i];
        push.b_batch[i] = (int32_t)p->b.strides[i];
        push.c_batch[i] = spec.has_c ? (int32_t)p->c.strides[i] : 0;
        push.y_batch[i] = (int32_t)p->y.strides[i];
    }
    if (p->last)
        LOWER_SHARED_EPILOGUE(c, &spec, &push);
    struct op_dispatch dispatch = {.shader = espy_vector_shader(c, &panel_product_shaders),
                                   .bindings = {p->a, p->a, p->b, p->b, p->c, p->y, p->stats},
                                   .binding_count = 7,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    const size_t width = (size_t)spec.lanes * spec.cols;
    const size_t panels = (push.columns + width - 1) / width;
    const size_t tiles = (push.rows + (size_t)spec.pixels - 1) / spec.pixels;
    espy_lower_grid(c, push.batches * tiles * panels, 1, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

#endif // RUNTIME_OPS_PANEL_PRODUCT_H_
