#include "convert/builder.h"

// What a BatchNormalization in training makes, in elementary operators: it normalises by the mean
// and variance of its input, and the running ones move towards these.
struct batch_training {
    uint32_t flat;           // the input as [N, C, what is left]
    uint32_t mean, variance; // [1, C, 1]
};

static espy_status emit_binary(struct importer *importer, const struct import_node *node,
                               const char *op, uint32_t a, uint32_t b, uint32_t *result)
{
    *result = GRAPH_NONE;
    return espy_import_emit(importer, node, op, (uint32_t[]){a, b}, 2,
                            espy_import_dtype(importer, a), result, NULL);
}

static espy_status emit_number(struct importer *importer, const struct import_node *node,
                               uint32_t like, double number, uint32_t *result)
{
    const struct shape scalar = {.rank = 0};
    return espy_import_numbers(importer, node->name, espy_import_dtype(importer, like), &scalar,
                               &number, 1, result);
}

static espy_status emit_statistics(struct importer *importer, const struct import_node *node,
                                   struct batch_training *batch)
{
    uint32_t split, axes, centred, square;
    TRY(espy_import_integers(importer, node->name, (int64_t[]){0, 0, -1}, 3, &split));
    TRY(espy_import_integers(importer, node->name, (int64_t[]){0, 2}, 2, &axes));
    TRY(emit_binary(importer, node, "Reshape", node->inputs[0], split, &batch->flat));
    TRY(emit_binary(importer, node, "ReduceMean", batch->flat, axes, &batch->mean));
    TRY(emit_binary(importer, node, "Sub", batch->flat, batch->mean, &centred));
    TRY(emit_binary(importer, node, "Mul", centred, centred, &square));
    return emit_binary(importer, node, "ReduceMean", square, axes, &batch->variance);
}

// running * momentum + batch * (1 - momentum), where anybody wants it
static espy_status emit_running(struct importer *importer, const struct import_node *node,
                                uint32_t o, uint32_t running, uint32_t batch)
{
    const onnx_attribute *attribute = espy_import_find(importer, node->proto, "momentum", NULL);
    const double momentum = attribute == NULL ? (double)0.9f : (double)attribute->f;
    uint32_t old, rest, list, kept, flat, moved;
    if (o >= node->output_count || node->outputs[o] == GRAPH_NONE)
        return ESPY_OK;
    TRY(emit_number(importer, node, running, momentum, &old));
    TRY(emit_number(importer, node, running, 1 - momentum, &rest));
    TRY(espy_import_integers(importer, node->name, (int64_t[]){-1}, 1, &list));
    TRY(emit_binary(importer, node, "Mul", running, old, &kept));
    TRY(emit_binary(importer, node, "Reshape", batch, list, &flat));
    TRY(emit_binary(importer, node, "Mul", flat, rest, &moved));
    return espy_import_emit(importer, node, "Add", (uint32_t[]){kept, moved}, 2,
                            espy_import_dtype(importer, running), &node->outputs[o], NULL);
}

espy_status espy_opset_batch_norm_training(struct importer *importer, struct import_node *node)
{
    const onnx_attribute *attribute = espy_import_find(importer, node->proto, "epsilon", NULL);
    const double epsilon = attribute == NULL ? (double)1e-5f : (double)attribute->f;
    const uint32_t input = node->inputs[0];
    const espy_dtype dtype = espy_import_dtype(importer, input);
    struct batch_training batch;
    struct graph_node *made;
    uint32_t flat, list, shape = GRAPH_NONE, means[2];
    TRY(emit_statistics(importer, node, &batch));
    TRY(espy_import_integers(importer, node->name, (int64_t[]){-1}, 1, &list));
    TRY(emit_binary(importer, node, "Reshape", batch.mean, list, &means[0]));
    TRY(emit_binary(importer, node, "Reshape", batch.variance, list, &means[1]));
    TRY(emit_running(importer, node, 1, node->inputs[3], batch.mean));
    TRY(emit_running(importer, node, 2, node->inputs[4], batch.variance));
    if (node->output_count > 0 && node->outputs[0] != GRAPH_NONE) {
        const uint32_t inputs[5] = {batch.flat, node->inputs[1], node->inputs[2], means[0],
                                    means[1]};
        flat = GRAPH_NONE;
        TRY(espy_import_emit(importer, node, "BatchNormalization", inputs, 5, dtype, &flat, &made));
        TRY(espy_graph_set_number(importer->graph, made, "epsilon", epsilon));
        TRY(espy_import_emit(importer, node, "Shape", &input, 1, ESPY_INT64, &shape, NULL));
        TRY(espy_import_emit(importer, node, "Reshape", (uint32_t[]){flat, shape}, 2, dtype,
                             &node->outputs[0], NULL));
    }
    node->dropped = true;
    return ESPY_OK;
}

uint32_t espy_build_batch_norm_each(struct builder *b, const uint32_t inputs[5], double epsilon)
{
    const uint32_t centred = EMIT(b, "Sub", inputs[0], inputs[3]);
    const uint32_t moved = EMIT(b, "Add", inputs[4], espy_build_number(b, inputs[4], epsilon));
    const uint32_t factor = EMIT(b, "Div", inputs[1], EMIT(b, "Sqrt", moved));
    return EMIT(b, "Add", EMIT(b, "Mul", centred, factor), inputs[2]);
}

espy_status espy_opset_batch_norm_each(struct importer *importer, struct import_node *node)
{
    struct builder builder = {.importer = importer, .node = node};
    const double epsilon = espy_build_float(&builder, "epsilon", (double)1e-5f);
    uint32_t inputs[5];
    for (uint32_t i = 0; i < 5; i++) {
        inputs[i] = espy_build_input(&builder, i);
        if (inputs[i] == GRAPH_NONE)
            espy_build_refuse(&builder, "it needs five inputs");
    }
    espy_build_result(&builder, 0, espy_build_batch_norm_each(&builder, inputs, epsilon));
    node->dropped = true;
    return builder.status == ESPY_UNSUPPORTED ? ESPY_OK : builder.status;
}
