// The transforms of Winograd's F(4x4, 3x3) and F(2x2, 3x3) along one axis: of EDGE input elements,
// of three weights, and of EDGE products to TILE output elements. From Lavin and Gray, "Fast
// Algorithms for Convolutional Neural Networks" (2016), with points 0, 1, -1, infinity, and for the
// larger 2 and -2.

layout(constant_id = 3) const uint TILE = 4; // outputs of a tile along each axis: 4 or 2

const uint EDGE = TILE + 2, FACTORS = EDGE * EDGE;

// Stored as float16 factors are a quarter of what they are, so that none is larger than the largest
// input of its tile, and weights four times.
#ifdef VARIANT_F16
const float INPUT_SCALE = 0.25, WEIGHT_SCALE = 4.0;
#else
const float INPUT_SCALE = 1.0, WEIGHT_SCALE = 1.0;
#endif

void winograd_input(inout vec4 d[6])
{
    if (TILE == 2) {
        const vec4 second = d[1];
        d[0] = d[0] - d[2];
        d[1] = second + d[2];
        d[2] = d[2] - second;
        d[3] = second - d[3];
        return;
    }
    const vec4 even = d[4] - 4.0 * d[2], odd = d[3] - 4.0 * d[1];
    const vec4 near = d[4] - d[2], far = 2.0 * (d[3] - d[1]);
    d[0] = 4.0 * d[0] - 5.0 * d[2] + d[4];
    d[5] = 4.0 * d[1] - 5.0 * d[3] + d[5];
    d[1] = even + odd;
    d[2] = even - odd;
    d[3] = near + far;
    d[4] = near - far;
}

void winograd_weights(vec3 g, out float u[6])
{
    const float even = g.x + g.z, far = g.x + 4.0 * g.z;
    if (TILE == 2) {
        u = float[6](g.x, (even + g.y) / 2.0, (even - g.y) / 2.0, g.z, 0.0, 0.0);
        return;
    }
    u[0] = g.x / 4.0;
    u[1] = -(even + g.y) / 6.0;
    u[2] = -(even - g.y) / 6.0;
    u[3] = (far + 2.0 * g.y) / 24.0;
    u[4] = (far - 2.0 * g.y) / 24.0;
    u[5] = g.z;
}

void winograd_output(inout vec4 m[6])
{
    const vec4 sum = m[1] + m[2], difference = m[1] - m[2];
    if (TILE == 2) {
        m[0] += sum;
        m[1] = difference - m[3];
        return;
    }
    const vec4 far_sum = m[3] + m[4], far_difference = m[3] - m[4];
    m[0] += sum + far_sum;
    m[1] = difference + 2.0 * far_difference;
    m[2] = sum + 4.0 * far_sum;
    m[3] = difference + 8.0 * far_difference + m[5];
}
