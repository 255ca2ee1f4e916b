// One workgroup = a tile of BM x BN as in gemm.comp, in the hands of SIDE by SIDE subgroups; a
// subgroup = its part of that, in cooperative matrices of M x N that grow by K of the depth at a
// time. Factors are float16, sums float32.
//
// Tiles of both operands lie in shared memory as halves, four to a uvec2, the left one by rows, the
// right one by columns, which is how gemm_pack leaves it, or by the depth where it was read so: an
// invocation's part of a matrix is a run along the depth on the devices whose compilers were seen,
// and without that takes a read for every half. Rows are two quads longer than they need to be,
// against bank conflicts. Sums go back through shared memory, a matrix at a time, to
// meet bias and epilogue as whole channels of a pixel.
//
// glslang 12 knows NVIDIA's extension only; shader_pack makes it the Khronos one (shader_matrix.h).
// variants: f16
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_NV_cooperative_matrix : require
#include "types.glsl"
#include "vectors.glsl"
#include "index.glsl"

layout(constant_id = 23) const uint LANES = 32;
layout(constant_id = 24) const uint M = 16;
layout(constant_id = 25) const uint N = 16;
layout(constant_id = 26) const uint K = 16;
layout(constant_id = 27) const uint SIDE = 2;
#define GEMM_THREADS (SIDE * SIDE * LANES)
#define GEMM_HALVES
#include "gemm.glsl"

#define LEFT fcoopmatNV<16, gl_ScopeSubgroup, M, K>
#define RIGHT fcoopmatNV<16, gl_ScopeSubgroup, K, N>
#define SUM fcoopmatNV<32, gl_ScopeSubgroup, M, N>

const uint DOWN = BM / SIDE / M, ACROSS = BN / SIDE / N; // matrices of a subgroup
const uint A_ROW = BK / 4 + 2;
const bool BY_COLUMNS = W_MODE == GEMM_W_PACKED || W_MODE == GEMM_W_DEPTH;
const uint B_ROW = BY_COLUMNS ? BK / 4 + 2 : BN / 4 + 2;
const uint B_ROWS = BY_COLUMNS ? BN : BK;

shared uvec2 a_tile[BM * A_ROW];
shared uvec2 b_tile[B_ROWS * B_ROW];
shared float patches[SIDE * SIDE * M * N]; // one for each subgroup

SUM sums[DOWN * ACROSS];

void keep_tiles()
{
    [[unroll]] for (uint i = 0; i < A_LOADS; i++)
        if (a_kept(i))
            a_tile[a_row(i) * A_ROW + a_quad()] = a_loaded(i);
    const uint quads_wide = BY_COLUMNS ? QUADS_K : BN / 4;
    [[unroll]] for (uint i = 0; i < B_LOADS; i++) {
        const uint at = b_index(i), row = at / quads_wide;
        if (b_kept(i))
            b_tile[row * B_ROW + at - row * quads_wide] = b_loaded(i);
    }
}

void multiply_at(uint k, uint first_row, uint first_column)
{
    LEFT left[DOWN];
    [[unroll]] for (uint i = 0; i < DOWN; i++)
        coopMatLoadNV(left[i], a_tile, (first_row + i * M) * A_ROW + k / 4, A_ROW, false);
    [[unroll]] for (uint j = 0; j < ACROSS; j++) {
        const uint column = first_column + j * N;
        RIGHT right;
        if (BY_COLUMNS)
            coopMatLoadNV(right, b_tile, column * B_ROW + k / 4, B_ROW, true);
        else
            coopMatLoadNV(right, b_tile, k * B_ROW + column / 4, B_ROW, false);
        [[unroll]] for (uint i = 0; i < DOWN; i++)
            sums[i * ACROSS + j] = coopMatMulAddNV(left[i], right, sums[i * ACROSS + j]);
    }
}

// In no loop, for gemm_load's sake, unless matrices are so small that compilers would take minutes.
void multiply(uint first_row, uint first_column)
{
    const uint PRODUCTS_MAX = 32;
    if (DOWN * ACROSS * (BK / K) <= PRODUCTS_MAX) {
        [[unroll]] for (uint k = 0; k < BK; k += K)
            multiply_at(k, first_row, first_column);
    } else {
        for (uint k = 0; k < BK; k += K)
            multiply_at(k, first_row, first_column);
    }
}

void main()
{
    const uint first_row = gl_SubgroupID / SIDE * (BM / SIDE);
    const uint first_column = gl_SubgroupID % SIDE * (BN / SIDE);
    [[unroll]] for (uint i = 0; i < DOWN * ACROSS; i++)
        sums[i] = SUM(0.0);
    gemm_place();
    gemm_load();
    while (gemm_step < gemm_end) {
        barrier();
        keep_tiles();
        barrier();
        gemm_step++;
        gemm_load();
        multiply(first_row, first_column);
    }
    const uint patch_start = gl_SubgroupID * (M * N);
    [[unroll]] for (uint i = 0; i < DOWN; i++) {
        [[unroll]] for (uint j = 0; j < ACROSS; j++) {
            barrier();
            coopMatStoreNV(sums[i * ACROSS + j], patches, patch_start, N, false);
            barrier();
            for (uint at = gl_SubgroupInvocationID; at < M * N / 4; at += LANES) {
                const uint row = at / (N / 4), quad = at - row * (N / 4);
                const uint from = patch_start + 4 * at;
                gemm_store(first_row + i * M + row, first_column + j * N + 4 * quad,
                           vec4(patches[from], patches[from + 1], patches[from + 2],
                                patches[from + 3]));
            }
        }
    }
}
