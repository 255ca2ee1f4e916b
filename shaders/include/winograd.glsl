// The transforms of Winograd's F(4x4, 3x3) along one axis: of six input elements, and of six products
// to four output elements. From Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks"
// (2016), with points 0, 1, -1, 2, -2 and infinity.

void winograd_input(inout vec4 d[6])
{
    const vec4 even = d[4] - 4.0 * d[2], odd = d[3] - 4.0 * d[1];
    const vec4 near = d[4] - d[2], far = 2.0 * (d[3] - d[1]);
    d[0] = 4.0 * d[0] - 5.0 * d[2] + d[4];
    d[5] = 4.0 * d[1] - 5.0 * d[3] + d[5];
    d[1] = even + odd;
    d[2] = even - odd;
    d[3] = near + far;
    d[4] = near - far;
}

void winograd_output(inout vec4 m[6])
{
    const vec4 sum = m[1] + m[2], difference = m[1] - m[2];
    const vec4 far_sum = m[3] + m[4], far_difference = m[3] - m[4];
    m[0] += sum + far_sum;
    m[1] = difference + 2.0 * far_difference;
    m[2] = sum + 4.0 * far_sum;
    m[3] = difference + 8.0 * far_difference + m[5];
}
