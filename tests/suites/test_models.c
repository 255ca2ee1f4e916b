// Goal: the real models of ../shared/models convert, and compute on the device what was recorded
// for them. One Criterion test per model: --filter 'models/NAME' runs one.
#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include "suites/recorded.h"

#define SIGMOID_ROUNDING 1.1920928955078125e-07 // 2^-23

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    (void)tests;
    espy_suite_clear_rows("models");
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    espy_suite_print_rows("models");
}

#define MODEL(model, ...)                                                                          \
    Test(models, model)                                                                            \
    {                                                                                              \
        const struct recorded_model recorded = {                                                   \
            .suite = "models", .name = #model, __VA_ARGS__};                                       \
        espy_suite_run_recorded(&recorded);                                                        \
    }

// Float32 models must match to 1e-4. The float16 ones were recorded by a runtime that rounds every
// intermediate to float16, so 2e-2 is what its own rounding moves them. Where a sigmoid ends a network,
// the recorded numbers lie on a grid of 2^-25: the recorder's sigmoid is exact to that absolutely,
// not relatively (ours is within 2e-7 of the exact one, says espy verify), and outputs of 1e-5 and
// less differ by it.
MODEL(deimv2_atto, .tolerance = 1e-4, .detections = true)
MODEL(espnet_cityscapes, .tolerance = 1e-4)
MODEL(fastestdet, .tolerance = 1e-4)
MODEL(iat_lol, .tolerance = 1e-4)
MODEL(mediapipe_blazeface, .tolerance = 1e-4)
MODEL(minifasnet_v1se, .tolerance = 1e-4)
MODEL(nanotrack_v3_backbone, .tolerance = 1e-4)
MODEL(pfld_ghostone, .tolerance = 1e-4)
MODEL(ppocrv3_det, .tolerance = 1e-4, .rounding = SIGMOID_ROUNDING)
MODEL(resnet20_cifar10, .tolerance = 1e-4)
MODEL(sinet_portrait, .tolerance = 1e-4)
MODEL(squeezenet_fp16, .tolerance = 2e-2)
MODEL(sr_bsrn, .tolerance = 1e-4)
MODEL(sr_imdtn, .tolerance = 1e-4)
MODEL(sr_lwfanet, .tolerance = 1e-4)
MODEL(sr_maan, .tolerance = 1e-4)
MODEL(sr_mobilesr, .tolerance = 1e-4)
MODEL(style_starry_night_fp16, .tolerance = 2e-2)
MODEL(ultraface_rfb320, .tolerance = 1e-4)
MODEL(vit_mnist, .tolerance = 1e-4)
MODEL(waifu2x_cunet, .tolerance = 1e-4)
MODEL(yolox_nano, .tolerance = 1e-4)
MODEL(yunet_n_320, .tolerance = 1e-4, .rounding = SIGMOID_ROUNDING)
