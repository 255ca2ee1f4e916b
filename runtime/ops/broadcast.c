// Operators of several tensors that broadcast as in numpy: arithmetic, bits, comparison, logic and
// Where. Division and remainder by an integer 0 give 0; integers wrap to their width.
#include <assert.h>
#include <math.h>
#include <string.h>

#include "op/axes.h"
#include "op/lower.h"
#include "op/op.h"
#include "shaders/binary.spv.h"
#include "shaders/binary4.spv.h"
#include "shaders/compare.spv.h"
#include "shaders/include/binary_codes.glsl"
#include "shaders/where.spv.h"

enum {
    KERNEL_RANK_MAX = 6,  // of push.dims in the kernels
    KERNEL4_RANK_MAX = 5, // of binary4
    OPERANDS_MAX = 3,
    CPU_RUN = 16 // enough that starting an invocation is small beside its work
};

struct broadcast_attrs {
    bool fmod;     // Mod
    int direction; // BitShift
};

enum rule { // for the types of the operands
    RULE_NUMBERS,
    RULE_FLOATS,
    RULE_POWER,  // the exponent may have another type
    RULE_MODULO, // floats only with C's meaning
    RULE_SLOPE,  // the second operand does not make the first one larger
    RULE_UNSIGNED,
    RULE_INTEGERS,
    RULE_ANY,
    RULE_BOOLS
};

struct function {
    const char *op;
    uint32_t code;
    enum rule rule;
};

static const struct function functions[] = {
    {"Add", BINARY_ADD, RULE_NUMBERS},
    {"And", BINARY_AND, RULE_BOOLS},
    {"BitShift", BINARY_SHIFT_LEFT, RULE_UNSIGNED},
    {"BitwiseAnd", BINARY_BITS_AND, RULE_INTEGERS},
    {"BitwiseOr", BINARY_BITS_OR, RULE_INTEGERS},
    {"BitwiseXor", BINARY_BITS_XOR, RULE_INTEGERS},
    {"Div", BINARY_DIV, RULE_NUMBERS},
    {"Equal", BINARY_EQUAL, RULE_ANY},
    {"Greater", BINARY_GREATER, RULE_NUMBERS},
    {"GreaterOrEqual", BINARY_GREATER_EQUAL, RULE_NUMBERS},
    {"Less", BINARY_LESS, RULE_NUMBERS},
    {"LessOrEqual", BINARY_LESS_EQUAL, RULE_NUMBERS},
    {"Max", BINARY_MAX, RULE_NUMBERS},
    {"Mean", BINARY_MEAN, RULE_FLOATS},
    {"Min", BINARY_MIN, RULE_NUMBERS},
    {"Mod", BINARY_MOD, RULE_MODULO},
    {"Mul", BINARY_MUL, RULE_NUMBERS},
    {"Or", BINARY_OR, RULE_BOOLS},
    {"PRelu", BINARY_PRELU, RULE_SLOPE},
    {"Pow", BINARY_POW, RULE_POWER},
    {"Sub", BINARY_SUB, RULE_NUMBERS},
    {"Sum", BINARY_ADD, RULE_NUMBERS},
    {"Xor", BINARY_XOR, RULE_BOOLS},
};

static struct function function_of(const struct op_node *node)
{
    const struct broadcast_attrs *attrs = node->attrs;
    uint32_t i = 0;
    while (strcmp(functions[i].op, node->op->name) != 0)
        i++;
    struct function function = functions[i];
    if (function.code == BINARY_MOD && attrs->fmod)
        function.code = BINARY_FMOD;
    if (function.code == BINARY_SHIFT_LEFT && attrs->direction == 1)
        function.code = BINARY_SHIFT_RIGHT;
    return function;
}

static bool gives_bool(uint32_t code)
{
    return code >= BINARY_EQUAL;
}

static bool is_unsigned(espy_dtype dtype)
{
    return !espy_dtype_is_float(dtype) && !espy_dtype_is_signed(dtype);
}

// ---- infer --------------------------------------------------------------------------------------

static bool rule_allows(const struct function *function, espy_dtype dtype)
{
    switch (function->rule) {
    case RULE_FLOATS:
        return espy_dtype_is_float(dtype);
    case RULE_MODULO:
        return dtype != ESPY_BOOL && (function->code == BINARY_FMOD || !espy_dtype_is_float(dtype));
    case RULE_UNSIGNED:
        return dtype != ESPY_BOOL && is_unsigned(dtype);
    case RULE_INTEGERS:
        return dtype != ESPY_BOOL && !espy_dtype_is_float(dtype);
    case RULE_ANY:
        return true;
    case RULE_BOOLS:
        return dtype == ESPY_BOOL;
    default:
        return dtype != ESPY_BOOL;
    }
}

static espy_status broadcast_inputs(struct op_infer *c, struct shape *shape)
{
    *shape = c->inputs[0].shape;
    for (uint32_t i = 1; i < c->input_count; i++)
        TRY(espy_infer_broadcast(c, shape, &c->inputs[i].shape, shape));
    return ESPY_OK;
}

static espy_status infer(struct op_infer *c)
{
    const struct function function = function_of(c->node);
    for (uint32_t i = 0; i < c->input_count; i++) {
        if (!espy_infer_has(c, i))
            return espy_infer_fail(c, "input %u is missing", i);
        if (!rule_allows(&function, c->inputs[i].dtype))
            return espy_infer_fail(c, "input %u cannot be %s", i,
                                   espy_dtype_name(c->inputs[i].dtype));
    }
    if (function.rule != RULE_POWER)
        TRY(espy_infer_same_dtype(c, 0, c->input_count));
    struct shape shape;
    TRY(broadcast_inputs(c, &shape));
    if (function.rule == RULE_SLOPE && !espy_shape_equal(&shape, &c->inputs[0].shape))
        return espy_infer_fail(c, "the slope has more elements than the input");
    const espy_dtype dtype = gives_bool(function.code) ? ESPY_BOOL : c->inputs[0].dtype;
    c->outputs[0] = (struct op_type){dtype, shape};
    return ESPY_OK;
}

static espy_status infer_where(struct op_infer *c)
{
    if (c->inputs[0].dtype != ESPY_BOOL)
        return espy_infer_fail(c, "the condition must be bool, not %s",
                               espy_dtype_name(c->inputs[0].dtype));
    TRY(espy_infer_same_dtype(c, 1, 2));
    c->outputs[0].dtype = c->inputs[1].dtype;
    return broadcast_inputs(c, &c->outputs[0].shape);
}

// ---- reference ----------------------------------------------------------------------------------

static double combine_numbers(uint32_t code, double a, double b)
{
    switch (code) {
    case BINARY_ADD:
    case BINARY_MEAN:
        return a + b;
    case BINARY_SUB:
        return a - b;
    case BINARY_MUL:
        return a * b;
    case BINARY_DIV:
        return a / b;
    case BINARY_POW:
        return pow(a, b);
    case BINARY_FMOD:
        return fmod(a, b);
    case BINARY_MIN:
        return a < b || isnan(a) ? a : b; // NaN wins, as in numpy
    case BINARY_MAX:
        return a > b || isnan(a) ? a : b;
    case BINARY_PRELU:
        return a < 0 ? a * b : a;
    default:
        return a;
    }
}

static bool compare_numbers(uint32_t code, double a, double b)
{
    switch (code) {
    case BINARY_EQUAL:
        return a == b;
    case BINARY_GREATER:
        return a > b;
    case BINARY_GREATER_EQUAL:
        return a >= b;
    case BINARY_LESS:
        return a < b;
    default:
        return a <= b;
    }
}

// An integer as its bits, and how to read them: all but uint64 are exact as int64_t.
struct integer {
    uint64_t bits;
    bool is_wide_unsigned;
};

static bool integer_less(struct integer a, struct integer b)
{
    return a.is_wide_unsigned ? a.bits < b.bits : (int64_t)a.bits < (int64_t)b.bits;
}

static bool integer_negative(struct integer a)
{
    return !a.is_wide_unsigned && (int64_t)a.bits < 0;
}

static uint64_t magnitude(struct integer a)
{
    return integer_negative(a) ? 0 - a.bits : a.bits;
}

static uint64_t integer_quotient(struct integer a, struct integer b)
{
    if (b.bits == 0)
        return 0;
    const uint64_t quotient = magnitude(a) / magnitude(b);
    return integer_negative(a) != integer_negative(b) ? 0 - quotient : quotient;
}

static uint64_t integer_modulo(uint32_t code, struct integer a, struct integer b)
{
    if (b.bits == 0)
        return 0;
    uint64_t rest = magnitude(a) % magnitude(b);
    if (integer_negative(a))
        rest = 0 - rest;
    const bool other_sign = integer_negative(a) != integer_negative(b);
    return code == BINARY_MOD && rest != 0 && other_sign ? rest + b.bits : rest;
}

// A negative exponent leaves a fraction, of which only 1 and -1 have something left.
static uint64_t integer_power(struct integer base, struct integer exponent)
{
    if (integer_negative(exponent)) {
        if (magnitude(base) != 1)
            return 0;
        exponent.bits = 0 - exponent.bits;
    }
    uint64_t result = 1;
    for (uint64_t square = base.bits, rest = exponent.bits; rest != 0; rest >>= 1) {
        if ((rest & 1) != 0)
            result *= square;
        square *= square;
    }
    return result;
}

static uint64_t shift(uint32_t code, uint64_t value, uint64_t by, espy_dtype dtype)
{
    if (by >= 8 * espy_dtype_size(dtype))
        return 0;
    return code == BINARY_SHIFT_LEFT ? value << by : value >> by;
}

static uint64_t combine_integers(uint32_t code, espy_dtype dtype, struct integer a,
                                 struct integer b)
{
    switch (code) {
    case BINARY_ADD:
        return a.bits + b.bits;
    case BINARY_SUB:
        return a.bits - b.bits;
    case BINARY_MUL:
        return a.bits * b.bits;
    case BINARY_DIV:
        return integer_quotient(a, b);
    case BINARY_POW:
        return integer_power(a, b);
    case BINARY_MOD:
    case BINARY_FMOD:
        return integer_modulo(code, a, b);
    case BINARY_MIN:
        return integer_less(a, b) ? a.bits : b.bits;
    case BINARY_MAX:
        return integer_less(a, b) ? b.bits : a.bits;
    case BINARY_PRELU:
        return integer_negative(a) ? a.bits * b.bits : a.bits;
    case BINARY_SHIFT_LEFT:
    case BINARY_SHIFT_RIGHT:
        return shift(code, a.bits, b.bits, dtype);
    case BINARY_BITS_AND:
        return a.bits & b.bits;
    case BINARY_BITS_OR:
        return a.bits | b.bits;
    case BINARY_BITS_XOR:
        return a.bits ^ b.bits;
    case BINARY_EQUAL:
        return a.bits == b.bits;
    case BINARY_GREATER:
        return integer_less(b, a);
    case BINARY_GREATER_EQUAL:
        return !integer_less(a, b);
    case BINARY_LESS:
        return integer_less(a, b);
    case BINARY_LESS_EQUAL:
        return !integer_less(b, a);
    case BINARY_AND:
        return a.bits != 0 && b.bits != 0;
    case BINARY_OR:
        return a.bits != 0 || b.bits != 0;
    default:
        return (a.bits != 0) != (b.bits != 0);
    }
}

// A dense tensor on the host, seen with the output's dimensions.
static struct view view_of_tensor(const struct tensor *tensor, const struct shape *shape)
{
    const struct view start = {.dtype = tensor->type.dtype};
    const struct view dense = espy_view_reshaped_dense(&start, &tensor->type.shape);
    return espy_view_broadcast(&dense, shape);
}

// Index of the first element of a row; rows are all dimensions but the last.
static int64_t row_start(const struct view *view, size_t row)
{
    int64_t start = 0;
    for (uint32_t d = view->rank - 1; view->rank > 0 && d-- > 0;) {
        start += (int64_t)(row % (size_t)view->dims[d]) * view->strides[d];
        row /= (size_t)view->dims[d];
    }
    return start;
}

static size_t row_length(const struct shape *shape)
{
    return shape->rank == 0 ? 1 : (size_t)shape->dims[shape->rank - 1];
}

static size_t row_step(const struct view *view)
{
    return view->rank == 0 ? 0 : (size_t)view->strides[view->rank - 1];
}

static struct integer integer_at(const struct tensor *tensor, size_t index)
{
    return (struct integer){(uint64_t)espy_tensor_integer(tensor, index),
                            tensor->type.dtype == ESPY_UINT64};
}

static void element_of_integers(struct op_eval *c, uint32_t code, const size_t *at, size_t to)
{
    struct integer value = integer_at(&c->inputs[0], at[0]);
    for (uint32_t i = 1; i < c->input_count; i++)
        value.bits = combine_integers(code, c->inputs[0].type.dtype, value,
                                      integer_at(&c->inputs[i], at[i]));
    espy_tensor_set_integer(&c->outputs[0], to, (int64_t)value.bits);
}

static void element_of_numbers(struct op_eval *c, uint32_t code, const size_t *at, size_t to)
{
    double value = espy_tensor_number(&c->inputs[0], at[0]);
    for (uint32_t i = 1; i < c->input_count; i++) {
        const double other = espy_tensor_number(&c->inputs[i], at[i]);
        value = gives_bool(code) ? compare_numbers(code, value, other)
                                 : combine_numbers(code, value, other);
    }
    if (code == BINARY_MEAN)
        value /= c->input_count;
    espy_tensor_set_number(&c->outputs[0], to, value);
}

static void reference(struct op_eval *c)
{
    const uint32_t code = function_of(c->node).code;
    struct tensor *y = &c->outputs[0];
    struct view *views = espy_eval_scratch(c, c->input_count, sizeof(*views));
    size_t *at = espy_eval_scratch(c, c->input_count, sizeof(*at));
    if (views == NULL || at == NULL)
        return;
    bool integers = true;
    for (uint32_t i = 0; i < c->input_count; i++) {
        views[i] = view_of_tensor(&c->inputs[i], &y->type.shape);
        integers = integers && !espy_dtype_is_float(c->inputs[i].type.dtype);
    }
    const size_t length = row_length(&y->type.shape);
    for (size_t to = 0; to < y->count; to++) {
        for (uint32_t i = 0; i < c->input_count; i++)
            at[i] = to % length == 0 ? (size_t)row_start(&views[i], to / length)
                                     : at[i] + row_step(&views[i]);
        if (integers)
            element_of_integers(c, code, at, to);
        else
            element_of_numbers(c, code, at, to);
    }
}

static void reference_where(struct op_eval *c)
{
    struct tensor *y = &c->outputs[0];
    const size_t size = espy_dtype_size(y->type.dtype), length = row_length(&y->type.shape);
    struct view views[3];
    size_t at[3] = {0};
    for (uint32_t i = 0; i < 3; i++)
        views[i] = view_of_tensor(&c->inputs[i], &y->type.shape);
    for (size_t to = 0; to < y->count; to++) {
        for (uint32_t i = 0; i < 3; i++)
            at[i] = to % length == 0 ? (size_t)row_start(&views[i], to / length)
                                     : at[i] + row_step(&views[i]);
        const uint32_t from = espy_tensor_integer(&c->inputs[0], at[0]) != 0 ? 1 : 2;
        memcpy((char *)y->data + to * size, (const char *)c->inputs[from].data + at[from] * size,
               size);
    }
}

// ---- lower --------------------------------------------------------------------------------------

// How a kernel walks one output and its operands: views[0] is the output. All have the same
// dimensions, in the order of the output's memory, so that the output is flat.
struct walk {
    struct view views[1 + OPERANDS_MAX];
    uint32_t view_count;
    uint32_t rank;
    uint32_t inner; // length of the last dimension, in units of what the kernel moves at once
    uint32_t count, runs, run;
};

// Splits rows into runs of what one invocation does; units are 1 or 4 elements.
static void split_runs(const struct op_lower *c, struct walk *walk, uint32_t unit)
{
    const struct view *y = &walk->views[0];
    const size_t inner = ((size_t)y->dims[walk->rank - 1] + unit - 1) / unit;
    size_t rows = 1;
    for (uint32_t d = 0; d + 1 < walk->rank; d++)
        rows *= (size_t)y->dims[d];
    const size_t run_max = c->caps->cpu ? CPU_RUN : 1;
    const size_t run = inner < run_max ? inner : run_max;
    walk->inner = (uint32_t)inner;
    walk->run = (uint32_t)run;
    walk->runs = run == 0 ? 0 : (uint32_t)((inner + run - 1) / run);
    walk->count = (uint32_t)(rows * walk->runs);
}

static void make_walk(const struct op_lower *c, struct walk *walk)
{
    espy_axes_sort(walk->views, walk->view_count);
    walk->rank = espy_view_collapse(walk->views, walk->view_count);
    split_runs(c, walk, 1);
}

// Inputs in so many dimensions that no two merge: laid out alike first, and then one run.
static void flatten_walk(struct op_lower *c, struct walk *walk)
{
    if (walk->rank <= KERNEL_RANK_MAX)
        return;
    struct shape shape = {.rank = walk->rank};
    memcpy(shape.dims, walk->views[0].dims, sizeof(shape.dims));
    for (uint32_t v = 1; v < walk->view_count; v++) {
        if (walk->views[v].buffer == VIEW_NONE) // a number has no strides
            continue;
        const struct view copy = espy_lower_temporary(c, walk->views[v].dtype, &shape);
        espy_lower_copy(c, &walk->views[v], &copy);
        walk->views[v] = copy;
    }
    if (espy_lower_status(c) == ESPY_OK)
        make_walk(c, walk);
}

static void fill_dims(const struct walk *walk, uint32_t *dims)
{
    for (uint32_t d = 0; d < walk->rank; d++)
        dims[d] = d + 1 < walk->rank ? (uint32_t)walk->views[0].dims[d] : walk->inner;
}

static int32_t fill_strides(const struct walk *walk, uint32_t v, int32_t *strides)
{
    for (uint32_t d = 0; d < walk->rank; d++)
        strides[d] = (int32_t)walk->views[v].strides[d];
    return (int32_t)walk->views[v].offset;
}

// operand: of the tail, the kernel's last binding; NULL: the kernel has none.
static void dispatch_walk(struct op_lower *c, const struct walk *walk, uint32_t local_size,
                          const struct view *operand, struct op_dispatch *dispatch)
{
    for (uint32_t v = 1; v < walk->view_count; v++)
        dispatch->bindings[v - 1] = walk->views[v];
    dispatch->bindings[walk->view_count - 1] = walk->views[0];
    dispatch->binding_count = walk->view_count;
    if (operand != NULL)
        dispatch->bindings[dispatch->binding_count++] = *operand;
    espy_lower_grid(c, walk->count, local_size, dispatch->groups);
    espy_lower_dispatch(c, dispatch);
}

// One operation: y = a op b, over walk's three views.
struct pair {
    uint32_t code;
    float scale;
    bool has_number; // the operand whose view has no buffer is this number
    float number;
    struct view operand; // of the tail
};

static void dispatch_scalar(struct op_lower *c, const struct pair *pair, const struct walk *walk)
{
    const struct view *y = &walk->views[0];
    struct binary_spec spec = BINARY_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.function = pair->code;
    spec.rank = walk->rank;
    spec.width = (uint32_t)espy_dtype_size(y->dtype);
    spec.is_signed = !is_unsigned(y->dtype);
    struct binary_push push = {
        .count = walk->count, .runs = walk->runs, .run = walk->run, .scale = pair->scale};
    fill_dims(walk, push.dims);
    push.a_offset = fill_strides(walk, 1, push.a_strides);
    push.b_offset = fill_strides(walk, 2, push.b_strides);
    LOWER_EPILOGUE(c, &spec, &push);
    struct op_dispatch dispatch = {.shader = binary_shaders.variants[espy_variant(y->storage)],
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    dispatch_walk(c, walk, spec.local_size_x, &pair->operand, &dispatch);
}

enum { MODE_ALONG, MODE_REPEATED, MODE_NUMBER, MODE_NONE }; // as in binary4.comp

static uint32_t mode_of(const struct walk *walk, uint32_t v)
{
    const struct view *view = &walk->views[v];
    if (view->buffer == VIEW_NONE)
        return MODE_NUMBER;
    const int64_t along = view->strides[walk->rank - 1];
    if (along == 0)
        return MODE_REPEATED;
    bool aligned = along == 1 && view->offset % 4 == 0;
    for (uint32_t d = 0; d + 1 < walk->rank; d++)
        aligned = aligned && view->strides[d] % 4 == 0;
    return aligned ? MODE_ALONG : MODE_NONE;
}

// Four elements at once; false: they do not lie so. A row's end inside a vec4 is only possible
// where there is one row: buffers are padded to whole vec4s.
static bool dispatch_vector(struct op_lower *c, const struct pair *pair, struct walk walk)
{
    const struct view *y = &walk.views[0];
    if (y->storage != STORAGE_F32 && y->storage != STORAGE_F16)
        return false;
    if (walk.rank > KERNEL4_RANK_MAX || (walk.rank > 1 && y->dims[walk.rank - 1] % 4 != 0))
        return false;
    struct binary4_spec spec = BINARY4_SPEC_DEFAULT;
    spec.a_mode = mode_of(&walk, 1);
    spec.b_mode = mode_of(&walk, 2);
    if (spec.a_mode == MODE_NONE || spec.b_mode == MODE_NONE)
        return false;
    split_runs(c, &walk, 4);
    spec.local_size_x = c->caps->local_size;
    spec.function = pair->code;
    spec.rank = walk.rank;
    struct binary4_push push = {.count = walk.count,
                                .runs = walk.runs,
                                .run = walk.run,
                                .scale = pair->scale,
                                .number = pair->number};
    fill_dims(&walk, push.dims);
    push.a_offset = fill_strides(&walk, 1, push.a_strides);
    push.b_offset = fill_strides(&walk, 2, push.b_strides);
    LOWER_EPILOGUE(c, &spec, &push);
    struct op_dispatch dispatch = {.shader = binary4_shaders.variants[espy_reading_variant(c, y->storage)],
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    dispatch_walk(c, &walk, spec.local_size_x, &pair->operand, &dispatch);
    return true;
}

static void dispatch_compare(struct op_lower *c, uint32_t code, const struct walk *walk)
{
    const struct view *a = &walk->views[1];
    struct compare_spec spec = COMPARE_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.function = code;
    spec.rank = walk->rank;
    spec.is_signed = !is_unsigned(a->dtype);
    struct compare_push push = {.count = walk->count, .runs = walk->runs, .run = walk->run};
    fill_dims(walk, push.dims);
    push.a_offset = fill_strides(walk, 1, push.a_strides);
    push.b_offset = fill_strides(walk, 2, push.b_strides);
    struct op_dispatch dispatch = {.shader = compare_shaders.variants[espy_variant(a->storage)],
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    dispatch_walk(c, walk, spec.local_size_x, NULL, &dispatch);
}

// Input i is one number that is known now: it travels in the push constants. Its view has no
// buffer.
static bool is_number(const struct op_lower *c, uint32_t i)
{
    return c->values[i].data != NULL && c->values[i].count == 1 &&
           espy_dtype_is_float(c->outputs[0].dtype) && c->input_count == 2;
}

// Pow's known exponent in the base's type.
static espy_status convert_exponent(struct op_lower *c, struct view *view)
{
    const struct tensor *from = &c->values[1];
    struct tensor to = {{c->inputs[0].dtype, from->type.shape}, from->count, NULL};
    to.data = espy_arena_array(c->arena, to.count, espy_dtype_size(to.type.dtype));
    if (to.data == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (size_t i = 0; i < to.count; i++)
        espy_tensor_set_number(&to, i, espy_tensor_number(from, i));
    *view = espy_lower_constant(c, to.type.dtype, &to.type.shape, to.data);
    return espy_lower_status(c);
}

// Input i with the output's dimensions.
static espy_status operand(struct op_lower *c, uint32_t i, struct view *view)
{
    if (function_of(c->node).rule == RULE_POWER && c->inputs[i].dtype != c->inputs[0].dtype)
        TRY(convert_exponent(c, view));
    else
        *view = espy_lower_input(c, i);
    TRY(espy_lower_status(c));
    *view = espy_view_broadcast(view, &c->outputs[0].shape);
    return ESPY_OK;
}

// The output lies like the operand with the most elements, so that what is channels-last stays so.
static struct view make_output(struct op_lower *c, const struct view *views)
{
    uint32_t largest = 0;
    size_t most = 0;
    for (uint32_t i = 0; i < c->input_count; i++) {
        size_t count = 0;
        const bool fits = espy_shape_count(&c->inputs[i].shape, &count);
        assert(fits); // espy_op_infer
        (void)fits;
        if (views[i].buffer != VIEW_NONE && count > most) {
            largest = i;
            most = count;
        }
    }
    return espy_lower_output_like(c, 0, &views[largest]);
}

static espy_status lower_two(struct op_lower *c, struct pair pair, const struct view *views)
{
    if (!gives_bool(pair.code))
        espy_lower_take_tail(c, false);
    const struct view y = make_output(c, views);
    pair.operand = espy_lower_tail_operand(c, &y);
    TRY(espy_lower_status(c));
    struct walk walk = {.views = {y, views[0], views[1]}, .view_count = 3};
    make_walk(c, &walk);
    flatten_walk(c, &walk);
    TRY(espy_lower_status(c));
    if (gives_bool(pair.code)) {
        dispatch_compare(c, pair.code, &walk);
        return espy_lower_status(c);
    }
    if (dispatch_vector(c, &pair, walk))
        return espy_lower_status(c);
    for (uint32_t i = 0; i < 2; i++) { // the scalar kernel reads numbers from memory
        if (walk.views[1 + i].buffer != VIEW_NONE)
            continue;
        struct view number;
        TRY(operand(c, i, &number));
        walk.views[1 + i].buffer = number.buffer;
        walk.views[1 + i].offset = number.offset;
    }
    dispatch_scalar(c, &pair, &walk);
    return espy_lower_status(c);
}

// y = a op b, then y = y op c, and so on.
static espy_status lower_chain(struct op_lower *c, uint32_t code, const struct view *views)
{
    const struct view y = make_output(c, views);
    TRY(espy_lower_status(c));
    for (uint32_t i = 1; i < c->input_count; i++) {
        const bool last = i + 1 == c->input_count;
        const struct pair pair = {code == BINARY_MEAN && !last ? BINARY_ADD : code,
                                  .scale = last ? 1.0f / (float)c->input_count : 1,
                                  .operand = {.buffer = VIEW_NONE}};
        struct walk walk = {.views = {y, i == 1 ? views[0] : y, views[i]}, .view_count = 3};
        make_walk(c, &walk);
        flatten_walk(c, &walk);
        TRY(espy_lower_status(c));
        if (!dispatch_vector(c, &pair, walk))
            dispatch_scalar(c, &pair, &walk);
    }
    return espy_lower_status(c);
}

// Why the node cannot run on the device, or NULL.
static const char *host_reason(const struct op_lower *c)
{
    const espy_dtype a = c->inputs[0].dtype, b = c->inputs[c->input_count - 1].dtype;
    if (a != b && !(espy_dtype_is_float(a) && c->values[1].data != NULL))
        return "Pow of two types";
    return NULL;
}

static espy_status lower(struct op_lower *c)
{
    const struct function function = function_of(c->node);
    const char *reason = host_reason(c);
    if (reason != NULL)
        return espy_lower_on_host(c, reason);
    struct view *views = espy_arena_array(c->arena, c->input_count, sizeof(*views));
    if (views == NULL)
        return ESPY_OUT_OF_MEMORY;
    struct pair pair = {function.code, .scale = 0.5f};
    for (uint32_t i = 0; i < c->input_count; i++) {
        if (is_number(c, i) && !pair.has_number && !gives_bool(function.code)) {
            const struct view number = {.buffer = VIEW_NONE, .dtype = c->outputs[0].dtype};
            views[i] = espy_view_broadcast(&number, &c->outputs[0].shape);
            pair.has_number = true;
            pair.number = (float)espy_tensor_number(&c->values[i], 0);
            continue;
        }
        TRY(operand(c, i, &views[i]));
    }
    if (c->input_count == 1) {
        espy_lower_alias(c, 0, &views[0]);
        return espy_lower_status(c);
    }
    return c->input_count == 2 ? lower_two(c, pair, views) : lower_chain(c, function.code, views);
}

static espy_status lower_where(struct op_lower *c)
{
    struct view views[3];
    for (uint32_t i = 0; i < 3; i++) {
        views[i] = espy_lower_input(c, i);
        TRY(espy_lower_status(c));
        views[i] = espy_view_broadcast(&views[i], &c->outputs[0].shape);
    }
    const struct view y = make_output(c, views);
    TRY(espy_lower_status(c));
    struct walk walk = {.views = {y, views[0], views[1], views[2]}, .view_count = 4};
    make_walk(c, &walk);
    flatten_walk(c, &walk);
    TRY(espy_lower_status(c));
    struct where_spec spec = WHERE_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.rank = walk.rank;
    struct where_push push = {.count = walk.count, .runs = walk.runs, .run = walk.run};
    fill_dims(&walk, push.dims);
    push.condition_offset = fill_strides(&walk, 1, push.condition_strides);
    push.a_offset = fill_strides(&walk, 2, push.a_strides);
    push.b_offset = fill_strides(&walk, 3, push.b_strides);
    struct op_dispatch dispatch = {.shader = where_shaders.variants[espy_word_variant(y.storage)],
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    dispatch_walk(c, &walk, spec.local_size_x, NULL, &dispatch);
    return espy_lower_status(c);
}

// ---- table --------------------------------------------------------------------------------------

static const char *const directions[] = {"LEFT", "RIGHT", NULL};
static const struct op_attr shift_attrs[] = {
    {.name = "direction",
     .type = OP_ENUM,
     .offset = offsetof(struct broadcast_attrs, direction),
     .choices = directions,
     .required = true,
     .help = "LEFT: towards the higher bits; RIGHT: towards the lower ones"}};
static const struct op_attr mod_attrs[] = {
    {.name = "fmod",
     .type = OP_BOOL,
     .offset = offsetof(struct broadcast_attrs, fmod),
     .help = "1: the dividend's sign, as C's fmod; 0: the divisor's, integers only"}};

#define ATTRS(rows) .attrs = rows, .attr_count = sizeof(rows) / sizeof((rows)[0])
#define OPERATOR(op_name, text, in_min, in_max, op_flags, ...)                                \
    {                                                                                         \
        .name = op_name, .summary = text, .inputs_min = in_min, .inputs_max = in_max,         \
        .outputs_min = 1, .outputs_max = 1, .flags = op_flags,                                \
        .attrs_size = sizeof(struct broadcast_attrs), .infer = infer, .reference = reference, \
        .lower = lower, __VA_ARGS__                                                           \
    }
#define TWO(op_name, text, ...) OPERATOR(op_name, text, 2, 2, 0, __VA_ARGS__)
#define MANY(op_name, text, ...) OPERATOR(op_name, text, 1, OP_VARIADIC, 0, __VA_ARGS__)

static const struct op ops[] = {
    OPERATOR("Add", "a + b", 2, 2, OP_EPILOGUE, .attrs = NULL),
    TWO("And", "both are true", .attrs = NULL),
    TWO("BitShift", "a moved by b bits; by its width or more: 0", ATTRS(shift_attrs)),
    TWO("BitwiseAnd", "the bits set in both", .attrs = NULL),
    TWO("BitwiseOr", "the bits set in any", .attrs = NULL),
    TWO("BitwiseXor", "the bits set in one", .attrs = NULL),
    OPERATOR("Div", "a / b, towards zero for integers and 0 by an integer 0", 2, 2, OP_EPILOGUE,
             .attrs = NULL),
    TWO("Equal", "a == b", .attrs = NULL),
    TWO("Greater", "a > b", .attrs = NULL),
    TWO("GreaterOrEqual", "a >= b", .attrs = NULL),
    TWO("Less", "a < b", .attrs = NULL),
    TWO("LessOrEqual", "a <= b", .attrs = NULL),
    MANY("Max", "the largest input", .attrs = NULL),
    MANY("Mean", "the mean of the inputs", .attrs = NULL),
    MANY("Min", "the smallest input", .attrs = NULL),
    TWO("Mod", "the remainder of a / b; 0 by an integer 0", ATTRS(mod_attrs)),
    OPERATOR("Mul", "a b", 2, 2, OP_EPILOGUE, .attrs = NULL),
    TWO("Or", "one is true", .attrs = NULL),
    TWO("PRelu", "a, below zero a b", .attrs = NULL),
    TWO("Pow", "a to the b", .attrs = NULL),
    OPERATOR("Sub", "a - b", 2, 2, OP_EPILOGUE, .attrs = NULL),
    MANY("Sum", "the sum of the inputs", .attrs = NULL),
    {.name = "Where",
     .summary = "a where the condition is true, elsewhere b",
     .inputs_min = 3,
     .inputs_max = 3,
     .outputs_min = 1,
     .outputs_max = 1,
     .infer = infer_where,
     .reference = reference_where,
     .lower = lower_where},
    TWO("Xor", "exactly one is true", .attrs = NULL),
};

const struct op_family espy_ops_broadcast = {ops, sizeof(ops) / sizeof(ops[0])};
