#include <math.h>

#include "base/base.h"

double espy_small_to_number(const struct float_form *form, uint8_t bits)
{
    const int mantissa_bits = form->mantissa_bits;
    if (form->special == FLOAT_POWER)
        return bits == 255 ? (double)NAN : ldexp(1, bits - form->bias);
    const unsigned sign_bit = 1u << (form->exponent_bits + mantissa_bits);
    const unsigned magnitude = bits & (sign_bit - 1);
    const unsigned exponent = magnitude >> mantissa_bits;
    const unsigned mantissa = magnitude & ((1u << mantissa_bits) - 1);
    const bool negative = (bits & sign_bit) != 0;
    if ((form->special == FLOAT_ONE_NAN && magnitude == sign_bit - 1) ||
        (form->special == FLOAT_NAN_FOR_MINUS_ZERO && negative && magnitude == 0))
        return (double)NAN;
    double value;
    if (form->special == FLOAT_IEEE && exponent == (1u << form->exponent_bits) - 1)
        value = mantissa != 0 ? (double)NAN : (double)INFINITY;
    else if (exponent == 0)
        value = ldexp(mantissa, 1 - form->bias - mantissa_bits);
    else
        value = ldexp(mantissa + (1u << mantissa_bits), (int)exponent - form->bias - mantissa_bits);
    return negative ? -value : value;
}

static uint8_t number_to_power(const struct float_form *form, double value, bool saturate,
                               enum float_rounding rounding)
{
    enum { POWER_MAX = 254, POWER_NAN = 255 };
    int exponent = 0;
    if (isnan(value) || value < 0)
        return POWER_NAN;
    if (isinf(value))
        return saturate ? POWER_MAX : POWER_NAN;
    const double fraction = 2 * frexp(value, &exponent); // in [1, 2), or 0
    const bool up =
        rounding == FLOAT_UP ? fraction > 1 : rounding == FLOAT_NEAREST && fraction >= 1.5;
    const int code = exponent - 1 + form->bias + up;
    if (fraction == 0 || code < 0)
        return saturate ? 0 : POWER_NAN;
    if (code > POWER_MAX)
        return saturate ? POWER_MAX : POWER_NAN;
    return (uint8_t)code;
}

// The code of the largest number.
static unsigned largest(const struct float_form *form)
{
    const unsigned all = (1u << (form->exponent_bits + form->mantissa_bits)) - 1;
    if (form->special == FLOAT_IEEE)
        return all - (1u << form->mantissa_bits);
    return form->special == FLOAT_ONE_NAN ? all - 1 : all;
}

uint8_t espy_number_to_small(const struct float_form *form, double value, bool saturate,
                             enum float_rounding rounding)
{
    if (form->special == FLOAT_POWER)
        return number_to_power(form, value, saturate, rounding);
    const unsigned sign_bit = 1u << (form->exponent_bits + form->mantissa_bits);
    const unsigned sign = signbit(value) && !isnan(value) ? sign_bit : 0;
    const unsigned code_max = largest(form);
    if (isnan(value))
        return (uint8_t)(form->special == FLOAT_NAN_FOR_MINUS_ZERO ? sign_bit
                         : form->special == FLOAT_FINITE           ? code_max
                                                                   : sign_bit - 1);
    unsigned code = code_max + 1;
    if (value == 0) {
        code = 0;
    } else if (fabs(value) < ldexp(1, 20)) { // far beyond the range of any
        int exponent = 0;
        (void)frexp(value, &exponent);
        const int above = exponent - 1 > 1 - form->bias ? exponent - 1 - (1 - form->bias) : 0;
        const double units = ldexp(fabs(value), form->bias - 1 - above + form->mantissa_bits);
        // A mantissa that rounds up to the next power carries into the exponent, as it should.
        code = ((unsigned)above << form->mantissa_bits) + (unsigned)rint(units);
    }
    if (code > code_max && (saturate || form->special == FLOAT_FINITE))
        code = code_max;
    else if (code > code_max && form->special == FLOAT_IEEE)
        code = code_max + 1; // infinity
    else if (code > code_max)
        return (uint8_t)(form->special == FLOAT_ONE_NAN ? sign | (sign_bit - 1) : sign_bit);
    if (code == 0 && form->special == FLOAT_NAN_FOR_MINUS_ZERO)
        return 0;
    return (uint8_t)(sign | code);
}
