// One invocation = one matrix, which it brings into triangular form in memory of its own.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint RANK = 4;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) writeonly buffer Y { STORED y[]; };
layout(binding = 2) buffer Work { float work[]; }; // element by element, all matrices side by side

layout(push_constant) uniform Push {
    uint rows, size; // matrices; rows of each
    int x_offset, row_stride, column_stride;
    uint dims[4];
    int x_strides[4];
    int y_strides[4];
} push;

#include "rows.glsl"

uint element(uint matrix, uint i, uint j)
{
    return (i * push.size + j) * push.rows + matrix;
}

void main()
{
    const uint matrix = linear_id();
    if (matrix >= push.rows)
        return;
    const int start = push.x_offset + row_start_x(matrix);
    for (uint i = 0; i < push.size; i++)
        for (uint j = 0; j < push.size; j++)
            work[element(matrix, i, j)] =
                VALUE_OF(x[start + int(i) * push.row_stride + int(j) * push.column_stride]);

    float determinant = 1.0;
    for (uint k = 0; k < push.size; k++) {
        uint pivot = k;
        for (uint i = k + 1; i < push.size; i++)
            if (abs(work[element(matrix, i, k)]) > abs(work[element(matrix, pivot, k)]))
                pivot = i;
        const float diagonal = work[element(matrix, pivot, k)];
        determinant *= pivot == k ? diagonal : -diagonal;
        if (diagonal == 0.0)
            break;
        for (uint j = k; j < push.size && pivot != k; j++) {
            const float upper = work[element(matrix, k, j)];
            work[element(matrix, k, j)] = work[element(matrix, pivot, j)];
            work[element(matrix, pivot, j)] = upper;
        }
        for (uint i = k + 1; i < push.size; i++) {
            const float factor = work[element(matrix, i, k)] / diagonal;
            for (uint j = k + 1; j < push.size; j++)
                work[element(matrix, i, j)] -= factor * work[element(matrix, k, j)];
        }
    }
    y[row_start_y(matrix)] = STORED_OF(determinant);
}
