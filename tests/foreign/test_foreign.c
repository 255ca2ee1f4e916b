// Goal: operators of other domains than ONNX's compute what their documentation says, whether
// sizes are known, symbols, or inputs constant. Method: cases whose values numpy has computed
// (make_cases.py), as ONNX models through convert, write, read and run.
#include <criterion/criterion.h>
#include <stdio.h>

#include "suites/op_tests.h"

static void run_file(const char *stem)
{
    struct test_host test;
    char path[512];
    espy_test_host_init(&test);
    struct op_tests tests = {.test = &test};
    espy_arena_init(&tests.arena, &test.host);
    cr_assert(espy_test_open_device(&test.host, true, &tests.device) == ESPY_OK, "%s",
              test.last_error);
    snprintf(path, sizeof(path), ESPY_SOURCE_DIR "/tests/foreign/%s.json", stem);
    espy_op_tests_run(&tests, path, stem);
    cr_expect(tests.passed > 0, "no case has passed");
    cr_expect(espy_vk_device_validation_count(tests.device) == 0,
              "the validation layer has complained: %s", test.last_error);
    espy_vk_device_destroy(&tests.device);
    espy_arena_finish(&tests.arena);
    cr_expect(test.live_count == 0, "%zu allocations are not freed", test.live_count);
}

Test(foreign, attention)
{
    run_file("attention");
}

Test(foreign, multi_head_attention)
{
    run_file("multi_head_attention");
}

Test(foreign, rotary_embedding)
{
    run_file("rotary_embedding");
}

Test(foreign, group_query_attention)
{
    run_file("group_query_attention");
}

Test(foreign, norm)
{
    run_file("norm");
}

Test(foreign, fused)
{
    run_file("fused");
}

Test(foreign, qlinear)
{
    run_file("qlinear");
}

Test(foreign, integer_products)
{
    run_file("integer_products");
}

Test(foreign, packed_weights)
{
    run_file("packed_weights");
}

Test(foreign, other)
{
    run_file("other");
}

Test(foreign, detectors)
{
    run_file("detectors");
}

Test(foreign, float16)
{
    run_file("float16");
}

Test(foreign, nhwc)
{
    run_file("nhwc");
}

Test(foreign, experimental)
{
    run_file("experimental");
}
