// What a device can do, as far as lowering and planning care. Filled by vk, faked by tests.
#ifndef RUNTIME_OP_CAPS_H_
#define RUNTIME_OP_CAPS_H_

#include <stdbool.h>
#include <stdint.h>

// How a tensor's elements lie in device memory.
enum storage {
    STORAGE_F32,   // float32; float64, bfloat16 and floats of 8 bits and less too
    STORAGE_F16,   // float16 where the device has 16-bit storage, else STORAGE_F32
    STORAGE_I32,   // int2..int32, uint2..uint16, bool, widened to 32 bit
    STORAGE_U32,   // uint32
    STORAGE_I64,   // int64 and uint64: 8 bytes, low word first
    STORAGE_PACKED // a constant as it is on the host, for kernels that read words of 32 bits and
                   // take elements out of them (espy_lower_packed_input); never written
};

// Matrices that a subgroup multiplies: m x k halves by k x n halves, added to m x n floats.
struct caps_matrix {
    uint32_t m, n, k;
};
enum { CAPS_MATRICES_MAX = 16 };

struct caps {
    bool cpu;                // a software driver: few, long invocations; no shared-memory tiles
    bool storage_f16;        // 16-bit elements in storage buffers
    bool subgroups;          // basic, ballot, arithmetic and shuffle in compute
    bool subgroup_fixed;     // subgroups of kernels that use them have subgroup_size lanes, always
    uint32_t subgroup_size;
    uint32_t local_size;     // good size for one-dimensional kernels
    uint32_t invocations_max; // per workgroup
    uint32_t shared_size;    // bytes of shared memory per workgroup
    uint32_t registers;      // 32-bit, that an invocation can fill; 0: as many as any kernel takes
    uint32_t subgroup_registers; // the same of all lanes together
    uint32_t groups_busy;    // workgroups of some 256 invocations that keep the device busy, roughly
    uint32_t groups_max[3];  // workgroups per dimension
    uint32_t bindings_max;     // buffers of one kernel; 0: as many as any kernel has
    uint32_t buffer_alignment; // of an offset at which a buffer is bound
    uint64_t buffer_range_max; // bytes bound at once
    uint64_t texel_elements_max; // of a buffer view
    uint32_t matrix_count;   // 0: kernels with cooperative matrices do not run here
    struct caps_matrix matrices[CAPS_MATRICES_MAX];
};

#endif // RUNTIME_OP_CAPS_H_
