// com.microsoft: Fourier transforms and complex numbers.
#include "convert/builder.h"

#include <string.h>

static uint32_t transform(struct builder *b, uint32_t x, int64_t axis, bool inverse, bool half)
{
    const uint32_t inputs[] = {x, GRAPH_NONE, espy_build_scalar(b, ESPY_INT64, (double)axis)};
    const uint32_t result = espy_build_emit(b, "DFT", inputs, 3);
    espy_build_set(b, "inverse", inverse);
    espy_build_set(b, "onesided", half);
    return result;
}

static int64_t signal_dims(struct builder *b)
{
    const int64_t count = espy_build_integer(b, "signal_ndim", 1);
    if (espy_build_integer(b, "normalized", 0) != 0 || espy_build_integer(b, "onesided", 1) != 1 ||
        count < 1 || count > 3)
        espy_build_refuse(b, "only onesided, not normalized transforms of 1 to 3 dimensions are "
                             "supported");
    return count;
}

// The last dimension of the signal by halves, then the others whole.
static void rfft(struct builder *b)
{
    const int64_t count = signal_dims(b);
    uint32_t x = EMIT(b, "Unsqueeze", espy_build_input(b, 0), LIST(b, -1));
    x = transform(b, x, -2, false, true);
    for (int64_t i = 1; i < count; i++)
        x = transform(b, x, -2 - i, false, false);
    espy_build_result(b, 0, x);
}

static void irfft(struct builder *b)
{
    const int64_t count = signal_dims(b);
    uint32_t x = espy_build_input(b, 0);
    for (int64_t i = count - 1; i > 0; i--)
        x = transform(b, x, -2 - i, true, false);
    x = transform(b, x, -2, true, true);
    espy_build_result(b, 0, EMIT(b, "Squeeze", x, LIST(b, -1)));
}

// Products of numbers that have a real and an imaginary part in the last dimension.
static void complex_mul(struct builder *b)
{
    const bool conjugate = strcmp(b->node->op, "ComplexMulConj") == 0;
    uint32_t left[2], right[2];
    for (int64_t i = 0; i < 2; i++) {
        left[i] = espy_build_pick(b, espy_build_input(b, 0), i, -1);
        right[i] = espy_build_pick(b, espy_build_input(b, 1), i, -1);
    }
    const uint32_t same = EMIT(b, "Mul", left[0], right[0]);
    const uint32_t other = EMIT(b, "Mul", left[1], right[1]);
    const uint32_t first = EMIT(b, "Mul", left[1], right[0]);
    const uint32_t second = EMIT(b, "Mul", left[0], right[1]);
    const uint32_t end = LIST(b, -1);
    const uint32_t real = EMIT(b, conjugate ? "Add" : "Sub", same, other);
    const uint32_t imaginary = EMIT(b, conjugate ? "Sub" : "Add", first, second);
    const uint32_t parts[] = {EMIT(b, "Unsqueeze", real, end),
                              EMIT(b, "Unsqueeze", imaginary, end)};
    espy_build_result(b, 0, espy_build_concat(b, parts, 2, -1));
}

static const struct foreign_row rows[] = {
    {"ComplexMul", complex_mul},
    {"ComplexMulConj", complex_mul},
    {"Irfft", irfft},
    {"Rfft", rfft},
};

const struct foreign_family espy_foreign_fourier = {"com.microsoft", rows,
                                                    sizeof(rows) / sizeof(rows[0])};
