#include "vk/vk_internal.h"

#include <assert.h>
#include <string.h>

enum { GPU_LOCAL_SIZE = 64, TEXEL_SIZE_MAX = 16 };

static uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

// Until the device says how many cores it has, see vk_cores.c. Discrete GPUs have 30 to 140; on
// software drivers the number only decides what tests see.
static uint32_t groups_busy(espy_device_type type)
{
    enum { DISCRETE = 80, CPU = 16, OTHER = 24 };
    return type == ESPY_DEVICE_DISCRETE_GPU ? DISCRETE : type == ESPY_DEVICE_CPU ? CPU : OTHER;
}

// Registers of 32 bits that one invocation can fill, 0 for as many as any kernel takes: nor does
// Vulkan say that. Beyond them compilers spill to memory. By what Mesa's compilers make of the
// kernels (docs/devices.md): of Intel's 128, which are those of the narrowest subgroups, a third goes
// into messages, and Qualcomm's 128 (192 of later ones) are not filled to the last either.
enum {
    REGISTERS_FEW = 64,
    REGISTERS_INTEL = 88,
    REGISTERS_APPLE = 128,
    REGISTERS_QUALCOMM = 112
};

static uint32_t registers(const struct espy_device_info *info, bool few)
{
    enum { ARM = 0x13b5, BROADCOM = 0x14e4, INTEL = 0x8086, APPLE = 0x106b, QUALCOMM = 0x5143 };
    enum { MESA = 0x10005 }; // of drivers by people who are not the vendor: of Apple's GPUs
    if (few)
        return REGISTERS_FEW;
    if (info->type == ESPY_DEVICE_CPU)
        return 0;
    switch (info->vendor_id) {
    case ARM:
    case BROADCOM:
        return REGISTERS_FEW;
    case INTEL:
        return REGISTERS_INTEL;
    case APPLE:
    case MESA:
        return REGISTERS_APPLE;
    case QUALCOMM:
        return REGISTERS_QUALCOMM;
    default:
        return 0;
    }
}

static void fill_caps(struct vk_device *device, const struct vk_device_params *params)
{
    VkPhysicalDeviceMaintenance3Properties maintenance = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties subgroup = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES, .pNext = &maintenance};
    VkPhysicalDeviceProperties2 properties = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &subgroup};
    device->vk.table.GetPhysicalDeviceProperties2(device->physical, &properties);
    const VkPhysicalDeviceLimits *limits = &properties.properties.limits;
    const VkSubgroupFeatureFlags wanted =
        VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_BALLOT_BIT |
        VK_SUBGROUP_FEATURE_ARITHMETIC_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT;

    struct caps *caps = &device->caps;
    caps->cpu = device->info.type == ESPY_DEVICE_CPU && !params->gpu_kernels;
    // CPU drivers convert every half they load, and the fast kernels there are for 32 bit.
    caps->storage_f16 = device->info.storage_float16 && !params->exact &&
                        (!caps->cpu || params->float16_storage);
    caps->subgroups = (subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0 &&
                      (subgroup.supportedOperations & wanted) == wanted;
    caps->subgroup_size = max_u32(subgroup.subgroupSize, 1);
    caps->invocations_max =
        min_u32(limits->maxComputeWorkGroupInvocations, limits->maxComputeWorkGroupSize[0]);
    // A software driver runs a workgroup subgroup by subgroup on one core, so more gains nothing.
    caps->local_size = caps->cpu ? caps->subgroup_size : GPU_LOCAL_SIZE;
    caps->local_size = min_u32(caps->local_size, caps->invocations_max);
    caps->shared_size = limits->maxComputeSharedMemorySize;
    caps->registers = registers(&device->info, params->few_registers);
    caps->groups_busy = groups_busy(device->info.type);
    for (uint32_t i = 0; i < 3; i++)
        caps->groups_max[i] = limits->maxComputeWorkGroupCount[i];
    caps->bindings_max = limits->maxPerStageDescriptorStorageBuffers;
    // A buffer may be bound as texels too, in units of up to TEXEL_SIZE_MAX bytes. Vulkan's
    // alignments are powers of two, so the largest is a multiple of all.
    caps->buffer_alignment = max_u32((uint32_t)limits->minStorageBufferOffsetAlignment,
                                     (uint32_t)limits->minTexelBufferOffsetAlignment);
    caps->buffer_alignment = max_u32(caps->buffer_alignment, TEXEL_SIZE_MAX);
    caps->buffer_range_max = limits->maxStorageBufferRange;
    device->clock_period = (double)limits->timestampPeriod * 1e-9;
    caps->texel_elements_max = limits->maxTexelBufferElements;
    device->allocation_max = maintenance.maxMemoryAllocationSize;
}

// What is used where a device offers it.
static const char PORTABILITY_SUBSET[] = "VK_KHR_portability_subset"; // must be on where offered
enum { OPTIONAL_EXTENSIONS = 8 };
static const char *const optional_extensions[OPTIONAL_EXTENSIONS] = {
    PORTABILITY_SUBSET,
    VK_EXT_MEMORY_BUDGET_EXTENSION_NAME,
    VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME,
    VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME,
    VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME,
    VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME,
    VK_AMD_SHADER_CORE_PROPERTIES_EXTENSION_NAME,
    VK_ARM_SHADER_CORE_BUILTINS_EXTENSION_NAME};

// Whether an extension that the device has would be of use.
static bool is_wanted(const struct vk_device *device, const struct vk_device_params *params,
                      const char *name)
{
    if (strcmp(name, VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME) == 0)
        return params->compiled_facts;
    if (strcmp(name, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME) == 0) // see vk_import.c
        return device->mapped && device->info.type == ESPY_DEVICE_CPU;
    return true;
}

// Writes the names of those that the device has to names, which has OPTIONAL_EXTENSIONS entries.
static espy_status find_extensions(struct vk_device *device, const struct vk_device_params *params,
                                   const char **names, uint32_t *name_count)
{
    struct vk_instance *vk = &device->vk;
    espy_status status = ESPY_OK;
    VkExtensionProperties *list = NULL;
    uint32_t count = 0;
    *name_count = 0;
    VK(vk, vk->table.EnumerateDeviceExtensionProperties(device->physical, NULL, &count, NULL));
    if (count == 0)
        return ESPY_OK;
    list = espy_alloc_array(&vk->host, count, sizeof(*list));
    if (list == NULL)
        return espy_fail_memory(&vk->host, count * sizeof(*list), "the list of Vulkan extensions");
    VK(vk, vk->table.EnumerateDeviceExtensionProperties(device->physical, NULL, &count, list));
    for (uint32_t k = 0; k < OPTIONAL_EXTENSIONS; k++) {
        for (uint32_t i = 0; i < count && is_wanted(device, params, optional_extensions[k]); i++) {
            if (strcmp(list[i].extensionName, optional_extensions[k]) != 0)
                continue;
            names[(*name_count)++] = optional_extensions[k];
            break;
        }
    }
error:
    espy_free(&vk->host, list);
    return status;
}

static bool is_among(const char *const *names, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

// Kernels that use subgroups are written for caps->subgroup_size lanes, and some drivers choose
// per pipeline unless told. Finds out whether they can be told, and whether that is needed.
static void ask_subgroups(struct vk_device *device, const struct vk_device_params *params)
{
    enum { LANES_FEW = 16 }; // of the devices that have few registers
    if (device->info.api_version[1] < 3 || device->vk.api_version < VK_API_VERSION_1_3)
        return; // for all that an older driver says, they vary
    VkPhysicalDeviceSubgroupSizeControlFeatures features = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES};
    VkPhysicalDeviceFeatures2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                     .pNext = &features};
    VkPhysicalDeviceSubgroupSizeControlProperties sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES};
    VkPhysicalDeviceProperties2 properties = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &sizes};
    device->vk.table.GetPhysicalDeviceFeatures2(device->physical, &all);
    device->vk.table.GetPhysicalDeviceProperties2(device->physical, &properties);
    const bool compute = (sizes.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0;
    struct caps *caps = &device->caps;
    device->pins_subgroup_size = features.subgroupSizeControl && compute &&
                                 caps->subgroup_size >= sizes.minSubgroupSize &&
                                 caps->subgroup_size <= sizes.maxSubgroupSize;
    device->fills_subgroups = device->pins_subgroup_size && features.computeFullSubgroups;
    // Wider subgroups have as many together: each of their lanes has fewer.
    caps->subgroup_registers =
        caps->registers * (params->few_registers ? LANES_FEW : sizes.minSubgroupSize);
    caps->subgroup_fixed =
        caps->subgroups &&
        (device->pins_subgroup_size || sizes.minSubgroupSize == sizes.maxSubgroupSize);
}

// A core needs a second workgroup for what to do while one waits.
static void count_cores(struct vk_device *device, const char *const *extensions, uint32_t count)
{
    enum { GROUPS_PER_CORE = 2 };
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t cores = espy_vk_cores(device, extensions[i]);
        if (cores > 0)
            device->caps.groups_busy = GROUPS_PER_CORE * cores;
    }
}

static espy_status open_device(struct vk_device *device, const struct vk_device_params *params)
{
    struct vk_instance *vk = &device->vk;
    espy_status status = ESPY_OK;
    const char *extensions[OPTIONAL_EXTENSIONS];
    uint32_t extension_count;
    TRY(find_extensions(device, params, extensions, &extension_count));
    device->knows_budget =
        is_among(extensions, extension_count, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    device->compiled_facts = is_among(extensions, extension_count,
                                      VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME);
    if (is_among(extensions, extension_count, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME))
        device->import_alignment = espy_vk_import_alignment(device);
    ask_subgroups(device, params);
    count_cores(device, extensions, extension_count);
    if (!params->no_matrices &&
        is_among(extensions, extension_count, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME))
        TRY(espy_vk_matrices_find(device));
    const bool matrices = device->caps.matrix_count > 0;
    VkPhysicalDeviceFeatures2 offered = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};
    vk->table.GetPhysicalDeviceFeatures2(device->physical, &offered);
    VkPhysicalDeviceSubgroupSizeControlFeatures pinning = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
        .subgroupSizeControl = VK_TRUE,
        .computeFullSubgroups = device->fills_subgroups};
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR,
        .cooperativeMatrix = VK_TRUE};
    // Whoever has the extension has the feature.
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executables = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
        .pipelineExecutableInfo = VK_TRUE};
    VkPhysicalDeviceVulkan12Features features12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
        .shaderFloat16 = matrices, // kernels with matrices declare them
        .vulkanMemoryModel = matrices,
        .vulkanMemoryModelDeviceScope = matrices,
        .timelineSemaphore = VK_TRUE};
    VkPhysicalDeviceVulkan11Features features11 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES,
        .pNext = &features12,
        .storageBuffer16BitAccess = device->caps.storage_f16};
    const VkPhysicalDeviceFeatures2 features = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
        .pNext = &features11,
        .features = {// 16-bit texels of one component
                     .shaderStorageImageExtendedFormats =
                         offered.features.shaderStorageImageExtendedFormats}};
    if (device->pins_subgroup_size)
        features12.pNext = &pinning;
    if (matrices) {
        matrix.pNext = features12.pNext;
        features12.pNext = &matrix;
    }
    if (device->compiled_facts) {
        executables.pNext = features12.pNext;
        features12.pNext = &executables;
    }
    const float priority = 1.0F;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueFamilyIndex = device->queue_family,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                     .pNext = &features,
                                     .queueCreateInfoCount = 1,
                                     .pQueueCreateInfos = &queue,
                                     .enabledExtensionCount = extension_count,
                                     .ppEnabledExtensionNames = extensions};
    VK(vk, vk->table.CreateDevice(device->physical, &info, NULL, &device->device));
    const char *missing = espy_vk_table_load_device(&vk->table, device->device);
    if (missing != NULL)
        return espy_fail(&vk->host, ESPY_VULKAN_ERROR, "Vulkan: there is no %s", missing);
    if (params->hook != NULL)
        params->hook(params->hook_user, &vk->table, VK_TABLE_PART_DEVICE);
    vk->table.GetDeviceQueue(device->device, device->queue_family, 0, &device->queue);
error:
    return status;
}

static void keep_candidate(struct vk_device *device, const struct vk_candidate *chosen)
{
    device->physical = chosen->physical;
    device->info = chosen->info;
    device->queue_family = chosen->queue_family;
    device->clock_bits = chosen->clock_bits;
    device->cache_key = (struct vk_cache_key){.vendor_id = chosen->info.vendor_id,
                                              .device_id = chosen->info.device_id,
                                              .driver_version = chosen->driver_version};
    memcpy(device->cache_key.uuid, chosen->cache_uuid, VK_UUID_SIZE);
}

espy_status espy_vk_device_list(const struct host *host, struct espy_device_info *infos,
                                uint32_t *count)
{
    const struct vk_device_params params = {.host = host};
    struct vk_instance vk = {0};
    struct vk_candidate *candidates = NULL;
    uint32_t found = 0;
    TRY(espy_vk_instance_init(&vk, &params));
    const espy_status status = espy_vk_candidates(&vk, &candidates, &found);
    if (status == ESPY_OK) {
        for (uint32_t i = 0; infos != NULL && i < found && i < *count; i++)
            infos[i] = candidates[i].info;
        *count = found;
    }
    espy_free(host, candidates);
    espy_vk_instance_finish(&vk);
    return status;
}

espy_status espy_vk_device_create(const struct vk_device_params *params, struct vk_device **result)
{
    espy_status status = ESPY_OK;
    struct vk_candidate *candidates = NULL;
    const struct vk_candidate *chosen = NULL;
    uint32_t count = 0;
    struct vk_device *device = espy_alloc(params->host, sizeof(*device));
    if (device == NULL)
        return espy_fail_memory(params->host, sizeof(*device), "a device");
    CHECK(espy_vk_instance_init(&device->vk, params));
    CHECK(espy_vk_candidates(&device->vk, &candidates, &count));
    CHECK(espy_vk_candidate_choose(params->host, params->name, candidates, count, &chosen));
    keep_candidate(device, chosen);
    fill_caps(device, params);
    espy_vk_memory_choose(device);
    CHECK(open_device(device, params));
    device->compiles_late = chosen->lavapipe && params->hook == NULL && espy_vk_processors() > 1;
    espy_vk_mutex_init(&device->queue_mutex);
    espy_vk_mutex_init(&device->pipelines.mutex);
    device->mutexes = true;
    CHECK(espy_vk_pipelines_init(device, params->cache_dir));
    CHECK(espy_vk_known_init(device, params->cache_dir));
    espy_log(params->host, ESPY_LOG_INFO, "device %u: %s (%s)", device->info.index,
             device->info.name, device->info.driver);
    espy_free(params->host, candidates);
    *result = device;
    return ESPY_OK;
error:
    espy_free(params->host, candidates);
    device->vk.host = *params->host; // not there yet when the instance failed early
    espy_vk_device_destroy(&device);
    return status;
}

void espy_vk_device_destroy(struct vk_device **pointer)
{
    struct vk_device *device = *pointer;
    if (device == NULL)
        return;
    const struct host host = device->vk.host;
    if (device->mutexes) {
        espy_vk_known_finish(device);
        espy_vk_pipelines_finish(device);
        espy_vk_mutex_finish(&device->pipelines.mutex);
        espy_vk_mutex_finish(&device->queue_mutex);
    }
    // As with the instance, a table without the entry leaves no way to destroy.
    if (device->device != NULL && device->vk.table.DestroyDevice != NULL)
        device->vk.table.DestroyDevice(device->device, NULL);
    espy_vk_instance_finish(&device->vk);
    espy_free(&host, device);
    *pointer = NULL;
}

const struct caps *espy_vk_device_caps(const struct vk_device *device)
{
    return &device->caps;
}

void espy_vk_device_info(const struct vk_device *device, struct espy_device_info *info)
{
    *info = device->info;
}

uint64_t espy_vk_device_validation_count(const struct vk_device *device)
{
    return atomic_load(&device->vk.validation_count);
}
