// Goal: what a run of the real models of ../shared/models takes is known, and a change of it is
// seen: dispatches, bytes moved, memory, on a faked CPU driver and a faked GPU. Method: convert,
// plan with every symbol 1, and compare a line per model and device with tests/plans/models.txt,
// which ESPY_UPDATE_GOLDEN=1 in the environment writes. Of models whose shapes depend on what they
// compute it is the part up to there.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/suite.h"
#include "support/fake_devices.h"

enum { INPUTS_MAX = 16, LINE_SIZE = 256, PATH_SIZE = 1024 };

static const char *const names[] = {"deimv2_atto",
                                    "espnet_cityscapes",
                                    "fastestdet",
                                    "iat_lol",
                                    "mediapipe_blazeface",
                                    "minifasnet_v1se",
                                    "nanotrack_v3_backbone",
                                    "pfld_ghostone",
                                    "ppocrv3_det",
                                    "resnet20_cifar10",
                                    "sinet_portrait",
                                    "squeezenet_fp16",
                                    "sr_bsrn",
                                    "sr_imdtn",
                                    "sr_lwfanet",
                                    "sr_maan",
                                    "sr_mobilesr",
                                    "style_starry_night_fp16",
                                    "ultraface_rfb320",
                                    "vit_mnist",
                                    "waifu2x_cunet",
                                    "yolox_nano",
                                    "yunet_n_320"};
enum { NAMES = sizeof(names) / sizeof(names[0]) };

static const struct device {
    const char *name;
    struct caps caps;
} devices[] = {{"cpu", {FAKE_CPU}}, {"gpu", {FAKE_GPU}}};

static void plan_line(const struct host *host, const struct graph *graph, const char *name,
                      const struct device *device, char *line)
{
    struct op_source sources[INPUTS_MAX];
    struct plan plan = {0};
    struct plan_traffic traffic;
    cr_assert(graph->input_count <= INPUTS_MAX);
    espy_test_type_sources(graph, sources);
    const struct plan_params params = {.host = host,
                                       .graph = graph,
                                       .caps = &device->caps,
                                       .sources = sources,
                                       .source_count = graph->input_count};
    cr_assert(espy_plan_build(&params, &plan) == ESPY_OK, "%s on %s", name, device->name);
    espy_plan_traffic(&plan, &traffic);
    snprintf(line, LINE_SIZE,
             "%s %s: dispatches %u pipelines %u stages %u prepare %u reads %llu writes %llu "
             "weights %llu arena %llu constants %llu",
             name, device->name, plan.dispatch_count, espy_plan_pipelines(&plan), plan.stage_count,
             plan.prepare_count,
             (unsigned long long)traffic.read, (unsigned long long)traffic.written,
             (unsigned long long)traffic.weights, (unsigned long long)plan.arena_size,
             (unsigned long long)plan.constants_size);
    espy_plan_finish(&plan);
}

// Both lines of a model.
static void plan_model(const char *folder, const char *name, char lines[2][LINE_SIZE])
{
    struct test_host test;
    struct suite_model model;
    char path[PATH_SIZE];
    espy_test_host_init(&test);
    snprintf(path, sizeof(path), "%s/models/%s/model.onnx", folder, name);
    cr_assert(espy_suite_convert(&test.host, path, &model) == ESPY_OK, "%s: %s", name,
              test.last_error);
    for (int d = 0; d < 2; d++)
        plan_line(&test.host, &model.graph, name, &devices[d], lines[d]);
    espy_suite_model_finish(&model);
    cr_expect(test.live_count == 0, "%s: %zu allocations are left", name, test.live_count);
}

static void compare_line(FILE *file, const char *line)
{
    char golden[LINE_SIZE] = "";
    const bool read = fgets(golden, sizeof(golden), file) != NULL;
    golden[strcspn(golden, "\n")] = '\0';
    cr_expect(read && strcmp(golden, line) == 0,
              "tests/plans/models.txt:\n  is   %s\n  was  %s\n"
              "Where that is meant, run with ESPY_UPDATE_GOLDEN=1 and review the difference.",
              line, golden);
}

Test(model_plans, dispatches_bytes_and_memory_are_as_they_were)
{
    char path[PATH_SIZE], lines[2][LINE_SIZE];
    const char *folder = espy_suite_shared();
    const char *update = getenv("ESPY_UPDATE_GOLDEN");
    const bool write = update != NULL && strcmp(update, "1") == 0;
    if (folder == NULL)
        cr_skip_test("../shared is not there");
    snprintf(path, sizeof(path), "%s/tests/plans/models.txt", ESPY_SOURCE_DIR);
    FILE *file = fopen(path, write ? "wb" : "rb");
    cr_assert(file != NULL, "%s cannot be opened", path);
    for (size_t n = 0; n < NAMES; n++) {
        plan_model(folder, names[n], lines);
        for (int d = 0; d < 2; d++) {
            if (write)
                fprintf(file, "%s\n", lines[d]);
            else
                compare_line(file, lines[d]);
        }
    }
    fclose(file);
}
