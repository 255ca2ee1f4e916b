#include <math.h>
#include <string.h>

#include "passes/passes.h"

// Activations that exporters write out in elementary operators, put together again. What is matched
// here is pointwise, so shapes do not matter, only who uses what.

// Constants that no float can hold may have come through float16, or have few digits in the
// model's source; the others are exact.
static bool is_near(double value, double wanted)
{
    const bool exact = wanted * 2 == floor(wanted * 2);
    return exact ? value == wanted : fabs(value - wanted) <= 5e-4 * fabs(wanted);
}

// true: node is op, its other operand is a scalar constant; *value is the operand that is not.
static bool with_scalar(const struct pass *pass, const struct graph_node *node, const char *op,
                        bool symmetric, uint32_t *value, double *scalar)
{
    if (node == NULL || strcmp(node->op, op) != 0 || node->input_count != 2 || node->step_count > 0)
        return false;
    *value = node->inputs[0];
    if (espy_pass_scalar(pass, node->inputs[1], scalar))
        return true;
    *value = node->inputs[1];
    return symmetric && espy_pass_scalar(pass, node->inputs[0], scalar);
}

// value = *from * *factor, by Mul or Div with a scalar.
static bool is_scaled(const struct pass *pass, uint32_t value, uint32_t *from, double *factor)
{
    const struct graph_node *node = espy_pass_maker(pass, value, NULL);
    if (with_scalar(pass, node, "Mul", true, from, factor))
        return true;
    if (!with_scalar(pass, node, "Div", false, from, factor))
        return false;
    *factor = 1 / *factor;
    return true;
}

// value = *from + wanted
static bool is_shifted(const struct pass *pass, uint32_t value, double wanted, uint32_t *from)
{
    double scalar;
    return with_scalar(pass, espy_pass_maker(pass, value, "Add"), "Add", true, from, &scalar) &&
           is_near(scalar, wanted);
}

static bool is_plain(const struct pass *pass, uint32_t value, const char *op, uint32_t *from)
{
    const struct graph_node *node = espy_pass_maker(pass, value, op);
    if (node == NULL || node->step_count > 0 || node->input_count == 0)
        return false;
    *from = node->inputs[0];
    return true;
}

// value = *from ^ 3
static bool is_cube(const struct pass *pass, uint32_t value, uint32_t from)
{
    uint32_t base;
    double power;
    const struct graph_node *node = espy_pass_maker(pass, value, NULL);
    if (with_scalar(pass, node, "Pow", false, &base, &power))
        return base == from && power == 3;
    if (node == NULL || strcmp(node->op, "Mul") != 0)
        return false;
    for (uint32_t i = 0; i < 2; i++) {
        const struct graph_node *square = espy_pass_maker(pass, node->inputs[i], NULL);
        if (node->inputs[1 - i] != from || square == NULL)
            continue;
        if (strcmp(square->op, "Mul") == 0 && square->inputs[0] == from &&
            square->inputs[1] == from)
            return true;
        if (with_scalar(pass, square, "Pow", false, &base, &power) && base == from && power == 2)
            return true;
    }
    return false;
}

// value = 1 + erf(*from / sqrt(2))
static bool is_erf_gate(const struct pass *pass, uint32_t value, uint32_t *from)
{
    uint32_t erf_value, scaled;
    double factor;
    return is_shifted(pass, value, 1, &erf_value) && is_plain(pass, erf_value, "Erf", &scaled) &&
           is_scaled(pass, scaled, from, &factor) && is_near(factor, 0.70710678118654752);
}

// value = 1 + tanh(sqrt(2 / pi) * (*from + 0.044715 * *from ^ 3))
static bool is_tanh_gate(const struct pass *pass, uint32_t value, uint32_t *from)
{
    uint32_t tanh_value, scaled, sum, cube;
    double factor, small;
    if (!is_shifted(pass, value, 1, &tanh_value) || !is_plain(pass, tanh_value, "Tanh", &scaled) ||
        !is_scaled(pass, scaled, &sum, &factor) || !is_near(factor, 0.79788456080286536))
        return false;
    const struct graph_node *add = espy_pass_maker(pass, sum, "Add");
    for (uint32_t i = 0; add != NULL && i < 2; i++) {
        *from = add->inputs[1 - i];
        if (is_scaled(pass, add->inputs[i], &cube, &small) && is_near(small, 0.044715) &&
            is_cube(pass, cube, *from))
            return true;
    }
    return false;
}

// value = hard sigmoid of *from: clip(*from / 6 + 1 / 2, 0, 1), however it is written
static bool is_hard_gate(const struct pass *pass, uint32_t value, uint32_t *from)
{
    const struct graph_node *node = espy_pass_maker(pass, value, "HardSigmoid");
    if (node == NULL || node->step_count > 0)
        return false;
    *from = node->inputs[0];
    return fabs(espy_pass_number(node, "alpha", 0.2) - 1.0 / 6) < 1e-6 &&
           espy_pass_number(node, "beta", 0.5) == 0.5;
}

// value = clip(*from + 3, 0, 6)
static bool is_relu6_gate(const struct pass *pass, uint32_t value, uint32_t *from)
{
    uint32_t sum;
    double low, high;
    const struct graph_node *clip = espy_pass_maker(pass, value, "Clip");
    return clip != NULL && is_plain(pass, value, "Clip", &sum) &&
           espy_pass_scalar(pass, espy_pass_input(clip, 1), &low) && low == 0 &&
           espy_pass_scalar(pass, espy_pass_input(clip, 2), &high) && high == 6 &&
           is_shifted(pass, sum, 3, from) && espy_pass_maker(pass, sum, "Add") != NULL;
}

// ---- products -----------------------------------------------------------------------------------

enum { FACTORS_MAX = 4 };

// A product of values and one number: Mul and Div nodes that nothing else uses, taken apart.
struct product {
    double scale;
    uint32_t count;
    uint32_t factors[FACTORS_MAX];
};

static bool split_product(const struct pass *pass, const struct graph_node *root,
                          struct product *product)
{
    const struct graph_node *pending[FACTORS_MAX] = {root};
    uint32_t depth = 1;
    *product = (struct product){.scale = 1};
    while (depth > 0) {
        const struct graph_node *node = pending[--depth];
        const bool division = strcmp(node->op, "Div") == 0;
        if (node->step_count > 0 || node->input_count != 2)
            return false;
        for (uint32_t i = 0; i < 2; i++) {
            const uint32_t value = node->inputs[i];
            double scalar;
            if (espy_pass_scalar(pass, value, &scalar)) {
                product->scale *= division && i == 1 ? 1 / scalar : scalar;
                if (division && i == 0)
                    return false; // 1 / x
                continue;
            }
            if (division && i == 1)
                return false;
            const struct graph_node *maker = espy_pass_maker(pass, value, NULL);
            const bool inner = maker != NULL && espy_pass_single_use(pass, value) &&
                               (strcmp(maker->op, "Mul") == 0 || strcmp(maker->op, "Div") == 0) &&
                               depth < FACTORS_MAX;
            if (inner)
                pending[depth++] = maker;
            else if (product->count < FACTORS_MAX)
                product->factors[product->count++] = value;
            else
                return false;
        }
    }
    return true;
}

typedef bool (*gate_fn)(const struct pass *pass, uint32_t value, uint32_t *from);

// x * gate(x) with this number in front.
static bool is_gated(const struct pass *pass, const struct product *product, gate_fn gate,
                     double scale, uint32_t *from)
{
    if (product->count != 2 || !is_near(product->scale, scale))
        return false;
    for (uint32_t i = 0; i < 2; i++)
        if (gate(pass, product->factors[i], from) && *from == product->factors[1 - i])
            return true;
    return false;
}

static bool is_sigmoid_gate(const struct pass *pass, uint32_t value, uint32_t *from)
{
    return is_plain(pass, value, "Sigmoid", from);
}

static bool is_softplus_tanh_gate(const struct pass *pass, uint32_t value, uint32_t *from)
{
    uint32_t inner;
    return is_plain(pass, value, "Tanh", &inner) && is_plain(pass, inner, "Softplus", from);
}

static espy_status become(struct pass *pass, struct graph_node *node, const char *op,
                          uint32_t input)
{
    uint32_t *inputs = espy_arena_alloc(&pass->graph->arena, sizeof(*inputs));
    node->op = espy_arena_string(&pass->graph->arena, op);
    if (inputs == NULL || node->op == NULL)
        return ESPY_OUT_OF_MEMORY;
    inputs[0] = input;
    node->inputs = inputs;
    node->input_count = 1;
    node->attr_count = 0;
    pass->changed = true;
    pass->counts->patterns++;
    return ESPY_OK;
}

static espy_status match_product(struct pass *pass, struct graph_node *node)
{
    static const struct {
        gate_fn gate;
        double scale;
        const char *op, *approximate;
    } activations[] = {
        {is_erf_gate, 0.5, "Gelu", NULL},     {is_tanh_gate, 0.5, "Gelu", "tanh"},
        {is_hard_gate, 1, "HardSwish", NULL}, {is_relu6_gate, 1.0 / 6, "HardSwish", NULL},
        {is_sigmoid_gate, 1, "Swish", NULL},  {is_softplus_tanh_gate, 1, "Mish", NULL},
    };
    struct product product;
    if (!split_product(pass, node, &product))
        return ESPY_OK;
    for (size_t i = 0; i < sizeof(activations) / sizeof(activations[0]); i++) {
        uint32_t from;
        if (!espy_pass_has_kernel(activations[i].op) ||
            !is_gated(pass, &product, activations[i].gate, activations[i].scale, &from))
            continue;
        TRY(become(pass, node, activations[i].op, from));
        if (activations[i].approximate != NULL)
            TRY(espy_graph_set_string(pass->graph, node, "approximate",
                                      activations[i].approximate));
        return ESPY_OK;
    }
    // clip(x + 3, 0, 6) / 6 alone
    uint32_t from;
    if (product.count == 1 && is_near(product.scale, 1.0 / 6) &&
        espy_pass_has_kernel("HardSigmoid") && is_relu6_gate(pass, product.factors[0], &from)) {
        TRY(become(pass, node, "HardSigmoid", from));
        TRY(espy_graph_set_number(pass->graph, node, "alpha", (double)(1.0f / 6.0f)));
        return espy_graph_set_number(pass->graph, node, "beta", 0.5);
    }
    return ESPY_OK;
}

espy_status espy_pass_patterns(struct pass *pass)
{
    for (uint32_t n = 0; n < pass->graph->node_count; n++) {
        struct graph_node *node = &pass->graph->nodes[n];
        if (strcmp(node->op, "Mul") == 0 || strcmp(node->op, "Div") == 0)
            TRY(match_product(pass, node));
    }
    return ESPY_OK;
}
