// What the programs that run ../shared's suites have in common.
#ifndef TESTS_SUITES_SUITE_H_
#define TESTS_SUITES_SUITE_H_

#include "support/compare.h"
#include "support/run_graph.h"
#include "support/test_host.h"

// The folder beside the project with models and suites that nobody here wrote; NULL when absent,
// which is said on stderr once.
const char *espy_suite_shared(void);

// Converts an ONNX file and sends the graph through the file format: import, passes, write, read.
struct suite_model {
    struct graph graph;
    void *bytes;
    size_t size;
    const struct host *host;
};
espy_status espy_suite_convert(const struct host *host, const char *path,
                               struct suite_model *model);
// The same with the hand-written form and a safetensors file.
espy_status espy_suite_convert_hand(const struct host *host, const char *path, const char *weights,
                                    struct suite_model *model);
void espy_suite_model_finish(struct suite_model *model);

// Reads a TensorProto file or an .npy file into the arena.
bool espy_suite_read_pb(const char *path, struct arena *arena, struct tensor *tensor, char *name,
                        size_t name_size);
bool espy_suite_read_npy(const char *path, struct arena *arena, struct tensor *tensor);
// Reads a whole file into the arena; NULL when it is not there.
void *espy_suite_read_bytes(const char *path, struct arena *arena, size_t *size);
// Reads a whole text file into the arena, NUL-terminated; NULL when it is not there.
char *espy_suite_read_text(const char *path, struct arena *arena);

#endif // TESTS_SUITES_SUITE_H_
