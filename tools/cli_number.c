#include "cli_number.h"

#include <math.h>
#include <string.h>

#include "format/graph.h"

bool espy_number_is_float(espy_dtype dtype)
{
    return espy_dtype_is_float(dtype);
}

static double from_half(uint16_t bits)
{
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double value;
    if (exponent == 31)
        value = fraction ? (double)NAN : (double)INFINITY;
    else
        value = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return bits & 0x8000 ? -value : value;
}

// Rounds once, to nearest even: through float it would be twice.
static uint16_t to_half(double value)
{
    const unsigned sign = signbit(value) ? 0x8000 : 0;
    const double size = fabs(value);
    int exponent = 0;
    if (isnan(value))
        return 0x7E00;
    if (size >= 65520)
        return (uint16_t)(sign | 0x7C00);
    // A fraction that rounds up to the next power carries into the exponent, as it should.
    if (size < 0x1p-14)
        return (uint16_t)(sign | (unsigned)rint(ldexp(size, 24)));
    (void)frexp(size, &exponent);
    const unsigned fraction = (unsigned)rint(ldexp(size, 11 - exponent)) - 1024;
    return (uint16_t)(sign | (((unsigned)(exponent + 14) << 10) + fraction));
}

static uint16_t to_bfloat16(double value)
{
    const float narrow = (float)value;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    if (isnan(value))
        return 0x7FC0;
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

// An element of a type of at most 8 bits, which may be a part of a byte.
static uint8_t get_bits(espy_dtype dtype, const void *data, size_t index)
{
    const unsigned bits = espy_dtype_bits(dtype);
    const size_t at = index * bits;
    return (uint8_t)(((const uint8_t *)data)[at / 8] >> at % 8 & ((1u << bits) - 1));
}

static void set_bits(espy_dtype dtype, void *data, size_t index, unsigned value)
{
    const unsigned bits = espy_dtype_bits(dtype);
    const size_t at = index * bits;
    const unsigned mask = ((1u << bits) - 1) << at % 8;
    uint8_t *byte = (uint8_t *)data + at / 8;
    *byte = (uint8_t)((*byte & ~mask) | (value << at % 8 & mask));
}

double espy_number_get(espy_dtype dtype, const void *data, size_t index)
{
    switch (dtype) {
    case ESPY_FLOAT32:
        return (double)((const float *)data)[index];
    case ESPY_FLOAT16:
        return from_half(((const uint16_t *)data)[index]);
    case ESPY_BFLOAT16: {
        const uint32_t bits = (uint32_t)((const uint16_t *)data)[index] << 16;
        float value;
        memcpy(&value, &bits, sizeof value);
        return (double)value;
    }
    case ESPY_FLOAT64:
        return ((const double *)data)[index];
    case ESPY_INT8:
        return ((const int8_t *)data)[index];
    case ESPY_UINT8:
    case ESPY_BOOL:
        return ((const uint8_t *)data)[index];
    case ESPY_INT16:
        return ((const int16_t *)data)[index];
    case ESPY_UINT16:
        return ((const uint16_t *)data)[index];
    case ESPY_INT32:
        return ((const int32_t *)data)[index];
    case ESPY_UINT32:
        return ((const uint32_t *)data)[index];
    case ESPY_INT64:
        return (double)((const int64_t *)data)[index];
    case ESPY_UINT64:
        return (double)((const uint64_t *)data)[index];
    case ESPY_UINT4:
    case ESPY_UINT2:
        return get_bits(dtype, data, index);
    case ESPY_INT4:
        return (get_bits(dtype, data, index) ^ 8) - 8;
    case ESPY_INT2:
        return (get_bits(dtype, data, index) ^ 2) - 2;
    case ESPY_FLOAT4E2M1:
    case ESPY_FLOAT8E4M3FN:
    case ESPY_FLOAT8E4M3FNUZ:
    case ESPY_FLOAT8E5M2:
    case ESPY_FLOAT8E5M2FNUZ:
    case ESPY_FLOAT8E8M0:
        return espy_small_to_number(espy_dtype_float_form(dtype), get_bits(dtype, data, index));
    case ESPY_DTYPE_NONE:
        break;
    }
    return 0;
}

// A double is only cast to an integer type that holds it: the rest is undefined in C.
static double held(double value, double min, double max)
{
    const double whole = rint(value);
    return isnan(value) ? 0 : whole < min ? min : whole > max ? max : whole;
}

static int64_t as_int64(double value)
{
    if (value >= 0x1p63)
        return INT64_MAX;
    return (int64_t)held(value, -0x1p63, 0x1p63);
}

static uint64_t as_uint64(double value)
{
    if (value >= 0x1p64)
        return UINT64_MAX;
    return (uint64_t)held(value, 0, 0x1p64);
}

void espy_number_set(espy_dtype dtype, void *data, size_t index, double value)
{
    switch (dtype) {
    case ESPY_FLOAT32:
        ((float *)data)[index] = (float)value;
        break;
    case ESPY_FLOAT16:
        ((uint16_t *)data)[index] = to_half(value);
        break;
    case ESPY_BFLOAT16:
        ((uint16_t *)data)[index] = to_bfloat16(value);
        break;
    case ESPY_FLOAT64:
        ((double *)data)[index] = value;
        break;
    case ESPY_INT8:
        ((int8_t *)data)[index] = (int8_t)held(value, INT8_MIN, INT8_MAX);
        break;
    case ESPY_UINT8:
        ((uint8_t *)data)[index] = (uint8_t)held(value, 0, UINT8_MAX);
        break;
    case ESPY_INT16:
        ((int16_t *)data)[index] = (int16_t)held(value, INT16_MIN, INT16_MAX);
        break;
    case ESPY_UINT16:
        ((uint16_t *)data)[index] = (uint16_t)held(value, 0, UINT16_MAX);
        break;
    case ESPY_INT32:
        ((int32_t *)data)[index] = (int32_t)held(value, INT32_MIN, INT32_MAX);
        break;
    case ESPY_UINT32:
        ((uint32_t *)data)[index] = (uint32_t)held(value, 0, UINT32_MAX);
        break;
    case ESPY_INT64:
        ((int64_t *)data)[index] = as_int64(value);
        break;
    case ESPY_UINT64:
        ((uint64_t *)data)[index] = as_uint64(value);
        break;
    case ESPY_BOOL:
        ((uint8_t *)data)[index] = value != 0;
        break;
    case ESPY_INT4:
        set_bits(dtype, data, index, (unsigned)(int)held(value, -8, 7));
        break;
    case ESPY_UINT4:
        set_bits(dtype, data, index, (unsigned)held(value, 0, 15));
        break;
    case ESPY_INT2:
        set_bits(dtype, data, index, (unsigned)(int)held(value, -2, 1));
        break;
    case ESPY_UINT2:
        set_bits(dtype, data, index, (unsigned)held(value, 0, 3));
        break;
    case ESPY_FLOAT4E2M1:
    case ESPY_FLOAT8E4M3FN:
    case ESPY_FLOAT8E4M3FNUZ:
    case ESPY_FLOAT8E5M2:
    case ESPY_FLOAT8E5M2FNUZ:
    case ESPY_FLOAT8E8M0:
        set_bits(dtype, data, index,
                 espy_number_to_small(espy_dtype_float_form(dtype), value, false, FLOAT_NEAREST));
        break;
    case ESPY_DTYPE_NONE:
        break;
    }
}

// 64-bit integers are not exact as double, so they travel as sign and bits.
struct integer {
    bool negative;
    uint64_t bits;
};

static struct integer get_integer(espy_dtype dtype, const void *data, size_t index)
{
    if (dtype == ESPY_UINT64)
        return (struct integer){false, ((const uint64_t *)data)[index]};
    const int64_t value = dtype == ESPY_INT64 ? ((const int64_t *)data)[index]
                                              : (int64_t)espy_number_get(dtype, data, index);
    return (struct integer){value < 0, (uint64_t)value};
}

static bool integer_fits(struct integer value, espy_dtype to)
{
    const unsigned width = espy_dtype_bits(to);
    const bool is_signed = espy_dtype_is_signed(to);
    if (to == ESPY_BOOL)
        return value.bits <= 1;
    if (value.negative)
        return is_signed && ~value.bits >> (width - 1) == 0;
    return value.bits >> (width - 1) >> (is_signed ? 0 : 1) == 0;
}

bool espy_number_fits(espy_dtype from, const void *data, size_t count, espy_dtype to)
{
    if (from == to)
        return true;
    if (espy_number_is_float(from) || espy_number_is_float(to))
        return espy_number_is_float(from) && espy_number_is_float(to);
    for (size_t i = 0; i < count; i++) {
        if (!integer_fits(get_integer(from, data, i), to))
            return false;
    }
    return true;
}

void espy_number_convert(espy_dtype from, const void *data, size_t count, espy_dtype to,
                         void *result)
{
    const bool wide = !espy_number_is_float(from) && espy_dtype_size(to) == 8;
    if (from == to) {
        size_t size = 0;
        espy_dtype_data_size(to, count, &size); // cannot overflow: it is there
        if (count)
            memcpy(result, data, size);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (wide)
            ((uint64_t *)result)[i] = get_integer(from, data, i).bits;
        else
            espy_number_set(to, result, i, espy_number_get(from, data, i));
    }
}
