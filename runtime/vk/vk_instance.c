#include "vk/vk_internal.h"

#include <string.h>

static const char VALIDATION_LAYER[] = "VK_LAYER_KHRONOS_validation";

// Called by the validation layer and the loader from inside any Vulkan call.
static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT types,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data,
                                                 void *user)
{
    struct vk_instance *vk = user;
    espy_log_level level = ESPY_LOG_DEBUG;
    // The loader reports drivers that do not fit the machine as errors of type GENERAL, which is
    // of no interest to a user who has another driver.
    if ((types & VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT) != 0) {
        const bool error = (severity & VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT) != 0;
        level = error ? ESPY_LOG_ERROR : ESPY_LOG_WARNING;
        atomic_fetch_add(&vk->validation_count, 1);
    }
    espy_log(&vk->host, level, "validation: %s", data->pMessage);
    return VK_FALSE;
}

static bool has_extension(const VkExtensionProperties *list, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(list[i].extensionName, name) == 0)
            return true;
    }
    return false;
}

// Whether the loader (layer NULL) or a layer offers an instance extension.
static espy_status find_extension(struct vk_instance *vk, const char *layer, const char *name,
                                  bool *found)
{
    espy_status status = ESPY_OK;
    VkExtensionProperties *list = NULL;
    uint32_t count = 0;
    *found = false;
    VK(vk, vk->table.EnumerateInstanceExtensionProperties(layer, &count, NULL));
    if (count == 0)
        return ESPY_OK;
    list = espy_alloc_array(&vk->host, count, sizeof(*list));
    if (list == NULL)
        return espy_fail_memory(&vk->host, count * sizeof(*list), "the list of Vulkan extensions");
    VK(vk, vk->table.EnumerateInstanceExtensionProperties(layer, &count, list));
    *found = has_extension(list, count, name);
error:
    espy_free(&vk->host, list);
    return status;
}

static espy_status find_validation_layer(struct vk_instance *vk)
{
    espy_status status = ESPY_OK;
    VkLayerProperties *list = NULL;
    uint32_t count = 0;
    bool found = false;
    VK(vk, vk->table.EnumerateInstanceLayerProperties(&count, NULL));
    if (count > 0) {
        list = espy_alloc_array(&vk->host, count, sizeof(*list));
        if (list == NULL)
            return espy_fail_memory(&vk->host, count * sizeof(*list), "the list of Vulkan layers");
        VK(vk, vk->table.EnumerateInstanceLayerProperties(&count, list));
    }
    for (uint32_t i = 0; i < count && !found; i++)
        found = strcmp(list[i].layerName, VALIDATION_LAYER) == 0;
    if (!found)
        status = espy_fail(&vk->host, ESPY_UNSUPPORTED,
                           "validation was asked for and %s is not installed (Debian and Ubuntu "
                           "package vulkan-validationlayers)",
                           VALIDATION_LAYER);
error:
    espy_free(&vk->host, list);
    return status;
}

static espy_status check_version(struct vk_instance *vk)
{
    espy_status status = ESPY_OK;
    uint32_t version = 0;
    VK(vk, vk->table.EnumerateInstanceVersion(&version));
    if (version < VK_API_VERSION_1_2)
        return espy_fail(&vk->host, ESPY_NO_DEVICE,
                         "the Vulkan loader has version %u.%u, 1.2 is needed; update it",
                         VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version));
    vk->api_version = version < VK_API_VERSION_1_3 ? VK_API_VERSION_1_2 : VK_API_VERSION_1_3;
error:
    return status;
}

// One structure chain for the instance; it lives on the stack of espy_vk_instance_init.
struct instance_request {
    VkApplicationInfo application;
    VkDebugUtilsMessengerCreateInfoEXT messenger;
    VkValidationFeaturesEXT features;
    VkValidationFeatureEnableEXT enabled[1];
    const char *layers[1];
    const char *extensions[4];
    VkInstanceCreateInfo info;
};

static espy_status fill_request(struct vk_instance *vk, bool validation,
                                struct instance_request *request)
{
    bool portability, features = false;
    TRY(find_extension(vk, NULL, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME, &portability));
    *request = (struct instance_request){
        .application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                        .pApplicationName = "espy",
                        .pEngineName = "espy",
                        .apiVersion = vk->api_version},
        .messenger = {.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
                      .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT |
                                         VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT,
                      .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_GENERAL_BIT_EXT |
                                     VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
                      .pfnUserCallback = on_message,
                      .pUserData = vk},
        .features = {.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                     .enabledValidationFeatureCount = 1},
        .enabled = {VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT},
        .layers = {VALIDATION_LAYER},
    };
    VkInstanceCreateInfo *info = &request->info;
    *info = (VkInstanceCreateInfo){.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                   .pApplicationInfo = &request->application,
                                   .ppEnabledLayerNames = request->layers,
                                   .ppEnabledExtensionNames = request->extensions};
    request->features.pEnabledValidationFeatures = request->enabled;
    if (portability) { // MoltenVK hides itself from those who do not ask
        info->flags |= VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR;
        request->extensions[info->enabledExtensionCount++] =
            VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
    }
    if (!validation)
        return ESPY_OK;
    TRY(find_validation_layer(vk));
    TRY(find_extension(vk, VALIDATION_LAYER, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME, &features));
    info->enabledLayerCount = 1;
    request->extensions[info->enabledExtensionCount++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
    if (features) {
        request->extensions[info->enabledExtensionCount++] =
            VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME;
        request->messenger.pNext = &request->features;
    }
    info->pNext = &request->messenger; // also heard while the instance is made and destroyed
    return ESPY_OK;
}

espy_status espy_vk_instance_init(struct vk_instance *vk, const struct vk_device_params *params)
{
    espy_status status = ESPY_OK;
    struct instance_request request;
    VkResult result;
    vk->host = *params->host;
    const char *missing = espy_vk_table_load_global(&vk->table);
    if (missing != NULL)
        return espy_fail(&vk->host, ESPY_NO_DEVICE,
                         "the Vulkan loader has no %s: it is older than Vulkan 1.2; update it",
                         missing);
    if (params->hook != NULL)
        params->hook(params->hook_user, &vk->table, VK_TABLE_PART_GLOBAL);
    CHECK(check_version(vk));
    CHECK(fill_request(vk, params->validation, &request));
    result = vk->table.CreateInstance(&request.info, NULL, &vk->instance);
    if (result == VK_ERROR_INCOMPATIBLE_DRIVER) { // the loader's word for "no drivers"
        vk->instance = NULL;
        return ESPY_OK;
    }
    if (result < 0) {
        status = espy_vk_fail(vk, result, "vkCreateInstance");
        goto error;
    }
    missing = espy_vk_table_load_instance(&vk->table, vk->instance);
    if (missing != NULL) {
        status = espy_fail(&vk->host, ESPY_VULKAN_ERROR, "Vulkan: there is no %s", missing);
        goto error;
    }
    if (params->hook != NULL)
        params->hook(params->hook_user, &vk->table, VK_TABLE_PART_INSTANCE);
    if (params->validation && vk->table.CreateDebugUtilsMessengerEXT != NULL) {
        request.messenger.pNext = NULL;
        VK(vk, vk->table.CreateDebugUtilsMessengerEXT(vk->instance, &request.messenger, NULL,
                                                      &vk->messenger));
    }
    return ESPY_OK;
error:
    espy_vk_instance_finish(vk);
    return status;
}

void espy_vk_instance_finish(struct vk_instance *vk)
{
    if (vk->messenger != VK_NULL_HANDLE)
        vk->table.DestroyDebugUtilsMessengerEXT(vk->instance, vk->messenger, NULL);
    // A partly loaded table has no entry to destroy with; the instance is then lost to us.
    if (vk->instance != NULL && vk->table.DestroyInstance != NULL)
        vk->table.DestroyInstance(vk->instance, NULL);
    vk->messenger = VK_NULL_HANDLE;
    vk->instance = NULL;
}
