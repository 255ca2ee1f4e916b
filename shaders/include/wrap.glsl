// Makes what was computed with integers fit the host's type. The including kernel declares the
// specialization constants WIDTH (bytes of the host's element, 0 for bool) and IS_SIGNED.
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
