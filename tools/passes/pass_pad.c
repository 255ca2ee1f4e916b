#include <string.h>

#include "passes/passes.h"

// A Pad with zeros before a convolution is padding of the convolution.

static bool is_zero_pad(const struct pass *pass, const struct graph_node *pad)
{
    double value;
    const uint32_t fill = espy_pass_input(pad, 2);
    return pad->step_count == 0 && espy_pass_string_is(pad, "mode", "constant", "constant") &&
           espy_pass_input(pad, 3) == GRAPH_NONE &&
           (fill == GRAPH_NONE || (espy_pass_scalar(pass, fill, &value) && value == 0));
}

static espy_status fold(struct pass *pass, struct graph_node *conv)
{
    const struct graph_node *pad = espy_pass_maker(pass, conv->inputs[0], "Pad");
    if (pad == NULL || !is_zero_pad(pass, pad) ||
        !espy_pass_string_is(conv, "auto_pad", "NOTSET", "NOTSET"))
        return ESPY_OK;
    const struct tensor added = espy_pass_value(pass, espy_pass_input(pad, 1));
    const struct tensor weight = espy_pass_value(pass, espy_pass_input(conv, 1));
    const uint32_t rank = weight.type.shape.rank;
    if (added.data == NULL || weight.data == NULL || rank < 3 || added.count != 2 * (size_t)rank)
        return ESPY_OK;
    const uint32_t spatial = rank - 2;
    const struct graph_attr *old = espy_graph_find_attr(conv, "pads");
    if (old != NULL && (old->type != GRAPH_ATTR_NUMBERS || old->count != 2 * spatial))
        return ESPY_OK;
    double pads[2 * ESPY_RANK_MAX];
    for (uint32_t side = 0; side < 2; side++) {
        for (uint32_t i = 0; i < rank; i++) {
            const int64_t number = espy_tensor_integer(&added, side * (size_t)rank + i);
            if (number < 0 || (i < 2 && number != 0))
                return ESPY_OK; // cropped, or padded with channels
            const uint32_t at = side * spatial + i - 2;
            if (i >= 2)
                pads[at] = (old == NULL ? 0 : old->numbers[at]) + (double)number;
        }
    }
    conv->inputs[0] = pad->inputs[0];
    pass->changed = true;
    pass->counts->patterns++;
    return espy_graph_set_numbers(pass->graph, conv, "pads", pads, 2 * spatial);
}

espy_status espy_pass_pad(struct pass *pass)
{
    for (uint32_t n = 0; n < pass->graph->node_count; n++)
        if (strcmp(pass->graph->nodes[n].op, "Conv") == 0)
            TRY(fold(pass, &pass->graph->nodes[n]));
    return ESPY_OK;
}
