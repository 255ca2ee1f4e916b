#include "cli_json.h"

#include <math.h>

#include "cli_session.h"

enum cli_exit espy_json_print(cJSON *json, enum cli_exit result)
{
    char *text = cJSON_Print(json);
    cJSON_Delete(json);
    if (!text)
        return espy_cli_fail("out of memory printing JSON");
    (void)puts(text);
    cJSON_free(text);
    return result;
}

void espy_json_add_shape(cJSON *json, const char *name, uint32_t rank, const int64_t *dims)
{
    cJSON *shape = cJSON_AddArrayToObject(json, name);
    for (uint32_t i = 0; i < rank; i++)
        (void)cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)dims[i]));
}

void espy_json_add_device(cJSON *json, const struct espy_device_info *info)
{
    char version[48];
    cJSON *device = cJSON_AddObjectToObject(json, "device");
    (void)snprintf(version, sizeof version, "%u.%u.%u", info->api_version[0], info->api_version[1],
                   info->api_version[2]);
    (void)cJSON_AddNumberToObject(device, "index", info->index);
    (void)cJSON_AddStringToObject(device, "name", info->name);
    (void)cJSON_AddStringToObject(device, "type", espy_device_type_text(info->type));
    (void)cJSON_AddStringToObject(device, "driver", info->driver);
    (void)cJSON_AddStringToObject(device, "vulkan", version);
    (void)cJSON_AddNumberToObject(device, "vendor_id", info->vendor_id);
    (void)cJSON_AddNumberToObject(device, "device_id", info->device_id);
    (void)cJSON_AddNumberToObject(device, "memory_bytes", (double)info->memory_size);
    (void)cJSON_AddBoolToObject(device, "usable", info->usable);
    (void)cJSON_AddBoolToObject(device, "default", info->is_default);
    (void)cJSON_AddBoolToObject(device, "storage_float16", info->storage_float16);
    (void)cJSON_AddNumberToObject(device, "subgroup_size", info->subgroup_size);
}

void espy_json_add_ms(cJSON *json, const char *name, double ms)
{
    (void)cJSON_AddNumberToObject(json, name, round(ms * 1e3) / 1e3);
}

void espy_json_add_number(cJSON *json, const char *name, double value)
{
    if (isfinite(value))
        (void)cJSON_AddNumberToObject(json, name, value);
    else
        (void)cJSON_AddStringToObject(json, name,
                                      isnan(value) ? "nan"
                                      : value > 0  ? "inf"
                                                   : "-inf");
}
