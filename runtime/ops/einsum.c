// Einsum: sums of products over named dimensions.
//
// Operands are contracted two at a time, left to right. A contraction is a batched matrix product
// z[b, m, n] = sum of x[b, m, k] y[b, n, k]: every label belongs to one of the four groups, and a
// group whose dimensions lie one behind the other in memory counts as one dimension. Diagonals and
// permutations are only strides. Labels of one operand alone that the output lacks are summed
// first, as a product with one.
#include <assert.h>
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "shaders/einsum.spv.h"

enum {
    LETTERS = 52,
    LABELS = LETTERS + ESPY_RANK_MAX, // letters, then the dimensions of "..." from the last one on
    SUM_LENGTH_MAX = 32768            // of one dispatch
};

struct einsum_attrs {
    const char *equation;
};

struct term {
    uint32_t rank;
    uint8_t labels[ESPY_RANK_MAX];
};

struct equation {
    uint32_t input_count;
    struct term *inputs;
    struct term output;
    int64_t sizes[LABELS]; // 0 where not used; see also used
    bool used[LABELS];
};

// ---- the equation -------------------------------------------------------------------------------

static int letter_of(char c)
{
    if (c >= 'A' && c <= 'Z') // implicit outputs are sorted so: upper case first
        return c - 'A';
    return c >= 'a' && c <= 'z' ? 26 + c - 'a' : -1;
}

// Reads the labels of one term up to a comma, an arrow or the end; "..." stands for `rest`
// dimensions. Returns NULL and sets *problem when that is not a term.
static const char *read_term(const char *at, uint32_t rest, struct term *term, bool *has_rest,
                             const char **problem)
{
    *term = (struct term){0};
    *has_rest = false;
    for (; *at != '\0' && *at != ',' && strncmp(at, "->", 2) != 0; at++) {
        const bool dots = strncmp(at, "...", 3) == 0;
        const int letter = letter_of(*at);
        if (*at == ' ' || *at == '\t')
            continue;
        if (!dots && letter < 0) {
            *problem = "holds something that is neither a letter nor ...";
            return NULL;
        }
        if (dots && *has_rest) {
            *problem = "has two ... in one term";
            return NULL;
        }
        if (term->rank + (dots ? rest : 1) > ESPY_RANK_MAX) {
            *problem = "has a term with too many dimensions";
            return NULL;
        }
        for (uint32_t i = 0; dots && i < rest; i++)
            term->labels[term->rank++] = (uint8_t)(LETTERS + rest - 1 - i);
        if (!dots)
            term->labels[term->rank++] = (uint8_t)letter;
        *has_rest = *has_rest || dots;
        at += dots ? 2 : 0;
    }
    return at;
}

// Notes the sizes of an operand's dimensions; those of 1 repeat.
static const char *add_sizes(struct equation *e, const struct term *term,
                             const struct shape *shape)
{
    for (uint32_t d = 0; d < term->rank; d++) {
        const uint8_t label = term->labels[d];
        for (uint32_t earlier = 0; earlier < d; earlier++)
            if (term->labels[earlier] == label && shape->dims[earlier] != shape->dims[d])
                return "repeats a label in one term for different sizes";
        if (!e->used[label] || e->sizes[label] == 1)
            e->sizes[label] = shape->dims[d];
        else if (shape->dims[d] != 1 && shape->dims[d] != e->sizes[label])
            return "gives one label to different sizes";
        e->used[label] = true;
    }
    return NULL;
}

// The "..." of all inputs, then labels that appear once, in order of the alphabet.
static void imply_output(struct equation *e, uint32_t rest, const char **problem)
{
    uint32_t times[LABELS] = {0};
    for (uint32_t i = 0; i < e->input_count; i++)
        for (uint32_t d = 0; d < e->inputs[i].rank; d++)
            times[e->inputs[i].labels[d]]++;
    e->output = (struct term){0};
    for (uint32_t i = 0; i < rest; i++)
        e->output.labels[e->output.rank++] = (uint8_t)(LETTERS + rest - 1 - i);
    for (uint32_t label = 0; label < LETTERS; label++) {
        if (times[label] != 1)
            continue;
        if (e->output.rank == ESPY_RANK_MAX) {
            *problem = "has an output with too many dimensions";
            return;
        }
        e->output.labels[e->output.rank++] = (uint8_t)label;
    }
}

static void check_output(const struct equation *e, const char **problem)
{
    bool seen[LABELS] = {false};
    for (uint32_t d = 0; d < e->output.rank; d++) {
        const uint8_t label = e->output.labels[d];
        if (!e->used[label])
            *problem = "has an output label that no input has";
        if (seen[label])
            *problem = "repeats a label in the output";
        seen[label] = true;
    }
}

// Reads the whole. types are the inputs'. Returns what is wrong with the equation, or NULL.
static const char *read_equation(const char *text, const struct op_type *types,
                                 uint32_t input_count, struct equation *e)
{
    const char *problem = NULL, *at = text;
    bool has_rest;
    uint32_t rest_max = 0;
    for (uint32_t i = 0; i < input_count; i++) {
        const struct shape *shape = &types[i].shape;
        if (i > 0 && *at++ != ',')
            return "has fewer terms than there are inputs";
        // Once without "..." to count the letters, then with what they leave.
        if (read_term(at, 0, &e->inputs[i], &has_rest, &problem) == NULL)
            return problem;
        if (has_rest ? e->inputs[i].rank > shape->rank : e->inputs[i].rank != shape->rank)
            return "has a term that does not fit its input's dimensions";
        const uint32_t rest = shape->rank - e->inputs[i].rank;
        rest_max = rest > rest_max ? rest : rest_max;
        at = read_term(at, rest, &e->inputs[i], &has_rest, &problem);
        problem = add_sizes(e, &e->inputs[i], shape);
        if (problem != NULL)
            return problem;
    }
    e->input_count = input_count;
    if (*at == ',')
        return "has more terms than there are inputs";
    if (*at == '\0') {
        imply_output(e, rest_max, &problem);
    } else {
        at = read_term(at + 2, rest_max, &e->output, &has_rest, &problem);
        if (at != NULL && *at != '\0')
            return "goes on after its output";
    }
    if (problem == NULL)
        check_output(e, &problem);
    return problem;
}

static espy_status infer(struct op_infer *c)
{
    const struct einsum_attrs *attrs = c->attrs;
    struct equation e = {0};
    TRY(espy_infer_same_dtype(c, 0, c->input_count));
    if (c->inputs[0].dtype == ESPY_BOOL)
        return espy_infer_fail(c, "takes numbers, not bool");
    for (uint32_t i = 0; i < c->input_count; i++)
        if (!espy_infer_has(c, i))
            return espy_infer_fail(c, "input %u is missing", i);
    e.inputs = espy_arena_array(c->arena, c->input_count, sizeof(*e.inputs));
    if (e.inputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    const char *problem = read_equation(attrs->equation, c->inputs, c->input_count, &e);
    if (problem != NULL)
        return espy_infer_fail(c, "the equation %s: %.200s", problem, attrs->equation);
    c->outputs[0].dtype = c->inputs[0].dtype;
    c->outputs[0].shape = (struct shape){.rank = e.output.rank};
    for (uint32_t d = 0; d < e.output.rank; d++)
        c->outputs[0].shape.dims[d] = e.sizes[e.output.labels[d]];
    return ESPY_OK;
}

// ---- reference ----------------------------------------------------------------------------------

// One operand's elements, and how far each loop moves in them.
struct factor {
    const float *floats;
    size_t at;
    size_t strides[LABELS]; // by loop
};

struct loops {
    uint32_t count, outer; // the first `outer` are the output's dimensions
    int64_t sizes[LABELS], index[LABELS];
    uint8_t labels[LABELS];
};

static void set_strides(const struct term *term, const struct shape *shape,
                        const struct loops *loops, struct factor *factor)
{
    for (uint32_t l = 0; l < loops->count; l++) {
        size_t stride = 1;
        for (uint32_t d = term->rank; d-- > 0;) {
            // A label twice in one term walks along the diagonal.
            if (term->labels[d] == loops->labels[l] && shape->dims[d] != 1)
                factor->strides[l] += stride;
            stride *= (size_t)shape->dims[d];
        }
    }
}

// Moves on in loops [first, end); false when they are through and stand at their start again.
static bool advance(struct loops *loops, struct factor *factors, uint32_t factor_count,
                    uint32_t first, uint32_t end)
{
    for (uint32_t l = end; l-- > first;) {
        const bool wraps = ++loops->index[l] == loops->sizes[l];
        for (uint32_t f = 0; f < factor_count; f++)
            factors[f].at += wraps ? factors[f].strides[l] - factors[f].strides[l] *
                                                                 (size_t)loops->sizes[l]
                                   : factors[f].strides[l];
        if (!wraps)
            return true;
        loops->index[l] = 0;
    }
    return false;
}

static void sum_products(struct op_eval *c, struct loops *loops, struct factor *factors)
{
    const bool is_float = espy_dtype_is_float(c->inputs[0].type.dtype);
    bool empty = false;
    for (uint32_t l = loops->outer; l < loops->count; l++)
        empty = empty || loops->sizes[l] == 0;
    for (size_t i = 0; i < c->outputs[0].count; i++) {
        double sum = 0;
        uint64_t whole = 0; // integers wrap
        bool more = !empty;
        while (more) {
            double product = 1;
            uint64_t whole_product = 1;
            for (uint32_t f = 0; f < c->input_count; f++) {
                if (is_float)
                    product *= (double)factors[f].floats[factors[f].at];
                else
                    whole_product *=
                        (uint64_t)espy_tensor_integer(&c->inputs[f], factors[f].at);
            }
            sum += product;
            whole += whole_product;
            more = advance(loops, factors, c->input_count, loops->outer, loops->count);
        }
        if (is_float)
            espy_tensor_set_number(&c->outputs[0], i, sum);
        else
            espy_tensor_set_integer(&c->outputs[0], i, (int64_t)whole);
        advance(loops, factors, c->input_count, 0, loops->outer);
    }
}

static void reference(struct op_eval *c)
{
    const struct einsum_attrs *attrs = c->attrs;
    struct equation e = {0};
    struct loops loops = {0};
    struct op_type *types = espy_eval_scratch(c, c->input_count, sizeof(*types));
    struct factor *factors = espy_eval_scratch(c, c->input_count, sizeof(*factors));
    e.inputs = espy_eval_scratch(c, c->input_count, sizeof(*e.inputs));
    if (types == NULL || factors == NULL || e.inputs == NULL)
        return;
    for (uint32_t i = 0; i < c->input_count; i++)
        types[i] = c->inputs[i].type;
    const char *problem = read_equation(attrs->equation, types, c->input_count, &e);
    assert(problem == NULL);
    (void)problem;
    for (uint32_t d = 0; d < e.output.rank; d++) {
        loops.labels[loops.count] = e.output.labels[d];
        loops.sizes[loops.count++] = e.sizes[e.output.labels[d]];
        e.used[e.output.labels[d]] = false;
    }
    loops.outer = loops.count;
    for (uint32_t label = 0; label < LABELS; label++) {
        if (!e.used[label])
            continue;
        loops.labels[loops.count] = (uint8_t)label;
        loops.sizes[loops.count++] = e.sizes[label];
    }
    for (uint32_t i = 0; i < c->input_count; i++) {
        set_strides(&e.inputs[i], &types[i].shape, &loops, &factors[i]);
        if (espy_dtype_is_float(types[i].dtype))
            factors[i].floats = espy_eval_floats(c, i);
    }
    if (c->status == ESPY_OK)
        sum_products(c, &loops, factors);
}

// ---- lowering -----------------------------------------------------------------------------------

typedef uint64_t label_set; // bit per label
static_assert(LABELS <= 64, "labels fit a set");

static label_set set_of(const struct term *term)
{
    label_set set = 0;
    for (uint32_t d = 0; d < term->rank; d++)
        set |= UINT64_C(1) << term->labels[d];
    return set;
}

static uint32_t set_size(label_set set)
{
    uint32_t size = 0;
    for (; set != 0; set &= set - 1)
        size++;
    return size;
}

// A tensor with one dimension per label, without those of size 1.
struct operand {
    struct view view;
    struct term term;
};

static struct operand operand_of(const struct view *view, const struct term *term)
{
    struct operand operand = {.view = *view};
    uint32_t rank = 0;
    for (uint32_t d = 0; d < term->rank; d++) {
        if (view->dims[d] == 1)
            continue;
        uint32_t at = 0;
        while (at < rank && operand.term.labels[at] != term->labels[d])
            at++;
        operand.view.strides[at] = view->strides[d] + (at < rank ? operand.view.strides[at] : 0);
        operand.view.dims[at] = view->dims[d];
        operand.term.labels[at] = term->labels[d];
        rank = at == rank ? rank + 1 : rank;
    }
    operand.view.rank = rank;
    operand.term.rank = rank;
    return operand;
}

static uint32_t place_of(const struct operand *operand, uint8_t label)
{
    uint32_t d = 0;
    while (d < operand->term.rank && operand->term.labels[d] != label)
        d++;
    return d;
}

static int64_t stride_of(const struct operand *operand, uint8_t label)
{
    const uint32_t d = place_of(operand, label);
    return d < operand->term.rank ? operand->view.strides[d] : 0;
}

// The labels of a set, those with large strides in an operand first.
static struct term ordered(label_set set, const struct operand *by)
{
    struct term term = {0};
    for (uint8_t label = 0; label < LABELS; label++) {
        if ((set >> label & 1) == 0)
            continue;
        uint32_t at = term.rank++;
        for (; at > 0 && stride_of(by, term.labels[at - 1]) < stride_of(by, label); at--)
            term.labels[at] = term.labels[at - 1];
        term.labels[at] = label;
    }
    return term;
}

// Whether labels [first, end) of a group lie one behind the other in an operand: one dimension with
// the last one's stride.
static bool folds(const struct operand *operand, const struct term *group, uint32_t first,
                  uint32_t end, int64_t *stride)
{
    *stride = 0;
    if (espy_view_count(&operand->view) == 0)
        return true; // nothing is read, and strides across no elements do not multiply
    for (uint32_t i = end; i-- > first;) {
        const uint32_t d = place_of(operand, group->labels[i]);
        if (i + 1 < end) {
            const uint32_t inner = place_of(operand, group->labels[i + 1]);
            if (operand->view.strides[d] !=
                operand->view.strides[inner] * operand->view.dims[inner])
                return false;
        } else {
            *stride = operand->view.strides[d];
        }
    }
    return true;
}

// A contraction as the kernel sees it.
struct product {
    struct operand x, y;
    struct term batches, m, n, k;
    uint32_t cut; // batches from here on are the second dimension
    int64_t x_strides[4], y_strides[4]; // two of the batches, m or n, k
};

// Sets the strides of one operand; own is m for x, n for y.
static bool fold_operand(const struct product *p, const struct operand *operand,
                         const struct term *own, uint32_t cut, int64_t strides[4])
{
    return folds(operand, &p->batches, 0, cut, &strides[0]) &&
           folds(operand, &p->batches, cut, p->batches.rank, &strides[1]) &&
           folds(operand, own, 0, own->rank, &strides[2]) &&
           folds(operand, &p->k, 0, p->k.rank, &strides[3]);
}

// A dense copy with the dimensions in the groups' order, which always folds.
static struct operand regrouped(struct op_lower *c, const struct product *p,
                                const struct operand *operand, const struct term *own)
{
    struct operand sorted = *operand;
    const struct term *groups[] = {&p->batches, own, &p->k};
    uint32_t rank = 0;
    for (uint32_t g = 0; g < 3; g++) {
        for (uint32_t i = 0; i < groups[g]->rank; i++) {
            const uint32_t d = place_of(operand, groups[g]->labels[i]);
            sorted.view.dims[rank] = operand->view.dims[d];
            sorted.view.strides[rank] = operand->view.strides[d];
            sorted.term.labels[rank++] = groups[g]->labels[i];
        }
    }
    assert(rank == operand->term.rank);
    struct shape shape = {.rank = rank};
    memcpy(shape.dims, sorted.view.dims, sizeof(shape.dims));
    const struct view copy = espy_lower_temporary(c, operand->view.dtype, &shape);
    espy_lower_copy(c, &sorted.view, &copy);
    sorted.view = copy;
    return sorted;
}

// How four elements at once may be read; see LAYOUT in the shader.
static uint32_t layout_of(const struct product *p)
{
    bool aligned = p->x.view.offset % 4 == 0 && p->y.view.offset % 4 == 0;
    for (uint32_t i = 0; i < 2; i++)
        aligned = aligned && p->x_strides[i] % 4 == 0 && p->y_strides[i] % 4 == 0;
    int64_t k = 1, n = 1;
    for (uint32_t i = 0; i < p->k.rank; i++)
        k *= p->x.view.dims[place_of(&p->x, p->k.labels[i])];
    for (uint32_t i = 0; i < p->n.rank; i++)
        n *= p->y.view.dims[place_of(&p->y, p->n.labels[i])];
    if (!aligned || p->x_strides[3] != 1 || p->x_strides[2] % 4 != 0 || k % 4 != 0 ||
        !espy_dtype_is_float(p->x.view.dtype))
        return 0;
    if (p->y_strides[3] == 1 && p->y_strides[2] % 4 == 0)
        return 1;
    return p->y_strides[2] == 1 && p->y_strides[3] % 4 == 0 && n % 4 == 0 ? 2 : 0;
}

// Cuts the batches where x folds, and y if asked for; false: nowhere.
static bool find_cut(struct product *p, bool y_too)
{
    for (p->cut = 0; p->cut <= p->batches.rank; p->cut++)
        if (fold_operand(p, &p->x, &p->m, p->cut, p->x_strides) &&
            (!y_too || fold_operand(p, &p->y, &p->n, p->cut, p->y_strides)))
            return true;
    p->cut = UINT32_MAX;
    return false;
}

// Groups the labels. Where no cut suits both operands, the one that does not fold is copied.
static struct product product_of(struct op_lower *c, const struct operand *a,
                                 const struct operand *b, label_set needed, bool may_copy)
{
    const label_set in_a = set_of(&a->term), in_b = set_of(&b->term);
    struct product p = {.x = *a, .y = *b};
    p.batches = ordered(in_a & in_b & needed, a);
    p.m = ordered(in_a & ~in_b, a);
    p.n = ordered(in_b & ~in_a, b);
    p.k = ordered(in_a & in_b & ~needed, a);
    if (find_cut(&p, true) || !may_copy)
        return p;
    if (!find_cut(&p, false))
        p.x = regrouped(c, &p, &p.x, &p.m);
    if (!find_cut(&p, true))
        p.y = regrouped(c, &p, &p.y, &p.n);
    find_cut(&p, true);
    return p;
}

static int64_t extent(const struct operand *operand, const struct term *group, uint32_t first,
                      uint32_t end)
{
    int64_t count = 1;
    for (uint32_t i = first; i < end; i++)
        count *= operand->view.dims[place_of(operand, group->labels[i])];
    return count;
}

// Adds the dispatches of a contraction whose result is dense [batches, m, n].
static void dispatch_product(struct op_lower *c, const struct product *p, const struct view *z)
{
    const int64_t outer = extent(&p->x, &p->batches, 0, p->cut);
    const int64_t inner = extent(&p->x, &p->batches, p->cut, p->batches.rank);
    const int64_t m = extent(&p->x, &p->m, 0, p->m.rank), n = extent(&p->y, &p->n, 0, p->n.rank);
    const int64_t k = extent(&p->x, &p->k, 0, p->k.rank);
    const espy_dtype dtype = p->x.view.dtype;
    struct einsum_spec spec = EINSUM_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.layout = layout_of(p);
    spec.width = (uint32_t)espy_dtype_size(dtype);
    spec.is_signed = espy_dtype_is_signed(dtype);
    struct einsum_push push = {
        .count = (uint32_t)(outer * inner * ((m + 3) / 4) * ((n + 3) / 4)),
        .m = (uint32_t)m,
        .n = (uint32_t)n,
        .inner_batches = (uint32_t)inner,
        .x_at = {0, (int32_t)p->x_strides[0], (int32_t)p->x_strides[1]},
        .y_at = {0, (int32_t)p->y_strides[0], (int32_t)p->y_strides[1]},
        .x_m = (int32_t)p->x_strides[2],
        .x_k = (int32_t)p->x_strides[3],
        .y_n = (int32_t)p->y_strides[2],
        .y_k = (int32_t)p->y_strides[3]};
    for (int64_t first = 0; first == 0 || first < k; first += SUM_LENGTH_MAX) {
        spec.accumulate = first > 0;
        push.k = (uint32_t)(k - first < SUM_LENGTH_MAX ? k - first : SUM_LENGTH_MAX);
        push.x_at[0] = (int32_t)(p->x.view.offset + first * p->x_strides[3]);
        push.y_at[0] = (int32_t)(p->y.view.offset + first * p->y_strides[3]);
        struct op_dispatch made = {
            .shader = einsum_shaders.variants[espy_variant(p->x.view.storage)],
            .bindings = {p->x.view, p->x.view, p->y.view, p->y.view, *z},
            .binding_count = 5,
            .push = &push,
            .push_size = sizeof(push),
            .spec = &spec,
            .spec_size = sizeof(spec)};
        espy_lower_grid(c, push.count, spec.local_size_x, made.groups);
        espy_lower_dispatch(c, &made);
    }
}

static struct term joined(const struct product *p)
{
    struct term term = {0};
    const struct term *groups[] = {&p->batches, &p->m, &p->n};
    for (uint32_t g = 0; g < 3; g++)
        for (uint32_t i = 0; i < groups[g]->rank; i++)
            term.labels[term.rank++] = groups[g]->labels[i];
    return term;
}

// Contracts a and b. The last contraction writes the operator's output, in whatever order of
// dimensions in memory the kernel makes; others a temporary.
static struct operand contract(struct op_lower *c, const struct equation *e,
                               const struct operand *a, const struct operand *b, label_set needed,
                               bool last)
{
    struct product p = product_of(c, a, b, needed, false), swapped = {.cut = UINT32_MAX};
    if (p.cut == UINT32_MAX || layout_of(&p) == 0)
        swapped = product_of(c, b, a, needed, false);
    if (swapped.cut != UINT32_MAX && (p.cut == UINT32_MAX || layout_of(&swapped) != 0))
        p = swapped;
    if (p.cut == UINT32_MAX)
        p = product_of(c, a, b, needed, true);
    struct operand z = {.view = {.buffer = VIEW_NONE}, .term = joined(&p)};
    if (espy_lower_status(c) != ESPY_OK)
        return z;
    assert(p.cut != UINT32_MAX);
    if (last) {
        struct view like = {.buffer = VIEW_NONE, .rank = e->output.rank};
        for (uint32_t d = 0; d < e->output.rank; d++)
            like.strides[d] = z.term.rank - place_of(&z, e->output.labels[d]);
        z.view = espy_lower_output_like(c, 0, &like);
    } else {
        struct shape shape = {.rank = z.term.rank};
        for (uint32_t d = 0; d < z.term.rank; d++)
            shape.dims[d] = e->sizes[z.term.labels[d]];
        z.view = espy_lower_temporary(c, a->view.dtype, &shape);
    }
    if (espy_lower_status(c) == ESPY_OK)
        dispatch_product(c, &p, &z.view);
    return z;
}

// Sums an operand over the labels that nobody needs: a product with a single one.
static struct operand reduce(struct op_lower *c, const struct equation *e,
                             const struct operand *operand, label_set needed, bool last)
{
    const struct shape single = {.rank = 0};
    const struct op_type type = {operand->view.dtype, single};
    struct operand one = {.term = {0}};
    uint64_t element = 0; // room for one of any type
    struct tensor tensor = {type, 1, &element};
    espy_tensor_set_number(&tensor, 0, 1);
    one.view = espy_lower_constant(c, type.dtype, &single, &element);
    // It has the dimensions that are summed, with stride 0.
    for (uint32_t d = 0; d < operand->term.rank; d++) {
        if ((needed >> operand->term.labels[d] & 1) != 0)
            continue;
        one.term.labels[one.term.rank] = operand->term.labels[d];
        one.view.dims[one.term.rank] = operand->view.dims[d];
        one.view.strides[one.term.rank++] = 0;
    }
    one.view.rank = one.term.rank;
    return contract(c, e, operand, &one, needed, last);
}

static label_set needed_after(const struct equation *e, const struct operand *operands,
                              uint32_t count)
{
    label_set set = set_of(&e->output);
    for (uint32_t i = 0; i < count; i++)
        set |= set_of(&operands[i].term);
    return set;
}

// The operand's memory seen with the output's dimensions.
static void alias_output(struct op_lower *c, const struct equation *e,
                         const struct operand *operand)
{
    struct view view = operand->view;
    view.rank = e->output.rank;
    for (uint32_t d = 0; d < e->output.rank; d++) {
        view.dims[d] = e->sizes[e->output.labels[d]];
        view.strides[d] = stride_of(operand, e->output.labels[d]);
    }
    espy_lower_alias(c, 0, &view);
}

// Whether no intermediate result has more dimensions than a view can have.
static bool ranks_fit(const struct equation *e)
{
    label_set made = 0;
    for (uint32_t i = 0; i < e->input_count; i++) {
        label_set needed = set_of(&e->output);
        for (uint32_t k = i + 1; k < e->input_count; k++)
            needed |= set_of(&e->inputs[k]);
        made = (made | set_of(&e->inputs[i])) & needed;
        if (set_size(made) > ESPY_RANK_MAX)
            return false;
    }
    return true;
}

static void lower_chain(struct op_lower *c, const struct equation *e, struct operand *operands)
{
    const uint32_t count = e->input_count;
    struct operand left = operands[0];
    bool written = false;
    for (uint32_t i = 1; i < count && espy_lower_status(c) == ESPY_OK; i++) {
        struct operand right = operands[i];
        const label_set needed = needed_after(e, &operands[i + 1], count - i - 1);
        const label_set in_left = set_of(&left.term), in_right = set_of(&right.term);
        if ((in_left & ~in_right & ~needed) != 0)
            left = reduce(c, e, &left, needed | in_right, false);
        if ((in_right & ~in_left & ~needed) != 0)
            right = reduce(c, e, &right, needed | in_left, false);
        written = i + 1 == count;
        left = contract(c, e, &left, &right, needed, written);
    }
    const label_set needed = set_of(&e->output);
    if (espy_lower_status(c) != ESPY_OK || written)
        return;
    if ((set_of(&left.term) & ~needed) != 0)
        reduce(c, e, &left, needed, true);
    else
        alias_output(c, e, &left);
}

static espy_status lower(struct op_lower *c)
{
    const struct einsum_attrs *attrs = c->attrs;
    struct equation e = {0};
    e.inputs = espy_arena_array(c->arena, c->input_count, sizeof(*e.inputs));
    if (e.inputs == NULL)
        return ESPY_OUT_OF_MEMORY; // the arena has said so
    struct operand *operands = espy_arena_array(c->arena, c->input_count, sizeof(*operands));
    if (operands == NULL)
        return ESPY_OUT_OF_MEMORY;
    const char *problem = read_equation(attrs->equation, c->inputs, c->input_count, &e);
    assert(problem == NULL);
    (void)problem;
    const enum storage storage = espy_lower_storage(c, c->inputs[0].dtype);
    if (storage == STORAGE_I64)
        return espy_lower_on_host(c, "64-bit integers");
    if (!ranks_fit(&e))
        return espy_lower_on_host(c, "an intermediate result with too many dimensions");
    for (uint32_t i = 0; i < c->input_count; i++) {
        const struct view view = espy_lower_input(c, i);
        operands[i] = operand_of(&view, &e.inputs[i]);
    }
    if (espy_lower_status(c) == ESPY_OK)
        lower_chain(c, &e, operands);
    return espy_lower_status(c);
}

static const struct op_attr attr_rows[] = {{.name = "equation",
                                            .type = OP_STRING,
                                            .offset = offsetof(struct einsum_attrs, equation),
                                            .required = true,
                                            .help = "labels of each input's dimensions, ->, labels "
                                                    "of the output's"}};

static const struct op ops[] = {{.name = "Einsum",
                                 .summary = "sums of products over named dimensions",
                                 .inputs_min = 1,
                                 .inputs_max = OP_VARIADIC,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .attrs = attr_rows,
                                 .attr_count = 1,
                                 .attrs_size = sizeof(struct einsum_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_einsum = {ops, sizeof(ops) / sizeof(ops[0])};
