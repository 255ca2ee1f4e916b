// Goal: what the tuner decides is right, kept and used, and nothing else is.
// Method: the table and its bytes alone; the race with forms made here, whose times and results are
// known; plans for faked devices with and without a table; and on the device a small network
// whose tuning is kept in a folder of its own, which is then damaged.
#define _XOPEN_SOURCE 700 // mkdtemp
#include <dirent.h>
#include <math.h>
#include <unistd.h>

#include "api/tune_problem.h"
#include "api/tune_race.h"
#include "shaders/panel.spv.h"
#include "support/fake_devices.h"
#include "support/run_graph.h"
#include "support/test_host.h"
#include "test_session_fixture.h"

// ---- the table ----------------------------------------------------------------------------------

static void fill(struct choices *choices, const struct host *host)
{
    espy_choices_init(choices, host);
    cr_assert(espy_choices_set(choices, "panel:2,3", 4, 1) == ESPY_OK);
    cr_assert(espy_choices_set(choices, "gemm:9", 2, 0) == ESPY_OK);
    cr_assert(espy_choices_set(choices, "panel:1,3", 16, 15) == ESPY_OK);
    cr_assert(espy_choices_set(choices, "panel:2,3", 4, 3) == ESPY_OK); // replaces
}

static void expect_filled(const struct choices *choices)
{
    uint32_t chosen = 99;
    cr_expect_eq(choices->count, 3);
    cr_expect(espy_choices_find(choices, "panel:2,3", 4, &chosen) && chosen == 3);
    cr_expect(espy_choices_find(choices, "gemm:9", 2, &chosen) && chosen == 0);
    cr_expect(espy_choices_find(choices, "panel:1,3", 16, &chosen) && chosen == 15);
    cr_expect_not(espy_choices_find(choices, "panel:1,3", 15, &chosen), "another number of forms");
    cr_expect_not(espy_choices_find(choices, "panel:1", 16, &chosen));
    cr_expect_not(espy_choices_find(NULL, "gemm:9", 2, &chosen));
}

Test(tune, a_table_comes_back_from_its_bytes)
{
    struct test_host test;
    struct choices choices, read;
    struct text text;
    espy_test_host_init(&test);
    fill(&choices, &test.host);
    expect_filled(&choices);
    espy_text_init(&text, &test.host);
    espy_choices_write(&choices, &text);
    espy_choices_init(&read, &test.host);
    cr_assert(espy_choices_read(&read, text.chars, text.length) == ESPY_OK);
    expect_filled(&read);
    espy_choices_finish(&read);
    espy_choices_finish(&choices);
    espy_text_finish(&text);
    cr_expect_eq(test.live_count, 0);
    cr_expect_eq(test.error_count, 0);
}

// Nothing of such bytes is taken, whatever comes before what is wrong.
static void expect_ignored(struct test_host *test, const char *bytes, size_t size)
{
    struct choices read;
    espy_choices_init(&read, &test->host);
    cr_expect(espy_choices_read(&read, bytes, size) == ESPY_OK);
    cr_expect_eq(read.count, 0, "%.*s", (int)size, bytes);
    espy_choices_finish(&read);
}

Test(tune, bytes_that_are_no_table_are_left_aside)
{
    struct test_host test;
    struct choices choices;
    struct text text;
    espy_test_host_init(&test);
    fill(&choices, &test.host);
    espy_text_init(&text, &test.host);
    espy_choices_write(&choices, &text);
    const size_t first = strcspn(text.chars, "\n") + 1;
    for (size_t i = 0; i < first; i++) { // another version
        text.chars[i] ^= 1;
        expect_ignored(&test, text.chars, text.length);
        text.chars[i] ^= 1;
    }
    for (size_t size = 0; size < text.length; size++)
        if (size < first || text.chars[size - 1] != '\n')
            expect_ignored(&test, text.chars, size);
    static const char *const wrong[] = {"4/4 x\n", "1/17 x\n", "-1/4 x\n",  "1/4 \n",    "1/4x\n",
                                        "1 x\n",   "a/4 x\n",  "001/4 x\n", "1/4 a b\n", "\n"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const size_t length = text.length;
        espy_text_add(&text, "%s", wrong[i]);
        expect_ignored(&test, text.chars, text.length);
        text.length = length;
    }
    char *endless = malloc(first + 400);
    cr_assert_not_null(endless);
    memcpy(endless, text.chars, first);
    memset(endless + first, 'k', 400);
    memcpy(endless + first, "1/4 ", 4);
    endless[first + 399] = '\n';
    expect_ignored(&test, endless, first + 400);
    free(endless);
    espy_choices_finish(&choices);
    espy_text_finish(&text);
    cr_expect_eq(test.live_count, 0);
}

// ---- the race -----------------------------------------------------------------------------------

// A form of known speed and result.
struct fake {
    double seconds;
    float result;
    uint32_t runs;
    double processor;
    bool noisy;
};

static espy_status fake_run(void *user)
{
    struct fake *fake = user;
    fake->runs++;
    return ESPY_OK;
}

static espy_status fake_time(void *user, uint32_t repeats, struct tune_time *time)
{
    struct fake *fake = user;
    *time = (struct tune_time){.processor = fake->processor};
    for (uint32_t i = 0; i < repeats; i++) {
        // Every third run of a noisy one is disturbed.
        const bool disturbed = fake->noisy && fake->runs % 3 == 0;
        time->seconds += (disturbed ? 3 * fake->seconds : fake->seconds) / repeats;
        fake->runs++;
    }
    return ESPY_OK;
}

static espy_status fake_read(void *user, struct tensor *results)
{
    const struct fake *fake = user;
    float *elements = results[0].data;
    elements[0] = 3;
    elements[1] = fake->result;
    return ESPY_OK;
}

static struct tune_verdict race(struct test_host *test, struct fake *fakes, uint32_t count,
                                uint32_t fallback)
{
    float right[2] = {3, 4}, room[2];
    const struct op_type type = {.dtype = ESPY_FLOAT32, .shape = {1, {2}}};
    const struct tensor reference = {.type = type, .count = 2, .data = right};
    struct tensor results = {.type = type, .count = 2, .data = room};
    struct tune_form forms[CHOICES_FORMS_MAX];
    for (uint32_t i = 0; i < count; i++)
        forms[i] = (struct tune_form){fakes[i].seconds > 0 ? &fakes[i] : NULL, fake_run, fake_read,
                                      fake_time};
    const struct tune_race params = {.host = &test->host,
                                     .name = "fake",
                                     .form_count = count,
                                     .forms = forms,
                                     .fallback = fallback,
                                     .result_count = 1,
                                     .reference = &reference,
                                     .results = &results};
    struct tune_verdict verdict;
    espy_test_host_init(test);
    cr_assert(espy_tune_race(&params, &verdict) == ESPY_OK);
    return verdict;
}

Test(tune, the_fastest_form_that_is_right_wins)
{
    struct test_host test;
    struct fake fakes[] = {{1e-3, 4, 0, 0, false},
                           {2e-4, 4.1f, 0, 0, false},
                           {8e-4, 4, 0, 0, false},
                           {1e-4, NAN, 0, 0, false},
                           {9e-4, 4, 0, 0, false}};
    const struct tune_verdict verdict = race(&test, fakes, 5, 0);
    cr_expect_eq(verdict.chosen, 2);
    cr_expect_eq(verdict.wrong_count, 2);
    cr_expect_eq(test.warning_count, 2, "a wrong form is worth a line");
    cr_expect_float_eq(verdict.chosen_seconds, 8e-4, 1e-9);
    cr_expect_float_eq(verdict.fallback_seconds, 1e-3, 1e-9);
    cr_expect_eq(fakes[1].runs, 1, "what is wrong is not timed");
    cr_expect_gt(fakes[2].runs, 5);
}

Test(tune, a_gain_within_noise_changes_nothing)
{
    struct test_host test;
    struct fake fakes[] = {
        {0.97e-3, 4, 0, 0, false}, {1e-3, 4, 0, 0, false}, {0.96e-3, 4, 0, 0, false}};
    cr_expect_eq(race(&test, fakes, 3, 1).chosen, 1);
    struct fake slow[] = {
        {1, 4, 0, 0, false}, {1.2, 4, 0, 0, false}, {9, 4, 0, 0, false}, {0, 4, 0, 0, false}};
    cr_expect_eq(race(&test, slow, 4, 0).chosen, 0);
    cr_expect_lt(slow[2].runs, slow[1].runs, "what is far behind is not timed to the end");
    cr_expect_eq(slow[3].runs, 0, "a form that is the same as another takes no part");
}

Test(tune, what_is_faster_now_and_then_or_by_more_work_is_not_taken)
{
    struct test_host test;
    struct fake noisy[] = {{5e-3, 4, 0, 0, false}, {4e-3, 4, 0, 0, true}};
    cr_expect_eq(race(&test, noisy, 2, 0).chosen, 0, "it loses every third round");
    struct fake busy[] = {{5e-3, 4, 0, 8e-3, false}, {4e-3, 4, 0, 9e-3, false}};
    cr_expect_eq(race(&test, busy, 2, 0).chosen, 0, "the machine was less busy meanwhile");
    struct fake idle[] = {{5e-3, 4, 0, 8e-3, false}, {4e-3, 4, 0, 8e-3, false}};
    cr_expect_eq(race(&test, idle, 2, 0).chosen, 1, "work is spread better");
}

Test(tune, a_wrong_estimate_is_replaced_and_stays_where_all_is_wrong)
{
    struct test_host test;
    struct fake fakes[] = {{1e-4, 5, 0, 0, false}, {3e-3, 4, 0, 0, false}, {2e-3, 4, 0, 0, false}};
    struct tune_verdict verdict = race(&test, fakes, 3, 0);
    cr_expect_eq(verdict.chosen, 2);
    cr_expect_eq(verdict.wrong_count, 1);
    struct fake wrong[] = {{1e-4, 5, 0, 0, false}, {1e-3, INFINITY, 0, 0, false}};
    verdict = race(&test, wrong, 2, 1);
    cr_expect_eq(verdict.chosen, 1);
    cr_expect_eq(verdict.wrong_count, 2);
}

// ---- plans --------------------------------------------------------------------------------------

static const struct caps cpu = {FAKE_CPU};

// Two convolutions of one shape, a depthwise one, and a product of what they make.
static void make_network(struct graph *graph)
{
    enum { WEIGHTS = 16 * 16 * 9 };
    static float weights[WEIGHTS];
    for (uint32_t i = 0; i < WEIGHTS; i++)
        weights[i] = (float)(i % 17) / 17 - 0.4f;
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(1, 16, 20, 20));
    const uint32_t w = make_constant(graph, "w", ESPY_FLOAT32, SHAPE(16, 16, 3, 3), weights);
    const uint32_t d = make_constant(graph, "d", ESPY_FLOAT32, SHAPE(16, 1, 3, 3), weights);
    struct graph_node *node;
    const uint32_t a = MAKE(graph, "Conv", "a", x, w);
    const uint32_t b = MAKE(graph, "Conv", "b", x, w);
    const uint32_t sum = MAKE(graph, "Add", "sum", a, b);
    const uint32_t c = MAKE(graph, "Conv", "c", sum, d);
    node = &graph->nodes[graph->node_count - 1];
    cr_assert(espy_graph_set_number(graph, node, "group", 16) == ESPY_OK);
    const uint32_t y = MAKE(graph, "MatMul", "y", c, c);
    make_output(graph, y);
}

// Forms of which are for GPUs only, with cooperative matrices among those of float16.
static void make_attention(struct graph *graph, espy_dtype dtype)
{
    const uint32_t x = make_input(graph, "x", dtype, SHAPE(1, 6, 75, 40));
    const uint32_t y = MAKE(graph, "Attention", "y", x, x, x);
    make_output(graph, y);
}

static void make_float_attention(struct graph *graph)
{
    make_attention(graph, ESPY_FLOAT32);
}

static void make_half_attention(struct graph *graph)
{
    make_attention(graph, ESPY_FLOAT16);
}

static void make_half_product(struct graph *graph)
{
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT16, SHAPE(1, 2, 75, 75));
    const uint32_t y = MAKE(graph, "MatMul", "y", x, x);
    make_output(graph, y);
}

static void plan_network(struct test_host *test, const struct graph *graph, const struct caps *caps,
                         const struct choices *choices, struct plan *plan)
{
    const struct graph_value *x = &graph->values[graph->inputs[0].value];
    const struct op_source source = {.value = graph->inputs[0].value, .type = {x->dtype, x->shape}};
    const struct plan_params params = {.host = &test->host,
                                       .graph = graph,
                                       .caps = caps,
                                       .sources = &source,
                                       .source_count = 1,
                                       .choices = choices};
    cr_assert(espy_plan_build(&params, plan) == ESPY_OK, "%s", test->last_error);
}

static uint32_t panel_pixels_of(const struct plan *plan, uint32_t node)
{
    for (uint32_t d = 0; d < plan->dispatch_count; d++)
        if (plan->dispatches[d].node == node &&
            strcmp(plan->dispatches[d].shader->name, "panel.t32") == 0)
            return ((const struct panel_spec *)plan->dispatches[d].spec)->pixels;
    return 0;
}

Test(tune, a_plan_takes_what_its_table_says)
{
    struct test_host test;
    struct graph graph;
    struct plan plan;
    struct choices choices;
    espy_test_host_init(&test);
    make_graph(&graph, &test.host);
    make_network(&graph);
    espy_choices_init(&choices, &test.host);
    plan_network(&test, &graph, &cpu, NULL, &plan);
    cr_assert_eq(plan.choice_count, 4);
    cr_expect_str_eq(plan.choices[0].key, plan.choices[1].key, "one shape, one problem");
    cr_expect_eq(plan.choices[0].chosen, plan.choices[0].fallback);
    cr_expect_eq(panel_pixels_of(&plan, 0), 16, "324 pixels in 21 tiles");
    cr_assert(espy_choices_set(&choices, plan.choices[0].key, plan.choices[0].count, 2) == ESPY_OK);
    cr_assert(espy_choices_set(&choices, plan.choices[2].key, plan.choices[2].count + 1, 1) ==
              ESPY_OK);
    espy_plan_finish(&plan);
    plan_network(&test, &graph, &cpu, &choices, &plan);
    cr_expect_eq(plan.choices[0].chosen, 2);
    cr_expect_eq(panel_pixels_of(&plan, 0), 8, "at most 8");
    cr_expect_eq(panel_pixels_of(&plan, 1), 8);
    cr_expect_eq(plan.choices[2].chosen, 0, "what is known of another number of forms is nothing");
    espy_plan_finish(&plan);
    espy_choices_finish(&choices);
    espy_graph_finish(&graph);
    cr_expect_eq(test.live_count, 0);
}

// ---- every form on the device -------------------------------------------------------------------

static void race_all(const struct vk_device_params *params, void (*make)(struct graph *graph))
{
    struct test_host test;
    struct graph graph;
    struct plan plan;
    struct vk_device *device = NULL;
    espy_test_host_init(&test);
    struct vk_device_params own = *params;
    own.host = &test.host;
    cr_assert(espy_vk_device_create(&own, &device) == ESPY_OK, "%s", test.last_error);
    make_graph(&graph, &test.host);
    make(&graph);
    plan_network(&test, &graph, espy_vk_device_caps(device), NULL, &plan);
    cr_assert_gt(plan.choice_count, 0);
    for (uint32_t i = 0; i < plan.choice_count; i++) {
        const struct tune_problem_params problem_params = {
            .host = &test.host, .device = device, .plan = &plan, .choice = &plan.choices[i]};
        struct tune_problem problem;
        struct tune_verdict verdict;
        bool usable = false;
        cr_assert(espy_tune_problem_init(&problem, &problem_params, &usable) == ESPY_OK);
        cr_expect(usable, "%s", plan.choices[i].key);
        cr_assert(espy_tune_problem_race(&problem, &verdict) == ESPY_OK);
        cr_expect_eq(verdict.wrong_count, 0, "%s", plan.choices[i].key);
        cr_expect_gt(verdict.chosen_seconds, 0, "%s was not timed", plan.choices[i].key);
        cr_expect_leq(verdict.chosen_seconds, verdict.fallback_seconds);
        espy_tune_problem_finish(&problem);
    }
    espy_plan_finish(&plan);
    espy_graph_finish(&graph);
    espy_vk_device_destroy(&device);
    cr_expect_eq(test.live_count, 0);
    cr_expect_eq(test.error_count, 0, "%s", test.last_error);
}

Test(tune, every_form_is_right_on_this_device)
{
    const struct vk_device_params own = {.name = getenv("ESPY_TEST_DEVICE"), .validation = true};
    race_all(&own, make_network);
    const struct vk_device_params gpu = {
        .name = getenv("ESPY_TEST_DEVICE"), .validation = true, .gpu_kernels = true};
    race_all(&gpu, make_network);
    race_all(&gpu, make_float_attention);
    race_all(&gpu, make_half_attention);
    race_all(&gpu, make_half_product);
}

// ---- sessions -----------------------------------------------------------------------------------

struct kept {
    char folder[64], path[400];
    struct lab lab;
    uint32_t reports, uses;
    bool asked; // the problem of two convolutions is among the reports
    float y[16 * 256];
};

static void note(void *user, const struct espy_tune_entry *entry)
{
    struct kept *kept = user;
    cr_expect_eq(entry->index, kept->reports);
    cr_expect_lt(entry->index, entry->count);
    cr_expect_lt(entry->chosen, entry->form_count);
    cr_expect_eq(entry->wrong_count, 0);
    cr_expect(strcmp(entry->op, "Conv") == 0 || strcmp(entry->op, "MatMul") == 0);
    kept->reports++;
    kept->uses += entry->uses;
    kept->asked = kept->asked || (strcmp(entry->node, "a") == 0 && entry->uses == 2);
}

// A process's worth: device, model, session, one run. Returns how many problems were measured.
static uint32_t use(struct kept *kept, espy_tune tune)
{
    struct lab *lab = &kept->lab;
    float x[16 * 400], y[16 * 256];
    for (uint32_t i = 0; i < sizeof(x) / sizeof(x[0]); i++)
        x[i] = (float)(i % 23) / 23 - 0.5f;
    lab_context(lab);
    const struct espy_device_params device = {.size = sizeof(device),
                                              .name = getenv("ESPY_TEST_DEVICE"),
                                              .cache_dir = kept->folder,
                                              .validation = true};
    EXPECT_OK(lab, espy_device_create(lab->context, &device, &lab->device));
    lab_model(lab, make_network);
    kept->reports = kept->uses = 0;
    kept->asked = false;
    const struct espy_session_params params = {
        .size = sizeof(params), .tune = tune, .tuned = note, .tune_user = kept};
    lab_session(lab, &params);
    const struct espy_tensor input = FLOATS("x", x, 1, 16, 20, 20);
    struct espy_tensor output = ROOM("y", y);
    EXPECT_OK(lab, espy_session_run(lab->session, &input, 1, &output, 1));
    double difference = 0, size = 0;
    for (size_t i = 0; i < output.size / sizeof(float); i++) {
        difference += pow((double)y[i] - (double)kept->y[i], 2);
        size += pow((double)y[i], 2);
        kept->y[i] = y[i];
    }
    cr_expect_gt(size, 0);
    kept->lab.last_error[0] = '\0';
    const bool same = difference <= 1e-10 * size;
    cr_expect(same || kept->path[0] == '\0', "results changed by %g", sqrt(difference / size));
    lab_close(lab);
    return kept->reports;
}

static void find_file(struct kept *kept)
{
    DIR *folder = opendir(kept->folder);
    uint32_t count = 0;
    cr_assert_not_null(folder);
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (strstr(entry->d_name, ".choices") == NULL)
            continue;
        snprintf(kept->path, sizeof(kept->path), "%s/%s", kept->folder, entry->d_name);
        count++;
    }
    closedir(folder);
    cr_assert_eq(count, 1, "%u files", count);
}

// Flips a bit of one byte, or cuts the file there.
static void damage(const struct kept *kept, long at, bool cut)
{
    char bytes[4096];
    FILE *file = fopen(kept->path, "rb");
    cr_assert_not_null(file);
    const size_t size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    cr_assert_lt((size_t)at, size);
    bytes[at] ^= 4;
    file = fopen(kept->path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(bytes, 1, cut ? (size_t)at : size, file), cut ? (size_t)at : size);
    fclose(file);
}

static void remove_kept(const struct kept *kept)
{
    DIR *folder = opendir(kept->folder);
    cr_assert_not_null(folder);
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        char path[400];
        snprintf(path, sizeof(path), "%s/%s", kept->folder, entry->d_name);
        if (entry->d_name[0] != '.')
            remove(path);
    }
    closedir(folder);
    rmdir(kept->folder);
}

Test(tune, what_is_measured_once_is_kept_by_device_and_driver)
{
    enum { DRIVER_VERSION_AT = 20, MAGIC_AT = 3, DATA_AT = 90 };
    static struct kept kept;
    const char *temporary = getenv("TMPDIR");
    snprintf(kept.folder, sizeof(kept.folder), "%.40s/espy-tune-XXXXXX",
             temporary != NULL ? temporary : "/tmp");
    cr_assert_not_null(mkdtemp(kept.folder));
    cr_expect_eq(use(&kept, ESPY_TUNE_OFF), 0);
    const uint32_t all = use(&kept, ESPY_TUNE_NEW);
    cr_expect_eq(all, 3, "%u problems", all);
    cr_expect_eq(kept.uses, 4);
    cr_expect(kept.asked);
    find_file(&kept);
    cr_expect_eq(use(&kept, ESPY_TUNE_NEW), 0, "all is known");
    cr_expect_eq(use(&kept, ESPY_TUNE_AGAIN), all);
    damage(&kept, DRIVER_VERSION_AT, false);
    cr_expect_eq(use(&kept, ESPY_TUNE_NEW), all, "another driver's is not used");
    damage(&kept, MAGIC_AT, false);
    cr_expect_eq(use(&kept, ESPY_TUNE_NEW), all);
    damage(&kept, DATA_AT, false);
    cr_expect_eq(use(&kept, ESPY_TUNE_OFF), 0, "a damaged file is no failure");
    cr_expect_eq(use(&kept, ESPY_TUNE_NEW), all);
    damage(&kept, DATA_AT, true);
    cr_expect_eq(use(&kept, ESPY_TUNE_NEW), all);
    cr_expect_eq(use(&kept, ESPY_TUNE_NEW), 0, "what was damaged is replaced");
    remove_kept(&kept);
}

Test(tune, a_wrong_mode_is_refused)
{
    struct lab lab;
    lab_open(&lab);
    lab_model(&lab, make_network);
    const struct espy_session_params params = {.size = sizeof(params), .tune = (espy_tune)7};
    EXPECT_FAILED(&lab, espy_session_create(lab.device, lab.model, &params, &lab.session),
                  ESPY_INVALID_ARGUMENT, "tune");
    lab_close(&lab);
}
