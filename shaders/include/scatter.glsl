// Joins an update with what is there, in the kernels of ScatterElements and ScatterND. The including
// kernel declares the specialization constants REDUCTION, WIDTH (bytes of the host's element, 0 for bool)
// and IS_SIGNED.
#include "scatter_codes.glsl"

#ifdef VALUE
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
#ifdef VARIANT_I64
    if (!IS_SIGNED)
        return uint64_t(a) < uint64_t(b);
#endif
    return a < b;
}

VALUE join(VALUE there, VALUE update)
{
    if (REDUCTION == SCATTER_ADD)
        return wrap(there + update);
    if (REDUCTION == SCATTER_MUL)
        return wrap(there * update);
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
