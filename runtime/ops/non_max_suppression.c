// NonMaxSuppression: the best boxes of each class, without those that overlap a better one.
#include <math.h>
#include <stdlib.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/picks.h"
#include "shaders/nms_select.spv.h"
#include "shaders/nms_sort.spv.h"
#include "shaders/nms_triples.spv.h"

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

// All loops of one invocation together stop silently after 65535 rounds on some software drivers:
// a dispatch ends before, so no class may have so many boxes chosen that it could not go on. Scores
// beyond ELEMENTS_MAX would make lists larger than every device binds.
enum { TRIPS_MAX = 60000, CHOSEN_MAX = 50000, ELEMENTS_MAX = 1 << 23 };

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

// The sizes of a call; room: for the boxes chosen of each class, of which values may say how many.
struct sizes {
    size_t pictures, classes, boxes, room;
};

static struct sizes sizes_of(const struct op_type *inputs, const struct tensor *values,
                             uint32_t count)
{
    struct sizes s = {.pictures = (size_t)inputs[1].shape.dims[0],
                      .classes = (size_t)inputs[1].shape.dims[1],
                      .boxes = (size_t)inputs[1].shape.dims[2]};
    s.room = s.boxes;
    if (count <= 2 || inputs[2].dtype == ESPY_DTYPE_NONE) {
        s.room = 0;
    } else if (values[2].data != NULL) {
        const int64_t most = espy_tensor_integer(&values[2], 0);
        s.room = most <= 0 ? 0 : (uint64_t)most < s.boxes ? (size_t)most : s.boxes;
    }
    return s;
}

// NULL: the device computes it.
static const char *why_host(const struct op_type *inputs, const struct sizes *s)
{
    if (!picks_exactly(inputs[0].dtype))
        return "float64 is float32 on the device";
    if (s->room > CHOSEN_MAX)
        return "more than 50000 boxes of a class may be chosen";
    size_t lists, elements;
    if (!espy_checked_mul(s->pictures, s->classes, &lists) ||
        !espy_checked_mul(lists, s->boxes, &elements) || elements > ELEMENTS_MAX)
        return "more than 2^23 scores";
    return NULL;
}

static espy_status bound(struct op_infer *c)
{
    const struct sizes s = sizes_of(c->inputs, c->values, c->input_count);
    if (why_host(c->inputs, &s) != NULL)
        return espy_infer_wait(c);
    const int64_t most = (int64_t)(s.pictures * s.classes * s.room);
    c->outputs[0] = (struct op_type){ESPY_INT64, {.rank = 2, .dims = {most, 3}}};
    if (most > 0) // else there is nothing to count
        c->counted[0] = 0;
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

// ---- lower --------------------------------------------------------------------------------------

struct lowering {
    struct sizes sizes;
    size_t rows; // classes of pictures
    struct view boxes, scores, most, overlap, least;
};

// Input i, or a number where it is absent.
static struct view threshold(struct op_lower *c, uint32_t i, float fallback)
{
    if (espy_lower_has(c, i))
        return espy_lower_input(c, i);
    return espy_lower_constant(c, ESPY_FLOAT32, &(struct shape){1, {1}}, &fallback);
}

static struct view words(struct op_lower *c, size_t count)
{
    return espy_lower_temporary(c, ESPY_UINT32, &(struct shape){1, {(int64_t)count}});
}

struct sorted {
    struct view list, lengths; // a list per row, of (key, box)
};

static void sort_stage(struct op_lower *c, const struct lowering *l,
                       const struct nms_sort_push *push, const struct nms_sort_spec *spec,
                       const struct sorted *source, const struct sorted *target)
{
    struct op_dispatch dispatch = {.shader =
                                       nms_sort_shaders.variants[espy_variant(l->scores.storage)],
                                   .bindings = {l->scores, l->least, source->list, source->lengths,
                                                target->list, target->lengths},
                                   .binding_count = 6,
                                   .push = push,
                                   .push_size = sizeof(*push),
                                   .spec = spec,
                                   .spec_size = sizeof(*spec)};
    espy_lower_grid(c, push->count, spec->local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

// The boxes of each row that score enough, the best first.
static struct sorted sort_rows(struct op_lower *c, const struct lowering *l)
{
    enum { RUN = 16, MERGED_RUN = 4 }; // the latter on GPUs, where more invocations are better
    const struct view none = {.buffer = VIEW_NONE};
    const struct shape pairs = {1, {(int64_t)(l->rows * l->sizes.boxes)}};
    struct nms_sort_spec spec = NMS_SORT_SPEC_DEFAULT;
    struct nms_sort_push push = {.boxes = (uint32_t)l->sizes.boxes,
                                 .span = RUN,
                                 .scores_offset = (int32_t)l->scores.offset,
                                 .least_offset = (int32_t)l->least.offset};
    spec.local_size_x = c->caps->local_size;
    spec.run = RUN;
    spec.least_half = l->least.storage == STORAGE_F16;
    push.runs = (push.boxes + RUN - 1) / RUN;
    push.count = (uint32_t)l->rows * push.runs;
    push.lists = push.runs;
    struct sorted source = {none, none};
    struct sorted target = {espy_lower_temporary(c, ESPY_INT64, &pairs),
                            words(c, l->rows * push.lists)};
    sort_stage(c, l, &push, &spec, &source, &target);
    spec.merge = 1;
    spec.run = c->caps->cpu ? RUN : MERGED_RUN;
    push.runs = (push.boxes + spec.run - 1) / spec.run;
    push.count = (uint32_t)l->rows * push.runs;
    for (; push.lists > 1; push.lists = (push.lists + 1) / 2, push.span *= 2) {
        source = target;
        target.list = espy_lower_temporary(c, ESPY_INT64, &pairs);
        target.lengths = words(c, l->rows * ((push.lists + 1) / 2));
        sort_stage(c, l, &push, &spec, &source, &target);
    }
    return target;
}

// How many dispatches it takes to choose as many boxes as there may be.
static uint32_t count_dispatches(const struct sizes *sizes, size_t lanes)
{
    uint32_t dispatches = 1;
    size_t trips = 0, chosen = 0;
    for (size_t begin = 0; begin < sizes->boxes; begin += lanes) {
        if (trips + chosen + 2 * lanes >= TRIPS_MAX) {
            dispatches++;
            trips = 0;
        }
        trips += chosen + 2 * lanes + 1;
        chosen = chosen + lanes < sizes->room ? chosen + lanes : sizes->room;
    }
    return dispatches;
}

struct chosen {
    struct view boxes, counts; // room for each row, and how much of it was taken
};

static struct chosen choose(struct op_lower *c, const struct lowering *l,
                            const struct sorted *sorted)
{
    enum { CPU_LANES = 32, GPU_LANES = 128 };
    const struct nms_attrs *attrs = c->attrs;
    struct chosen chosen = {words(c, l->rows * l->sizes.room), words(c, l->rows)};
    const struct view next = words(c, l->rows);
    const struct shape shape = {2, {(int64_t)(l->rows * l->sizes.room), 4}};
    const struct view rectangles = espy_lower_temporary(c, ESPY_FLOAT32, &shape);
    struct nms_select_push push = {.rows = (uint32_t)l->rows,
                                   .classes = (uint32_t)l->sizes.classes,
                                   .boxes = (uint32_t)l->sizes.boxes,
                                   .room = (uint32_t)l->sizes.room,
                                   .first = 1,
                                   .boxes_offset = (int32_t)l->boxes.offset,
                                   .most_offset = (int32_t)l->most.offset,
                                   .overlap_offset = (int32_t)l->overlap.offset};
    struct nms_select_spec spec = NMS_SELECT_SPEC_DEFAULT;
    spec.local_size_x = c->caps->cpu ? CPU_LANES : GPU_LANES;
    spec.center = attrs->center_point_box == CENTER;
    spec.overlap_half = l->overlap.storage == STORAGE_F16;
    spec.trips_max = TRIPS_MAX;
    struct op_dispatch dispatch = {
        .shader = nms_select_shaders.variants[espy_variant(l->boxes.storage)],
        .bindings = {l->boxes, l->most, l->overlap, sorted->list, sorted->lengths, next,
                     chosen.counts, chosen.boxes, rectangles},
        .binding_count = 9,
        .push = &push,
        .push_size = sizeof(push),
        .spec = &spec,
        .spec_size = sizeof(spec)};
    espy_lower_grid(c, l->rows, 1, dispatch.groups);
    for (uint32_t left = count_dispatches(&l->sizes, spec.local_size_x); left > 0; left--) {
        espy_lower_dispatch(c, &dispatch);
        push.first = 0;
    }
    return chosen;
}

static void list_triples(struct op_lower *c, const struct lowering *l, const struct chosen *chosen,
                         const struct view *count, const struct view *y)
{
    enum { RUN = 16 }; // of CPU drivers
    const struct view sums = picks_sums(c, &chosen->counts, RANKS_NUMBERS, count);
    struct nms_triples_push push = {.rows = (uint32_t)l->rows,
                                    .classes = (uint32_t)l->sizes.classes,
                                    .room = (uint32_t)l->sizes.room};
    struct nms_triples_spec spec = NMS_TRIPLES_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.shift = picks_shift(c);
    spec.run = c->caps->cpu ? RUN : 1;
    push.runs = (push.room + spec.run - 1) / spec.run;
    push.count = push.rows * push.runs;
    struct op_dispatch dispatch = {.shader = nms_triples_shaders.variants[VARIANT_NONE],
                                   .bindings = {chosen->boxes, chosen->counts, sums, *y},
                                   .binding_count = 4,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

static espy_status lower(struct op_lower *c)
{
    struct lowering l = {.sizes = sizes_of(c->inputs, c->values, c->input_count)};
    const char *why = why_host(c->inputs, &l.sizes);
    if (why != NULL)
        return espy_lower_on_host(c, why);
    const struct view y = espy_lower_output(c, 0), count = espy_lower_count(c);
    l.rows = l.sizes.pictures * l.sizes.classes;
    if (l.rows * l.sizes.room == 0)
        return espy_lower_status(c);
    l.boxes = espy_lower_dense_input(c, 0);
    l.scores = espy_lower_dense_input(c, 1);
    l.most = espy_lower_input(c, 2);
    l.overlap = threshold(c, 3, 0);
    l.least = threshold(c, 4, -HUGE_VALF);
    const struct sorted sorted = sort_rows(c, &l);
    const struct chosen chosen = choose(c, &l, &sorted);
    list_triples(c, &l, &chosen, &count, &y);
    return espy_lower_status(c);
}

static const struct op ops[] = {{.name = "NonMaxSuppression",
                                 .summary = "the best boxes per class that overlap no better one",
                                 .inputs_min = 2,
                                 .inputs_max = 5,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .flags = OP_DATA_SHAPE,
                                 .bindings = 9,
                                 .attrs = rows,
                                 .attr_count = sizeof(rows) / sizeof(rows[0]),
                                 .attrs_size = sizeof(struct nms_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower,
                                 .bound = bound}};

const struct op_family espy_ops_non_max_suppression = {ops, sizeof(ops) / sizeof(ops[0])};
