// Joins an update with what is there, in the kernels of ScatterElements and ScatterND. The including
// kernel declares the specialization constants REDUCTION, WIDTH (bytes of the host's element, 0 for bool)
// and IS_SIGNED.
#include "scatter_codes.glsl"

#ifdef VALUE
#include "integers.glsl"

VALUE wrap(VALUE value)
{
#ifdef VARIANT_I32
    if (WIDTH == 0)
        return value != 0 ? 1 : 0;
    if (WIDTH < 4 && IS_SIGNED)
        return bitfieldExtract(value, 0, int(8 * WIDTH));
    if (WIDTH < 4)
        return value & ((1 << (8 * WIDTH)) - 1);
#endif
    return value;
}

bool less(VALUE a, VALUE b)
{
    return LESS(a, b, IS_SIGNED);
}

VALUE join(VALUE there, VALUE update)
{
    if (REDUCTION == SCATTER_ADD)
        return wrap(SUM(there, update));
    if (REDUCTION == SCATTER_MUL)
        return wrap(PRODUCT_OF(there, update));
#if IS_FLOAT
    if (isnan(update))
        return update;
#endif
    if (REDUCTION == SCATTER_MAX)
        return less(there, update) ? update : there;
    if (REDUCTION == SCATTER_MIN)
        return less(update, there) ? update : there;
    return update;
}
#endif
