// Which products of cooperative matrices a device has. Vulkan's rows say it for one size and set of
// types each.
#include "vk/vk_internal.h"

static bool features_offered(const struct vk_device *device)
{
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR};
    VkPhysicalDeviceVulkan12Features features12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, .pNext = &matrix};
    VkPhysicalDeviceFeatures2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                     .pNext = &features12};
    device->vk.table.GetPhysicalDeviceFeatures2(device->physical, &all);
    // With the memory model, atomic operations of other kernels are for the whole device by name.
    return matrix.cooperativeMatrix && features12.shaderFloat16 && features12.vulkanMemoryModel &&
           features12.vulkanMemoryModelDeviceScope;
}

static bool same_row(const struct caps_matrix *row, const VkCooperativeMatrixPropertiesKHR *other)
{
    return row->m == other->MSize && row->n == other->NSize && row->k == other->KSize;
}

// Of halves that add up to floats, of a subgroup: what there are kernels for.
static bool is_useful(const VkCooperativeMatrixPropertiesKHR *row)
{
    return row->scope == VK_SCOPE_SUBGROUP_KHR && row->AType == VK_COMPONENT_TYPE_FLOAT16_KHR &&
           row->BType == VK_COMPONENT_TYPE_FLOAT16_KHR &&
           row->CType == VK_COMPONENT_TYPE_FLOAT32_KHR &&
           row->ResultType == VK_COMPONENT_TYPE_FLOAT32_KHR && !row->saturatingAccumulation;
}

static void keep_row(struct caps *caps, const VkCooperativeMatrixPropertiesKHR *row)
{
    for (uint32_t i = 0; i < caps->matrix_count; i++)
        if (same_row(&caps->matrices[i], row))
            return;
    if (is_useful(row) && caps->matrix_count < CAPS_MATRICES_MAX)
        caps->matrices[caps->matrix_count++] =
            (struct caps_matrix){row->MSize, row->NSize, row->KSize};
}

espy_status espy_vk_matrices_find(struct vk_device *device)
{
    struct vk_instance *vk = &device->vk;
    espy_status status = ESPY_OK;
    VkCooperativeMatrixPropertiesKHR *rows = NULL;
    uint32_t count = 0;
    device->caps.matrix_count = 0;
    if (vk->table.GetPhysicalDeviceCooperativeMatrixPropertiesKHR == NULL ||
        !device->caps.storage_f16 || !device->caps.subgroup_fixed || !features_offered(device))
        return ESPY_OK;
    VK(vk, vk->table.GetPhysicalDeviceCooperativeMatrixPropertiesKHR(device->physical, &count,
                                                                      NULL));
    if (count == 0)
        return ESPY_OK;
    rows = espy_alloc_array(&vk->host, count, sizeof(*rows));
    if (rows == NULL)
        return espy_fail_memory(&vk->host, count * sizeof(*rows), "the list of matrix sizes");
    for (uint32_t i = 0; i < count; i++)
        rows[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
    VK(vk, vk->table.GetPhysicalDeviceCooperativeMatrixPropertiesKHR(device->physical, &count,
                                                                      rows));
    for (uint32_t i = 0; i < count; i++)
        keep_row(&device->caps, &rows[i]);
error:
    espy_free(&vk->host, rows);
    return status;
}
