// --json: small helpers around cJSON.
#ifndef TOOLS_CLI_JSON_H_
#define TOOLS_CLI_JSON_H_

#include <cjson/cJSON.h>

#include "cli_log.h"
#include "espy/espy.h"

// Prints the object and a newline to standard output, and frees it. Returns result, or CLI_FAILED
// when something could not be made or written.
enum cli_exit espy_json_print(cJSON *json, enum cli_exit result);
void espy_json_add_shape(cJSON *json, const char *name, uint32_t rank, const int64_t *dims);
void espy_json_add_device(cJSON *json, const struct espy_device_info *info);
// Rounded to a thousandth, because digits behind that are noise.
void espy_json_add_ms(cJSON *json, const char *name, double ms);
// As text where it is not finite, which JSON cannot say: "nan", "inf", "-inf".
void espy_json_add_number(cJSON *json, const char *name, double value);

#endif // TOOLS_CLI_JSON_H_
