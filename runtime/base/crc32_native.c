// CRC-32 with a processor's own instructions: checking a file of weights takes as long as reading
// it.
#include "base/crc32.h"

#if defined(__GNUC__) && defined(__x86_64__)

#include <immintrin.h>

// Products without carries move a remainder of 128 bits over the next bits of the message (Gopal et
// al., Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction, Intel 2009). Two
// constants are the powers of x for the two halves of the remainder, modulo the polynomial, with
// their bits in reverse like everything here: x^(n + 32) and x^(n - 32) for n bits.
enum { BLOCK = 16, STREAMS = 4 };

__attribute__((target("pclmul"))) static inline __m128i fold(__m128i remainder, __m128i powers,
                                                             __m128i next)
{
    const __m128i low = _mm_clmulepi64_si128(remainder, powers, 0x00);
    const __m128i high = _mm_clmulepi64_si128(remainder, powers, 0x11);
    return _mm_xor_si128(next, _mm_xor_si128(low, high));
}

static inline __m128i load(const unsigned char *byte)
{
    return _mm_loadu_si128((const void *)byte);
}

__attribute__((target("pclmul"))) static size_t fold_all(uint32_t *crc, const unsigned char *byte,
                                                         size_t size)
{
    const __m128i over_512 = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
    const __m128i over_128 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    __m128i sums[STREAMS];
    unsigned char rest[BLOCK];
    size_t done = STREAMS * BLOCK;
    for (int i = 0; i < STREAMS; i++)
        sums[i] = load(byte + i * BLOCK);
    sums[0] = _mm_xor_si128(sums[0], _mm_cvtsi32_si128((int)*crc));
    for (; size - done >= STREAMS * BLOCK; done += STREAMS * BLOCK)
        for (int i = 0; i < STREAMS; i++)
            sums[i] = fold(sums[i], over_512, load(byte + done + i * BLOCK));
    for (int i = 1; i < STREAMS; i++)
        sums[i] = fold(sums[i - 1], over_128, sums[i]);
    _mm_storeu_si128((void *)rest, sums[STREAMS - 1]);
    *crc = espy_crc32_bytes(0, rest, sizeof(rest));
    return done;
}

size_t espy_crc32_native(uint32_t *crc, const unsigned char *byte, size_t size)
{
    return size >= STREAMS * BLOCK && __builtin_cpu_supports("pclmul") ? fold_all(crc, byte, size)
                                                                       : 0;
}

#elif defined(__ARM_FEATURE_CRC32)

#include <arm_acle.h>
#include <string.h>

size_t espy_crc32_native(uint32_t *crc, const unsigned char *byte, size_t size)
{
    size_t done = 0;
    for (; size - done >= sizeof(uint64_t); done += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, byte + done, sizeof(word)); // little-endian, as every such processor is run
        *crc = __crc32d(*crc, word);
    }
    return done;
}

#else

size_t espy_crc32_native(uint32_t *crc, const unsigned char *byte, size_t size)
{
    (void)crc;
    (void)byte;
    (void)size;
    return 0;
}

#endif
