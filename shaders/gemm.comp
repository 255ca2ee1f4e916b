// One workgroup = BM output pixels x BN output channels of one group of a convolution, or rows x
// columns of one product of a batch; one invocation = TM x TN of them, in quads that lie BM / TM
// and BN / TN quads apart. Column tiles are fastest over the workgroups, then row tiles, then groups;
// with SPLIT the workgroups along z share the depth between them and leave their sums as they are.
//
// For GPUs: tiles of both operands go through shared memory, BK of the depth at a time, and those
// of the next step are on their way in registers meanwhile. The depth of a convolution is every tap's
// channels, each padded to whole quads, taps slowest. With VECTOR = 4 four channels of a pixel are
// read at once, with 1 one at a time through any strides. Output is channels-last dense.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "vectors.glsl"
#include "index.glsl"
#include "gemm.glsl"

const uint THREADS_X = BN / TN, THREADS_Y = BM / TM;

vec4 sums[TM][TN / 4];

// Depth is outermost in both tiles. A row of the left one has a quad more than it needs, which
// sends neighbours along the depth to different banks as they are written.
const uint A_ROW = BM / 4 + 1;
const uint B_ROW = BN / 4 + (W_MODE == GEMM_W_DEPTH ? 1 : 0);
shared vec4 a_tile[BK * A_ROW];
shared vec4 b_tile[BK * B_ROW];

uint a_to, a_component; // where this invocation's first row goes

void place_tiles()
{
    a_to = 4 * a_quad() * A_ROW + a_row(0) / 4;
    a_component = a_row(0) % 4;
}

void keep_tiles()
{
    // A_STEP is a multiple of 4.
    [[unroll]] for (uint i = 0; i < A_LOADS; i++) {
        if (a_kept(i)) {
            const vec4 value = a_loaded(i);
            [[unroll]] for (uint k = 0; k < 4; k++)
                a_tile[a_to + i * (A_STEP / 4) + k * A_ROW][a_component] = value[k];
        }
    }
    [[unroll]] for (uint i = 0; i < B_LOADS; i++) {
        const uint at = b_index(i);
        if (b_kept(i)) {
            const vec4 value = b_loaded(i);
            if (W_MODE == GEMM_W_DEPTH) {
                const uint column = at / QUADS_K;
                const uint to = at % QUADS_K * 4 * B_ROW + column / 4;
                [[unroll]] for (uint k = 0; k < 4; k++)
                    b_tile[to + k * B_ROW][column % 4] = value[k];
            } else {
                b_tile[at] = value;
            }
        }
    }
}

void multiply(uint x, uint y)
{
    [[unroll]] for (uint k = 0; k < BK; k++) {
        vec4 a[TM / 4], b[TN / 4];
        [[unroll]] for (uint i = 0; i < TM / 4; i++)
            a[i] = a_tile[k * A_ROW + y + i * THREADS_Y];
        [[unroll]] for (uint j = 0; j < TN / 4; j++)
            b[j] = b_tile[k * B_ROW + x + j * THREADS_X];
        [[unroll]] for (uint i = 0; i < TM; i++) {
            [[unroll]] for (uint j = 0; j < TN / 4; j++)
                sums[i][j] += a[i / 4][i % 4] * b[j];
        }
    }
}

void main()
{
    const uint x = gl_LocalInvocationID.x % THREADS_X, y = gl_LocalInvocationID.x / THREADS_X;
    [[unroll]] for (uint i = 0; i < TM; i++) {
        [[unroll]] for (uint j = 0; j < TN / 4; j++)
            sums[i][j] = vec4(0.0);
    }
    gemm_place();
    place_tiles();
    gemm_load();
    while (gemm_step < gemm_end) {
        barrier();
        keep_tiles();
        barrier();
        gemm_step++;
        gemm_load();
        multiply(x, y);
    }
    [[unroll]] for (uint i = 0; i < TM; i++) {
        const uint row = 4 * (y + i / 4 * THREADS_Y) + i % 4;
        [[unroll]] for (uint j = 0; j < TN / 4; j++)
            gemm_store(row, 4 * (x + j * THREADS_X), sums[i][j]);
    }
}
