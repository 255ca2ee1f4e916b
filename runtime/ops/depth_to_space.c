// DepthToSpace and SpaceToDepth: blocks of pixels and channels change places. The output's
// dimensions in their parts are a change of the input's strides, which the reference reads through;
// the device copies once where the parts do not lie behind each other.
#include <assert.h>
#include <string.h>

#include "op/lower.h"
#include "op/op.h"

struct block_attrs {
    int64_t blocksize;
    int mode; // DepthToSpace
};

enum { MODE_DCR, MODE_CRD };

static espy_status infer_depth_to_space(struct op_infer *c)
{
    const struct block_attrs *attrs = c->attrs;
    struct shape shape = c->inputs[0].shape;
    const int64_t block = attrs->blocksize;
    if (shape.rank != 4)
        return espy_infer_fail(c, "needs 4 dimensions, not %u", shape.rank);
    if (shape.dims[1] % (block * block) != 0)
        return espy_infer_fail(c, "%lld channels do not divide by the block's %lld",
                               (long long)shape.dims[1], (long long)(block * block));
    if (shape.dims[2] > INT64_MAX / block || shape.dims[3] > INT64_MAX / block)
        return espy_infer_fail(c, "the result is too large");
    shape.dims[1] /= block * block;
    shape.dims[2] *= block;
    shape.dims[3] *= block;
    c->outputs[0] = (struct op_type){c->inputs[0].dtype, shape};
    return ESPY_OK;
}

static espy_status infer_space_to_depth(struct op_infer *c)
{
    const struct block_attrs *attrs = c->attrs;
    struct shape shape = c->inputs[0].shape;
    const int64_t block = attrs->blocksize;
    if (shape.rank != 4)
        return espy_infer_fail(c, "needs 4 dimensions, not %u", shape.rank);
    if (shape.dims[2] % block != 0 || shape.dims[3] % block != 0)
        return espy_infer_fail(c, "%lldx%lld pixels do not divide into blocks of %lld",
                               (long long)shape.dims[2], (long long)shape.dims[3],
                               (long long)block);
    if (shape.dims[1] > INT64_MAX / (block * block))
        return espy_infer_fail(c, "the result is too large");
    shape.dims[1] *= block * block;
    shape.dims[2] /= block;
    shape.dims[3] /= block;
    c->outputs[0] = (struct op_type){c->inputs[0].dtype, shape};
    return ESPY_OK;
}

// To N, C, H, block, W, block: the output's dimensions, each still in its two parts.
static void see_depth_to_space(const struct block_attrs *attrs, struct view *view)
{
    const struct view x = *view;
    const int64_t block = attrs->blocksize, channels = x.dims[1] / (block * block);
    const bool blocks_first = attrs->mode == MODE_DCR;
    const int64_t channel_stride = x.strides[1] * (blocks_first ? 1 : block * block);
    const int64_t block_stride = x.strides[1] * (blocks_first ? channels : 1);
    view->rank = 6;
    memcpy(view->dims, (int64_t[]){x.dims[0], channels, x.dims[2], block, x.dims[3], block},
           6 * sizeof(int64_t));
    memcpy(view->strides,
           (int64_t[]){x.strides[0], channel_stride, x.strides[2], block_stride * block,
                       x.strides[3], block_stride},
           6 * sizeof(int64_t));
}

// To N, block, block, C, H, W.
static void see_space_to_depth(const struct block_attrs *attrs, struct view *view)
{
    const struct view x = *view;
    const int64_t block = attrs->blocksize;
    view->rank = 6;
    memcpy(view->dims,
           (int64_t[]){x.dims[0], block, block, x.dims[1], x.dims[2] / block, x.dims[3] / block},
           6 * sizeof(int64_t));
    memcpy(view->strides,
           (int64_t[]){x.strides[0], x.strides[2], x.strides[3], x.strides[1], x.strides[2] * block,
                       x.strides[3] * block},
           6 * sizeof(int64_t));
}

static void see_parts(const struct op_node *node, struct view *view)
{
    if (strcmp(node->op->name, "DepthToSpace") == 0)
        see_depth_to_space(node->attrs, view);
    else
        see_space_to_depth(node->attrs, view);
}

// Reads y's elements in row-major order through the view.
static void read_through(const struct tensor *x, const struct view *view, struct tensor *y)
{
    const size_t size = espy_dtype_size(y->type.dtype);
    int64_t index[ESPY_RANK_MAX] = {0}, from = view->offset;
    for (size_t to = 0; to < y->count; to++) {
        memcpy((char *)y->data + to * size, (const char *)x->data + (size_t)from * size, size);
        for (uint32_t d = view->rank; d-- > 0;) {
            from += view->strides[d];
            if (++index[d] < view->dims[d])
                break;
            from -= view->strides[d] * view->dims[d];
            index[d] = 0;
        }
    }
}

static void reference(struct op_eval *c)
{
    const struct view start = {.dtype = c->inputs[0].type.dtype};
    struct view view = espy_view_reshaped_dense(&start, &c->inputs[0].type.shape);
    see_parts(c->node, &view);
    read_through(&c->inputs[0], &view, &c->outputs[0]);
}

// Copies where the parts of a dimension do not lie behind each other, as with blocks of pixels.
static void lower_parts(struct op_lower *c, bool channels_last, const struct view *view)
{
    const struct view y =
        channels_last ? espy_lower_channels_last_output(c, 0) : espy_lower_output(c, 0);
    if (espy_lower_status(c) != ESPY_OK || espy_view_count(&y) == 0)
        return;
    struct shape parts = {.rank = view->rank};
    memcpy(parts.dims, view->dims, sizeof(parts.dims));
    struct view target;
    const bool cut = espy_view_reshape(&y, &parts, &target);
    assert(cut); // dimensions are only divided
    (void)cut;
    espy_lower_copy(c, view, &target);
}

static espy_status lower(struct op_lower *c)
{
    const struct view x = espy_lower_input(c, 0);
    TRY(espy_lower_status(c));
    struct view view = x, whole;
    see_parts(c->node, &view);
    if (espy_view_reshape(&view, &c->outputs[0].shape, &whole))
        espy_lower_alias(c, 0, &whole);
    else
        lower_parts(c, espy_view_channels_last(&x), &view);
    return espy_lower_status(c);
}

#define BLOCK_ATTR                                                                              \
    {                                                                                           \
        .name = "blocksize", .type = OP_INT, .offset = offsetof(struct block_attrs, blocksize), \
        .min = 1, .max = 32767, .required = true, .help = "pixels along one side of a block"    \
    }
static const char *const modes[] = {"DCR", "CRD", NULL};
static const struct op_attr depth_to_space_attrs[] = {
    BLOCK_ATTR,
    {.name = "mode",
     .type = OP_ENUM,
     .offset = offsetof(struct block_attrs, mode),
     .choices = modes,
     .help = "order in the input's channels: DCR block, then channel; CRD channel, then block"}};
static const struct op_attr space_to_depth_attrs[] = {BLOCK_ATTR};

#define ATTRS(rows) .attrs = rows, .attr_count = sizeof(rows) / sizeof((rows)[0])
#define BLOCKS(op_name, text, infer_fn, rows)                                                 \
    {                                                                                         \
        .name = op_name, .summary = text, .inputs_min = 1, .inputs_max = 1, .outputs_min = 1, \
        .outputs_max = 1, .attrs_size = sizeof(struct block_attrs), .infer = infer_fn,        \
        .reference = reference, .lower = lower, ATTRS(rows)                                   \
    }

static const struct op ops[] = {
    BLOCKS("DepthToSpace", "channels become blocks of pixels", infer_depth_to_space,
           depth_to_space_attrs),
    BLOCKS("SpaceToDepth", "blocks of pixels become channels", infer_space_to_depth,
           space_to_depth_attrs),
};

const struct op_family espy_ops_depth_to_space = {ops, sizeof(ops) / sizeof(ops[0])};
