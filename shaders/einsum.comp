// One invocation = four rows of x times four rows of y of one batch: z[b, m, n] = sum of x[b, m, k]
// y[b, n, k] over k, with any strides of x and y; z is dense.
// variants: f32 f16 i32 u32
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint LAYOUT = 0;     // 0: any, 1: k of both adjoin, 2: k of x, n of y
layout(constant_id = 4) const uint ACCUMULATE = 0; // z holds the sum over smaller k
layout(constant_id = 5) const uint WIDTH = 4;      // bytes of the host's element: integers wrap
layout(constant_id = 6) const uint IS_SIGNED = 1;

#if defined(VARIANT_F16)
#define STORED4 f16vec4
#elif defined(VARIANT_I32)
#define STORED4 ivec4
#elif defined(VARIANT_U32)
#define STORED4 uvec4
#else
#define STORED4 vec4
#endif
#if IS_FLOAT
#define VALUE4 vec4
#elif defined(VARIANT_I32)
#define VALUE4 ivec4
#else
#define VALUE4 uvec4
#endif

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer XVectors { STORED4 x4[]; };
layout(binding = 2) readonly buffer Y { STORED y[]; };
layout(binding = 3) readonly buffer YVectors { STORED4 y4[]; };
layout(binding = 4) buffer Z { STORED z[]; };

layout(push_constant) uniform Push {
    uint count;              // invocations
    uint m, n, k;
    uint inner_batches;      // of the batches' second dimension
    int x_at[3], y_at[3];    // offset, then strides of the batches' two dimensions
    int x_m, x_k, y_n, y_k;
} push;

VALUE4 sum0 = VALUE4(0), sum1 = VALUE4(0), sum2 = VALUE4(0), sum3 = VALUE4(0); // [m].n

void any_layout(ivec4 rows, ivec4 columns)
{
    for (uint i = 0; i < push.k; i++) {
        const VALUE4 b = VALUE4(y[columns.x], y[columns.y], y[columns.z], y[columns.w]);
        sum0 += VALUE(x[rows.x]) * b;
        sum1 += VALUE(x[rows.y]) * b;
        sum2 += VALUE(x[rows.z]) * b;
        sum3 += VALUE(x[rows.w]) * b;
        rows += push.x_k;
        columns += push.y_k;
    }
}

#if IS_FLOAT
// Four k at a time.
void vectors_of_k(ivec4 rows, ivec4 columns)
{
    rows >>= 2;
    columns >>= 2;
    for (int i = 0; i < int(push.k >> 2); i++) {
        const vec4 b0 = vec4(y4[columns.x + i]), b1 = vec4(y4[columns.y + i]);
        const vec4 b2 = vec4(y4[columns.z + i]), b3 = vec4(y4[columns.w + i]);
        const vec4 a0 = vec4(x4[rows.x + i]), a1 = vec4(x4[rows.y + i]);
        const vec4 a2 = vec4(x4[rows.z + i]), a3 = vec4(x4[rows.w + i]);
        sum0 += vec4(dot(a0, b0), dot(a0, b1), dot(a0, b2), dot(a0, b3));
        sum1 += vec4(dot(a1, b0), dot(a1, b1), dot(a1, b2), dot(a1, b3));
        sum2 += vec4(dot(a2, b0), dot(a2, b1), dot(a2, b2), dot(a2, b3));
        sum3 += vec4(dot(a3, b0), dot(a3, b1), dot(a3, b2), dot(a3, b3));
    }
}

vec4 combined(vec4 a, vec4 b0, vec4 b1, vec4 b2, vec4 b3)
{
    return a.x * b0 + a.y * b1 + a.z * b2 + a.w * b3;
}

// Four k of x, and for each of them four n of y.
void vectors_of_n(ivec4 rows, int column)
{
    rows >>= 2;
    column >>= 2;
    const int step = push.y_k >> 2;
    for (int i = 0; i < int(push.k >> 2); i++) {
        const vec4 b0 = vec4(y4[column]), b1 = vec4(y4[column + step]);
        const vec4 b2 = vec4(y4[column + 2 * step]), b3 = vec4(y4[column + 3 * step]);
        sum0 += combined(vec4(x4[rows.x + i]), b0, b1, b2, b3);
        sum1 += combined(vec4(x4[rows.y + i]), b0, b1, b2, b3);
        sum2 += combined(vec4(x4[rows.z + i]), b0, b1, b2, b3);
        sum3 += combined(vec4(x4[rows.w + i]), b0, b1, b2, b3);
        column += 4 * step;
    }
}
#endif

VALUE wrapped(VALUE value)
{
#if defined(VARIANT_I32)
    if (WIDTH < 4)
        return IS_SIGNED != 0 ? bitfieldExtract(value, 0, int(8 * WIDTH))
                           : int(bitfieldExtract(uint(value), 0, int(8 * WIDTH)));
#endif
    return value;
}

void store(uint row, uint m, uint n, VALUE4 sum)
{
    for (uint j = 0; j < 4 && n + j < push.n && m < push.m; j++) {
        const uint to = (row + m) * push.n + n + j;
        z[to] = STORED_OF(wrapped(ACCUMULATE != 0 ? VALUE(z[to]) + sum[j] : sum[j]));
    }
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint m_tiles = (push.m + 3) / 4, n_tiles = (push.n + 3) / 4;
    const uint tile_row = id / n_tiles, n = 4 * (id - tile_row * n_tiles);
    const uint batch = tile_row / m_tiles, m = 4 * (tile_row - batch * m_tiles);
    const uint outer = batch / push.inner_batches, inner = batch - outer * push.inner_batches;
    const int from_x = push.x_at[0] + int(outer) * push.x_at[1] + int(inner) * push.x_at[2];
    const int from_y = push.y_at[0] + int(outer) * push.y_at[1] + int(inner) * push.y_at[2];
    // Rows past the end read the last one and are not stored.
    const ivec4 rows = from_x + min(int(m) + ivec4(0, 1, 2, 3), int(push.m) - 1) * push.x_m;
    const ivec4 columns = from_y + min(int(n) + ivec4(0, 1, 2, 3), int(push.n) - 1) * push.y_n;
#if IS_FLOAT
    if (LAYOUT == 1)
        vectors_of_k(rows, columns);
    else if (LAYOUT == 2)
        vectors_of_n(rows, columns.x);
    else
#endif
        any_layout(rows, columns);
    store(batch * push.m, m, n, sum0);
    store(batch * push.m, m + 1, n, sum1);
    store(batch * push.m, m + 2, n, sum2);
    store(batch * push.m, m + 3, n, sum3);
}
