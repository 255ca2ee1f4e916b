// Goal: full-size architectures, exported from their authors' code, convert and compute on the
// device what was recorded for them (../shared/arch). Method: weights are made by the rule that
// comes with each, in the build folder, and removed when the model has been converted.
#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include "suites/recorded.h"

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    (void)tests;
    espy_suite_clear_rows("arch");
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    espy_suite_print_rows("arch");
}

#define ARCH(model, ...)                                                              \
    Test(arch, model)                                                                 \
    {                                                                                 \
        const struct recorded_model recorded = {                                      \
            .suite = "arch", .name = #model, .generated_weights = true, __VA_ARGS__}; \
        espy_suite_run_recorded(&recorded);                                           \
    }

ARCH(botnet26t, .tolerance = 1e-4)
ARCH(cbam_resnet50, .tolerance = 1e-4)
ARCH(convnext_atto, .tolerance = 1e-4)
ARCH(deit_tiny, .tolerance = 1e-4)
ARCH(detr_r50, .tolerance = 1e-4)
ARCH(ecaresnet26t, .tolerance = 1e-4)
ARCH(edgenext_xx_small, .tolerance = 1e-4)
// Its output moves by 0.02 % between two inputs, so the output alone would hide a wrong node.
ARCH(efficientnet_b0, .tolerance = 1e-4, .every_node = true)
// Proposals, their number and what is left of them after NonMaxSuppression depend on the picture.
ARCH(fasterrcnn_mobilenet, .tolerance = 1e-4, .detections = true, .segments_max = 3)
ARCH(lraspp_mobilenet, .tolerance = 1e-4)
ARCH(mobilenetv3_large, .tolerance = 1e-4)
ARCH(mobilevit_xxs, .tolerance = 1e-4)
ARCH(mobilevitv2_050, .tolerance = 1e-4)
ARCH(nonlocal_resnet26, .tolerance = 1e-4)
ARCH(poolformerv2_s12, .tolerance = 1e-4)
ARCH(pvt_v2_b0, .tolerance = 1e-4)
ARCH(regnety_004, .tolerance = 1e-4)
ARCH(sagan_generator, .tolerance = 1e-4)
ARCH(sanet_style, .tolerance = 1e-4)
ARCH(seresnet50, .tolerance = 1e-4)
ARCH(swin_tiny, .tolerance = 1e-4)
