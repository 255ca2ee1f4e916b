// Cooperative matrices for shader_pack: SPIR-V of SPV_NV_cooperative_matrix, which is what Debian's
// glslang 12 knows, becomes SPIR-V of SPV_KHR_cooperative_matrix, which is what drivers offer.
#ifndef TOOLS_SHADER_MATRIX_H_
#define TOOLS_SHADER_MATRIX_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Whether a module declares NVIDIA's capability. Instructions' lengths must be sound.
bool shader_matrix_found(const uint32_t *words, size_t count);
// How many words more than count the translation may need.
size_t shader_matrix_room(const uint32_t *words, size_t count);
// Translates into `to` and returns the number of words there; 0: *why says what is not as the
// translation expects it. The two kinds of factors must have types of their own, and every matrix
// that is multiplied must come from a load.
size_t shader_matrix_translate(const uint32_t *words, size_t count, uint32_t *to, const char **why);

#endif // TOOLS_SHADER_MATRIX_H_
