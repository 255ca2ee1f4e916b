// Resize: nearest, linear and cubic interpolation of any dimensions.
//
// Interpolation is separable, so each resized dimension becomes a table: for every output index
// where a window of source elements starts, and the weights of its elements. Coordinates, rounding,
// edges, antialiasing and crops are all in the tables, which reference and kernels share.
#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "shaders/resize.spv.h"
#include "shaders/resize_nearest.spv.h"
#include "shaders/resize_nearest_vec4.spv.h"
#include "shaders/resize_vec4.spv.h"

enum { MODE_NEAREST, MODE_LINEAR, MODE_CUBIC };
enum { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, ROUND_FLOOR, ROUND_CEIL };
enum { STRETCH, NOT_LARGER, NOT_SMALLER };
enum {
    HALF_PIXEL,
    HALF_PIXEL_SYMMETRIC,
    PYTORCH_HALF_PIXEL,
    ALIGN_CORNERS,
    ASYMMETRIC,
    TF_CROP_AND_RESIZE,
    TF_HALF_PIXEL_FOR_NN
};
enum { X, ROI, SCALES, SIZES };

struct resize_attrs {
    bool antialias, exclude_outside;
    struct op_ints axes;
    int coordinates, aspect, mode, nearest;
    float cubic_coeff_a, extrapolation_value;
};

// How one dimension is resized. The scale is a fraction: sizes give both parts exactly, scales give
// a float over 1, and divisions by that are rounded to float so that 2 / (1/3) is 6, not 5.9999998.
struct axis {
    bool resized; // false: copied index by index
    bool rounds;
    int64_t in, out;
    double above, below; // scale = above / below
    double start, end;   // of the crop
};

struct table {
    uint32_t taps;    // length of the window
    int32_t *starts;  // [out]; -1: the output is extrapolation_value
    double *weights;  // [out][taps]
};

// ---- shapes -------------------------------------------------------------------------------------

// The dimensions that scales, sizes and roi speak of.
static uint32_t listed_axes(const struct resize_attrs *attrs, uint32_t rank,
                            uint32_t list[ESPY_RANK_MAX])
{
    if (attrs->axes.values == NULL) {
        for (uint32_t i = 0; i < rank; i++)
            list[i] = i;
        return rank;
    }
    for (uint32_t i = 0; i < attrs->axes.count; i++) {
        const int64_t axis = attrs->axes.values[i];
        list[i] = (uint32_t)(axis < 0 ? axis + (int64_t)rank : axis);
    }
    return attrs->axes.count;
}

static bool given(const struct op_type *types, uint32_t count, uint32_t i)
{
    // Older models write an empty tensor where an input is absent.
    return i < count && types[i].dtype != ESPY_DTYPE_NONE &&
           !(types[i].shape.rank == 1 && types[i].shape.dims[0] == 0);
}

static void set_sizes(const struct resize_attrs *attrs, const struct tensor *sizes,
                      const uint32_t *list, uint32_t count, struct axis *axes)
{
    double above = 0, below = 0; // of the common scale
    for (uint32_t i = 0; i < count; i++) {
        struct axis *axis = &axes[list[i]];
        axis->above = (double)espy_tensor_integer(sizes, i);
        axis->below = (double)axis->in;
        axis->out = espy_tensor_integer(sizes, i);
        if (axis->in == 0)
            continue;
        const double difference = axis->above * below - above * axis->below;
        if (below == 0 || (attrs->aspect == NOT_LARGER ? difference < 0 : difference > 0)) {
            above = axis->above;
            below = axis->below;
        }
    }
    if (attrs->aspect == STRETCH)
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct axis *axis = &axes[list[i]];
        if (axis->in == 0) {
            axis->out = 0;
            continue;
        }
        axis->above = above;
        axis->below = below;
        axis->out = (int64_t)floor((double)axis->in * above / below + 0.5);
    }
}

// What becomes of each dimension of x. inputs are the operator's, with data where they are given.
static void describe(const struct resize_attrs *attrs, const struct op_type *types,
                     const struct tensor *inputs, uint32_t input_count,
                     struct axis axes[ESPY_RANK_MAX])
{
    const struct shape *shape = &types[X].shape;
    uint32_t list[ESPY_RANK_MAX];
    const uint32_t count = listed_axes(attrs, shape->rank, list);
    for (uint32_t d = 0; d < shape->rank; d++)
        axes[d] = (struct axis){false, false, shape->dims[d], shape->dims[d], 1, 1, 0, 1};
    if (given(types, input_count, SIZES))
        set_sizes(attrs, &inputs[SIZES], list, count, axes);
    for (uint32_t i = 0; i < count; i++) {
        struct axis *axis = &axes[list[i]];
        if (!given(types, input_count, SIZES)) {
            const float scale = (float)espy_tensor_number(&inputs[SCALES], i);
            axis->rounds = true;
            axis->above = (double)scale;
            axis->out = (int64_t)floorf((float)axis->in * scale);
        }
        if (attrs->coordinates == TF_CROP_AND_RESIZE) {
            axis->start = espy_tensor_number(&inputs[ROI], i);
            axis->end = espy_tensor_number(&inputs[ROI], count + i);
        }
        axis->resized = axis->above != axis->below || axis->in != axis->out ||
                        axis->start != 0 || axis->end != 1;
    }
}

static espy_status check_axes(const struct op_infer *c)
{
    const struct resize_attrs *attrs = c->attrs;
    const uint32_t rank = c->inputs[X].shape.rank;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < attrs->axes.count; i++) {
        uint32_t axis;
        TRY(espy_infer_axis(c, attrs->axes.values[i], rank, &axis));
        if ((seen >> axis & 1) != 0)
            return espy_infer_fail(c, "axis %u is listed twice", axis);
        seen |= UINT32_C(1) << axis;
    }
    return ESPY_OK;
}

static espy_status check_list(const struct op_infer *c, uint32_t i, uint32_t count,
                              const char *name)
{
    const struct shape *shape = &c->inputs[i].shape;
    if (shape->rank != 1 || shape->dims[0] != (int64_t)count)
        return espy_infer_fail(c, "%s must have %u elements", name, count);
    if (espy_dtype_is_float(c->inputs[i].dtype) != (i != SIZES))
        return espy_infer_fail(c, "%s is %s", name, espy_dtype_name(c->inputs[i].dtype));
    return ESPY_OK;
}

static espy_status check_numbers(const struct op_infer *c, const struct tensor *list, uint32_t i)
{
    for (uint32_t k = 0; k < list->count; k++) {
        const double number = espy_tensor_number(list, k);
        if (i == SCALES && !(number > 0 && number <= (double)FLT_MAX))
            return espy_infer_fail(c, "scale %g is not a positive number", number);
        if (i == SIZES && !(number >= 0 && number <= (double)GRAPH_DIM_MAX))
            return espy_infer_fail(c, "size %g is not a dimension", number);
    }
    return ESPY_OK;
}

static espy_status infer(struct op_infer *c)
{
    const struct resize_attrs *attrs = c->attrs;
    const struct op_type *x = &c->inputs[X];
    TRY(check_axes(c));
    const uint32_t rank = x->shape.rank;
    const uint32_t count = attrs->axes.values != NULL ? attrs->axes.count : rank;
    const bool sizes = given(c->inputs, c->input_count, SIZES);
    if (rank > 0 && sizes == given(c->inputs, c->input_count, SCALES) && count > 0)
        return espy_infer_fail(c, "needs one of scales and sizes");
    if (attrs->mode == MODE_NEAREST && attrs->antialias)
        return espy_infer_fail(c, "antialias is for linear and cubic, not nearest");
    if (attrs->mode != MODE_NEAREST && x->dtype == ESPY_BOOL)
        return espy_infer_unsupported(c, "interpolates numbers, not bool");
    const uint32_t list = sizes ? SIZES : SCALES;
    if (count > 0) {
        TRY(check_list(c, list, count, sizes ? "sizes" : "scales"));
        const struct tensor *values = espy_infer_value(c, list);
        if (values == NULL)
            return espy_infer_wait(c);
        TRY(check_numbers(c, values, list));
    }
    if (attrs->coordinates == TF_CROP_AND_RESIZE && count > 0) {
        if (!given(c->inputs, c->input_count, ROI))
            return espy_infer_fail(c, "tf_crop_and_resize needs roi");
        TRY(check_list(c, ROI, 2 * count, "roi"));
        if (espy_infer_value(c, ROI) == NULL)
            return espy_infer_wait(c);
    }
    struct axis axes[ESPY_RANK_MAX];
    describe(attrs, c->inputs, c->values, c->input_count, axes);
    c->outputs[0] = *x;
    for (uint32_t d = 0; d < rank; d++) {
        if (axes[d].in == 0 && axes[d].out != 0)
            return espy_infer_fail(c, "dimension %u has no elements to enlarge", d);
        if (axes[d].out < 0 || axes[d].out > GRAPH_DIM_MAX)
            return espy_infer_fail(c, "dimension %u would become too large", d);
        c->outputs[0].shape.dims[d] = axes[d].out;
    }
    return ESPY_OK;
}

// ---- tables -------------------------------------------------------------------------------------

static double unscaled(const struct axis *axis, double x)
{
    return axis->rounds ? (double)((float)x / (float)axis->above) : x * axis->below / axis->above;
}

// Where output index i lies among the source's indices.
static double coordinate(const struct resize_attrs *attrs, const struct axis *axis, int64_t i)
{
    const double x = (double)i, last = (double)axis->in - 1;
    // scales may give a length that is not whole; the output has its whole part.
    const double length = axis->rounds ? (double)((float)axis->in * (float)axis->above)
                                       : (double)axis->in * axis->above / axis->below;
    switch (attrs->coordinates) {
    case ALIGN_CORNERS:
        return length == 1 ? 0 : x * last / (length - 1);
    case ASYMMETRIC:
        return unscaled(axis, x);
    case TF_CROP_AND_RESIZE:
        return axis->start * last + (axis->out > 1 ? x * (axis->end - axis->start) * last /
                                                         (length - 1)
                                                   : (axis->end - axis->start) * last / 2);
    case TF_HALF_PIXEL_FOR_NN:
        return unscaled(axis, x + 0.5);
    case PYTORCH_HALF_PIXEL:
        return axis->out > 1 ? unscaled(axis, x + 0.5) - 0.5 : 0;
    case HALF_PIXEL_SYMMETRIC:
        return (double)axis->in / 2 * (1 - (double)axis->out / length) + unscaled(axis, x + 0.5) -
               0.5;
    default:
        return unscaled(axis, x + 0.5) - 0.5;
    }
}

static int64_t nearest(int rule, double x)
{
    switch (rule) {
    case ROUND_PREFER_FLOOR:
        return (int64_t)ceil(x - 0.5);
    case ROUND_PREFER_CEIL:
        return (int64_t)floor(x + 0.5);
    case ROUND_FLOOR:
        return (int64_t)floor(x);
    default:
        return (int64_t)ceil(x);
    }
}

static double weight_at(const struct resize_attrs *attrs, double distance)
{
    const double x = fabs(distance), a = (double)attrs->cubic_coeff_a;
    if (attrs->mode == MODE_LINEAR)
        return x < 1 ? 1 - x : 0;
    if (x <= 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

// The filter of one axis: how far it reaches, and how much it is stretched.
struct filter {
    int64_t first, count; // relative to the element on the left of the coordinate
    double stretch;       // 1, less where antialiasing widens the filter
};

static struct filter filter_of(const struct resize_attrs *attrs, const struct axis *axis)
{
    if (attrs->mode == MODE_NEAREST)
        return (struct filter){0, 1, 1};
    const double reach = attrs->mode == MODE_LINEAR ? 1 : 2;
    const double scale = axis->above / axis->below;
    struct filter filter = {.stretch = attrs->antialias && scale < 1 ? scale : 1};
    filter.first = (int64_t)floor(-reach / filter.stretch) + 1;
    filter.count = 2 - 2 * filter.first;
    return filter;
}

// One row of a table. Elements beyond the edge count as the edge element, so their weights are
// added to its weight and the window stays inside.
static void fill_row(const struct resize_attrs *attrs, const struct axis *axis, double x,
                     uint32_t taps, int32_t *start, double *weights)
{
    const struct filter filter = filter_of(attrs, axis);
    const int64_t last = axis->in - 1;
    const int64_t base = (int64_t)ceil(x) - 1; // so that x - base is in (0, 1]
    int64_t begin = base + filter.first;
    begin = begin > axis->in - (int64_t)taps ? axis->in - (int64_t)taps : begin;
    begin = begin < 0 ? 0 : begin;
    double inside = 0, all = 0;
    for (int64_t k = 0; k < filter.count; k++) {
        const int64_t at = base + filter.first + k;
        const double weight = weight_at(attrs, ((double)at - x) * filter.stretch);
        all += weight;
        if (at >= 0 && at <= last)
            inside += weight;
    }
    const bool exclude = attrs->exclude_outside && inside != 0;
    for (int64_t k = 0; k < filter.count; k++) {
        const int64_t at = base + filter.first + k;
        if (exclude && (at < 0 || at > last))
            continue;
        const int64_t clamped = at < 0 ? 0 : at > last ? last : at;
        weights[clamped - begin] += weight_at(attrs, ((double)at - x) * filter.stretch) /
                                    (exclude ? inside : all);
    }
    *start = (int32_t)begin;
}

static bool build_table(const struct resize_attrs *attrs, struct arena *arena,
                        const struct axis *axis, struct table *table)
{
    // Without an output the scale may be anything. With one, it is at least about 1 / in.
    const int64_t reach = axis->out > 0 ? filter_of(attrs, axis).count : 1;
    const bool longer = axis->in > 0 && reach > axis->in;
    *table = (struct table){.taps = (uint32_t)(longer ? axis->in : reach)};
    size_t weight_count = 0;
    if (!espy_checked_mul((size_t)axis->out, table->taps, &weight_count))
        return false;
    table->starts = espy_arena_array(arena, (size_t)axis->out, sizeof(*table->starts));
    if (table->starts != NULL) // one message if both fail
        table->weights = espy_arena_array(arena, weight_count, sizeof(*table->weights));
    if (table->weights == NULL)
        return false;
    for (int64_t i = 0; i < axis->out; i++) {
        double *weights = &table->weights[(size_t)i * table->taps];
        double x = coordinate(attrs, axis, i);
        if (attrs->coordinates == TF_CROP_AND_RESIZE &&
            !(x >= 0 && x <= (double)axis->in - 1)) { // NaN too
            table->starts[i] = -1;
            continue;
        }
        // No filter reaches back from further out, and integers hold what is left.
        x = fmin(fmax(x, -(double)axis->in - 4), 2 * (double)axis->in + 4);
        if (attrs->mode != MODE_NEAREST) {
            fill_row(attrs, axis, x, table->taps, &table->starts[i], weights);
            continue;
        }
        const int64_t at = nearest(attrs->nearest, x);
        table->starts[i] = (int32_t)(at < 0 ? 0 : at >= axis->in ? axis->in - 1 : at);
        weights[0] = 1;
    }
    return true;
}

// ---- reference ----------------------------------------------------------------------------------

static void store(struct tensor *y, size_t i, double value)
{
    double low = 0, high = 0;
    const int bits = 8 * (int)espy_dtype_size(y->type.dtype);
    if (espy_dtype_is_float(y->type.dtype)) {
        espy_tensor_set_number(y, i, value);
        return;
    }
    if (espy_dtype_is_signed(y->type.dtype)) {
        low = -ldexp(1, bits - 1);
        high = ldexp(1, bits - 1) - 1;
    } else {
        high = ldexp(1, bits) - 1;
    }
    espy_tensor_set_number(y, i, fmin(fmax(rint(value), low), high));
}

// Resizes one dimension of from into to. What lies outside gets its value at once: the weights of
// later axes sum to one and keep it.
static void resize_axis(const double *from, double *to, const struct axis *axis,
                        const struct table *table, size_t outer, size_t inner, double outside)
{
    for (size_t o = 0; o < outer; o++) {
        for (int64_t i = 0; i < axis->out; i++) {
            const double *weights = &table->weights[(size_t)i * table->taps];
            const int32_t start = table->starts[i];
            double *row = &to[(o * (size_t)axis->out + (size_t)i) * inner];
            for (size_t k = 0; k < inner; k++) {
                double sum = start < 0 ? outside : 0;
                for (uint32_t t = 0; start >= 0 && t < table->taps; t++)
                    sum += weights[t] *
                           from[(o * (size_t)axis->in + (size_t)start + t) * inner + k];
                row[k] = sum;
            }
        }
    }
}

static void interpolate(struct op_eval *c, const struct axis *axes, const struct table *tables)
{
    const struct resize_attrs *attrs = c->attrs;
    const struct tensor *x = &c->inputs[X];
    struct shape shape = x->type.shape;
    double *from = espy_eval_scratch(c, x->count, sizeof(*from));
    for (size_t i = 0; from != NULL && i < x->count; i++)
        from[i] = espy_tensor_number(x, i);
    for (uint32_t d = 0; from != NULL && d < shape.rank; d++) {
        if (!axes[d].resized)
            continue;
        size_t outer = 1, inner = 1, count = 0;
        for (uint32_t i = 0; i < d; i++)
            outer *= (size_t)shape.dims[i];
        for (uint32_t i = d + 1; i < shape.rank; i++)
            inner *= (size_t)shape.dims[i];
        shape.dims[d] = axes[d].out;
        if (!espy_shape_count(&shape, &count)) {
            espy_eval_fail(c, ESPY_OUT_OF_MEMORY, "an intermediate result is too large");
            return;
        }
        double *to = espy_eval_scratch(c, count, sizeof(*to));
        if (to != NULL)
            resize_axis(from, to, &axes[d], &tables[d], outer, inner,
                        (double)attrs->extrapolation_value);
        from = to;
    }
    for (size_t i = 0; from != NULL && i < c->outputs[0].count; i++)
        store(&c->outputs[0], i, from[i]);
}

// Nearest moves elements as they are, so that 64-bit integers keep all their bits.
static void pick(struct op_eval *c, const struct axis *axes, const struct table *tables)
{
    const struct resize_attrs *attrs = c->attrs;
    const struct tensor *x = &c->inputs[X];
    struct tensor *y = &c->outputs[0];
    const size_t size = espy_dtype_size(x->type.dtype);
    const uint32_t rank = x->type.shape.rank;
    int64_t index[ESPY_RANK_MAX] = {0};
    for (size_t i = 0; i < y->count; i++) {
        size_t at = 0;
        bool outside = false;
        for (uint32_t d = 0; d < rank; d++) {
            const int64_t source = axes[d].resized ? tables[d].starts[index[d]] : index[d];
            outside = outside || source < 0;
            at = at * (size_t)axes[d].in + (size_t)(source < 0 ? 0 : source);
        }
        if (outside)
            store(y, i, (double)attrs->extrapolation_value);
        else
            memcpy((char *)y->data + i * size, (const char *)x->data + at * size, size);
        for (uint32_t d = rank; d-- > 0 && ++index[d] == axes[d].out;)
            index[d] = 0;
    }
}

static void reference(struct op_eval *c)
{
    const struct resize_attrs *attrs = c->attrs;
    struct op_type types[SIZES + 1] = {{0}};
    for (uint32_t i = 0; i < c->input_count; i++)
        types[i] = c->inputs[i].type;
    struct axis axes[ESPY_RANK_MAX];
    struct table tables[ESPY_RANK_MAX];
    describe(attrs, types, c->inputs, c->input_count, axes);
    for (uint32_t d = 0; d < types[X].shape.rank; d++) {
        if (axes[d].resized && !build_table(attrs, c->arena, &axes[d], &tables[d])) {
            c->status = ESPY_OUT_OF_MEMORY; // the arena has said so
            return;
        }
    }
    if (attrs->mode == MODE_NEAREST)
        pick(c, axes, tables);
    else
        interpolate(c, axes, tables);
}

// ---- lowering -----------------------------------------------------------------------------------

enum { PASS_AXES_MAX = 3, KERNEL_RANK_MAX = 7, KEPT_TAPS_MAX = 4, TRIPS_MAX = 32768 };

// One dispatch: some of the axes.
struct pass {
    uint32_t count;
    uint32_t axes[PASS_AXES_MAX]; // dimensions of x
};

// The dimensions of both views as a kernel wants them: sorted by the output's memory, dimensions
// that are not resized merged where both views allow it.
struct layout {
    uint32_t rank;
    int64_t dims[ESPY_RANK_MAX], x_strides[ESPY_RANK_MAX], y_strides[ESPY_RANK_MAX];
    uint32_t axis[ESPY_RANK_MAX]; // dimension of x that is resized here, or UINT32_MAX
};

static bool in_pass(const struct pass *pass, uint32_t d)
{
    for (uint32_t i = 0; i < pass->count; i++)
        if (pass->axes[i] == d)
            return true;
    return false;
}

static struct layout layout_of(const struct pass *pass, const struct view *x, const struct view *y)
{
    struct layout layout = {0};
    uint32_t order[ESPY_RANK_MAX];
    for (uint32_t d = 0; d < y->rank; d++) {
        uint32_t place = d;
        for (; place > 0 && y->strides[order[place - 1]] < y->strides[d]; place--)
            order[place] = order[place - 1];
        order[place] = d;
    }
    for (uint32_t k = 0; k < y->rank; k++) {
        const uint32_t d = order[k], n = layout.rank;
        const bool resized = in_pass(pass, d);
        if (y->dims[d] == 1 && !resized)
            continue;
        const bool merges = n > 0 && !resized && layout.axis[n - 1] == UINT32_MAX &&
                            layout.x_strides[n - 1] == x->strides[d] * x->dims[d] &&
                            layout.y_strides[n - 1] == y->strides[d] * y->dims[d];
        const uint32_t at = merges ? n - 1 : n;
        layout.dims[at] = y->dims[d] * (merges ? layout.dims[at] : 1);
        layout.x_strides[at] = x->strides[d];
        layout.y_strides[at] = y->strides[d];
        layout.axis[at] = resized ? d : UINT32_MAX;
        layout.rank = at + 1;
    }
    return layout;
}

// Whether four neighbouring elements of the innermost dimension can be moved at once; then sizes
// and strides are changed to count such fours.
static bool use_vec4(struct layout *layout, struct view *x, enum storage storage)
{
    const uint32_t inner = layout->rank - 1;
    bool fits = layout->axis[inner] == UINT32_MAX && layout->x_strides[inner] == 1 &&
                layout->y_strides[inner] == 1 && layout->dims[inner] % 4 == 0 &&
                x->offset % 4 == 0 && storage != STORAGE_I64;
    for (uint32_t k = 0; fits && k < inner; k++)
        fits = layout->x_strides[k] % 4 == 0 && layout->y_strides[k] % 4 == 0;
    if (!fits)
        return false;
    layout->dims[inner] /= 4;
    x->offset /= 4;
    for (uint32_t k = 0; k < inner; k++) {
        layout->x_strides[k] /= 4;
        layout->y_strides[k] /= 4;
    }
    return true;
}

// Splits the innermost dimension into this many runs, one invocation each, so that indices and
// weights are read once for several elements. Not so many that loops get too long.
static uint32_t run_count(const struct op_lower *c, const struct layout *layout, uint32_t taps)
{
    const int64_t inner = layout->dims[layout->rank - 1];
    int64_t outer = 1;
    for (uint32_t k = 0; k + 1 < layout->rank; k++)
        outer *= layout->dims[k];
    const int64_t wanted = c->caps->cpu ? 512 : 65536; // invocations
    int64_t runs = outer == 0 ? 1 : (wanted + outer - 1) / outer;
    const int64_t least = (inner * taps + TRIPS_MAX - 1) / TRIPS_MAX;
    runs = runs < least ? least : runs;
    return (uint32_t)(runs > inner ? inner : runs);
}

// Copies the tables of a pass into constants: starts, and weights as floats.
static bool upload_tables(struct op_lower *c, const struct pass *pass, const struct axis *axes,
                          const struct table *tables, struct view constants[2],
                          uint32_t first_start[PASS_AXES_MAX], uint32_t first_weight[PASS_AXES_MAX])
{
    size_t start_count = 0, weight_count = 0;
    for (uint32_t i = 0; i < pass->count; i++) {
        first_start[i] = (uint32_t)start_count;
        first_weight[i] = (uint32_t)weight_count;
        start_count += (size_t)axes[pass->axes[i]].out;
        weight_count += (size_t)axes[pass->axes[i]].out * tables[pass->axes[i]].taps;
    }
    int32_t *starts = espy_arena_array(c->arena, start_count, sizeof(*starts));
    if (starts == NULL)
        return false;
    float *weights = espy_arena_array(c->arena, weight_count, sizeof(*weights));
    if (weights == NULL)
        return false;
    for (uint32_t i = 0; i < pass->count; i++) {
        const struct table *table = &tables[pass->axes[i]];
        const size_t out = (size_t)axes[pass->axes[i]].out;
        if (out > 0)
            memcpy(&starts[first_start[i]], table->starts, out * sizeof(*starts));
        for (size_t k = 0; k < out * table->taps; k++)
            weights[first_weight[i] + k] = (float)table->weights[k];
    }
    const struct shape starts_shape = {1, {(int64_t)start_count}};
    const struct shape weights_shape = {1, {(int64_t)weight_count}};
    constants[0] = espy_lower_constant(c, ESPY_INT32, &starts_shape, starts);
    constants[1] = espy_lower_constant(c, ESPY_FLOAT32, &weights_shape, weights);
    return true;
}

static const struct shader *kernel_of(const struct resize_attrs *attrs, enum storage storage,
                                      bool vec4)
{
    // A crop has an extrapolation value, which only the kernels that compute can write.
    if (attrs->mode == MODE_NEAREST && attrs->coordinates != TF_CROP_AND_RESIZE)
        return vec4 ? resize_nearest_vec4_shaders.variants[espy_word_variant(storage)]
                    : resize_nearest_shaders.variants[espy_word_variant(storage)];
    return vec4 ? resize_vec4_shaders.variants[espy_variant(storage)]
                : resize_shaders.variants[espy_variant(storage)];
}

// The kernels have the same push block, and resize.comp two more constants at the end of its spec.
static_assert(sizeof(struct resize_push) == sizeof(struct resize_vec4_push), "shared push block");
static_assert(sizeof(struct resize_push) == sizeof(struct resize_nearest_push),
              "shared push block");
static_assert(sizeof(struct resize_vec4_spec) == sizeof(struct resize_nearest_spec), "shared spec");
static_assert(offsetof(struct resize_spec, lowest) == sizeof(struct resize_vec4_spec),
              "shared spec");

static void fill_axes(const struct pass *pass, const struct layout *layout,
                      const struct table *tables, struct resize_spec *spec)
{
    uint32_t *positions[] = {&spec->axis_0, &spec->axis_1, &spec->axis_2};
    uint32_t *taps[] = {&spec->taps_0, &spec->taps_1, &spec->taps_2};
    for (uint32_t i = 0; i < pass->count; i++) {
        *taps[i] = tables[pass->axes[i]].taps;
        for (uint32_t k = 0; k < layout->rank; k++)
            if (layout->axis[k] == pass->axes[i])
                *positions[i] = k;
    }
}

static espy_status lower_pass(struct op_lower *c, const struct pass *pass,
                              const struct axis *axes, const struct table *tables,
                              const struct view *x, const struct view *y)
{
    const struct resize_attrs *attrs = c->attrs;
    struct layout layout = layout_of(pass, x, y);
    struct view constants[2] = {{.buffer = VIEW_NONE}, {.buffer = VIEW_NONE}}, source = *x;
    uint32_t starts[PASS_AXES_MAX] = {0}, weights[PASS_AXES_MAX] = {0};
    if (espy_lower_status(c) != ESPY_OK || espy_view_count(y) == 0)
        return espy_lower_status(c);
    if (!upload_tables(c, pass, axes, tables, constants, starts, weights))
        return ESPY_OUT_OF_MEMORY; // the arena has said so
    const bool vec4 =
        espy_variant(x->storage) != VARIANT_I32 && use_vec4(&layout, &source, x->storage);
    const struct shader *shader = kernel_of(attrs, x->storage, vec4);
    struct resize_spec spec = RESIZE_SPEC_DEFAULT;
    struct resize_push push = {.x_offset = (int32_t)source.offset,
                               .starts_1 = starts[1],
                               .starts_2 = starts[2],
                               .weights_1 = weights[1],
                               .weights_2 = weights[2],
                               .outside = attrs->extrapolation_value};
    spec.local_size_x = c->caps->local_size;
    spec.rank = layout.rank;
    fill_axes(pass, &layout, tables, &spec);
    const int bits = 8 * (int)espy_dtype_size(x->dtype);
    const bool is_signed = espy_dtype_is_signed(x->dtype);
    spec.lowest = is_signed && bits < 32 ? -(1 << (bits - 1)) : 0;
    spec.highest = bits < 32 ? (1 << (is_signed ? bits - 1 : bits)) - 1 : 0;
    const uint32_t inner = layout.rank - 1;
    if (layout.axis[inner] == UINT32_MAX) {
        spec.runs = 1;
        push.run = (uint32_t)layout.dims[inner];
        layout.dims[inner] = run_count(c, &layout, spec.taps_0 * spec.taps_1 * spec.taps_2);
    }
    size_t count = 1;
    for (uint32_t k = 0; k < layout.rank; k++) {
        count *= (size_t)layout.dims[k];
        push.dims[k] = (uint32_t)layout.dims[k];
        push.x_strides[k] = (int32_t)layout.x_strides[k];
        push.y_strides[k] = (int32_t)layout.y_strides[k];
    }
    push.count = (uint32_t)count;
    struct op_dispatch dispatch = {.shader = shader,
                                   .bindings = {*x, constants[0], constants[1], *y},
                                   .binding_count = 4,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = shader == NULL ? 0 : 4 * shader->spec_count};
    espy_lower_grid(c, count, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return espy_lower_status(c);
}

// Long windows get a dispatch for each axis, and go first because they shrink; short ones share.
static uint32_t plan_passes(const struct axis *axes, const struct table *tables, uint32_t rank,
                            struct pass passes[ESPY_RANK_MAX])
{
    uint32_t count = 0;
    for (uint32_t d = 0; d < rank; d++)
        if (axes[d].resized && tables[d].taps > KEPT_TAPS_MAX)
            passes[count++] = (struct pass){1, {d}};
    const uint32_t longs = count;
    for (uint32_t d = 0; d < rank; d++) {
        if (!axes[d].resized || tables[d].taps > KEPT_TAPS_MAX)
            continue;
        if (count == longs || passes[count - 1].count == PASS_AXES_MAX)
            passes[count++] = (struct pass){0};
        struct pass *pass = &passes[count - 1];
        pass->axes[pass->count++] = d;
    }
    return count;
}

static const char *host_reason(const struct op_lower *c, const struct pass *passes, uint32_t count,
                               const struct table *tables)
{
    const struct resize_attrs *attrs = c->attrs;
    const espy_dtype dtype = c->inputs[X].dtype;
    const enum storage storage = espy_lower_storage(c, dtype);
    if (count == 0)
        return NULL;
    if (tables[passes[0].axes[0]].taps > TRIPS_MAX)
        return "the antialiasing window is too long for a kernel's loop";
    if (storage == STORAGE_F32 || storage == STORAGE_F16)
        return NULL;
    if (attrs->mode == MODE_NEAREST)
        return attrs->coordinates == TF_CROP_AND_RESIZE ? "a crop of integers" : NULL;
    // Kernels compute in float: exact for these, and rounded once if there is one pass.
    if (espy_dtype_size(dtype) > 2 || count > 1)
        return "interpolation of integers that float32 does not hold";
    return NULL;
}

// Memory between two passes, in the order of dimensions that x has.
static struct view between(struct op_lower *c, const struct view *x, const struct shape *shape)
{
    struct view view = espy_lower_temporary(c, x->dtype, shape);
    bool used[ESPY_RANK_MAX] = {false};
    int64_t stride = 1;
    for (uint32_t k = 0; view.buffer != VIEW_NONE && k < view.rank; k++) {
        uint32_t next = UINT32_MAX;
        for (uint32_t d = view.rank; d-- > 0;)
            if (!used[d] && (next == UINT32_MAX || x->strides[d] < x->strides[next]))
                next = d;
        used[next] = true;
        view.strides[next] = stride;
        stride *= view.dims[next];
    }
    return view;
}

static espy_status lower(struct op_lower *c)
{
    const struct resize_attrs *attrs = c->attrs;
    const uint32_t rank = c->inputs[X].shape.rank;
    struct axis axes[ESPY_RANK_MAX];
    struct table tables[ESPY_RANK_MAX];
    struct pass passes[ESPY_RANK_MAX];
    describe(attrs, c->inputs, c->values, c->input_count, axes);
    for (uint32_t d = 0; d < rank; d++)
        if (axes[d].resized && !build_table(attrs, c->arena, &axes[d], &tables[d]))
            return ESPY_OUT_OF_MEMORY; // the arena has said so
    const uint32_t count = plan_passes(axes, tables, rank, passes);
    const char *reason = host_reason(c, passes, count, tables);
    if (reason != NULL)
        return espy_lower_on_host(c, reason);
    // Dense inputs merge to at most seven dimensions, which is what kernels take.
    struct view x = rank > KERNEL_RANK_MAX ? espy_lower_dense_input(c, X) : espy_lower_input(c, X);
    if (count == 0) {
        espy_lower_alias(c, 0, &x);
        return espy_lower_status(c);
    }
    struct shape shape = c->inputs[X].shape;
    for (uint32_t p = 0; p < count && espy_lower_status(c) == ESPY_OK; p++) {
        for (uint32_t i = 0; i < passes[p].count; i++)
            shape.dims[passes[p].axes[i]] = axes[passes[p].axes[i]].out;
        const struct view y =
            p + 1 == count ? espy_lower_output_like(c, 0, &x) : between(c, &x, &shape);
        TRY(lower_pass(c, &passes[p], axes, tables, &x, &y));
        x = y;
    }
    return espy_lower_status(c);
}

// ---- the table ----------------------------------------------------------------------------------

static const char *const mode_choices[] = {"nearest", "linear", "cubic", NULL};
static const char *const nearest_choices[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                              "ceil", NULL};
static const char *const aspect_choices[] = {"stretch", "not_larger", "not_smaller", NULL};
static const char *const coordinate_choices[] = {
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
    "tf_crop_and_resize", "tf_half_pixel_for_nn", NULL};

#define ATTR(attr_name, attr_type, member)                                                         \
    .name = attr_name, .type = attr_type, .offset = offsetof(struct resize_attrs, member)

static const struct op_attr attr_rows[] = {
    {ATTR("mode", OP_ENUM, mode), .choices = mode_choices, .help = "how values are interpolated"},
    {ATTR("coordinate_transformation_mode", OP_ENUM, coordinates), .choices = coordinate_choices,
     .help = "where an output index lies in the input"},
    {ATTR("nearest_mode", OP_ENUM, nearest), .choices = nearest_choices,
     .help = "how nearest rounds"},
    {ATTR("axes", OP_INTS, axes), .help = "what scales, sizes and roi speak of; default: all"},
    {ATTR("keep_aspect_ratio_policy", OP_ENUM, aspect), .choices = aspect_choices,
     .help = "how sizes are taken"},
    {ATTR("cubic_coeff_a", OP_FLOAT, cubic_coeff_a), .fallback = -0.75,
     .help = "coefficient a of cubic interpolation"},
    {ATTR("exclude_outside", OP_BOOL, exclude_outside),
     .help = "elements outside weigh nothing instead of repeating the edge"},
    {ATTR("extrapolation_value", OP_FLOAT, extrapolation_value),
     .help = "outside the input, in tf_crop_and_resize"},
    {ATTR("antialias", OP_BOOL, antialias), .help = "widen the filter where the output is smaller"},
};

static const struct op ops[] = {{.name = "Resize",
                                 .summary = "interpolates to another size",
                                 .inputs_min = 1,
                                 .inputs_max = 4,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .attrs = attr_rows,
                                 .attr_count = sizeof(attr_rows) / sizeof(attr_rows[0]),
                                 .attrs_size = sizeof(struct resize_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_resize = {ops, sizeof(ops) / sizeof(ops[0])};
