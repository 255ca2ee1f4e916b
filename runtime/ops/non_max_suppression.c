// NonMaxSuppression: the best boxes of each class, without those that overlap a better one.
#include <math.h>
#include <stdlib.h>

#include "op/op.h"

enum { CORNERS, CENTER }; // of the attribute

struct nms_attrs {
    int64_t center_point_box;
};

static const struct op_attr rows[] = {
    {.name = "center_point_box",
     .type = OP_INT,
     .offset = offsetof(struct nms_attrs, center_point_box),
     .max = CENTER,
     .help = "boxes are y1, x1, y2, x2 (0) or x, y of the centre, width, height (1)"}};

struct candidate {
    float score;
    uint32_t box;
};

struct rectangle {
    float left, top, right, bottom, area;
};

// What selection needs and makes; the lists have room for every box of a picture.
struct selection {
    const struct tensor *boxes, *scores;
    bool center;
    int64_t most;         // boxes per class
    float overlap, score; // thresholds
    struct candidate *candidates;
    struct rectangle *rectangles, *selected;
};

static struct rectangle rectangle_of(const struct selection *s, size_t index)
{
    float v[4];
    for (size_t i = 0; i < 4; i++)
        v[i] = (float)espy_tensor_number(s->boxes, 4 * index + i);
    struct rectangle r;
    if (s->center)
        r = (struct rectangle){.left = v[0] - v[2] / 2,
                               .top = v[1] - v[3] / 2,
                               .right = v[0] + v[2] / 2,
                               .bottom = v[1] + v[3] / 2};
    else // any two opposite corners
        r = (struct rectangle){.left = fminf(v[1], v[3]),
                               .top = fminf(v[0], v[2]),
                               .right = fmaxf(v[1], v[3]),
                               .bottom = fmaxf(v[0], v[2])};
    r.area = (r.right - r.left) * (r.bottom - r.top);
    return r;
}

static bool overlaps(const struct rectangle *a, const struct rectangle *b, float threshold)
{
    const float width = fminf(a->right, b->right) - fmaxf(a->left, b->left);
    const float height = fminf(a->bottom, b->bottom) - fmaxf(a->top, b->top);
    if (!(width > 0) || !(height > 0) || !(a->area > 0) || !(b->area > 0))
        return false;
    const float shared = width * height;
    return shared / (a->area + b->area - shared) > threshold;
}

static int better_first(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a->box < b->box ? -1 : a->box > b->box;
}

// The boxes of one class of one picture, best first; writes triples when they are wanted.
static int64_t select_class(const struct selection *s, size_t picture, size_t class,
                            struct tensor *triples, int64_t found)
{
    const size_t boxes = (size_t)s->boxes->type.shape.dims[1];
    const size_t classes = (size_t)s->scores->type.shape.dims[1];
    size_t count = 0;
    for (size_t b = 0; b < boxes; b++) {
        const float score =
            (float)espy_tensor_number(s->scores, (picture * classes + class) * boxes + b);
        if (score > s->score) // NaN is not
            s->candidates[count++] = (struct candidate){score, (uint32_t)b};
    }
    qsort(s->candidates, count, sizeof(*s->candidates), better_first);
    int64_t selected = 0;
    for (size_t i = 0; i < count && selected < s->most; i++) {
        const struct rectangle *r = &s->rectangles[s->candidates[i].box];
        bool keep = true;
        for (int64_t k = selected; keep && k-- > 0;)
            keep = !overlaps(r, &s->selected[k], s->overlap);
        if (!keep)
            continue;
        s->selected[selected] = *r;
        const int64_t triple[3] = {(int64_t)picture, (int64_t) class, s->candidates[i].box};
        for (size_t t = 0; triples != NULL && t < 3; t++)
            espy_tensor_set_integer(triples, 3 * (size_t)(found + selected) + t, triple[t]);
        selected++;
    }
    return selected;
}

// Returns how many were selected.
static int64_t select_all(const struct selection *s, struct tensor *triples)
{
    const size_t pictures = (size_t)s->boxes->type.shape.dims[0];
    const size_t boxes = (size_t)s->boxes->type.shape.dims[1];
    const size_t classes = (size_t)s->scores->type.shape.dims[1];
    int64_t found = 0;
    if (s->most <= 0 || classes == 0) // of no boxes there are none either
        return 0;
    for (size_t p = 0; p < pictures; p++) {
        for (size_t b = 0; b < boxes; b++)
            s->rectangles[b] = rectangle_of(s, p * boxes + b);
        for (size_t k = 0; k < classes; k++)
            found += select_class(s, p, k, triples, found);
    }
    return found;
}

// inputs: with data, or dtype NONE where absent. The lists are still to be given.
static struct selection selection_of(const struct nms_attrs *attrs, const struct tensor *inputs,
                                     uint32_t count)
{
    struct selection s = {.boxes = &inputs[0],
                          .scores = &inputs[1],
                          .center = attrs->center_point_box == CENTER,
                          .score = -HUGE_VALF};
    const int64_t boxes = inputs[0].type.shape.dims[1];
    if (count > 2 && inputs[2].type.dtype != ESPY_DTYPE_NONE)
        s.most = espy_tensor_integer(&inputs[2], 0);
    s.most = s.most < boxes ? s.most : boxes;
    if (count > 3 && inputs[3].type.dtype != ESPY_DTYPE_NONE)
        s.overlap = (float)espy_tensor_number(&inputs[3], 0);
    if (count > 4 && inputs[4].type.dtype != ESPY_DTYPE_NONE)
        s.score = (float)espy_tensor_number(&inputs[4], 0);
    return s;
}

static espy_status check_types(const struct op_infer *c)
{
    const struct shape *boxes = &c->inputs[0].shape, *scores = &c->inputs[1].shape;
    TRY(espy_infer_same_dtype(c, 0, 2));
    if (!espy_dtype_is_float(c->inputs[0].dtype))
        return espy_infer_fail(c, "boxes must be floats");
    if (boxes->rank != 3 || boxes->dims[2] != 4 || scores->rank != 3 ||
        scores->dims[0] != boxes->dims[0] || scores->dims[2] != boxes->dims[1])
        return espy_infer_fail(c, "boxes must be [n, boxes, 4] and scores [n, classes, boxes]");
    for (uint32_t i = 2; i < c->input_count; i++) {
        size_t count;
        if (!espy_infer_has(c, i))
            continue;
        if (!espy_shape_count(&c->inputs[i].shape, &count) || count != 1 ||
            (i == 2) != (c->inputs[i].dtype == ESPY_INT64) ||
            (i > 2) != espy_dtype_is_float(c->inputs[i].dtype))
            return espy_infer_fail(c, "input %u must be one %s", i, i == 2 ? "int64" : "float");
    }
    return ESPY_OK;
}

static espy_status infer(struct op_infer *c)
{
    TRY(check_types(c));
    for (uint32_t i = 0; i < c->input_count; i++)
        if (espy_infer_has(c, i) && espy_infer_value(c, i) == NULL)
            return espy_infer_wait(c);
    struct selection s = selection_of(c->attrs, c->values, c->input_count);
    const size_t boxes = (size_t)c->inputs[0].shape.dims[1];
    s.candidates = espy_arena_array(c->arena, boxes, sizeof(*s.candidates));
    s.rectangles = espy_arena_array(c->arena, boxes, sizeof(*s.rectangles));
    s.selected = espy_arena_array(c->arena, boxes, sizeof(*s.selected));
    if (s.candidates == NULL || s.rectangles == NULL || s.selected == NULL)
        return ESPY_OUT_OF_MEMORY;
    c->outputs[0] = (struct op_type){ESPY_INT64, {.rank = 2, .dims = {select_all(&s, NULL), 3}}};
    return ESPY_OK;
}

static void reference(struct op_eval *c)
{
    struct selection s = selection_of(c->attrs, c->inputs, c->input_count);
    const size_t boxes = (size_t)c->inputs[0].type.shape.dims[1];
    s.candidates = espy_eval_scratch(c, boxes, sizeof(*s.candidates));
    s.rectangles = espy_eval_scratch(c, boxes, sizeof(*s.rectangles));
    s.selected = espy_eval_scratch(c, boxes, sizeof(*s.selected));
    if (c->status == ESPY_OK)
        select_all(&s, &c->outputs[0]);
}

static const struct op ops[] = {{.name = "NonMaxSuppression",
                                 .summary = "the best boxes per class that overlap no better one",
                                 .inputs_min = 2,
                                 .inputs_max = 5,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .flags = OP_HOST_ONLY | OP_DATA_SHAPE,
                                 .attrs = rows,
                                 .attr_count = sizeof(rows) / sizeof(rows[0]),
                                 .attrs_size = sizeof(struct nms_attrs),
                                 .infer = infer,
                                 .reference = reference}};

const struct op_family espy_ops_non_max_suppression = {ops, sizeof(ops) / sizeof(ops[0])};
