// sin and cos to 1e-7 on every device. Vulkan lets the built-in ones be wrong by 2^-11 (SwiftShader uses
// half of that), which is more than a network's 1e-4 when it encodes positions by them.
#define TRIGONOMETRY_MAX 65536.0 // beyond it k times PI_2_HIGH is inexact; the built-in ones have to do

// pi / 2 in three parts, of which the first two have 8 and 11 significant bits.
#define PI_2_HIGH 1.5703125
#define PI_2_MIDDLE 4.837512969970703125e-4
#define PI_2_LOW 7.549790126404332e-8

// sin(x + quarter * pi / 2), by Taylor series for at most pi / 4 either way.
float sine_of(float x, int quarter)
{
    const float k = roundEven(x * 0.636619772367581343);
    precise float rest = x - k * PI_2_HIGH;
    rest = rest - k * PI_2_MIDDLE;
    rest = rest - k * PI_2_LOW;
    const float s = rest * rest;
    const float odd = rest + rest * s * (-0.166666666667 + s * (8.33333333333e-3 +
                      s * (-1.98412698413e-4 + s * 2.75573192240e-6)));
    const float even = 1.0 - 0.5 * s + s * s * (4.16666666667e-2 + s * (-1.38888888889e-3 +
                       s * (2.48015873016e-5 - s * 2.75573192240e-7)));
    const int quadrant = int(k) + quarter;
    const float value = (quadrant & 1) != 0 ? even : odd;
    return (quadrant & 2) != 0 ? -value : value;
}

float sine(float x)
{
    return abs(x) <= TRIGONOMETRY_MAX ? sine_of(x, 0) : sin(x);
}

float cosine(float x)
{
    return abs(x) <= TRIGONOMETRY_MAX ? sine_of(x, 1) : cos(x);
}
