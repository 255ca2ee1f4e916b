// Attention between positions: non-local blocks, multi-head attention, transformer blocks.
#include <math.h>
#include <stdio.h>

#include "layers/layer.h"

// ---- non-local blocks
// -------------------------------------------------------------------------------

struct non_local {
    const char *path, *theta, *phi, *g, *out;
    int kind;
    bool sub_sample;
    struct layer_norm norm;
};

enum { KIND_EMBEDDED, KIND_GAUSSIAN, KIND_DOT };
static const char *const kind_choices[] = {"embedded", "gaussian", "dot", NULL};
static const char *const theta_names[] = {"theta", NULL};
static const char *const phi_names[] = {"phi", "phi.0", NULL};
static const char *const g_names[] = {"g", "g.0", NULL};
static const char *const non_local_out_names[] = {"W", "W.0", "out", "conv_out", "z", NULL};

static const struct layer_member non_local_rows[] = {
    {.name = "",
     .type = LAYER_PATH,
     .offset = offsetof(struct non_local, path),
     .help = "all weights are under this name"},
    {.name = "kind",
     .type = LAYER_CHOICE,
     .offset = offsetof(struct non_local, kind),
     .choices = kind_choices,
     .help = "softmax of theta and phi, softmax of the pixels themselves, or products of theta and "
             "phi over their number"},
    {.name = "sub_sample",
     .type = LAYER_BOOL,
     .offset = offsetof(struct non_local, sub_sample),
     .help = "max_pool of 2 after phi and g"},
    {.name = "theta",
     .type = LAYER_PATH,
     .offset = offsetof(struct non_local, theta),
     .names = theta_names,
     .help = "the queries' convolution; not with gaussian"},
    {.name = "phi",
     .type = LAYER_PATH,
     .offset = offsetof(struct non_local, phi),
     .names = phi_names,
     .help = "the keys' convolution; not with gaussian"},
    {.name = "g",
     .type = LAYER_PATH,
     .offset = offsetof(struct non_local, g),
     .names = g_names,
     .help = "the values' convolution"},
    {.name = "out",
     .type = LAYER_PATH,
     .offset = offsetof(struct non_local, out),
     .names = non_local_out_names,
     .help = "the convolution of the result"},
    {.name = "norm",
     .type = LAYER_NORM,
     .offset = offsetof(struct non_local, norm),
     .help = "after that: the name of a BatchNorm in the weights, or another layer"}};

static uint32_t sampled(struct layer *layer, const struct non_local *block, uint32_t x)
{
    const int64_t two[] = {2, 2};
    if (!block->sub_sample)
        return x;
    const uint32_t y = espy_layer_unary(layer, "MaxPool", x);
    espy_layer_set_ints(layer, "kernel_shape", two, 2);
    espy_layer_set_ints(layer, "strides", two, 2);
    return y;
}

// q (k' v) / n is (q k' / n) v, and is as cheap as the picture is large.
static uint32_t dot_products(struct layer *layer, uint32_t q, uint32_t k, uint32_t v)
{
    const uint32_t turned = espy_layer_transpose(layer, k, (int64_t[]){0, 2, 1}, 3);
    const uint32_t product = espy_layer_binary(layer, "MatMul", turned, v);
    const uint32_t one = espy_layer_float(layer, 1);
    const uint32_t count =
        espy_layer_binary(layer, "CastLike", espy_layer_shape(layer, k, 1, 2), one);
    return espy_layer_binary(layer, "MatMul", q, espy_layer_binary(layer, "Div", product, count));
}

static uint32_t expand_non_local(struct layer *layer, const void *members, uint32_t x)
{
    const struct non_local *block = members;
    const bool embedded = block->kind != KIND_GAUSSIAN;
    const uint32_t v =
        espy_layer_tokens(layer, sampled(layer, block, espy_layer_pointwise(layer, block->g, x)));
    const uint32_t q =
        espy_layer_tokens(layer, embedded ? espy_layer_pointwise(layer, block->theta, x) : x);
    const uint32_t k = espy_layer_tokens(
        layer, sampled(layer, block, embedded ? espy_layer_pointwise(layer, block->phi, x) : x));
    uint32_t y;
    if (block->kind == KIND_DOT) {
        y = dot_products(layer, q, k, v);
    } else {
        y = espy_layer_op(layer, "Attention", (uint32_t[]){q, k, v}, 3);
        espy_layer_set(layer, "q_num_heads", 1);
        espy_layer_set(layer, "kv_num_heads", 1);
        espy_layer_set(layer, "scale", 1);
    }
    y = espy_layer_transpose(layer, y, (int64_t[]){0, 2, 1}, 3);
    const uint32_t shape[] = {espy_layer_ints(layer, (int64_t[]){0, 0}, 2),
                              espy_layer_shape(layer, x, 2, 4)};
    y = espy_layer_binary(layer, "Reshape", y, espy_layer_concat(layer, 0, shape, 2));
    y = espy_layer_norm(layer, &block->norm, espy_layer_pointwise(layer, block->out, y));
    return espy_layer_binary(layer, "Add", y, x);
}

// ---- multi-head attention
// ---------------------------------------------------------------------------

struct heads {
    const char *path, *qkv, *q, *k, *v, *kv, *out;
    int64_t count;
    uint32_t memory, mask;
    double scale;
    bool causal, project;
};

static const char *const qkv_names[] = {"qkv", "to_qkv", NULL};
static const char *const q_names[] = {"q_proj", "q", "to_q", "query", NULL};
static const char *const k_names[] = {"k_proj", "k", "to_k", "key", NULL};
static const char *const v_names[] = {"v_proj", "v", "to_v", "value", NULL};
static const char *const kv_names[] = {"kv", "to_kv", NULL};
static const char *const out_names[] = {"proj",   "out_proj", "to_out.0", "to_out",
                                        "o_proj", "proj_out", NULL};

#define HEADS_PATH(member, usual, text)                                                \
    {                                                                                  \
        .name = #member, .type = LAYER_PATH, .offset = offsetof(struct heads, member), \
        .names = (usual), .help = text                                                 \
    }

static const struct layer_member heads_rows[] = {
    {.name = "",
     .type = LAYER_PATH,
     .offset = offsetof(struct heads, path),
     .help = "all weights are under this name"},
    {.name = "heads",
     .type = LAYER_INT,
     .offset = offsetof(struct heads, count),
     .min = 1,
     .max = 65536,
     .required = true,
     .help = "among which the channels are divided"},
    {.name = "memory",
     .type = LAYER_VALUE,
     .offset = offsetof(struct heads, memory),
     .help = "the tokens that keys and values are made of; default: the input"},
    {.name = "mask",
     .type = LAYER_VALUE,
     .offset = offsetof(struct heads, mask),
     .help = "added to the products; or bool, where true is what may be seen. It broadcasts to "
             "[batch, heads, tokens, tokens of memory]"},
    {.name = "causal",
     .type = LAYER_BOOL,
     .offset = offsetof(struct heads, causal),
     .help = "no token sees those after it"},
    {.name = "scale",
     .type = LAYER_FLOAT,
     .offset = offsetof(struct heads, scale),
     .fallback = NAN,
     .min = -1e6,
     .max = 1e6,
     .help = "factor of the products; default: 1 / sqrt(channels of a head)"},
    HEADS_PATH(qkv, qkv_names, "one linear layer for queries, keys and values, in this order"),
    HEADS_PATH(q, q_names, "the queries' linear layer, where they are apart"),
    HEADS_PATH(k, k_names, "the keys'"),
    HEADS_PATH(v, v_names, "the values'"),
    HEADS_PATH(kv, kv_names, "one for keys and values"),
    HEADS_PATH(out, out_names, "the linear layer of the result"),
    {.name = "project",
     .type = LAYER_BOOL,
     .offset = offsetof(struct heads, project),
     .fallback = true,
     .help = "false: there is none"}};

static void split(struct layer *layer, uint32_t x, uint32_t *parts, uint32_t count)
{
    espy_layer_op_outputs(layer, "Split", &x, 1, parts, count);
    espy_layer_set(layer, "axis", -1);
    espy_layer_set(layer, "num_outputs", count);
}

// One matrix for all three; of its rows the first third is for queries.
static void packed(struct layer *layer, uint32_t weight, uint32_t bias, uint32_t x, uint32_t memory,
                   uint32_t qkv[3])
{
    const int64_t rows = espy_layer_dim(layer, weight, 0), third = rows / 3;
    if (!espy_layer_failed(layer) && (espy_layer_rank(layer, weight) != 2 || rows % 3 != 0))
        espy_layer_fail(layer, "the matrix for queries, keys and values does not have three equal "
                               "parts");
    if (memory == x || espy_layer_failed(layer)) {
        split(layer, espy_layer_matmul(layer, x, weight, bias), qkv, 3);
        return;
    }
    qkv[0] = espy_layer_matmul(layer, x, espy_layer_rows(layer, weight, 0, third),
                               espy_layer_rows(layer, bias, 0, third));
    split(layer,
          espy_layer_matmul(layer, memory, espy_layer_rows(layer, weight, third, 2 * third),
                            espy_layer_rows(layer, bias, third, 2 * third)),
          qkv + 1, 2);
}

// torch.nn.MultiheadAttention whose keys or values have another size: three matrices, one bias.
static void torch_apart(struct layer *layer, const char *path, uint32_t x, uint32_t memory,
                        uint32_t qkv[3])
{
    static const char *const names[] = {"q_proj_weight", "k_proj_weight", "v_proj_weight"};
    const uint32_t bias = espy_layer_optional(layer, path, "in_proj_bias");
    for (int64_t i = 0; i < 3; i++) {
        const uint32_t weight = espy_layer_weight(layer, path, names[i]);
        const int64_t rows = espy_layer_dim(layer, weight, 0);
        qkv[i] = espy_layer_matmul(layer, i == 0 ? x : memory, weight,
                                   espy_layer_rows(layer, bias, i * rows, rows));
    }
}

static void project(struct layer *layer, const struct heads *heads, uint32_t x, uint32_t qkv[3])
{
    const uint32_t memory = heads->memory == GRAPH_NONE ? x : heads->memory;
    const uint32_t torch = espy_layer_optional(layer, heads->path, "in_proj_weight");
    if (torch != GRAPH_NONE) {
        packed(layer, torch, espy_layer_optional(layer, heads->path, "in_proj_bias"), x, memory,
               qkv);
    } else if (espy_layer_has(layer, espy_layer_join(layer, heads->path, "q_proj_weight"))) {
        torch_apart(layer, heads->path, x, memory, qkv);
    } else if (espy_layer_has(layer, heads->qkv)) {
        packed(layer, espy_layer_weight(layer, heads->qkv, "weight"),
               espy_layer_optional(layer, heads->qkv, "bias"), x, memory, qkv);
    } else {
        qkv[0] = espy_layer_linear(layer, heads->q, x);
        if (espy_layer_has(layer, heads->kv)) {
            split(layer, espy_layer_linear(layer, heads->kv, memory), qkv + 1, 2);
        } else {
            qkv[1] = espy_layer_linear(layer, heads->k, memory);
            qkv[2] = espy_layer_linear(layer, heads->v, memory);
        }
    }
}

static uint32_t attend(struct layer *layer, const struct heads *heads, uint32_t x)
{
    uint32_t qkv[3] = {GRAPH_NONE, GRAPH_NONE, GRAPH_NONE};
    project(layer, heads, x, qkv);
    const int64_t channels = espy_layer_dim(layer, qkv[0], -1);
    if (channels > 0 && channels % heads->count != 0)
        espy_layer_fail(layer, "%lld channels cannot be divided among %lld heads",
                        (long long)channels, (long long)heads->count);
    const uint32_t y =
        espy_layer_op(layer, "Attention", (uint32_t[]){qkv[0], qkv[1], qkv[2], heads->mask}, 4);
    espy_layer_set(layer, "q_num_heads", (double)heads->count);
    espy_layer_set(layer, "kv_num_heads", (double)heads->count);
    if (heads->causal)
        espy_layer_set(layer, "is_causal", 1);
    if (!isnan(heads->scale))
        espy_layer_set(layer, "scale", heads->scale);
    return heads->project ? espy_layer_linear(layer, heads->out, y) : y;
}

static uint32_t expand_heads(struct layer *layer, const void *members, uint32_t x)
{
    return attend(layer, members, x);
}

// ---- transformer blocks -------------------------------------------------------------------------

struct transformer {
    const char *path, *norm1, *norm2, *attention, *fc1, *fc2, *scale1, *scale2;
    int64_t heads;
    int order, norm;
    double epsilon;
    bool causal;
    uint32_t mask;
    struct layer_tree act;
};

enum { ORDER_PRE, ORDER_POST };
enum { NORM_LAYER, NORM_RMS };
static const char *const order_choices[] = {"pre", "post", NULL};
static const char *const norm_choices[] = {"layer", "rms", NULL};
static const char *const norm1_names[] = {"norm1", "ln_1", NULL};
static const char *const norm2_names[] = {"norm2", "ln_2", NULL};
static const char *const attention_names[] = {"attn", "self_attn", "self_attention", NULL};
static const char *const mlp1_names[] = {"mlp.fc1", "linear1", "mlp.0", NULL};
static const char *const mlp2_names[] = {"mlp.fc2", "linear2", "mlp.3", "mlp.2", NULL};
static const char *const scale1_names[] = {"ls1.gamma", "gamma_1", NULL};
static const char *const scale2_names[] = {"ls2.gamma", "gamma_2", NULL};

#define TRANSFORMER_PATH(key, member, usual, text)                                         \
    {                                                                                      \
        .name = (key), .type = LAYER_PATH, .offset = offsetof(struct transformer, member), \
        .names = (usual), .help = text                                                     \
    }

static const struct layer_member transformer_rows[] = {
    {.name = "",
     .type = LAYER_PATH,
     .offset = offsetof(struct transformer, path),
     .help = "all weights are under this name"},
    {.name = "heads",
     .type = LAYER_INT,
     .offset = offsetof(struct transformer, heads),
     .min = 1,
     .max = 65536,
     .required = true,
     .help = "of the attention"},
    {.name = "order",
     .type = LAYER_CHOICE,
     .offset = offsetof(struct transformer, order),
     .choices = order_choices,
     .help = "`pre`: norms before attention and MLP; `post`: after their additions"},
    {.name = "act",
     .type = LAYER_LAYERS,
     .offset = offsetof(struct transformer, act),
     .help = "in the MLP; default: `gelu`"},
    {.name = "eps",
     .type = LAYER_FLOAT,
     .offset = offsetof(struct transformer, epsilon),
     .fallback = 1e-5,
     .min = 0,
     .max = 1,
     .help = "of the norms; timm's vision transformers have 1e-6"},
    {.name = "norms",
     .type = LAYER_CHOICE,
     .offset = offsetof(struct transformer, norm),
     .choices = norm_choices,
     .help = "`layer_norm` or `rms_norm`"},
    {.name = "causal",
     .type = LAYER_BOOL,
     .offset = offsetof(struct transformer, causal),
     .help = "no token sees those after it"},
    {.name = "mask",
     .type = LAYER_VALUE,
     .offset = offsetof(struct transformer, mask),
     .help = "as of `multi_head_attention`"},
    TRANSFORMER_PATH("norm1", norm1, norm1_names, "the attention's norm"),
    TRANSFORMER_PATH("attention", attention, attention_names,
                     "the attention, with the names that `multi_head_attention` looks for"),
    TRANSFORMER_PATH("scale1", scale1, scale1_names, "layer scale of the attention, if there is"),
    TRANSFORMER_PATH("norm2", norm2, norm2_names, "the MLP's norm"),
    TRANSFORMER_PATH("fc1", fc1, mlp1_names, "the MLP's first linear layer"),
    TRANSFORMER_PATH("fc2", fc2, mlp2_names, "the MLP's second linear layer"),
    TRANSFORMER_PATH("scale2", scale2, scale2_names, "layer scale of the MLP, if there is")};

static uint32_t normed(struct layer *layer, const struct transformer *block, const char *path,
                       uint32_t x)
{
    if (block->norm == NORM_LAYER)
        return espy_layer_layer_norm(layer, path, block->epsilon, x);
    const uint32_t y =
        espy_layer_binary(layer, "RMSNormalization", x, espy_layer_weight(layer, path, "weight"));
    espy_layer_set(layer, "epsilon", block->epsilon);
    return y;
}

// The names that multi_head_attention would find under path.
static void find_heads(struct layer *layer, const struct transformer *block, struct heads *heads)
{
    const struct {
        const char **path;
        const char *const *names;
    } parts[] = {{&heads->qkv, qkv_names}, {&heads->q, q_names},   {&heads->k, k_names},
                 {&heads->v, v_names},     {&heads->kv, kv_names}, {&heads->out, out_names}};
    *heads = (struct heads){.path = block->attention,
                            .count = block->heads,
                            .memory = GRAPH_NONE,
                            .mask = block->mask,
                            .scale = NAN,
                            .causal = block->causal,
                            .project = true};
    for (uint32_t i = 0; i < LAYER_COUNT(parts); i++)
        *parts[i].path = espy_layer_usual(layer, block->attention, parts[i].names);
}

static uint32_t scaled(struct layer *layer, const char *path, uint32_t x)
{
    const uint32_t scale = espy_layer_optional(layer, path, NULL);
    return scale == GRAPH_NONE ? x : espy_layer_binary(layer, "Mul", x, scale);
}

static uint32_t attention_part(struct layer *layer, const struct transformer *block, uint32_t x)
{
    struct heads heads;
    find_heads(layer, block, &heads);
    return scaled(layer, block->scale1, attend(layer, &heads, x));
}

static uint32_t mlp_part(struct layer *layer, const struct transformer *block, uint32_t x)
{
    const uint32_t y =
        espy_layer_act(layer, &block->act, "Gelu", espy_layer_linear(layer, block->fc1, x));
    return scaled(layer, block->scale2, espy_layer_linear(layer, block->fc2, y));
}

static uint32_t expand_transformer(struct layer *layer, const void *members, uint32_t x)
{
    const struct transformer *block = members;
    if (block->order == ORDER_PRE) {
        uint32_t y = attention_part(layer, block, normed(layer, block, block->norm1, x));
        x = espy_layer_binary(layer, "Add", x, y);
        y = mlp_part(layer, block, normed(layer, block, block->norm2, x));
        return espy_layer_binary(layer, "Add", x, y);
    }
    x = espy_layer_binary(layer, "Add", x, attention_part(layer, block, x));
    x = normed(layer, block, block->norm1, x);
    x = espy_layer_binary(layer, "Add", x, mlp_part(layer, block, x));
    return normed(layer, block, block->norm2, x);
}

// ---- patches ------------------------------------------------------------------------------------

struct patches {
    const char *path, *projection;
    int64_t size;
    bool as_picture;
    struct layer_tree norm;
};

static const char *const projection_names[] = {"proj", "projection", NULL};

static const struct layer_member patch_rows[] = {
    {.name = "",
     .type = LAYER_PATH,
     .offset = offsetof(struct patches, path),
     .help = "all weights are under this name"},
    {.name = "projection",
     .type = LAYER_PATH,
     .offset = offsetof(struct patches, projection),
     .names = projection_names,
     .help = "the convolution whose step is its size, or a linear layer of a patch's elements in "
             "the order row, column, channel"},
    {.name = "size",
     .type = LAYER_INT,
     .offset = offsetof(struct patches, size),
     .min = 1,
     .max = 32768,
     .fallback = 1,
     .help = "height and width of a patch, for a linear layer; a convolution says it itself"},
    {.name = "as_picture",
     .type = LAYER_BOOL,
     .offset = offsetof(struct patches, as_picture),
     .help = "the result is a picture; default: [batch, patches, channels]"},
    {.name = "norm",
     .type = LAYER_LAYERS,
     .offset = offsetof(struct patches, norm),
     .help = "layers afterwards"}};

static uint32_t expand_patches(struct layer *layer, const void *members, uint32_t x)
{
    const struct patches *patches = members;
    const int64_t size = patches->size;
    uint32_t weight = espy_layer_weight(layer, patches->projection, "weight");
    const uint32_t bias = espy_layer_optional(layer, patches->projection, "bias");
    int64_t steps[2] = {size, size};
    if (espy_layer_rank(layer, weight) == 2) {
        weight = espy_layer_reshape(layer, weight, (int64_t[]){0, size, size, -1}, 4);
        weight = espy_layer_transpose(layer, weight, (int64_t[]){0, 3, 1, 2}, 4);
    } else {
        steps[0] = espy_layer_dim(layer, weight, 2);
        steps[1] = espy_layer_dim(layer, weight, 3);
    }
    uint32_t y = espy_layer_op(layer, "Conv", (uint32_t[]){x, weight, bias}, 3);
    espy_layer_set_ints(layer, "strides", steps, 2);
    if (!patches->as_picture)
        y = espy_layer_tokens(layer, y);
    return espy_layer_run(layer, &patches->norm, y);
}

static const struct layer_block blocks[] = {
    {.name = "non_local",
     .summary = "A non-local block: every pixel gets the weighted mean of all, added to itself.",
     .example = "{\"non_local\": \"nl\", \"sub_sample\": true, \"norm\": \"W.1\"}",
     LAYER_MEMBERS(non_local_rows, struct non_local),
     .container = true,
     .expand = expand_non_local},
    {.name = "multi_head_attention",
     .summary = "Attention of tokens [batch, tokens, channels]. Reads torch.nn.MultiheadAttention "
                "(`in_proj_weight`), one `qkv` matrix, `q` with `kv`, and three matrices.",
     .example = "{\"multi_head_attention\": \"attn\", \"heads\": 2}",
     LAYER_MEMBERS(heads_rows, struct heads),
     .container = true,
     .expand = expand_heads},
    {.name = "transformer",
     .summary = "Attention and an MLP, each added to its input, as in timm's vision transformers "
                "and torch.nn.TransformerEncoderLayer.",
     .example = "{\"transformer\": \"blocks.{i}\", \"heads\": 2, \"repeat\": 2}",
     LAYER_MEMBERS(transformer_rows, struct transformer),
     .container = true,
     .expand = expand_transformer},
    {.name = "patch_embedding",
     .summary = "Patches of a picture as tokens.",
     .example = "{\"patch_embedding\": \"patch_embed\"}",
     LAYER_MEMBERS(patch_rows, struct patches),
     .container = true,
     .expand = expand_patches},
};

const struct layer_family espy_layers_block_attention = {blocks, LAYER_COUNT(blocks)};
