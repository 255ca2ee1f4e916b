// Exponentials of differences from the largest of a row. A running maximum starts at LOWEST, which
// is finite, so that a row of minus infinities has differences too.
const float LOWEST = -3.4028234e38;

vec4 decay(vec4 moved)
{
    return mix(exp(max(moved, -103.0)), vec4(0.0), lessThan(moved, vec4(-103.0)));
}
