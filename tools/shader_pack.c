// Packs the SPIR-V of all variants of one kernel into a C header: the words, the push-constant
// block and the specialization constants as structs, and the bindings as data
// (runtime/base/shader.h).
//
//     shader_pack KERNEL OUT.h VARIANT=FILE.spv [VARIANT=FILE.spv ...]
//
// Whatever the header could not describe faithfully is an error here, at build time.
#include "base/shader.h"
#include "shader_matrix.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_SIZE_MAX = 64,
    SPIRV_SIZE_MAX = 16 << 20,
    SPIRV_BOUND_MAX = 4194303, // the universal limit of the SPIR-V specification
    SPIRV_HEADER_WORDS = 5,
    PUSH_MEMBERS_MAX = SHADER_PUSH_SIZE_MAX / 4,
    HEADER_WORDS_PER_LINE = 8
};

// The part of SPIR-V that matters here, with the specification's numbers.
enum {
    OP_NAME = 5,
    OP_MEMBER_NAME = 6,
    OP_ENTRY_POINT = 15,
    OP_CAPABILITY = 17,
    OP_TYPE_FIRST = 19,
    OP_TYPE_INT = 21,
    OP_TYPE_FLOAT = 22,
    OP_TYPE_VECTOR = 23,
    OP_TYPE_IMAGE = 25,
    OP_TYPE_SAMPLED_IMAGE = 27,
    OP_TYPE_ARRAY = 28,
    OP_TYPE_STRUCT = 30,
    OP_TYPE_POINTER = 32,
    OP_TYPE_LAST = 38, // 39 is OpTypeForwardPointer, which defines nothing
    OP_CONSTANT_FIRST = 41,
    OP_CONSTANT = 43,
    OP_CONSTANT_COMPOSITE = 44,
    OP_SPEC_CONSTANT_TRUE = 48,
    OP_SPEC_CONSTANT_FALSE = 49,
    OP_SPEC_CONSTANT = 50,
    OP_SPEC_CONSTANT_COMPOSITE = 51,
    OP_CONSTANT_LAST = 52,
    OP_VARIABLE = 59,
    OP_DECORATE = 71,
    OP_MEMBER_DECORATE = 72,
    OP_EXECUTION_MODE_ID = 331,

    DECORATION_SPEC_ID = 1,
    DECORATION_BUFFER_BLOCK = 3,
    DECORATION_ARRAY_STRIDE = 6,
    DECORATION_BUILT_IN = 11,
    DECORATION_NON_WRITABLE = 24,
    DECORATION_BINDING = 33,
    DECORATION_DESCRIPTOR_SET = 34,
    DECORATION_OFFSET = 35,

    STORAGE_UNIFORM_CONSTANT = 0,
    STORAGE_UNIFORM = 2,
    STORAGE_PUSH_CONSTANT = 9,
    STORAGE_STORAGE_BUFFER = 12,

    BUILT_IN_WORKGROUP_SIZE = 25,
    EXECUTION_MODEL_GL_COMPUTE = 5,
    EXECUTION_MODE_LOCAL_SIZE_ID = 38,
    IMAGE_DIM_BUFFER = 5
};

static const struct {
    const char *name, *enumerator;
} variant_names[] = {
    {"none", "VARIANT_NONE"}, {"f32", "VARIANT_F32"}, {"f16", "VARIANT_F16"},
    {"i32", "VARIANT_I32"},   {"u32", "VARIANT_U32"}, {"i64", "VARIANT_I64"},
    {"w16", "VARIANT_W16"},   {"w32", "VARIANT_W32"}, {"w64", "VARIANT_W64"},
    {"t32", "VARIANT_T32"},
};
static_assert(sizeof variant_names / sizeof *variant_names == VARIANT_COUNT,
              "one name per variant");

static const char *const binding_kind_names[] = {
    "BINDING_UNUSED", "BINDING_BUFFER", "BINDING_UNIFORM_TEXELS", "BINDING_STORAGE_TEXELS"};
static_assert(BINDING_STORAGE_TEXELS == 3, "binding_kind_names is in the order of the enum");

enum scalar { SCALAR_UINT, SCALAR_INT, SCALAR_FLOAT };
static const char *const scalar_names[] = {"uint32_t", "int32_t", "float"};

// One SPIR-V file. Strings are read from the bytes, everything else from the words, so that the
// host's byte order does not matter.
struct module {
    const char *label; // "kernel.variant", for messages
    uint8_t *bytes;
    uint32_t *words;
    size_t word_count;
    uint32_t bound;
    const uint32_t **definitions; // by id; types, constants and variables only
};

struct push_member {
    const char *name;
    enum scalar type;
    uint32_t offset;
    uint32_t count; // elements, 0 for a scalar
};

struct push_block {
    uint32_t size; // 0 if the variant has none
    uint32_t member_count;
    struct push_member members[PUSH_MEMBERS_MAX]; // ascending by offset
};

struct spec {
    uint32_t id;
    char name[NAME_SIZE_MAX];
    enum scalar type;
    uint32_t value; // bits of the default
    bool is_local_size;
    bool is_default_explicit;  // the source writes the default of a constant, not of a workgroup
    bool has_default_conflict; // between variants
};

struct variant {
    char label[2 * NAME_SIZE_MAX];
    struct module module;
    struct push_block push;
    struct shader_binding bindings[SHADER_BINDINGS_MAX];
    bool is_present;
    bool uses_subgroups, uses_storage16, uses_matrices;
};

struct kernel {
    const char *name;
    struct variant variants[VARIANT_COUNT];
    struct push_block push;
    uint32_t spec_count;
    struct spec specs[SHADER_SPEC_MAX]; // ascending by id
    uint32_t binding_count;
    const char *binding_names[SHADER_BINDINGS_MAX];
};

static _Noreturn void fail(const char *label, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    // A name out of a broken file must not break the line.
    for (char *c = text; *c; c++) {
        if (*c > 0 && *c < ' ')
            *c = '?';
    }
    fprintf(stderr, "shader_pack: %s: %s\n", label, text);
    exit(EXIT_FAILURE);
}

static void *allocate(const char *label, size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        fail(label, "out of memory");
    return memory;
}

// Reading a module -------------------------------------------------------------------------------

static uint32_t opcode(const uint32_t *instruction)
{
    return instruction[0] & 0xffff;
}

static uint32_t length(const uint32_t *instruction)
{
    return instruction[0] >> 16;
}

static const uint32_t *first_instruction(const struct module *module)
{
    return module->words + SPIRV_HEADER_WORDS;
}

static bool is_inside(const struct module *module, const uint32_t *instruction)
{
    return instruction < module->words + module->word_count;
}

// The word of an instruction which holds the id that it defines, 0 if that id is of no interest.
static uint32_t result_index(const uint32_t *instruction)
{
    uint32_t op = opcode(instruction);
    if (op >= OP_TYPE_FIRST && op <= OP_TYPE_LAST)
        return 1;
    if ((op >= OP_CONSTANT_FIRST && op <= OP_CONSTANT_LAST) || op == OP_VARIABLE)
        return 2;
    return 0;
}

static uint32_t length_min(const uint32_t *instruction)
{
    switch (opcode(instruction)) {
    case OP_CAPABILITY:
        return 2;
    case OP_NAME:
    case OP_TYPE_FLOAT:
    case OP_TYPE_SAMPLED_IMAGE:
    case OP_CONSTANT_COMPOSITE:
    case OP_SPEC_CONSTANT_TRUE:
    case OP_SPEC_CONSTANT_FALSE:
    case OP_SPEC_CONSTANT_COMPOSITE:
    case OP_DECORATE:
    case OP_EXECUTION_MODE_ID:
        return 3;
    case OP_MEMBER_NAME:
    case OP_ENTRY_POINT:
    case OP_TYPE_INT:
    case OP_TYPE_VECTOR:
    case OP_TYPE_ARRAY:
    case OP_TYPE_POINTER:
    case OP_CONSTANT:
    case OP_SPEC_CONSTANT:
    case OP_VARIABLE:
    case OP_MEMBER_DECORATE:
        return 4;
    case OP_TYPE_IMAGE:
        return 9;
    default:
        return result_index(instruction) + 1;
    }
}

static bool decoration_has_value(uint32_t decoration)
{
    return decoration == DECORATION_SPEC_ID || decoration == DECORATION_ARRAY_STRIDE ||
           decoration == DECORATION_BUILT_IN || decoration == DECORATION_BINDING ||
           decoration == DECORATION_DESCRIPTOR_SET || decoration == DECORATION_OFFSET;
}

static const char *instruction_string(const struct module *module, const uint32_t *instruction,
                                      uint32_t index)
{
    const char *string =
        (const char *)module->bytes + 4 * (size_t)(instruction + index - module->words);
    if (!memchr(string, 0, 4 * (size_t)(length(instruction) - index)))
        fail(module->label, "malformed SPIR-V: a string has no end");
    return string;
}

// After this, every instruction that is looked at later is as long as its reader expects.
static void check_instruction(const struct module *module, const uint32_t *instruction)
{
    uint32_t words_min = length_min(instruction);
    if (length(instruction) >= words_min) {
        if (opcode(instruction) == OP_DECORATE && decoration_has_value(instruction[2]))
            words_min = 4;
        if (opcode(instruction) == OP_MEMBER_DECORATE && decoration_has_value(instruction[3]))
            words_min = 5;
        if (opcode(instruction) == OP_EXECUTION_MODE_ID &&
            instruction[2] == EXECUTION_MODE_LOCAL_SIZE_ID)
            words_min = 6;
    }
    if (length(instruction) < words_min)
        fail(module->label, "malformed SPIR-V: instruction %u at word %zu is too short",
             (unsigned)opcode(instruction), (size_t)(instruction - module->words));

    if (opcode(instruction) == OP_NAME)
        (void)instruction_string(module, instruction, 2);
    if (opcode(instruction) == OP_MEMBER_NAME)
        (void)instruction_string(module, instruction, 3);
}

static void read_words(struct module *module, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        fail(module->label, "cannot open %s: %s", path, strerror(errno));
    module->bytes = allocate(module->label, SPIRV_SIZE_MAX + 1, 1);
    size_t size = fread(module->bytes, 1, SPIRV_SIZE_MAX + 1, file);
    bool is_read = !ferror(file);
    fclose(file);
    if (!is_read)
        fail(module->label, "cannot read %s", path);
    if (size > SPIRV_SIZE_MAX)
        fail(module->label, "%s is larger than %d bytes", path, SPIRV_SIZE_MAX);
    if (size % 4 != 0 || size < 4 * SPIRV_HEADER_WORDS)
        fail(module->label, "%s is not SPIR-V: %zu bytes", path, size);

    module->word_count = size / 4;
    module->words = allocate(module->label, module->word_count, 4);
    for (size_t i = 0; i < module->word_count; i++) {
        const uint8_t *bytes = module->bytes + 4 * i;
        module->words[i] = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                           (uint32_t)bytes[3] << 24;
    }
    if (module->words[0] != 0x07230203)
        fail(module->label, "%s is not little-endian SPIR-V", path);
}

// The sizes of all instructions, without which nothing can be found.
static void check_lengths(const struct module *module)
{
    const uint32_t *instruction = first_instruction(module);
    for (; is_inside(module, instruction); instruction += length(instruction)) {
        const size_t position = (size_t)(instruction - module->words);
        if (length(instruction) == 0 || length(instruction) > module->word_count - position)
            fail(module->label, "malformed SPIR-V: bad instruction length at word %zu", position);
    }
}

static void translate_matrices(struct module *module)
{
    const char *why;
    if (!shader_matrix_found(module->words, module->word_count))
        return;
    const size_t room = module->word_count + shader_matrix_room(module->words, module->word_count);
    uint32_t *words = allocate(module->label, room, 4);
    module->word_count = shader_matrix_translate(module->words, module->word_count, words, &why);
    if (module->word_count == 0)
        fail(module->label, "cooperative matrices: %s", why);
    free(module->words);
    free(module->bytes);
    module->words = words;
    module->bytes = allocate(module->label, module->word_count, 4);
    for (size_t i = 0; i < 4 * module->word_count; i++)
        module->bytes[i] = (uint8_t)(words[i / 4] >> i % 4 * 8);
}

static void module_read(struct module *module, const char *label, const char *path)
{
    module->label = label;
    read_words(module, path);
    check_lengths(module);
    translate_matrices(module);
    module->bound = module->words[3];
    if (module->bound > SPIRV_BOUND_MAX)
        fail(label, "%s: id bound is above %d", path, SPIRV_BOUND_MAX);
    module->definitions = allocate(label, (size_t)module->bound + 1, sizeof *module->definitions);

    const uint32_t *instruction = first_instruction(module);
    for (; is_inside(module, instruction); instruction += length(instruction)) {
        check_instruction(module, instruction);
        uint32_t result = result_index(instruction);
        if (result == 0)
            continue;
        uint32_t id = instruction[result];
        if (id == 0 || id >= module->bound || module->definitions[id])
            fail(label, "malformed SPIR-V: id %" PRIu32 " is out of bounds or defined twice", id);
        module->definitions[id] = instruction;
    }
}

static void module_finish(struct module *module)
{
    free((void *)module->definitions);
    free(module->words);
    free(module->bytes);
}

static const uint32_t *definition(const struct module *module, uint32_t id)
{
    if (id >= module->bound || !module->definitions[id])
        fail(module->label, "malformed SPIR-V: id %" PRIu32 " is not defined", id);
    return module->definitions[id];
}

static const char *name_of(const struct module *module, uint32_t id)
{
    const uint32_t *i = first_instruction(module);
    for (; is_inside(module, i); i += length(i)) {
        if (opcode(i) == OP_NAME && i[1] == id)
            return instruction_string(module, i, 2);
    }
    return "";
}

static const char *member_name_of(const struct module *module, uint32_t id, uint32_t member)
{
    const uint32_t *i = first_instruction(module);
    for (; is_inside(module, i); i += length(i)) {
        if (opcode(i) == OP_MEMBER_NAME && i[1] == id && i[2] == member)
            return instruction_string(module, i, 3);
    }
    return "";
}

// The operands of the decoration, NULL if the id does not have it.
static const uint32_t *decoration_of(const struct module *module, uint32_t id, uint32_t decoration)
{
    const uint32_t *i = first_instruction(module);
    for (; is_inside(module, i); i += length(i)) {
        if (opcode(i) == OP_DECORATE && i[1] == id && i[2] == decoration)
            return i + 3;
    }
    return NULL;
}

static const uint32_t *member_decoration_of(const struct module *module, uint32_t id,
                                            uint32_t member, uint32_t decoration)
{
    const uint32_t *i = first_instruction(module);
    for (; is_inside(module, i); i += length(i)) {
        if (opcode(i) == OP_MEMBER_DECORATE && i[1] == id && i[2] == member && i[3] == decoration)
            return i + 4;
    }
    return NULL;
}

// A 32-bit number; bool is not one, because it has no layout.
static bool read_scalar(const uint32_t *type, enum scalar *scalar)
{
    if (opcode(type) == OP_TYPE_INT && type[2] == 32)
        *scalar = type[3] ? SCALAR_INT : SCALAR_UINT;
    else if (opcode(type) == OP_TYPE_FLOAT && type[2] == 32)
        *scalar = SCALAR_FLOAT;
    else
        return false;
    return true;
}

// What C can call a member ------------------------------------------------------------------------

static bool is_identifier(const char *name)
{
    static const char letters[] = "_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char all[] = "_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t size = strlen(name);
    return size > 0 && size < NAME_SIZE_MAX && strchr(letters, name[0]) &&
           strspn(name, all) == size;
}

static bool is_member_name(const char *name)
{
    static const char *const keywords[] = {
        "auto",     "break",  "case",   "char",     "const",    "continue", "default",  "do",
        "double",   "else",   "enum",   "extern",   "float",    "for",      "goto",     "if",
        "inline",   "int",    "long",   "register", "restrict", "return",   "short",    "signed",
        "sizeof",   "static", "struct", "switch",   "typedef",  "union",    "unsigned", "void",
        "volatile", "while",  "bool",   "true",     "false",
    };
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++) {
        if (strcmp(name, keywords[i]) == 0)
            return false;
    }
    return is_identifier(name);
}

// Capabilities ------------------------------------------------------------------------------------

static bool has_capability(const struct module *module, uint32_t capability)
{
    const uint32_t *i = first_instruction(module);
    for (; is_inside(module, i); i += length(i))
        if (opcode(i) == OP_CAPABILITY && i[1] == capability)
            return true;
    return false;
}

// A capability outside this list asks for a device feature that struct shader has no field for, so
// the runtime would not know that it must enable it.
static void read_capability(struct variant *variant, uint32_t capability)
{
    switch (capability) {
    case 0:  // Matrix
    case 1:  // Shader
    case 46: // SampledBuffer
    case 47: // ImageBuffer
    case 50: // ImageQuery
        break;
    case 4433: // StorageBuffer16BitAccess
        variant->uses_storage16 = true;
        break;
    case 6022: // CooperativeMatrixKHR
        variant->uses_matrices = true;
        break;
    case 61: // GroupNonUniform
    case 62: // GroupNonUniformVote
    case 63: // GroupNonUniformArithmetic
    case 64: // GroupNonUniformBallot
    case 65: // GroupNonUniformShuffle
    case 66: // GroupNonUniformShuffleRelative
    case 67: // GroupNonUniformClustered
    case 68: // GroupNonUniformQuad
        variant->uses_subgroups = true;
        break;
    case 9:    // Float16
    case 5345: // VulkanMemoryModel
        if (has_capability(&variant->module, 6022)) // the runtime enables all three together
            break;
        // fall through
    default:
        fail(variant->label,
             "uses SPIR-V capability %" PRIu32 "%s, which struct shader does not describe",
             capability,
             capability == 9      ? " (Float16: 16-bit arithmetic)"
             : capability == 10   ? " (Float64)"
             : capability == 22   ? " (Int16: 16-bit arithmetic)"
             : capability == 39   ? " (Int8)"
             : capability == 49   ? " (StorageImageExtendedFormats)"
             : capability == 4434 ? " (UniformAndStorageBuffer16BitAccess)"
             : capability == 4435 ? " (StoragePushConstant16)"
             : capability == 4448 ? " (StorageBuffer8BitAccess)"
                                  : "");
    }
}

static void read_capabilities(struct variant *variant)
{
    const struct module *module = &variant->module;
    uint32_t entry_point_count = 0;
    const uint32_t *i = first_instruction(module);
    for (; is_inside(module, i); i += length(i)) {
        if (opcode(i) == OP_CAPABILITY)
            read_capability(variant, i[1]);
        if (opcode(i) == OP_ENTRY_POINT) {
            entry_point_count++;
            if (i[1] != EXECUTION_MODEL_GL_COMPUTE ||
                strcmp(instruction_string(module, i, 3), "main") != 0)
                fail(variant->label, "the entry point is not a compute shader's main");
        }
    }
    if (entry_point_count != 1)
        fail(variant->label, "%" PRIu32 " entry points, expected 1", entry_point_count);
}

// The push-constant block -------------------------------------------------------------------------

static void read_push_type(const struct module *module, uint32_t type_id,
                           struct push_member *member)
{
    const uint32_t *type = definition(module, type_id);
    member->count = 0;
    if (read_scalar(type, &member->type))
        return;
    if (opcode(type) == OP_TYPE_VECTOR && read_scalar(definition(module, type[2]), &member->type)) {
        member->count = type[3];
        return;
    }
    if (opcode(type) == OP_TYPE_ARRAY && read_scalar(definition(module, type[2]), &member->type)) {
        const uint32_t *stride = decoration_of(module, type_id, DECORATION_ARRAY_STRIDE);
        const uint32_t *count = definition(module, type[3]);
        if (stride && *stride == 4 && opcode(count) == OP_CONSTANT) {
            member->count = count[3];
            return;
        }
    }
    fail(module->label,
         "push constant %s is neither a 32-bit scalar, nor a vector, nor an array with stride 4 of "
         "them",
         member->name);
}

static int compare_push_members(const void *left, const void *right)
{
    const struct push_member *a = left, *b = right;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

static uint32_t push_member_end(const struct push_member *member)
{
    return member->offset + 4 * (member->count ? member->count : 1);
}

static void read_push_block(const struct module *module, uint32_t struct_id,
                            struct push_block *push)
{
    const uint32_t *type = definition(module, struct_id);
    if (opcode(type) != OP_TYPE_STRUCT)
        fail(module->label, "the push constant is not a block");
    if (push->member_count > 0)
        fail(module->label, "more than one push-constant block");
    if (length(type) - 2 > PUSH_MEMBERS_MAX)
        fail(module->label, "the push block is larger than %d bytes", SHADER_PUSH_SIZE_MAX);

    push->member_count = length(type) - 2;
    for (uint32_t i = 0; i < push->member_count; i++) {
        struct push_member *member = &push->members[i];
        member->name = member_name_of(module, struct_id, i);
        if (!is_member_name(member->name))
            fail(module->label, "push constant %" PRIu32 " \"%s\" has no name that C could use", i,
                 member->name);
        read_push_type(module, type[2 + i], member);
        const uint32_t *offset = member_decoration_of(module, struct_id, i, DECORATION_OFFSET);
        if (!offset || *offset % 4 != 0)
            fail(module->label, "push constant %s has no offset that 4 divides", member->name);
        member->offset = *offset;
        if (member->offset > SHADER_PUSH_SIZE_MAX || member->count > SHADER_PUSH_SIZE_MAX ||
            push_member_end(member) > SHADER_PUSH_SIZE_MAX)
            fail(module->label, "push constant %s ends past %d bytes", member->name,
                 SHADER_PUSH_SIZE_MAX);
    }

    qsort(push->members, push->member_count, sizeof *push->members, compare_push_members);
    for (uint32_t i = 0; i < push->member_count; i++) {
        if (push->members[i].offset < push->size)
            fail(module->label, "push constant %s overlaps the one before", push->members[i].name);
        push->size = push_member_end(&push->members[i]);
    }
}

// A variant that uses no push constant has no block; it is given the same bytes as the others.
static void merge_push(struct kernel *kernel, const struct variant *variant)
{
    const struct push_block *push = &variant->push;
    if (push->member_count == 0)
        return;
    if (kernel->push.member_count == 0) {
        kernel->push = *push;
        return;
    }
    bool is_equal = push->member_count == kernel->push.member_count;
    for (uint32_t i = 0; is_equal && i < push->member_count; i++) {
        const struct push_member *a = &push->members[i], *b = &kernel->push.members[i];
        is_equal = strcmp(a->name, b->name) == 0 && a->type == b->type && a->offset == b->offset &&
                   a->count == b->count;
    }
    if (!is_equal)
        fail(variant->label, "the push block differs from that of another variant");
}

// Bindings ----------------------------------------------------------------------------------------

static bool is_written(const struct module *module, uint32_t variable_id, uint32_t struct_id)
{
    if (decoration_of(module, variable_id, DECORATION_NON_WRITABLE))
        return false;
    const uint32_t *type = definition(module, struct_id);
    for (uint32_t i = 0; i < length(type) - 2; i++) {
        if (!member_decoration_of(module, struct_id, i, DECORATION_NON_WRITABLE))
            return true;
    }
    return false;
}

// Returns false for what is no storage buffer and no texel buffer.
static bool read_resource(const struct module *module, const uint32_t *variable, uint32_t type_id,
                          struct shader_binding *binding)
{
    const uint32_t *type = definition(module, type_id);
    binding->name = name_of(module, variable[2]);
    if (variable[3] == STORAGE_STORAGE_BUFFER || variable[3] == STORAGE_UNIFORM) {
        bool is_buffer = variable[3] == STORAGE_STORAGE_BUFFER ||
                         decoration_of(module, type_id, DECORATION_BUFFER_BLOCK);
        if (opcode(type) != OP_TYPE_STRUCT || !is_buffer)
            return false;
        if (!*binding->name)
            binding->name = name_of(module, type_id);
        binding->kind = BINDING_BUFFER;
        binding->writes = is_written(module, variable[2], type_id);
        return true;
    }

    if (opcode(type) == OP_TYPE_SAMPLED_IMAGE)
        type = definition(module, type[2]);
    if (opcode(type) != OP_TYPE_IMAGE || type[3] != IMAGE_DIM_BUFFER || type[7] < 1 || type[7] > 2)
        return false;
    binding->kind = type[7] == 1 ? BINDING_UNIFORM_TEXELS : BINDING_STORAGE_TEXELS;
    binding->writes = binding->kind == BINDING_STORAGE_TEXELS &&
                      !decoration_of(module, variable[2], DECORATION_NON_WRITABLE);
    return true;
}

// The runtime binds texels of four components where a name ends in 4, else of one; a view of another
// format than the shader declares reads other numbers without a word from drivers.
static void check_texel_name(const struct variant *variant, const struct shader_binding *binding,
                             const uint32_t *type)
{
    enum {
        UNKNOWN = 0,
        RGBA32F = 1,
        RGBA16F = 2,
        RGBA32I = 21,
        RGBA16I = 22,
        RGBA32UI = 30,
        RGBA16UI = 31
    };
    const uint32_t format = type[8];
    const bool four = format == RGBA32F || format == RGBA16F || format == RGBA32I ||
                      format == RGBA16I || format == RGBA32UI || format == RGBA16UI;
    const size_t size = strlen(binding->name);
    const bool named_four = size > 0 && binding->name[size - 1] == '4';
    if (binding->kind == BINDING_STORAGE_TEXELS && format != UNKNOWN && four != named_four)
        fail(variant->label, "%s has texels of %s: its name must%s end in 4", binding->name,
             four ? "four components" : "one component", four ? "" : " not");
}

static void read_binding(struct variant *variant, const uint32_t *variable, uint32_t type_id)
{
    const struct module *module = &variant->module;
    struct shader_binding binding = {0};
    bool is_known = read_resource(module, variable, type_id, &binding);
    if (!is_identifier(binding.name))
        fail(variant->label, "a resource has no usable name: \"%s\"", binding.name);
    if (!is_known)
        fail(variant->label, "%s is neither a storage buffer nor a texel buffer", binding.name);
    if (binding.kind == BINDING_STORAGE_TEXELS)
        check_texel_name(variant, &binding, definition(module, type_id));

    const uint32_t *set = decoration_of(module, variable[2], DECORATION_DESCRIPTOR_SET);
    if (set && *set != 0)
        fail(variant->label, "%s is in descriptor set %" PRIu32 ", not 0", binding.name, *set);
    const uint32_t *number = decoration_of(module, variable[2], DECORATION_BINDING);
    if (!number)
        fail(variant->label, "%s has no binding number", binding.name);
    if (*number >= SHADER_BINDINGS_MAX)
        fail(variant->label, "%s has binding %" PRIu32 ", the highest is %d", binding.name, *number,
             SHADER_BINDINGS_MAX - 1);

    struct shader_binding *slot = &variant->bindings[*number];
    if (slot->kind == BINDING_UNUSED) {
        *slot = binding;
    } else if (slot->kind != binding.kind) {
        fail(variant->label, "%s and %s share binding %" PRIu32 " but differ in kind", slot->name,
             binding.name, *number);
    } else {
        // Two views of one buffer; it is written if either is.
        slot->writes = slot->writes || binding.writes;
    }
}

static void read_variables(struct variant *variant)
{
    const struct module *module = &variant->module;
    const uint32_t *i = first_instruction(module);
    for (; is_inside(module, i); i += length(i)) {
        if (opcode(i) != OP_VARIABLE)
            continue;
        uint32_t storage = i[3];
        if (storage != STORAGE_PUSH_CONSTANT && storage != STORAGE_STORAGE_BUFFER &&
            storage != STORAGE_UNIFORM && storage != STORAGE_UNIFORM_CONSTANT)
            continue;
        const uint32_t *pointer = definition(module, i[1]);
        if (opcode(pointer) != OP_TYPE_POINTER)
            fail(variant->label, "malformed SPIR-V: a variable is not a pointer");
        if (storage == STORAGE_PUSH_CONSTANT)
            read_push_block(module, pointer[3], &variant->push);
        else
            read_binding(variant, i, pointer[3]);
    }
}

static void merge_bindings(struct kernel *kernel, const struct variant *variant)
{
    for (uint32_t i = 0; i < SHADER_BINDINGS_MAX; i++) {
        if (variant->bindings[i].kind == BINDING_UNUSED)
            continue;
        if (!kernel->binding_names[i])
            kernel->binding_names[i] = variant->bindings[i].name;
        if (kernel->binding_count <= i)
            kernel->binding_count = i + 1;
    }
}

// Specialization constants ------------------------------------------------------------------------

// 0..2 for x..z if the constant is a dimension of the workgroup, else 3.
static uint32_t local_size_axis(const struct module *module, uint32_t constant_id)
{
    const uint32_t *i = first_instruction(module);
    for (; is_inside(module, i); i += length(i)) {
        const uint32_t *axes = NULL;
        if (opcode(i) == OP_EXECUTION_MODE_ID && i[2] == EXECUTION_MODE_LOCAL_SIZE_ID)
            axes = i + 3;
        if (opcode(i) == OP_DECORATE && i[2] == DECORATION_BUILT_IN &&
            i[3] == BUILT_IN_WORKGROUP_SIZE) {
            const uint32_t *composite = definition(module, i[1]);
            if (opcode(composite) != OP_CONSTANT_COMPOSITE &&
                opcode(composite) != OP_SPEC_CONSTANT_COMPOSITE)
                continue;
            if (length(composite) != 6)
                fail(module->label,
                     "malformed SPIR-V: the workgroup size has not three components");
            axes = composite + 3;
        }
        for (uint32_t axis = 0; axes && axis < 3; axis++) {
            if (axes[axis] == constant_id)
                return axis;
        }
    }
    return 3;
}

static void name_spec(const struct module *module, uint32_t constant_id, struct spec *spec)
{
    static const char *const local_size_names[] = {"local_size_x", "local_size_y", "local_size_z"};
    uint32_t axis = local_size_axis(module, constant_id);
    spec->is_local_size = axis < 3;
    spec->is_default_explicit = !spec->is_local_size;
    const char *name = spec->is_local_size ? local_size_names[axis] : name_of(module, constant_id);
    if (!is_identifier(name))
        fail(module->label, "specialization constant %" PRIu32 " \"%s\" has no usable name",
             spec->id, name);
    for (size_t i = 0; name[i]; i++)
        spec->name[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
    if (!is_member_name(spec->name))
        fail(module->label, "specialization constant %s would be a C keyword", name);
}

static struct spec read_spec(const struct module *module, uint32_t constant_id, uint32_t spec_id)
{
    struct spec spec = {.id = spec_id};
    name_spec(module, constant_id, &spec);
    const uint32_t *constant = definition(module, constant_id);
    if (opcode(constant) == OP_SPEC_CONSTANT_TRUE || opcode(constant) == OP_SPEC_CONSTANT_FALSE) {
        spec.type = SCALAR_UINT;
        spec.value = opcode(constant) == OP_SPEC_CONSTANT_TRUE;
    } else if (opcode(constant) == OP_SPEC_CONSTANT &&
               read_scalar(definition(module, constant[1]), &spec.type)) {
        spec.value = constant[3];
    } else {
        fail(module->label, "specialization constant %s is not a 32-bit scalar", spec.name);
    }
    return spec;
}

static void merge_default(struct spec *slot, const struct spec *spec)
{
    if (spec->is_default_explicit && !slot->is_default_explicit) {
        slot->value = spec->value;
        slot->is_default_explicit = true;
        slot->has_default_conflict = false;
    } else if (spec->is_default_explicit == slot->is_default_explicit &&
               spec->value != slot->value) {
        slot->has_default_conflict = true;
    }
}

static void merge_spec(struct kernel *kernel, const char *label, const struct spec *spec)
{
    uint32_t i = 0;
    while (i < kernel->spec_count && kernel->specs[i].id < spec->id)
        i++;
    struct spec *slot = &kernel->specs[i];
    if (i == kernel->spec_count || slot->id != spec->id) {
        if (kernel->spec_count == SHADER_SPEC_MAX)
            fail(label, "more than %d specialization constants", SHADER_SPEC_MAX);
        memmove(slot + 1, slot, (kernel->spec_count - i) * sizeof *slot);
        *slot = *spec;
        kernel->spec_count++;
        return;
    }

    // One id may serve both a constant with a name and the workgroup, or two of its dimensions:
    // then the name is the workgroup's and the default the constant's.
    merge_default(slot, spec);
    if (slot->is_local_size || spec->is_local_size) {
        if (!slot->is_local_size || (spec->is_local_size && strcmp(spec->name, slot->name) < 0))
            memcpy(slot->name, spec->name, sizeof slot->name);
        slot->is_local_size = true;
        if (slot->type == SCALAR_FLOAT || spec->type == SCALAR_FLOAT)
            fail(label, "specialization constant %" PRIu32 " is a float and a workgroup size",
                 spec->id);
        slot->type = SCALAR_UINT;
        return;
    }
    if (strcmp(slot->name, spec->name) != 0 || slot->type != spec->type)
        fail(label, "specialization constant %" PRIu32 " is %s %s here and %s %s elsewhere",
             spec->id, scalar_names[spec->type], spec->name, scalar_names[slot->type], slot->name);
}

static void merge_specs(struct kernel *kernel, const struct variant *variant)
{
    const struct module *module = &variant->module;
    const uint32_t *i = first_instruction(module);
    for (; is_inside(module, i); i += length(i)) {
        if (opcode(i) != OP_DECORATE || i[2] != DECORATION_SPEC_ID)
            continue;
        struct spec spec = read_spec(module, i[1], i[3]);
        merge_spec(kernel, variant->label, &spec);
    }
}

static void check_names(const struct kernel *kernel)
{
    for (uint32_t i = 0; i < kernel->spec_count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(kernel->specs[i].name, kernel->specs[j].name) == 0)
                fail(kernel->name,
                     "specialization constants %" PRIu32 " and %" PRIu32 " are both called %s",
                     kernel->specs[j].id, kernel->specs[i].id, kernel->specs[i].name);
        }
    }
    for (uint32_t i = 0; i < kernel->push.member_count; i++) {
        if (strncmp(kernel->push.members[i].name, "padding_", 8) == 0)
            fail(kernel->name, "push constant %s: names with padding_ belong to gaps in the block",
                 kernel->push.members[i].name);
    }
}

// Writing the header ------------------------------------------------------------------------------

static void write_upper(FILE *out, const char *name)
{
    for (; *name; name++)
        fputc(*name >= 'a' && *name <= 'z' ? *name - 'a' + 'A' : *name, out);
}

static void write_padding(FILE *out, uint32_t offset, uint32_t size)
{
    fprintf(out, "    uint32_t padding_%" PRIu32 "[%" PRIu32 "];\n", offset, size / 4);
}

static void write_push(FILE *out, const struct kernel *kernel)
{
    const struct push_block *push = &kernel->push;
    if (push->member_count == 0)
        return;
    fprintf(out, "struct %s_push {\n", kernel->name);
    uint32_t end = 0;
    for (uint32_t i = 0; i < push->member_count; i++) {
        const struct push_member *member = &push->members[i];
        if (member->offset > end)
            write_padding(out, end, member->offset - end);
        fprintf(out, "    %s %s", scalar_names[member->type], member->name);
        if (member->count > 0)
            fprintf(out, "[%" PRIu32 "]", member->count);
        fputs(";\n", out);
        end = push_member_end(member);
    }
    fputs("};\n", out);
    for (uint32_t i = 0; i < push->member_count; i++) {
        fprintf(out,
                "static_assert(offsetof(struct %s_push, %s) == %" PRIu32 ", \"push layout\");\n",
                kernel->name, push->members[i].name, push->members[i].offset);
    }
    fprintf(out, "static_assert(sizeof(struct %s_push) == %" PRIu32 ", \"push layout\");\n\n",
            kernel->name, push->size);
}

static void write_value(FILE *out, const struct spec *spec)
{
    float real;
    switch (spec->type) {
    case SCALAR_UINT:
        fprintf(out, "%" PRIu32, spec->value);
        break;
    case SCALAR_INT:
        if (spec->value <= INT32_MAX)
            fprintf(out, "%" PRIu32, spec->value);
        else if (spec->value == UINT32_C(0x80000000)) // 2147483648 is no int
            fputs("-2147483647 - 1", out);
        else
            fprintf(out, "-%" PRIu32, 0 - spec->value);
        break;
    case SCALAR_FLOAT:
        memcpy(&real, &spec->value, sizeof real);
        fprintf(out, "%af", (double)real);
        break;
    }
}

// The first constant without a default that could be written down, NULL if all have one.
static const struct spec *find_without_default(const struct kernel *kernel)
{
    for (uint32_t i = 0; i < kernel->spec_count; i++) {
        float real;
        memcpy(&real, &kernel->specs[i].value, sizeof real);
        if (kernel->specs[i].has_default_conflict ||
            (kernel->specs[i].type == SCALAR_FLOAT && !isfinite(real)))
            return &kernel->specs[i];
    }
    return NULL;
}

static void write_spec_default(FILE *out, const struct kernel *kernel)
{
    const struct spec *missing = find_without_default(kernel);
    if (missing) {
        fputs("// There is no ", out);
        write_upper(out, kernel->name);
        fprintf(out, "_SPEC_DEFAULT: the default of %s %s.\n\n", missing->name,
                missing->has_default_conflict ? "depends on the variant" : "is not finite");
        return;
    }
    fputs("#define ", out);
    write_upper(out, kernel->name);
    fputs("_SPEC_DEFAULT \\\n    { \\\n", out);
    for (uint32_t i = 0; i < kernel->spec_count; i++) {
        fprintf(out, "        .%s = ", kernel->specs[i].name);
        write_value(out, &kernel->specs[i]);
        fputs(", \\\n", out);
    }
    fputs("    }\n\n", out);
}

static void write_spec(FILE *out, const struct kernel *kernel)
{
    if (kernel->spec_count == 0)
        return;
    fprintf(out, "struct %s_spec {\n", kernel->name);
    for (uint32_t i = 0; i < kernel->spec_count; i++)
        fprintf(out, "    %s %s;\n", scalar_names[kernel->specs[i].type], kernel->specs[i].name);
    fprintf(out, "};\nstatic_assert(sizeof(struct %s_spec) == %" PRIu32 ", \"spec layout\");\n",
            kernel->name, 4 * kernel->spec_count);
    write_spec_default(out, kernel);
}

static void write_words(FILE *out, const struct module *module)
{
    for (size_t i = 0; i < module->word_count; i++) {
        fputs(i % HEADER_WORDS_PER_LINE == 0 ? "    " : " ", out);
        fprintf(out, "0x%08" PRIx32 ",", module->words[i]);
        if ((i + 1) % HEADER_WORDS_PER_LINE == 0 || i + 1 == module->word_count)
            fputc('\n', out);
    }
}

static void write_bindings(FILE *out, const struct kernel *kernel, const struct variant *variant)
{
    if (kernel->binding_count == 0)
        return;
    fputs("    .bindings = {\n", out);
    for (uint32_t i = 0; i < kernel->binding_count; i++) {
        const struct shader_binding *binding = &variant->bindings[i];
        const char *name = binding->name ? binding->name : kernel->binding_names[i];
        fprintf(out, "        {\"%s\", %s, %s},\n", name ? name : "",
                binding_kind_names[binding->kind], binding->writes ? "true" : "false");
    }
    fputs("    },\n", out);
}

static void write_variant(FILE *out, const struct kernel *kernel, const struct variant *variant,
                          const char *name)
{
    fprintf(out, "static const uint32_t %s_%s_words[] = {\n", kernel->name, name);
    write_words(out, &variant->module);
    fprintf(out, "};\n\nstatic const struct shader %s_%s_shader = {\n", kernel->name, name);
    fprintf(out, "    .name = \"%s\",\n", variant->label);
    fprintf(out, "    .words = %s_%s_words,\n", kernel->name, name);
    fprintf(out, "    .words_size = sizeof %s_%s_words,\n", kernel->name, name);
    fprintf(out, "    .push_size = %" PRIu32 ",\n", kernel->push.size);
    fprintf(out, "    .spec_count = %" PRIu32 ",\n", kernel->spec_count);
    fprintf(out, "    .binding_count = %" PRIu32 ",\n", kernel->binding_count);
    fprintf(out, "    .uses_subgroups = %s,\n", variant->uses_subgroups ? "true" : "false");
    fprintf(out, "    .uses_storage16 = %s,\n", variant->uses_storage16 ? "true" : "false");
    fprintf(out, "    .uses_matrices = %s,\n", variant->uses_matrices ? "true" : "false");
    for (uint32_t i = 0; i < kernel->spec_count; i++) {
        fprintf(out, "%s%" PRIu32 "%s", i == 0 ? "    .spec_ids = {" : ", ", kernel->specs[i].id,
                i + 1 == kernel->spec_count ? "},\n" : "");
    }
    write_bindings(out, kernel, variant);
    fputs("};\n\n", out);
}

static void write_header(FILE *out, const struct kernel *kernel)
{
    fputs("// Made by shader_pack; do not edit.\n#ifndef SHADERS_", out);
    write_upper(out, kernel->name);
    fputs("_SPV_H_\n#define SHADERS_", out);
    write_upper(out, kernel->name);
    fputs("_SPV_H_\n\n#include \"base/shader.h\"\n\n#include <assert.h>\n#include <stddef.h>\n\n",
          out);

    write_push(out, kernel);
    write_spec(out, kernel);
    for (uint32_t i = 0; i < VARIANT_COUNT; i++) {
        if (kernel->variants[i].is_present)
            write_variant(out, kernel, &kernel->variants[i], variant_names[i].name);
    }

    fprintf(out,
            "static const struct shader_set %s_shaders = {\n    .name = \"%s\",\n"
            "    .variants = {\n",
            kernel->name, kernel->name);
    for (uint32_t i = 0; i < VARIANT_COUNT; i++) {
        if (kernel->variants[i].is_present)
            fprintf(out, "        [%s] = &%s_%s_shader,\n", variant_names[i].enumerator,
                    kernel->name, variant_names[i].name);
    }
    fputs("    },\n};\n\n#endif // SHADERS_", out);
    write_upper(out, kernel->name);
    fputs("_SPV_H_\n", out);
}

// A build that is interrupted must not leave half a header with a fresh date.
static void write_file(const struct kernel *kernel, const char *path)
{
    static const char suffix[] = ".tmp";
    size_t size = strlen(path);
    char *temporary = allocate(kernel->name, size + sizeof suffix, 1);
    memcpy(temporary, path, size);
    memcpy(temporary + size, suffix, sizeof suffix);

    FILE *out = fopen(temporary, "wb");
    if (!out)
        fail(kernel->name, "cannot create %s: %s", temporary, strerror(errno));
    write_header(out, kernel);
    bool is_written_whole = !ferror(out);
    is_written_whole = fclose(out) == 0 && is_written_whole;
    if (!is_written_whole) {
        remove(temporary);
        fail(kernel->name, "cannot write %s", temporary);
    }
    // Where rename does not replace, the old file goes first.
    if (rename(temporary, path) != 0 && (remove(path) != 0 || rename(temporary, path) != 0)) {
        remove(temporary);
        fail(kernel->name, "cannot write %s: %s", path, strerror(errno));
    }
    free(temporary);
}

// ------------------------------------------------------------------------------------------------

static void read_variant(struct kernel *kernel, const char *argument)
{
    const char *separator = strchr(argument, '=');
    size_t size = separator ? (size_t)(separator - argument) : 0;
    uint32_t index = 0;
    while (index < VARIANT_COUNT && (strlen(variant_names[index].name) != size ||
                                     strncmp(variant_names[index].name, argument, size) != 0))
        index++;
    if (index == VARIANT_COUNT)
        fail(kernel->name, "expected VARIANT=FILE, not %s", argument);

    struct variant *variant = &kernel->variants[index];
    if (variant->is_present)
        fail(kernel->name, "variant %s is given twice", variant_names[index].name);
    variant->is_present = true;
    int label_size = index == VARIANT_NONE
                         ? snprintf(variant->label, sizeof variant->label, "%s", kernel->name)
                         : snprintf(variant->label, sizeof variant->label, "%s.%s", kernel->name,
                                    variant_names[index].name);
    assert(label_size > 0 && (size_t)label_size < sizeof variant->label);

    module_read(&variant->module, variant->label, separator + 1);
    read_capabilities(variant);
    read_variables(variant);
    merge_push(kernel, variant);
    merge_bindings(kernel, variant);
    merge_specs(kernel, variant);
}

int main(int argument_count, char **arguments)
{
    if (argument_count < 4) {
        fputs("usage: shader_pack KERNEL OUT.h VARIANT=FILE.spv ...\n", stderr);
        return EXIT_FAILURE;
    }
    struct kernel *kernel = allocate("kernel", 1, sizeof *kernel);
    kernel->name = arguments[1];
    if (!is_identifier(kernel->name) ||
        strspn(kernel->name, "_abcdefghijklmnopqrstuvwxyz0123456789") != strlen(kernel->name))
        fail(kernel->name, "a kernel's name is 1 to %d of a-z, 0-9 and _", NAME_SIZE_MAX - 1);

    for (int i = 3; i < argument_count; i++)
        read_variant(kernel, arguments[i]);
    if (kernel->variants[VARIANT_NONE].is_present && argument_count > 4)
        fail(kernel->name, "variant none cannot be beside others");
    check_names(kernel);
    write_file(kernel, arguments[2]);

    for (uint32_t i = 0; i < VARIANT_COUNT; i++)
        module_finish(&kernel->variants[i].module);
    free(kernel);
    return EXIT_SUCCESS;
}
