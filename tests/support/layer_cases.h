// Cases of the layer language as data: tests/layers/*.json, which make_cases.py beside them wrote.
#ifndef TESTS_SUPPORT_LAYER_CASES_H_
#define TESTS_SUPPORT_LAYER_CASES_H_

#include <cjson/cJSON.h>

#include "op/op.h"

// The file's "cases"; the root is to be given to cJSON_Delete. Fails the test where it cannot.
cJSON *espy_test_read_layer_cases(const char *stem, const cJSON **cases);
// {"dtype": ..., "shape": [...], "data": [...]}; floats as dtype.
struct tensor espy_test_layer_tensor(const cJSON *item, espy_dtype dtype, struct arena *arena);
// Writes tensors by name as a safetensors file.
void espy_test_write_safetensors(const char *path, const cJSON *tensors, struct arena *arena);

enum layer_case_sizes {
    LAYER_SIZES_EXACT,  // as the input's
    LAYER_SIZES_BATCH,  // the first dimension is a symbol
    LAYER_SIZES_PICTURE // so are those after the second
};
// The network that a case means, as JSON text; free it with cJSON_free. Inputs that are float32 in
// the case have dtype.
char *espy_test_layer_network(const cJSON *layer_case, enum layer_case_sizes sizes,
                              const char *dtype);

#endif // TESTS_SUPPORT_LAYER_CASES_H_
