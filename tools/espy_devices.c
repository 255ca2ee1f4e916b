// `espy devices`: what there is to run on.
#include <stdlib.h>

#include "cli_json.h"
#include "cli_session.h"
#include "espy_commands.h"

struct options {
    bool json, verbose;
};

static const struct cli_option option_rows[] = {
    {"json", 0, CLI_FLAG, offsetof(struct options, json), NULL,
     "Prints one JSON object instead of text.", 0, 0},
    {"verbose", 'v', CLI_FLAG, offsetof(struct options, verbose), NULL,
     "Prints the library's notes too.", 0, 0},
    {0}};

static void print_text(const struct espy_device_info *infos, uint32_t count)
{
    char name[256], driver[256];
    for (uint32_t i = 0; i < count; i++) {
        const struct espy_device_info *info = &infos[i];
        (void)printf("%u  %s%s\n"
                     "   %s, Vulkan %u.%u.%u, %.1f GiB, subgroups of %u%s%s\n"
                     "   driver %s\n",
                     info->index, espy_cli_clean(info->name, name, sizeof name),
                     info->is_default ? "  (used when --device is not given)" : "",
                     espy_device_type_text(info->type), info->api_version[0], info->api_version[1],
                     info->api_version[2], (double)info->memory_size / (1 << 30),
                     info->subgroup_size, info->storage_float16 ? ", float16 storage" : "",
                     info->usable ? "" : ", NOT USABLE (needs Vulkan 1.2 and a compute queue)",
                     espy_cli_clean(info->driver, driver, sizeof driver));
    }
}

static enum cli_exit print_json(const struct espy_device_info *infos, uint32_t count,
                                enum cli_exit result)
{
    cJSON *json = cJSON_CreateObject();
    cJSON *devices = cJSON_AddArrayToObject(json, "devices");
    for (uint32_t i = 0; i < count; i++) {
        cJSON *holder = cJSON_CreateObject();
        espy_json_add_device(holder, &infos[i]);
        (void)cJSON_AddItemToArray(devices, cJSON_DetachItemFromObject(holder, "device"));
        cJSON_Delete(holder);
    }
    return espy_json_print(json, result);
}

static enum cli_exit list_devices(espy_context *context, bool json)
{
    uint32_t count = 0;
    espy_status status = espy_device_list(context, NULL, &count);
    if (status != ESPY_OK)
        return espy_cli_exit_of(status);
    struct espy_device_info *infos = calloc(count ? count : 1, sizeof *infos);
    if (!infos)
        return espy_cli_fail("out of memory");
    status = espy_device_list(context, infos, &count);
    enum cli_exit result = espy_cli_exit_of(status);
    if (status == ESPY_OK && count == 0) {
        (void)espy_cli_fail("no Vulkan device was found; install your GPU's Vulkan driver, or the "
                            "software driver (Debian: apt install mesa-vulkan-drivers)");
        result = CLI_NO_DEVICE;
    }
    if (status == ESPY_OK && json)
        result = print_json(infos, count, result);
    else if (status == ESPY_OK)
        print_text(infos, count);
    free(infos);
    return result;
}

static int run_devices(const struct cli_command *command, int argc, char **argv)
{
    struct options options = {0};
    uint32_t operand_count;
    enum cli_exit result = espy_args_parse(command, argc, argv, &options, NULL, &operand_count);
    if (result != CLI_GO_ON)
        return result;
    struct cli_session session = {0};
    const struct cli_common common = {.verbose = options.verbose};
    result = espy_cli_open_context(&session, &common);
    if (result == CLI_GO_ON)
        result = list_devices(session.context, options.json);
    espy_cli_close(&session);
    return espy_cli_finish_output(result);
}

const struct cli_command espy_command_devices = {
    .name = "devices",
    .summary = "lists the Vulkan devices that models can run on",
    .arguments = "",
    .options = option_rows,
    .run = run_devices,
};
