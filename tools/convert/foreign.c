// Operators that are not ONNX's: each is written out in operators that are, so that passes and
// kernels serve them and nothing later knows of them.
#include "convert/builder.h"

#include <string.h>

static const struct foreign_family *const families[] = {
    &espy_foreign_experimental, &espy_foreign_fused,    &espy_foreign_simple,
    &espy_foreign_crop,         &espy_foreign_fourier,  &espy_foreign_norm,
    &espy_foreign_attention,    &espy_foreign_cached,   &espy_foreign_quantized,
    &espy_foreign_qlinear,      &espy_foreign_packed,   &espy_foreign_layout,
    &espy_foreign_nhwc,         &espy_foreign_mmdeploy, &espy_foreign_mmcv,
};

static const struct foreign_row *find_row(const char *domain, const char *op)
{
    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++)
        for (uint32_t i = 0; strcmp(families[f]->domain, domain) == 0 && i < families[f]->row_count;
             i++)
            if (strcmp(families[f]->rows[i].op, op) == 0)
                return &families[f]->rows[i];
    return NULL;
}

// What a rewrite has not read might change the result.
static void refuse_unread(struct builder *b)
{
    const onnx_node *proto = b->node->proto;
    for (size_t i = 0; i < proto->n_attribute; i++)
        if ((b->node->consumed >> i & 1) == 0)
            espy_build_refuse(b, "attribute '%s' is not supported",
                              proto->attribute[i]->name == NULL ? "" : proto->attribute[i]->name);
}

static espy_status refuse_domain(struct importer *importer, const struct import_node *node,
                                 const char *domain)
{
    const char *advice = "";
    if (strcmp(domain, "com.microsoft.nchwc") == 0)
        advice = "; this file was optimized for one processor: save it from onnxruntime with a "
                 "lower optimization level, or convert the model that it was made from";
    else if (strcmp(domain, "com.microsoft") == 0)
        return espy_convert_problem(importer->report, node->name, node->op,
                                    "this operator of domain 'com.microsoft' is not supported");
    return espy_convert_problem(importer->report, node->name, node->op,
                                "operators of domain '%s' are not supported%s", domain, advice);
}

espy_status espy_foreign_rewrite(struct importer *importer, struct import_node *node,
                                 const char *domain)
{
    struct builder builder = {.importer = importer, .node = node};
    const struct foreign_row *row = find_row(domain, node->op);
    if (row == NULL && domain[0] == '\0')
        return ESPY_OK;
    if (row == NULL) {
        node->dropped = true;
        return refuse_domain(importer, node, domain);
    }
    row->apply(&builder);
    node->dropped = !builder.renamed;
    if (node->dropped && builder.status == ESPY_OK)
        refuse_unread(&builder);
    return builder.status == ESPY_UNSUPPORTED ? ESPY_OK : builder.status;
}
