#include "convert/builder.h"

#include <string.h>

static double param(const struct build_activation *activation, uint32_t i, double fallback)
{
    return i < activation->param_count ? activation->params[i] : fallback;
}

// Activations by ONNX's names; parameters in the order of its attributes.
uint32_t espy_build_activate(struct builder *b, uint32_t x,
                             const struct build_activation *activation)
{
    static const struct {
        const char *name, *attributes[2];
        double defaults[2];
    } known[] = {{"Relu", {NULL, NULL}, {0, 0}},
                 {"Tanh", {NULL, NULL}, {0, 0}},
                 {"Sigmoid", {NULL, NULL}, {0, 0}},
                 {"Softplus", {NULL, NULL}, {0, 0}},
                 {"Softsign", {NULL, NULL}, {0, 0}},
                 {"HardSwish", {NULL, NULL}, {0, 0}},
                 {"LeakyRelu", {"alpha", NULL}, {0.01, 0}},
                 {"Elu", {"alpha", NULL}, {1, 0}},
                 {"ThresholdedRelu", {"alpha", NULL}, {1, 0}},
                 {"HardSigmoid", {"alpha", "beta"}, {0.2, 0.5}},
                 {"Gelu", {NULL, NULL}, {0, 0}}};
    const char *name = activation->name;
    if (name[0] == '\0' || strcmp(name, "Identity") == 0)
        return x;
    if (strcmp(name, "Clip") == 0)
        return EMIT(b, "Clip", x, espy_build_number(b, x, param(activation, 0, -3.4028235e38)),
                    espy_build_number(b, x, param(activation, 1, 3.4028235e38)));
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].name, name) != 0)
            continue;
        const uint32_t result = EMIT(b, known[i].name, x);
        for (uint32_t a = 0; a < 2 && known[i].attributes[a] != NULL; a++)
            espy_build_set(b, known[i].attributes[a], param(activation, a, known[i].defaults[a]));
        return result;
    }
    espy_build_refuse(b, "activation '%s' is not supported", name);
    return GRAPH_NONE;
}

struct build_activation espy_build_conv_activation(struct builder *b)
{
    struct build_activation activation = {.name = espy_build_string(b, "activation", "")};
    activation.param_count =
        espy_build_floats(b, "activation_params", activation.params, BUILD_PARAMS_MAX);
    return activation;
}
