// Joins an update with what is there, in the kernels of ScatterElements and ScatterND. The including
// kernel declares the specialization constants REDUCTION, WIDTH (bytes of the host's element, 0 for bool)
// and IS_SIGNED.
#include "scatter_codes.glsl"

#ifdef VALUE
#include "integers.glsl"
#include "wrap.glsl"

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
