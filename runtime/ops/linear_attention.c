// LinearAttention: attention without a softmax, as a matrix per head that every time step updates.
#include <assert.h>
#include <math.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/plain_input.h"
#include "shaders/include/linear_attention_codes.glsl"
#include "shaders/linear_attention.spv.h"

// All loops of one invocation together stop silently after 65535 iterations on some software
// drivers.
enum { TRIPS_MAX = 60000 };

enum input { QUERY, KEY, VALUE, PAST, DECAY, BETA, INPUT_COUNT };
enum rule { LINEAR, GATED, DELTA, GATED_DELTA };

struct linear_attention_attrs {
    int64_t q_num_heads, kv_num_heads, chunk_size;
    float scale;
    int update_rule;
};

// What infer has checked, in numbers.
struct attention {
    int64_t batch, steps;
    int64_t heads, group; // of the state; queries' heads for each
    int64_t key_size, value_size;
    uint32_t decay, beta; // LINEAR_...
    double scale;
};

static espy_status check_gates(const struct op_infer *c, struct attention *a)
{
    const struct linear_attention_attrs *attrs = c->attrs;
    const struct shape row = {3, {a->batch, a->steps, a->heads}};
    const struct shape every_key = {3, {a->batch, a->steps, a->heads * a->key_size}};
    const struct shape step = {3, {a->batch, a->steps, 1}};
    if (attrs->update_rule == GATED || attrs->update_rule == GATED_DELTA) {
        if (!espy_infer_has(c, DECAY))
            return espy_infer_fail(c, "the update rule needs a decay");
        const struct shape *shape = &c->inputs[DECAY].shape;
        a->decay = espy_shape_equal(shape, &row) ? LINEAR_DECAY_HEAD : LINEAR_DECAY_KEY;
        if (a->decay == LINEAR_DECAY_KEY && !espy_shape_equal(shape, &every_key))
            return espy_infer_fail(c, "the decay has neither one number per head nor one per key");
    }
    if (attrs->update_rule == DELTA || attrs->update_rule == GATED_DELTA) {
        if (!espy_infer_has(c, BETA))
            return espy_infer_fail(c, "the update rule needs a beta");
        const struct shape *shape = &c->inputs[BETA].shape;
        a->beta = espy_shape_equal(shape, &row) ? LINEAR_BETA_HEAD : LINEAR_BETA_STEP;
        if (a->beta == LINEAR_BETA_STEP && !espy_shape_equal(shape, &step))
            return espy_infer_fail(c, "beta has neither one number per head nor one per step");
    }
    return ESPY_OK;
}

static espy_status attention_init(const struct op_infer *c, struct attention *a)
{
    const struct linear_attention_attrs *attrs = c->attrs;
    const struct shape *q = &c->inputs[QUERY].shape, *k = &c->inputs[KEY].shape;
    const struct shape *v = &c->inputs[VALUE].shape;
    if (!espy_dtype_is_float(c->inputs[QUERY].dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(c->inputs[QUERY].dtype));
    for (uint32_t i = KEY; i < INPUT_COUNT; i++)
        if (espy_infer_has(c, i) && i != PAST && c->inputs[i].dtype != c->inputs[QUERY].dtype)
            return espy_infer_fail(c, "input %u is %s, the query %s", i,
                                   espy_dtype_name(c->inputs[i].dtype),
                                   espy_dtype_name(c->inputs[QUERY].dtype));
    if (espy_infer_has(c, PAST) && !espy_dtype_is_float(c->inputs[PAST].dtype))
        return espy_infer_fail(c, "the state is %s, needs floats",
                               espy_dtype_name(c->inputs[PAST].dtype));
    if (q->rank != 3 || k->rank != 3 || v->rank != 3)
        return espy_infer_fail(c, "query, key and value of rank %u, %u and %u, needs 3", q->rank,
                               k->rank, v->rank);
    *a = (struct attention){.batch = q->dims[0], .steps = q->dims[1], .heads = attrs->kv_num_heads};
    for (uint32_t d = 0; d < 2; d++)
        if (k->dims[d] != q->dims[d] || v->dims[d] != q->dims[d])
            return espy_infer_fail(c, "query, key and value have %lld, %lld and %lld on axis %u",
                                   (long long)q->dims[d], (long long)k->dims[d],
                                   (long long)v->dims[d], d);
    if (attrs->q_num_heads % attrs->kv_num_heads != 0 || q->dims[2] % attrs->q_num_heads != 0 ||
        v->dims[2] % attrs->kv_num_heads != 0)
        return espy_infer_fail(c,
                               "queries of %lld and values of %lld do not divide into %lld and "
                               "%lld heads",
                               (long long)q->dims[2], (long long)v->dims[2],
                               (long long)attrs->q_num_heads, (long long)attrs->kv_num_heads);
    a->group = attrs->q_num_heads / attrs->kv_num_heads;
    a->key_size = q->dims[2] / attrs->q_num_heads;
    a->value_size = v->dims[2] / attrs->kv_num_heads;
    if (k->dims[2] != a->heads * a->key_size)
        return espy_infer_fail(c, "keys of %lld for %lld heads of %lld", (long long)k->dims[2],
                               (long long)a->heads, (long long)a->key_size);
    const struct shape state = {4, {a->batch, a->heads, a->key_size, a->value_size}};
    if (espy_infer_has(c, PAST) && !espy_shape_equal(&c->inputs[PAST].shape, &state))
        return espy_infer_fail(c, "the state is not a matrix of keys and values per head");
    a->scale = attrs->scale != 0  ? (double)attrs->scale
               : a->key_size == 0 ? 1
                                  : 1 / sqrt((double)a->key_size);
    return check_gates(c, a);
}

static espy_status infer(struct op_infer *c)
{
    struct attention a;
    TRY(attention_init(c, &a));
    const espy_dtype dtype = c->inputs[QUERY].dtype;
    const espy_dtype state_dtype = espy_infer_has(c, PAST) ? c->inputs[PAST].dtype : dtype;
    const struct shape y = {3, {a.batch, a.steps, a.heads * a.group * a.value_size}};
    const struct shape state = {4, {a.batch, a.heads, a.key_size, a.value_size}};
    c->outputs[0] = (struct op_type){dtype, y};
    if (c->output_count > 1)
        c->outputs[1] = (struct op_type){state_dtype, state};
    return ESPY_OK;
}

// The numbers again, for a node that infer has accepted.
static struct attention attention_of(const struct host *host, const struct op_node *node,
                                     const struct op_type *inputs, uint32_t input_count)
{
    const struct op_infer infer_again = espy_infer_again(host, node, inputs, input_count);
    struct attention a;
    const espy_status status = attention_init(&infer_again, &a);
    assert(status == ESPY_OK);
    (void)status;
    return a;
}

// ---- meaning ------------------------------------------------------------------------------------

// One time step of one head: state is [key][value], head_at counts [batch][time][head].
static void update(const struct op_eval *c, const struct attention *a, double *state,
                   size_t head_at)
{
    const size_t keys = (size_t)a->key_size, values = (size_t)a->value_size;
    for (size_t i = 0; a->decay != LINEAR_DECAY_NONE && i < keys; i++) {
        const size_t at = a->decay == LINEAR_DECAY_HEAD ? head_at : head_at * keys + i;
        const double kept = exp(espy_tensor_number(&c->inputs[DECAY], at));
        for (size_t j = 0; j < values; j++)
            state[i * values + j] *= kept;
    }
    double beta = 1;
    if (a->beta != LINEAR_BETA_NONE)
        beta = espy_tensor_number(
            &c->inputs[BETA], a->beta == LINEAR_BETA_HEAD ? head_at : head_at / (size_t)a->heads);
    for (size_t j = 0; j < values; j++) {
        double value = espy_tensor_number(&c->inputs[VALUE], head_at * values + j);
        for (size_t i = 0; a->beta != LINEAR_BETA_NONE && i < keys; i++)
            value -=
                espy_tensor_number(&c->inputs[KEY], head_at * keys + i) * state[i * values + j];
        for (size_t i = 0; i < keys; i++)
            state[i * values + j] +=
                espy_tensor_number(&c->inputs[KEY], head_at * keys + i) * value * beta;
    }
}

static void read_out(struct op_eval *c, const struct attention *a, const double *state,
                     size_t head_at)
{
    const size_t keys = (size_t)a->key_size, values = (size_t)a->value_size;
    for (size_t g = 0; c->outputs[0].data != NULL && g < (size_t)a->group; g++) {
        const size_t query = head_at * (size_t)a->group + g;
        for (size_t j = 0; j < values; j++) {
            double sum = 0;
            for (size_t i = 0; i < keys; i++)
                sum +=
                    espy_tensor_number(&c->inputs[QUERY], query * keys + i) * state[i * values + j];
            espy_tensor_set_number(&c->outputs[0], query * values + j, a->scale * sum);
        }
    }
}

static void reference(struct op_eval *c)
{
    struct op_type types[INPUT_COUNT] = {{ESPY_DTYPE_NONE, {0}}};
    for (uint32_t i = 0; i < c->input_count; i++)
        types[i] = c->inputs[i].type;
    const struct attention a = attention_of(c->host, c->node, types, c->input_count);
    const size_t size = (size_t)(a.key_size * a.value_size), heads = (size_t)a.heads;
    double *state = espy_eval_scratch(c, size, sizeof(*state));
    if (state == NULL)
        return;
    for (size_t m = 0; m < (size_t)a.batch * heads; m++) {
        for (size_t k = 0; k < size; k++)
            state[k] =
                espy_eval_has(c, PAST) ? espy_tensor_number(&c->inputs[PAST], m * size + k) : 0;
        for (size_t t = 0; t < (size_t)a.steps; t++) {
            const size_t head_at = (m / heads * (size_t)a.steps + t) * heads + m % heads;
            update(c, &a, state, head_at);
            read_out(c, &a, state, head_at);
        }
        for (size_t k = 0; c->output_count > 1 && c->outputs[1].data != NULL && k < size; k++)
            espy_tensor_set_number(&c->outputs[1], m * size + k, state[k]);
    }
}

// ---- dispatches ---------------------------------------------------------------------------------

static espy_status lower(struct op_lower *c)
{
    const struct attention a = attention_of(c->host, c->node, c->inputs, c->input_count);
    const int64_t step_trips = (2 + a.group) * (a.key_size + 1) + 1;
    if (step_trips > TRIPS_MAX / 2)
        return espy_lower_on_host(c, "keys are too long for one invocation");
    const int64_t chunk = (TRIPS_MAX - 2 * a.key_size) / step_trips; // steps of one dispatch
    const struct shape shape = {4, {a.batch, a.heads, a.key_size, a.value_size}};
    const enum storage kind = espy_lower_storage(c, c->inputs[QUERY].dtype);
    const enum storage past_kind =
        espy_lower_has(c, PAST) ? espy_lower_storage(c, c->inputs[PAST].dtype) : kind;
    if (past_kind != kind && past_kind != STORAGE_F32)
        return espy_lower_on_host(c, "a state of less precision than the queries");
    // A state of float32 beside queries of float16 is where the kernel keeps its own.
    const bool own = past_kind != kind;
    const bool has_y = espy_lower_wants(c, 0), has_present = espy_lower_wants(c, 1) && !own;
    const struct view state = own && espy_lower_wants(c, 1)
                                  ? espy_lower_output(c, 1)
                                  : espy_lower_temporary(c, ESPY_FLOAT32, &shape);
    const struct view query = plain_input(c, QUERY);
    const struct view past = own ? espy_lower_input(c, PAST) : plain_input(c, PAST);
    const struct view y = has_y ? espy_lower_output(c, 0) : state;
    const struct view present = has_present ? espy_lower_output(c, 1) : state;
    if (own)
        espy_lower_copy(c, &past, &state);
    struct linear_attention_spec spec = LINEAR_ATTENTION_SPEC_DEFAULT;
    spec.local_size_x = c->caps->cpu ? 8 : c->caps->local_size;
    spec.past = own                     ? LINEAR_PAST_IN_STATE
                : espy_lower_has(c, PAST) ? LINEAR_PAST_GIVEN
                                          : LINEAR_PAST_ZEROS;
    spec.decay = a.decay;
    spec.beta = a.beta;
    struct linear_attention_push push = {.count = (uint32_t)(a.batch * a.heads * a.value_size),
                                         .steps = (uint32_t)a.steps,
                                         .heads = (uint32_t)a.heads,
                                         .group = (uint32_t)a.group,
                                         .key_size = (uint32_t)a.key_size,
                                         .value_size = (uint32_t)a.value_size,
                                         .scale = (float)a.scale};
    struct op_dispatch made = {
        .shader = linear_attention_shaders.variants[espy_variant(query.storage)],
        .bindings = {query, plain_input(c, KEY), plain_input(c, VALUE),
                     own ? (struct view){.buffer = VIEW_NONE} : past,
                     plain_input(c, DECAY), plain_input(c, BETA), state, y, present},
        .binding_count = 9,
        .push = &push,
        .push_size = sizeof(push),
        .spec = &spec,
        .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, made.groups);
    do { // at least once: a past may have to be handed on
        push.end = push.steps - push.begin > chunk ? push.begin + (uint32_t)chunk : push.steps;
        push.writes = has_y ? LINEAR_WRITES_Y : 0;
        if (has_present && push.end == push.steps)
            push.writes |= LINEAR_WRITES_PRESENT;
        espy_lower_dispatch(c, &made);
        push.begin = push.end;
    } while (push.begin < push.steps);
    return espy_lower_status(c);
}

// ---- the table ----------------------------------------------------------------------------------

static const char *const rule_choices[] = {
    [LINEAR] = "linear", [GATED] = "gated", [DELTA] = "delta", [GATED_DELTA] = "gated_delta", NULL};

#define ATTR(attr_name, kind) \
    .name = #attr_name, .type = kind, .offset = offsetof(struct linear_attention_attrs, attr_name)

static const struct op_attr attr_rows[] = {
    {ATTR(q_num_heads, OP_INT), .min = 1, .max = INT32_MAX, .required = true,
     .help = "heads of the queries"},
    {ATTR(kv_num_heads, OP_INT), .min = 1, .max = INT32_MAX, .required = true,
     .help = "heads of keys, values and state; queries' heads in turn share one"},
    {ATTR(chunk_size, OP_INT), .min = 0, .max = INT32_MAX,
     .help = "a hint to implementations; does not change the result"},
    {ATTR(scale, OP_FLOAT), .help = "factor of the result; 0: 1 / sqrt(size of a key)"},
    {ATTR(update_rule, OP_ENUM), .fallback = GATED_DELTA, .choices = rule_choices,
     .help = "gated: the state decays; delta: values replace what the state gives for their keys"}};

static const struct op ops[] = {
    {.name = "LinearAttention",
     .summary =
         "attention as a matrix per head, to which each step adds the product of key and value",
     .inputs_min = 3,
     .inputs_max = INPUT_COUNT,
     .outputs_min = 1,
     .outputs_max = 2,
     .bindings = 9,
     .attrs = attr_rows,
     .attr_count = sizeof(attr_rows) / sizeof(attr_rows[0]),
     .attrs_size = sizeof(struct linear_attention_attrs),
     .infer = infer,
     .reference = reference,
     .lower = lower}};

const struct op_family espy_ops_linear_attention = {ops, 1};
