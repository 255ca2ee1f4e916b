// Weights that a rule makes: ../shared/arch has architectures whose weights come from seeds.
#ifndef TESTS_SUITES_WEIGHTS_H_
#define TESTS_SUITES_WEIGHTS_H_

#include "base/base.h"

// Copies folder/model.onnx into `made`, a folder of this program's own (created when it is not
// there), and makes the weights beside it that folder/weights.lcg.json describes, whose SHA-256
// must be the one noted there. false: *error says why.
bool espy_suite_make_weights(const char *folder, const char *made, struct arena *arena, char *error,
                             size_t error_size);
// Removes what the function above has written, and the folder.
void espy_suite_remove_weights(const char *made);

#endif // TESTS_SUITES_WEIGHTS_H_
