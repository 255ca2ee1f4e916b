// A compiled shader as data: SPIR-V words and what shader_pack read out of them. Knows no Vulkan.
#ifndef RUNTIME_BASE_SHADER_H_
#define RUNTIME_BASE_SHADER_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHADER_BINDINGS_MAX = 12, SHADER_SPEC_MAX = 40, SHADER_PUSH_SIZE_MAX = 128 };

// A shader source is compiled once per entry of its line `// variants: f32 f16`, with VARIANT_F32
// or VARIANT_F16 defined. f32..i64 name how a tensor's elements lie in the buffer and are computed
// with; w16..w64 move elements of that many bits without looking at them. t32 is f32 whose vectors
// are read as texels (shaders/include/read4.glsl).
enum shader_variant {
    VARIANT_NONE, // the source has no `// variants:` line
    VARIANT_F32,
    VARIANT_F16,
    VARIANT_I32,
    VARIANT_U32,
    VARIANT_I64,
    VARIANT_W16,
    VARIANT_W32,
    VARIANT_W64,
    VARIANT_T32,
    VARIANT_COUNT
};

enum shader_binding_kind {
    BINDING_UNUSED, // the variant's compiler dropped the binding, or a gap in the numbers
    BINDING_BUFFER,         // storage buffer
    BINDING_UNIFORM_TEXELS, // texelFetch through a buffer view
    BINDING_STORAGE_TEXELS  // imageLoad/imageStore through a buffer view
};

struct shader_binding {
    const char *name; // of the block or variable in the source
    enum shader_binding_kind kind;
    bool writes;      // false: declared readonly
};

struct shader {
    const char *name; // file stem, with ".f16" and so on where there are variants
    const uint32_t *words;
    size_t words_size; // bytes
    uint32_t push_size;    // bytes of the push-constant block, 0 for none
    uint32_t spec_count;   // members of struct <kernel>_spec
    uint32_t binding_count; // highest binding number + 1, all in descriptor set 0
    bool uses_subgroups;   // declares a GroupNonUniform capability
    bool uses_storage16;
    bool uses_matrices; // cooperative matrices; 16-bit floats and Vulkan's memory model with them
    uint32_t spec_ids[SHADER_SPEC_MAX]; // SpecId of each member, ascending
    struct shader_binding bindings[SHADER_BINDINGS_MAX];
};

// Shaders are static data of every operator that includes them, so words tell them apart, not
// addresses.
bool espy_shader_same(const struct shader *a, const struct shader *b);

// All variants of one source; an entry is NULL where that variant does not exist.
struct shader_set {
    const char *name;
    const struct shader *variants[VARIANT_COUNT];
};

#endif // RUNTIME_BASE_SHADER_H_
