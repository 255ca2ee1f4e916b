// Goal: programs that share weights keep them once, each computes as it would alone, and the memory
// goes when the last of them does.
// Method: the hand-made plan of test_vk_fixture.h several times over one list of weights, in mapped
// memory and through staging; allocations of device memory are counted.
#include "test_vk_fixture.h"

struct sharing {
    struct vk_test_host host;
    struct vk_device *device;
    struct vk_weights *weights;
};

static PFN_vkAllocateMemory counted_allocate;
static uint64_t counted_size;

static VKAPI_ATTR VkResult VKAPI_CALL count_allocate(VkDevice device,
                                                     const VkMemoryAllocateInfo *info,
                                                     const VkAllocationCallbacks *callbacks,
                                                     VkDeviceMemory *memory)
{
    counted_size += info->allocationSize;
    return counted_allocate(device, info, callbacks, memory);
}

static void mapped_hook(void *user, struct vk_table *table, enum vk_table_part part)
{
    (void)user;
    if (part != VK_TABLE_PART_DEVICE)
        return;
    counted_allocate = table->AllocateMemory;
    table->AllocateMemory = count_allocate;
}

static void staging_hook(void *user, struct vk_table *table, enum vk_table_part part)
{
    discrete_hook(user, table, part);
    mapped_hook(user, table, part);
}

static void start(struct sharing *s, vk_table_hook hook)
{
    const struct vk_device_params params = {
        .host = &s->host.host, .validation = true, .hook = hook};
    vk_test_host_init(&s->host);
    s->device = NULL;
    cr_assert_eq(espy_vk_device_create(&params, &s->device), ESPY_OK, "%s", s->host.error);
    cr_assert_eq(espy_vk_weights_create(s->device, &s->weights), ESPY_OK);
}

static void finish(struct sharing *s)
{
    espy_vk_weights_destroy(&s->weights);
    cr_expect_null(s->weights);
    cr_expect_eq(espy_vk_device_validation_count(s->device), 0);
    espy_vk_device_destroy(&s->device);
    cr_expect_eq(s->host.errors + s->host.warnings, 0, "%s", s->host.error);
    cr_expect_eq(s->host.live, 0, "%lld allocations are left", (long long)s->host.live);
}

static struct vk_test_plan *make_plan(bool two_stages, bool lasting)
{
    struct vk_test_plan *test = malloc(sizeof(*test));
    cr_assert_not_null(test);
    vk_test_plan_init(test, two_stages);
    test->buffers[BUFFER_W].lasting = lasting;
    return test;
}

// The program, and the bytes of device memory that making it took.
static struct vk_program *make_program(struct sharing *s, const struct vk_test_plan *test,
                                       uint64_t *size)
{
    struct vk_program *program = NULL;
    counted_size = 0;
    cr_assert_eq(espy_vk_program_create(s->device, &test->plan, s->weights, &program), ESPY_OK,
                 "%s", s->host.error);
    *size = counted_size;
    return program;
}

// p = factor * w + bias, w being 0, 1, 2, ...
static void expect_prepared(struct vk_program *program, const struct vk_test_plan *test,
                            float factor, float bias)
{
    static float p[COUNT];
    cr_assert_eq(espy_vk_program_read(program, &test->views[BUFFER_P], p), ESPY_OK);
    for (uint32_t i = 0; i < COUNT; i++)
        cr_assert_float_eq(p[i], factor * (float)i + bias, 1e-3, "element %u: %g", i, (double)p[i]);
}

static void share_one_plan(vk_table_hook hook, bool two_stages)
{
    struct sharing s;
    uint64_t first, second, third;
    start(&s, hook);
    struct vk_test_plan *test = make_plan(two_stages, true);
    struct vk_test_plan *other = make_plan(two_stages, true);
    for (uint32_t i = 0; i < BUFFER_COUNT; i++) // the same elements, in another plan
        other->buffers[i].data = test->buffers[i].data;
    struct vk_program *a = make_program(&s, test, &first);
    struct vk_program *b = make_program(&s, other, &second);
    cr_expect_geq(first - second, 2 * BUFFER_SIZE, "%llu bytes, then %llu",
                  (unsigned long long)first, (unsigned long long)second);
    for (uint32_t run = 0; run < 2; run++) {
        cr_assert_eq(vk_test_run(a, test, (float)run), ESPY_OK, "%s", s.host.error);
        cr_assert_eq(vk_test_run(b, other, (float)run), ESPY_OK, "%s", s.host.error);
    }
    espy_vk_program_destroy(&a); // who brought the weights may go first
    cr_assert_eq(vk_test_run(b, other, 3), ESPY_OK, "%s", s.host.error);
    expect_prepared(b, other, 2, 1);
    a = make_program(&s, test, &third);
    cr_expect_eq(third, second);
    cr_assert_eq(vk_test_run(a, test, 4), ESPY_OK, "%s", s.host.error);
    espy_vk_program_destroy(&b);
    cr_assert_eq(vk_test_run(a, test, 5), ESPY_OK, "%s", s.host.error);
    espy_vk_program_destroy(&a);
    a = make_program(&s, test, &third); // nothing was left
    cr_expect_eq(third, first);
    espy_vk_program_destroy(&a);
    finish(&s);
    free(other);
    free(test);
}

// ---- weights that are read where they lie -------------------------------------------------------

static VkResult import_result; // of asking for a pointer's memory; VK_SUCCESS: the driver's own
static PFN_vkGetMemoryHostPointerPropertiesEXT real_pointer;
static uint32_t import_count;

static VKAPI_ATTR VkResult VKAPI_CALL ask_pointer(VkDevice device,
                                                  VkExternalMemoryHandleTypeFlagBits type,
                                                  const void *pointer,
                                                  VkMemoryHostPointerPropertiesEXT *properties)
{
    import_count++;
    return import_result != VK_SUCCESS ? import_result
                                       : real_pointer(device, type, pointer, properties);
}

static void import_hook(void *user, struct vk_table *table, enum vk_table_part part)
{
    mapped_hook(user, table, part);
    if (part != VK_TABLE_PART_DEVICE || table->GetMemoryHostPointerPropertiesEXT == NULL)
        return;
    real_pointer = table->GetMemoryHostPointerPropertiesEXT;
    table->GetMemoryHostPointerPropertiesEXT = ask_pointer;
}

struct read_calls {
    uint32_t count;
    const void *data;
    size_t size;
};

static void note_read(void *user, const void *data, size_t size)
{
    struct read_calls *calls = user;
    *calls = (struct read_calls){calls->count + 1, data, size};
}

static void read_in_place(VkResult result, vk_table_hook hook)
{
    struct sharing s;
    uint64_t size;
    struct read_calls calls = {0};
    import_result = result;
    import_count = 0;
    real_pointer = NULL;
    start(&s, hook);
    struct vk_test_plan *test = make_plan(false, true);
    vk_test_plan_enlarge(test);
    espy_vk_weights_on_read(s.weights, note_read, &calls);
    struct vk_program *program = make_program(&s, test, &size);
    cr_expect_eq(import_count, real_pointer == NULL ? 0 : 1);
    cr_expect_eq(calls.count, 1);
    cr_expect_eq(calls.data, test->buffers[BUFFER_W].data);
    cr_expect_eq(calls.size, LARGE_COUNT * sizeof(float));
    expect_prepared(program, test, 2, 1);
    cr_assert_eq(vk_test_run(program, test, 1), ESPY_OK, "%s", s.host.error);
    espy_vk_program_destroy(&program);
    finish(&s);
    free(test);
}

Test(vk_weights, large_ones_are_read_in_place_or_copied)
{
    read_in_place(VK_SUCCESS, import_hook);
    read_in_place(VK_ERROR_INVALID_EXTERNAL_HANDLE, import_hook);
    read_in_place(VK_SUCCESS, staging_hook);
}

Test(vk_weights, one_plan_twice_in_mapped_memory)
{
    share_one_plan(mapped_hook, false);
    share_one_plan(mapped_hook, true);
}

Test(vk_weights, one_plan_twice_through_staging)
{
    share_one_plan(staging_hook, false);
}

// ---- what is alike only in parts ---------------------------------------------------------------

static void share_parts(vk_table_hook hook, bool transient)
{
    struct sharing s;
    uint64_t size, other_size;
    start(&s, hook);
    struct vk_test_plan *test = make_plan(false, true), *other = make_plan(false, true);
    other->buffers[BUFFER_W].data = test->buffers[BUFFER_W].data;
    other->bias[0] = 7;                        // p is another one
    for (int i = 0; transient && i < 2; i++) { // w is gone when p is made
        struct vk_test_plan *plan = i == 0 ? test : other;
        plan->buffers[BUFFER_W].transient = true;
        plan->buffers[BUFFER_P].offset = 0;
        plan->plan.transient_size = plan->plan.constants_size = BUFFER_STRIDE;
    }
    struct vk_program *a = make_program(&s, test, &size);
    struct vk_program *b = make_program(&s, other, &other_size);
    if (transient)
        cr_expect_eq(size, other_size);
    else
        cr_expect_geq(size - other_size, BUFFER_SIZE);
    expect_prepared(a, test, 2, 1);
    expect_prepared(b, other, 2, 7);
    espy_vk_program_destroy(&a);
    expect_prepared(b, other, 2, 7);
    espy_vk_program_destroy(&b);
    finish(&s);
    free(other);
    free(test);
}

Test(vk_weights, the_same_weights_prepared_in_two_ways)
{
    share_parts(mapped_hook, false);
    share_parts(mapped_hook, true);
    share_parts(staging_hook, false);
}

// A plan's own elements may lie, later, where others lay.
Test(vk_weights, elements_of_a_plan_are_not_shared)
{
    struct sharing s;
    uint64_t first, second;
    start(&s, mapped_hook);
    struct vk_test_plan *test = make_plan(false, false);
    struct vk_program *a = make_program(&s, test, &first);
    for (uint32_t i = 0; i < COUNT; i++)
        test->weights[i] = (float)i * 10;
    struct vk_program *b = make_program(&s, test, &second);
    cr_expect_eq(first, second);
    expect_prepared(a, test, 2, 1);
    expect_prepared(b, test, 20, 1);
    espy_vk_program_destroy(&a);
    espy_vk_program_destroy(&b);
    finish(&s);
    free(test);
}

// Two buffers with one content in one plan: each has its memory, for the barriers are the plan's.
// In two batches, the second dispatch is another one.
static void keep_apart(uint32_t batch_count)
{
    const struct scale_push other = {COUNT, batch_count == 1 ? 2.0F : 4.0F};
    static const struct plan_batch both[2] = {{0, 1}, {1, 1}};
    struct plan_batch batches[2];
    struct sharing s;
    uint64_t size;
    start(&s, mapped_hook);
    struct vk_test_plan *test = make_plan(false, true);
    struct plan_dispatch twice[2] = {test->prepare, test->prepare};
    struct plan_buffer buffers[BUFFER_COUNT + 1];
    struct plan_binding bindings[2] = {{BUFFER_W, true, false, 0}, {BUFFER_COUNT, false, true, 0}};
    memcpy(buffers, test->buffers, sizeof(test->buffers));
    buffers[BUFFER_COUNT] = buffers[BUFFER_P];
    buffers[BUFFER_COUNT].offset = 2 * BUFFER_STRIDE;
    twice[1].bindings = bindings;
    twice[1].push = &other;
    test->plan.buffers = buffers;
    test->plan.buffer_count = BUFFER_COUNT + 1;
    test->plan.prepare = twice;
    test->plan.prepare_count = 2;
    memcpy(batches, both, sizeof(both));
    batches[0].count = batch_count == 1 ? 2 : 1;
    test->plan.batch_count = batch_count;
    test->plan.batches = batches;
    test->plan.constants_size = 3 * BUFFER_STRIDE;
    struct vk_program *a = make_program(&s, test, &size);
    struct vk_program *b = make_program(&s, test, &size);
    const struct view copy = vk_test_view(BUFFER_COUNT);
    static float p[COUNT];
    cr_assert_eq(espy_vk_program_read(b, &copy, p), ESPY_OK);
    for (uint32_t i = 0; i < COUNT; i++)
        cr_assert_float_eq(p[i], other.factor * (float)i + 1, 1e-3);
    cr_assert_eq(vk_test_run(b, test, 1), ESPY_OK);
    espy_vk_program_destroy(&a);
    cr_assert_eq(vk_test_run(b, test, 2), ESPY_OK);
    espy_vk_program_destroy(&b);
    finish(&s);
    free(test);
}

Test(vk_weights, equal_buffers_of_one_plan_stay_apart)
{
    keep_apart(1);
    keep_apart(2);
}

// ---- failing -----------------------------------------------------------------------------------

static PFN_vkQueueSubmit real_submit;
static bool submit_fails;

static VKAPI_ATTR VkResult VKAPI_CALL fail_submit(VkQueue queue, uint32_t count,
                                                  const VkSubmitInfo *infos, VkFence fence)
{
    return submit_fails ? VK_ERROR_OUT_OF_HOST_MEMORY : real_submit(queue, count, infos, fence);
}

static void failing_hook(void *user, struct vk_table *table, enum vk_table_part part)
{
    staging_hook(user, table, part);
    if (part != VK_TABLE_PART_DEVICE)
        return;
    real_submit = table->QueueSubmit;
    table->QueueSubmit = fail_submit;
}

// One program has w in memory for a moment only; another, which would keep it, fails to fill it.
Test(vk_weights, what_was_never_filled_is_not_found)
{
    struct sharing s;
    uint64_t size;
    static float w[COUNT];
    start(&s, failing_hook);
    struct vk_test_plan *test = make_plan(false, true), *other = make_plan(false, true);
    other->buffers[BUFFER_W].data = test->buffers[BUFFER_W].data;
    test->buffers[BUFFER_W].transient = true;
    test->plan.transient_size = BUFFER_STRIDE;
    struct vk_program *a = make_program(&s, test, &size), *b = NULL;
    submit_fails = true;
    cr_expect_eq(espy_vk_program_create(s.device, &other->plan, s.weights, &b), ESPY_OUT_OF_MEMORY);
    submit_fails = false;
    cr_expect_eq(s.host.errors, 1);
    s.host.errors = 0;
    b = make_program(&s, other, &size);
    cr_assert_eq(espy_vk_program_read(b, &other->views[BUFFER_W], w), ESPY_OK);
    for (uint32_t i = 0; i < COUNT; i++)
        cr_assert_float_eq(w[i], (float)i, 1e-6, "element %u: %g", i, (double)w[i]);
    cr_assert_eq(vk_test_run(b, other, 1), ESPY_OK);
    espy_vk_program_destroy(&a);
    espy_vk_program_destroy(&b);
    finish(&s);
    free(other);
    free(test);
}
