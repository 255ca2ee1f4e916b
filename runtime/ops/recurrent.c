// RNN, GRU and LSTM: layers that carry a state from one time step to the next.
#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/plain_input.h"
#include "shaders/include/recurrent_codes.glsl"
#include "shaders/include/unary_codes.glsl"
#include "shaders/recurrent_input.spv.h"
#include "shaders/recurrent_step.spv.h"

// All loops of one invocation together stop silently after 65535 iterations on some software
// drivers.
enum { LENGTH_MAX = 60000, FUNCTIONS_MAX = 3, GATES_MAX = 4 };

enum direction { FORWARD, REVERSE, BIDIRECTIONAL };
enum input { X, W, R, B, LENGTHS, INITIAL_H, INITIAL_C, P, INPUT_COUNT };
enum output { Y, Y_H, Y_C, OUTPUT_COUNT };

struct recurrent_attrs {
    struct op_strings activations;
    struct op_floats activation_alpha, activation_beta;
    double clip;
    int64_t hidden_size, layout;
    int direction;
    bool input_forget, linear_before_reset;
};

// What infer has checked, in numbers.
struct recurrent {
    uint32_t kind; // RECURRENT_RNN, RECURRENT_LSTM or RECURRENT_GRU
    bool batch_first;
    uint32_t directions, gates, functions_each;
    int64_t steps, batch, features, hidden;
    struct op_step functions[2][FUNCTIONS_MAX];
};

// ---- attributes ---------------------------------------------------------------------------------

struct activation {
    const char *name;
    uint32_t function;
    uint32_t parameters;
    float a, b;
};

static const struct activation activations[] = {
    {"Affine", RECURRENT_AFFINE, 2, 1, 0},
    {"Elu", UNARY_ELU, 1, 1, 0},
    {"HardSigmoid", UNARY_HARD_SIGMOID, 2, 0.2f, 0.5f},
    {"LeakyRelu", UNARY_LEAKY_RELU, 1, 0.01f, 0},
    {"Relu", UNARY_RELU, 0, 0, 0},
    {"ScaledTanh", RECURRENT_SCALED_TANH, 2, 1, 1},
    {"Sigmoid", UNARY_SIGMOID, 0, 0, 0},
    {"Softplus", UNARY_SOFTPLUS, 0, 0, 0},
    {"Softsign", UNARY_SOFTSIGN, 0, 0, 0},
    {"Tanh", UNARY_TANH, 0, 0, 0},
    {"ThresholdedRelu", UNARY_THRESHOLDED_RELU, 1, 1, 0},
};

// ONNX compares these names without regard to case.
static bool same_name(const char *a, const char *b)
{
    while (*a != '\0' && tolower((unsigned char)*a) == tolower((unsigned char)*b)) {
        a++;
        b++;
    }
    return *a == *b;
}

static const struct activation *find_activation(const char *name)
{
    for (size_t i = 0; i < sizeof(activations) / sizeof(activations[0]); i++)
        if (same_name(activations[i].name, name))
            return &activations[i];
    return NULL;
}

// The parameters' lists hold those of the functions that have one, in order; what is missing at
// the end has its default.
static espy_status find_functions(const struct op_infer *c, struct recurrent *r)
{
    static const char *const rnn[] = {"Tanh"}, *const gru[] = {"Sigmoid", "Tanh"};
    static const char *const lstm[] = {"Sigmoid", "Tanh", "Tanh"};
    const struct recurrent_attrs *attrs = c->attrs;
    const char *const *fallback = r->kind == RECURRENT_LSTM  ? lstm
                                  : r->kind == RECURRENT_GRU ? gru
                                                             : rnn;
    const uint32_t each = r->functions_each, count = r->directions * each;
    if (attrs->activations.count != 0 && attrs->activations.count != count)
        return espy_infer_fail(c, "'activations' has %u names, needs %u", attrs->activations.count,
                               count);
    uint32_t alphas = 0, betas = 0;
    for (uint32_t i = 0; i < count; i++) {
        const char *name =
            attrs->activations.count != 0 ? attrs->activations.values[i] : fallback[i % each];
        const struct activation *activation = find_activation(name);
        if (activation == NULL)
            return espy_infer_fail(c, "'activations' names '%.64s', which is none", name);
        struct op_step *step = &r->functions[i / each][i % each];
        *step = (struct op_step){activation->function, activation->a, activation->b};
        if (activation->parameters > 0 && alphas < attrs->activation_alpha.count)
            step->a = attrs->activation_alpha.values[alphas++];
        if (activation->parameters > 1 && betas < attrs->activation_beta.count)
            step->b = attrs->activation_beta.values[betas++];
    }
    return ESPY_OK;
}

// ---- shapes and types ---------------------------------------------------------------------------

static espy_status check_shape(const struct op_infer *c, uint32_t i, uint32_t rank, int64_t a,
                               int64_t b, int64_t d)
{
    if (!espy_infer_has(c, i))
        return ESPY_OK;
    const struct shape *shape = &c->inputs[i].shape;
    struct shape needed = {.rank = rank, .dims = {a, b, d}};
    char actual_text[160], needed_text[160];
    if (espy_shape_equal(shape, &needed))
        return ESPY_OK;
    return espy_infer_fail(c, "input %u is %s, needs %s", i,
                           espy_shape_text(shape, actual_text, sizeof(actual_text)),
                           espy_shape_text(&needed, needed_text, sizeof(needed_text)));
}

static espy_status check_inputs(const struct op_infer *c, const struct recurrent *r)
{
    const int64_t directions = r->directions, hidden = r->hidden, all = r->gates * hidden;
    for (uint32_t i = W; i <= R; i++)
        if (!espy_infer_has(c, i))
            return espy_infer_fail(c, "input %u is missing", i);
    for (uint32_t i = X; i < INPUT_COUNT; i++)
        if (i != LENGTHS && espy_infer_has(c, i) && c->inputs[i].dtype != c->inputs[X].dtype)
            return espy_infer_fail(c, "input %u is %s, the sequence %s", i,
                                   espy_dtype_name(c->inputs[i].dtype),
                                   espy_dtype_name(c->inputs[X].dtype));
    if (espy_infer_has(c, LENGTHS) && c->inputs[LENGTHS].dtype != ESPY_INT32)
        return espy_infer_fail(c, "lengths of type %s, need int32",
                               espy_dtype_name(c->inputs[LENGTHS].dtype));
    TRY(check_shape(c, W, 3, directions, all, r->features));
    TRY(check_shape(c, R, 3, directions, all, hidden));
    TRY(check_shape(c, B, 2, directions, 2 * all, 0));
    TRY(check_shape(c, LENGTHS, 1, r->batch, 0, 0));
    const int64_t outer = r->batch_first ? r->batch : directions;
    const int64_t inner = r->batch_first ? directions : r->batch;
    TRY(check_shape(c, INITIAL_H, 3, outer, inner, hidden));
    TRY(check_shape(c, INITIAL_C, 3, outer, inner, hidden));
    return check_shape(c, P, 2, directions, 3 * hidden, 0);
}

static espy_status recurrent_init(const struct op_infer *c, struct recurrent *r)
{
    const struct recurrent_attrs *attrs = c->attrs;
    const char *name = c->node->op->name;
    const struct shape *x = &c->inputs[X].shape, *weights = &c->inputs[R].shape;
    if (!espy_dtype_is_float(c->inputs[X].dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(c->inputs[X].dtype));
    if (x->rank != 3 || weights->rank != 3)
        return espy_infer_fail(c, "sequences of rank %u and weights of rank %u, needs 3 and 3",
                               x->rank, weights->rank);
    *r = (struct recurrent){.directions = attrs->direction == BIDIRECTIONAL ? 2 : 1,
                            .batch_first = attrs->layout == 1,
                            .features = x->dims[2],
                            .hidden = weights->dims[2]};
    r->steps = x->dims[r->batch_first ? 1 : 0];
    r->batch = x->dims[r->batch_first ? 0 : 1];
    r->kind = strcmp(name, "LSTM") == 0  ? RECURRENT_LSTM
              : strcmp(name, "GRU") == 0 ? RECURRENT_GRU
                                         : RECURRENT_RNN;
    r->gates = r->kind == RECURRENT_LSTM ? 4 : r->kind == RECURRENT_GRU ? 3 : 1;
    r->functions_each = r->kind == RECURRENT_LSTM ? 3 : r->kind == RECURRENT_GRU ? 2 : 1;
    if (attrs->hidden_size != 0 && attrs->hidden_size != r->hidden)
        return espy_infer_fail(c, "'hidden_size' is %lld, the weights have %lld",
                               (long long)attrs->hidden_size, (long long)r->hidden);
    TRY(check_inputs(c, r));
    return find_functions(c, r);
}

static espy_status infer(struct op_infer *c)
{
    struct recurrent r;
    TRY(recurrent_init(c, &r));
    const int64_t directions = r.directions;
    for (uint32_t o = 0; o < c->output_count; o++) {
        struct op_type *output = &c->outputs[o];
        output->dtype = c->inputs[X].dtype;
        if (o == Y && r.batch_first)
            output->shape = (struct shape){4, {r.batch, r.steps, directions, r.hidden}};
        else if (o == Y)
            output->shape = (struct shape){4, {r.steps, directions, r.batch, r.hidden}};
        else if (r.batch_first)
            output->shape = (struct shape){3, {r.batch, directions, r.hidden}};
        else
            output->shape = (struct shape){3, {directions, r.batch, r.hidden}};
    }
    return ESPY_OK;
}

// The numbers again, for a node that infer has accepted.
static struct recurrent recurrent_of(const struct host *host, const struct op_node *node,
                                     const struct op_type *inputs, uint32_t input_count)
{
    const struct op_infer infer_again = espy_infer_again(host, node, inputs, input_count);
    struct recurrent r;
    const espy_status status = recurrent_init(&infer_again, &r);
    assert(status == ESPY_OK);
    (void)status;
    return r;
}

// ---- meaning ------------------------------------------------------------------------------------

struct sequence {
    const struct recurrent *r;
    const float *x, *w, *weights; // x: of this sequence; w and weights: of this direction
    size_t x_step;                // between time steps
    size_t direction, batch;
    double *gates, *h, *c, *next; // [gates * hidden], and [hidden] each
};

static double activated(const struct op_eval *c, const struct sequence *s, uint32_t index, double x)
{
    const struct recurrent_attrs *attrs = c->attrs;
    const struct op_step *step = &s->r->functions[s->direction][index];
    if (attrs->clip > 0)
        x = x < -attrs->clip ? -attrs->clip : x > attrs->clip ? attrs->clip : x;
    if (step->function == RECURRENT_AFFINE)
        return (double)step->a * x + (double)step->b;
    if (step->function == RECURRENT_SCALED_TANH)
        return (double)step->a * tanh((double)step->b * x);
    return espy_step_apply(step, x);
}

// Parameter `unit` of the index-th set in this direction; 0 where input i is absent.
static double parameter(const struct op_eval *c, const struct sequence *s, uint32_t i,
                        uint32_t sets, uint32_t index, size_t unit)
{
    const size_t hidden = (size_t)s->r->hidden;
    if (!espy_eval_has(c, i))
        return 0;
    return espy_tensor_number(&c->inputs[i], (s->direction * sets + index) * hidden + unit);
}

static double dot(const float *weights, const double *values, size_t count)
{
    double sum = 0;
    for (size_t k = 0; k < count; k++)
        sum += (double)weights[k] * values[k];
    return sum;
}

// What the input and its bias give for every gate.
static void start_gates(const struct op_eval *c, const struct sequence *s, size_t time)
{
    const struct recurrent *r = s->r;
    const size_t features = (size_t)r->features, hidden = (size_t)r->hidden;
    const float *x = s->x + time * s->x_step;
    for (size_t g = 0; g < r->gates * hidden; g++) {
        double sum = parameter(c, s, B, 2 * r->gates, (uint32_t)(g / hidden), g % hidden);
        for (size_t k = 0; k < features; k++)
            sum += (double)x[k] * (double)s->w[g * features + k];
        s->gates[g] = sum;
    }
}

// Gate g of a unit with the state's part added.
static double gate(const struct op_eval *c, const struct sequence *s, uint32_t g, size_t unit,
                   const double *state)
{
    const size_t hidden = (size_t)s->r->hidden, row = g * hidden + unit;
    return s->gates[row] + parameter(c, s, B, 2 * s->r->gates, s->r->gates + g, unit) +
           dot(s->weights + row * hidden, state, hidden);
}

static void step_lstm(const struct op_eval *c, const struct sequence *s)
{
    const struct recurrent_attrs *attrs = c->attrs;
    for (size_t k = 0; k < (size_t)s->r->hidden;
         k++) { // gates in order: input, output, forget, cell
        const double before = s->c[k];
        const double enter =
            activated(c, s, 0, gate(c, s, 0, k, s->h) + parameter(c, s, P, 3, 0, k) * before);
        const double forget =
            attrs->input_forget
                ? 1 - enter
                : activated(c, s, 0, gate(c, s, 2, k, s->h) + parameter(c, s, P, 3, 2, k) * before);
        s->c[k] = forget * before + enter * activated(c, s, 1, gate(c, s, 3, k, s->h));
        s->next[k] =
            activated(c, s, 0, gate(c, s, 1, k, s->h) + parameter(c, s, P, 3, 1, k) * s->c[k]) *
            activated(c, s, 2, s->c[k]);
    }
}

static void step_gru(const struct op_eval *c, const struct sequence *s)
{
    const struct recurrent_attrs *attrs = c->attrs;
    const size_t hidden = (size_t)s->r->hidden;
    for (size_t k = 0; k < hidden; k++) // s->c: the state after the reset gates
        s->c[k] = activated(c, s, 0, gate(c, s, 1, k, s->h)) * s->h[k];
    for (size_t k = 0; k < hidden; k++) { // gates in order: update, reset, hidden
        const double update = activated(c, s, 0, gate(c, s, 0, k, s->h));
        double sum;
        if (attrs->linear_before_reset) {
            const double own = s->gates[2 * hidden + k];
            sum = own + activated(c, s, 0, gate(c, s, 1, k, s->h)) * (gate(c, s, 2, k, s->h) - own);
        } else {
            sum = gate(c, s, 2, k, s->c);
        }
        s->next[k] = (1 - update) * activated(c, s, 1, sum) + update * s->h[k];
    }
}

static void step_rnn(const struct op_eval *c, const struct sequence *s)
{
    for (size_t k = 0; k < (size_t)s->r->hidden; k++)
        s->next[k] = activated(c, s, 0, gate(c, s, 0, k, s->h));
}

// Where [direction][batch] begins in the initial states and the last outputs.
static size_t state_start(const struct sequence *s)
{
    const struct recurrent *r = s->r;
    const size_t row = r->batch_first ? s->batch * r->directions + s->direction
                                      : s->direction * (size_t)r->batch + s->batch;
    return row * (size_t)r->hidden;
}

static size_t output_start(const struct sequence *s, size_t time)
{
    const struct recurrent *r = s->r;
    const size_t steps = (size_t)r->steps, batch = (size_t)r->batch;
    const size_t row = r->batch_first ? (s->batch * steps + time) * r->directions + s->direction
                                      : (time * r->directions + s->direction) * batch + s->batch;
    return row * (size_t)r->hidden;
}

static void copy_state(const struct op_eval *c, uint32_t i, const struct sequence *s, double *state)
{
    for (size_t k = 0; k < (size_t)s->r->hidden; k++)
        state[k] = espy_eval_has(c, i) ? espy_tensor_number(&c->inputs[i], state_start(s) + k) : 0;
}

static void store(struct op_eval *c, uint32_t o, size_t at, const double *values, size_t count)
{
    if (o >= c->output_count || c->outputs[o].data == NULL)
        return;
    for (size_t k = 0; k < count; k++)
        espy_tensor_set_number(&c->outputs[o], at + k, values == NULL ? 0 : values[k]);
}

// A sequence ends at its length; after that the outputs are zero and the state stays as it is.
static void run_sequence(struct op_eval *c, struct sequence *s, size_t length)
{
    const struct recurrent *r = s->r;
    const struct recurrent_attrs *attrs = c->attrs;
    const size_t hidden = (size_t)r->hidden;
    const bool reversed = attrs->direction == REVERSE || s->direction == 1;
    copy_state(c, INITIAL_H, s, s->h);
    copy_state(c, INITIAL_C, s, s->c);
    for (size_t step = 0; step < (size_t)r->steps; step++) {
        if (step >= length) {
            store(c, Y, output_start(s, step), NULL, hidden);
            continue;
        }
        const size_t time = reversed ? length - 1 - step : step;
        start_gates(c, s, time);
        if (r->kind == RECURRENT_LSTM)
            step_lstm(c, s);
        else if (r->kind == RECURRENT_GRU)
            step_gru(c, s);
        else
            step_rnn(c, s);
        memcpy(s->h, s->next, hidden * sizeof(*s->h));
        store(c, Y, output_start(s, time), s->h, hidden);
    }
    store(c, Y_H, state_start(s), s->h, hidden);
    store(c, Y_C, state_start(s), s->c, hidden);
}

static void reference(struct op_eval *c)
{
    struct op_type types[INPUT_COUNT] = {{ESPY_DTYPE_NONE, {0}}};
    for (uint32_t i = 0; i < c->input_count; i++)
        types[i] = c->inputs[i].type;
    const struct recurrent r = recurrent_of(c->host, c->node, types, c->input_count);
    const size_t hidden = (size_t)r.hidden, features = (size_t)r.features;
    const size_t rows = r.gates * hidden;
    const float *x = espy_eval_floats(c, X), *w = espy_eval_floats(c, W);
    const float *weights = espy_eval_floats(c, R);
    double *scratch = espy_eval_scratch(c, rows + 3 * hidden, sizeof(*scratch));
    if (x == NULL || w == NULL || weights == NULL || scratch == NULL)
        return;
    struct sequence s = {.r = &r,
                         .gates = scratch,
                         .h = scratch + rows,
                         .c = scratch + rows + hidden,
                         .next = scratch + rows + 2 * hidden};
    s.x_step = features * (r.batch_first ? 1 : (size_t)r.batch);
    for (s.batch = 0; s.batch < (size_t)r.batch; s.batch++) {
        int64_t length = r.steps;
        if (espy_eval_has(c, LENGTHS))
            length = espy_tensor_integer(&c->inputs[LENGTHS], s.batch);
        if (length < 0 || length > r.steps) {
            espy_eval_fail(c, ESPY_INVALID_ARGUMENT, "a sequence of %lld of %lld steps",
                           (long long)length, (long long)r.steps);
            return;
        }
        s.x = x + s.batch * features * (r.batch_first ? (size_t)r.steps : 1);
        for (s.direction = 0; s.direction < r.directions; s.direction++) {
            s.w = w + s.direction * rows * features;
            s.weights = weights + s.direction * rows * hidden;
            run_sequence(c, &s, (size_t)length);
        }
    }
}

// ---- dispatches ---------------------------------------------------------------------------------

// Views that all steps share.
struct job {
    const struct recurrent *r;
    struct view sums, weights, parameters, lengths;
    struct view y, last[2]; // of h and c; VIEW_NONE where not wanted
    uint32_t step_kind;     // RECURRENT_...
    struct recurrent_step_spec spec;
    struct recurrent_step_push push;
};

// A state of [direction][batch][unit], and how it lies.
struct state {
    struct view view;
    int32_t direction, batch;
};

static const struct view no_view = {.buffer = VIEW_NONE};

static struct view lower_sums(struct op_lower *c, const struct recurrent *r, bool linear)
{
    const struct view x = espy_lower_input(c, X), bias = plain_input(c, B);
    const int64_t gates = r->gates * r->hidden, all = gates * r->directions;
    const struct shape shape = {2, {r->steps * r->batch, all}};
    const struct view sums = espy_lower_temporary(c, ESPY_FLOAT32, &shape);
    struct recurrent_input_spec spec = RECURRENT_INPUT_SPEC_DEFAULT;
    struct recurrent_input_push push = {.batch = (uint32_t)r->batch,
                                        .features = (uint32_t)r->features,
                                        .gates = (uint32_t)gates,
                                        .all_gates = (uint32_t)all,
                                        .biased = (uint32_t)(linear ? 2 * r->hidden : gates),
                                        .blocks = (uint32_t)((all + GATES_MAX - 1) / GATES_MAX),
                                        .x_offset = (int32_t)x.offset,
                                        .x_time = (int32_t)x.strides[r->batch_first ? 1 : 0],
                                        .x_batch = (int32_t)x.strides[r->batch_first ? 0 : 1],
                                        .x_step = (int32_t)x.strides[2]};
    push.count = push.blocks * (uint32_t)(r->steps * r->batch);
    spec.local_size_x = c->caps->local_size;
    spec.has_bias = espy_lower_has(c, B);
    struct op_dispatch made = {.shader = recurrent_input_shaders.variants[espy_variant(x.storage)],
                               .bindings = {x, plain_input(c, W), bias, sums},
                               .binding_count = 4,
                               .push = &push,
                               .push_size = sizeof(push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
    return sums;
}

static struct state initial_state(struct op_lower *c, const struct recurrent *r, uint32_t i)
{
    struct state state = {.view = no_view};
    if (!espy_lower_has(c, i))
        return state;
    state.view = espy_lower_dense_input(c, i);
    state.direction = (int32_t)(r->hidden * (r->batch_first ? 1 : r->batch));
    state.batch = (int32_t)(r->hidden * (r->batch_first ? (int64_t)r->directions : 1));
    return state;
}

static struct state new_state(struct op_lower *c, const struct recurrent *r)
{
    const struct shape shape = {3, {r->directions, r->batch, r->hidden}};
    return (struct state){.view = espy_lower_temporary(c, ESPY_FLOAT32, &shape),
                          .direction = (int32_t)(r->batch * r->hidden),
                          .batch = (int32_t)r->hidden};
}

// PARAM_... of shaders/include/param.glsl.
static uint32_t state_kind(const struct state *state)
{
    return state->view.buffer == VIEW_NONE ? 0 : state->view.storage == STORAGE_F16 ? 2 : 1;
}

struct step {
    uint32_t kind;
    struct state h, c; // before
    struct view reset; // RECURRENT_GRU
    const struct state *next_h, *next_c;
    bool writes; // outputs
    bool last;
};

static void dispatch_step(struct op_lower *c, const struct job *job, const struct step *step)
{
    struct recurrent_step_spec spec = job->spec;
    struct recurrent_step_push push = job->push;
    const struct view *filler = &step->next_h->view; // for what is bound but not written
    const struct view *next_c = step->next_c != NULL ? &step->next_c->view : filler;
    struct view y = *filler, last_h = *filler, last_c = *filler;
    if (step->writes && job->y.buffer != VIEW_NONE) {
        y = job->y;
        push.writes |= RECURRENT_WRITES_Y;
    }
    if (step->writes && step->last && job->last[0].buffer != VIEW_NONE) {
        last_h = job->last[0];
        push.writes |= RECURRENT_WRITES_H;
    }
    if (step->writes && step->last && job->last[1].buffer != VIEW_NONE) {
        last_c = job->last[1];
        push.writes |= RECURRENT_WRITES_C;
    }
    spec.kind = step->kind;
    spec.h_kind = state_kind(&step->h);
    spec.c_kind = state_kind(&step->c);
    push.h_offset = (int32_t)step->h.view.offset;
    push.h_direction = step->h.direction;
    push.h_batch = step->h.batch;
    push.c_offset = (int32_t)step->c.view.offset;
    push.c_direction = step->c.direction;
    push.c_batch = step->c.batch;
    struct op_dispatch made = {
        .shader = recurrent_step_shaders.variants[espy_variant(job->weights.storage)],
        .bindings = {job->sums, job->weights, step->h.view, step->c.view, step->reset,
                     job->parameters, job->lengths, *filler, *next_c, y, last_h, last_c},
        .binding_count = 12,
        .push = &push,
        .push_size = sizeof(push),
        .spec = &spec,
        .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
}

static void fill_job(struct op_lower *c, struct job *job)
{
    const struct recurrent *r = job->r;
    const struct recurrent_attrs *attrs = c->attrs;
    job->spec = (struct recurrent_step_spec)RECURRENT_STEP_SPEC_DEFAULT;
    job->spec.local_size_x = c->caps->local_size;
    job->spec.reverse = attrs->direction == REVERSE ? 1 : 2;
    job->spec.has_lengths = job->lengths.buffer != VIEW_NONE;
    job->spec.has_parameters = job->parameters.buffer != VIEW_NONE;
    job->spec.input_forget = attrs->input_forget;
    job->spec.clips = attrs->clip > 0;
    job->spec.function_0 = r->functions[0][0].function;
    job->spec.function_1 = r->functions[0][1].function;
    job->spec.function_2 = r->functions[0][2].function;
    job->spec.function_3 = r->functions[1][0].function;
    job->spec.function_4 = r->functions[1][1].function;
    job->spec.function_5 = r->functions[1][2].function;
    job->push = (struct recurrent_step_push){
        .count = (uint32_t)(r->directions * r->batch * r->hidden),
        .steps = (uint32_t)r->steps,
        .directions = r->directions,
        .batch = (uint32_t)r->batch,
        .hidden = (uint32_t)r->hidden,
        .y_time = (int32_t)job->y.strides[r->batch_first ? 1 : 0],
        .y_direction = (int32_t)job->y.strides[r->batch_first ? 2 : 1],
        .y_batch = (int32_t)job->y.strides[r->batch_first ? 0 : 2],
        .last_direction = (int32_t)(r->hidden * (r->batch_first ? 1 : r->batch)),
        .last_batch = (int32_t)(r->hidden * (r->batch_first ? (int64_t)r->directions : 1)),
        .clip = (float)attrs->clip};
    for (uint32_t i = 0; i < 2 * FUNCTIONS_MAX; i++) {
        const struct op_step *function = &r->functions[i / FUNCTIONS_MAX][i % FUNCTIONS_MAX];
        job->push.a[i] = function->a;
        job->push.b[i] = function->b;
    }
}

static void lower_steps(struct op_lower *c, struct job *job)
{
    const struct recurrent *r = job->r;
    const bool two_stages = job->step_kind == RECURRENT_GRU;
    const bool has_c = r->kind == RECURRENT_LSTM;
    const struct state nothing = {.view = no_view};
    struct state states[2][2] = {{nothing, nothing}, {nothing, nothing}}; // [turn][h, c]
    struct state gates[2] = {nothing, nothing}; // after reset gates, update gates
    for (uint32_t turn = 0; turn < 2; turn++) {
        states[turn][0] = new_state(c, r);
        if (has_c)
            states[turn][1] = new_state(c, r);
        if (two_stages)
            gates[turn] = new_state(c, r);
    }
    struct step step = {
        .h = initial_state(c, r, INITIAL_H), .c = initial_state(c, r, INITIAL_C), .reset = no_view};
    for (uint32_t k = 0; k < r->steps; k++) {
        const struct state *next = states[k % 2];
        job->push.step = k;
        step.last = k + 1 == r->steps;
        step.kind = job->step_kind;
        if (two_stages) {
            struct step first = {.kind = RECURRENT_GRU_GATES,
                                 .h = step.h,
                                 .c = nothing,
                                 .reset = no_view,
                                 .next_h = &gates[0],
                                 .next_c = &gates[1]};
            dispatch_step(c, job, &first);
            step.reset = gates[0].view;
            step.c = gates[1];
        }
        step.next_h = &next[0];
        step.next_c = has_c ? &next[1] : NULL;
        step.writes = true;
        dispatch_step(c, job, &step);
        step.h = next[0];
        if (has_c)
            step.c = next[1];
    }
}

static espy_status lower(struct op_lower *c)
{
    const struct recurrent_attrs *attrs = c->attrs;
    const struct recurrent r = recurrent_of(c->host, c->node, c->inputs, c->input_count);
    const bool linear = r.kind == RECURRENT_GRU && attrs->linear_before_reset;
    if (r.features > LENGTH_MAX || r.hidden > LENGTH_MAX)
        return espy_lower_on_host(c, "rows are too long for one invocation");
    if (r.steps == 0)
        return espy_lower_on_host(c, "no time steps");
    struct job job = {.r = &r,
                      .sums = lower_sums(c, &r, linear),
                      .weights = plain_input(c, R),
                      .parameters = no_view,
                      .lengths = plain_input(c, LENGTHS),
                      .y = no_view,
                      .last = {no_view, no_view},
                      .step_kind = linear ? RECURRENT_GRU_LINEAR : r.kind};
    if (r.kind == RECURRENT_LSTM)
        job.parameters = plain_input(c, P);
    else if (linear)
        job.parameters = plain_input(c, B);
    if (espy_lower_wants(c, Y))
        job.y = espy_lower_output(c, Y);
    for (uint32_t o = Y_H; o <= Y_C; o++)
        if (espy_lower_wants(c, o))
            job.last[o - Y_H] = espy_lower_output(c, o);
    TRY(espy_lower_status(c));
    fill_job(c, &job);
    lower_steps(c, &job);
    return espy_lower_status(c);
}

// ---- the table ----------------------------------------------------------------------------------

static const char *const direction_choices[] = {"forward", "reverse", "bidirectional", NULL};

#define ATTR(attr_name, kind) \
    .name = #attr_name, .type = kind, .offset = offsetof(struct recurrent_attrs, attr_name)
#define COMMON_ATTRS                                                                              \
    {ATTR(activations, OP_STRINGS),                                                               \
     .help = "functions of each direction, by ONNX names; default Sigmoid for gates, else Tanh"}, \
        {ATTR(activation_alpha, OP_FLOATS),                                                       \
         .help = "first parameters of those functions that have one"},                            \
        {ATTR(activation_beta, OP_FLOATS), .help = "second parameters"},                          \
        {ATTR(clip, OP_DOUBLE), .help = "inputs of functions stay within -clip..clip; 0: free"},  \
        {ATTR(direction, OP_ENUM), .choices = direction_choices,                                  \
         .help = "which end a sequence starts at"},                                               \
        {ATTR(hidden_size, OP_INT), .min = 0, .max = INT32_MAX,                                   \
         .help = "units of the state; 0: as the weights have"},                                   \
    {                                                                                             \
        ATTR(layout, OP_INT), .min = 0, .max = 1, .help = "0: time comes first; 1: batch"         \
    }

static const struct op_attr rnn_rows[] = {COMMON_ATTRS};
static const struct op_attr gru_rows[] = {
    COMMON_ATTRS,
    {ATTR(linear_before_reset, OP_BOOL), .help = "reset gates come after the weights"}};
static const struct op_attr lstm_rows[] = {
    COMMON_ATTRS, {ATTR(input_forget, OP_BOOL), .help = "forget gates are 1 - input gates"}};

#define RECURRENT(op_name, text, rows, inputs, outputs)                                            \
    {                                                                                              \
        .name = op_name, .summary = text, .inputs_min = 3, .inputs_max = inputs, .outputs_min = 1, \
        .outputs_max = outputs, .bindings = 12, .attrs = rows,                                     \
        .attr_count = sizeof(rows) / sizeof((rows)[0]),                                            \
        .attrs_size = sizeof(struct recurrent_attrs), .infer = infer, .reference = reference,      \
        .lower = lower                                                                             \
    }

static const struct op ops[] = {
    RECURRENT("GRU", "recurrent layer with update and reset gates", gru_rows, 6, 2),
    RECURRENT("LSTM", "recurrent layer with a cell and three gates", lstm_rows, INPUT_COUNT,
              OUTPUT_COUNT),
    RECURRENT("RNN", "recurrent layer without gates", rnn_rows, 6, 2)};

const struct op_family espy_ops_recurrent = {ops, sizeof(ops) / sizeof(ops[0])};
