// Integers, and of floating point only what IEEE 754 rounds in one way: + - * / and sqrt. The C
// library's log is not one of these, so there is another here.
#include "cli_random.h"

#include <math.h>

void espy_random_init(struct cli_random *random, uint32_t seed, uint32_t stream)
{
    *random = (struct cli_random){.state = (uint64_t)stream << 32 | seed};
}

// SplitMix64: a counter, mixed until all bits depend on all.
static uint64_t next(struct cli_random *random)
{
    uint64_t bits = random->state += UINT64_C(0x9E3779B97F4A7C15);
    bits = (bits ^ bits >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    bits = (bits ^ bits >> 27) * UINT64_C(0x94D049BB133111EB);
    return bits ^ bits >> 31;
}

// -1 to 1, in steps that a double holds exactly.
static double next_unit(struct cli_random *random)
{
    return (double)(next(random) >> 11) * 0x1p-52 - 1;
}

// The natural logarithm of a number in (0, 1), to about 1e-16: 2 artanh((m - 1) / (m + 1)) for the
// part m of it between 0.7 and 1.4, by its series.
static double logarithm(double value)
{
    static const double log_2 = 0x1.62E42FEFA39EFp-1, root_half = 0x1.6A09E667F3BCDp-1;
    int exponent;
    double part = frexp(value, &exponent);
    if (part < root_half) {
        part *= 2;
        exponent--;
    }
    const double t = (part - 1) / (part + 1), square = t * t;
    double sum = 0;
    for (int i = 23; i >= 1; i -= 2) {
        const double product = sum * square;
        sum = product + 1.0 / i;
    }
    const double series = 2 * t * sum, whole = exponent * log_2;
    return whole + series;
}

// Marsaglia's polar method: a place in the unit circle becomes two numbers.
double espy_random_normal(struct cli_random *random)
{
    double u, v, square;
    if (random->has_spare) {
        random->has_spare = false;
        return random->spare;
    }
    do {
        u = next_unit(random);
        v = next_unit(random);
        const double across = u * u, down = v * v;
        square = across + down;
    } while (square >= 1 || square <= 0);
    const double scale = sqrt(-2 * logarithm(square) / square);
    random->has_spare = true;
    random->spare = v * scale;
    return u * scale;
}
