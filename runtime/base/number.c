#include "base/base.h"

#include <string.h>

static uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static float bits_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

float espy_half_to_float(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 0x1fu;
    const uint32_t mantissa = half & 0x3ffu;
    if (exponent == 0x1f)
        return bits_float(sign | 0x7f800000u | (mantissa << 13));
    if (exponent != 0)
        return bits_float(sign | ((exponent + 112) << 23) | (mantissa << 13));
    const float magnitude = (float)mantissa * (1.0f / 16777216.0f); // subnormal: units of 2^-24
    return sign != 0 ? -magnitude : magnitude;
}

uint16_t espy_float_to_half(float value)
{
    const uint32_t bits = float_bits(value);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
    if (magnitude >= 0x477ff000u) // 65520 and above round to infinity
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) {
        // Below 2^-14: adding 0.5 puts units of 2^-24 at the end of the mantissa, rounded to even.
        const uint32_t sum = float_bits(bits_float(magnitude) + 0.5f);
        return (uint16_t)(sign | (sum - float_bits(0.5f)));
    }
    const uint32_t odd = (magnitude >> 13) & 1u;
    const uint32_t rounded = magnitude - (112u << 23) + 0xfffu + odd;
    return (uint16_t)(sign | (rounded >> 13));
}

float espy_bfloat16_to_float(uint16_t bits)
{
    return bits_float((uint32_t)bits << 16);
}

uint16_t espy_float_to_bfloat16(float value)
{
    const uint32_t bits = float_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((bits >> 16) | 0x40u); // stays a NaN whatever bits are cut off
    const uint32_t odd = (bits >> 16) & 1u;
    return (uint16_t)((bits + 0x7fffu + odd) >> 16);
}

// Four bits at a time: a table of 16 words is enough for headers and other short pieces.
static uint32_t crc32_short(uint32_t crc, const unsigned char *byte, size_t size)
{
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
                                       0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                       0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    for (size_t i = 0; i < size; i++) {
        crc = table[(crc ^ byte[i]) & 15u] ^ (crc >> 4);
        crc = table[(crc ^ (byte[i] >> 4)) & 15u] ^ (crc >> 4);
    }
    return crc;
}

static uint32_t load_word(const unsigned char *byte)
{
    return (uint32_t)byte[0] | (uint32_t)byte[1] << 8 | (uint32_t)byte[2] << 16 |
           (uint32_t)byte[3] << 24;
}

// tables[k] moves a byte over k zero bytes.
struct crc32_tables {
    uint32_t tables[8][256];
};

static void crc32_make_tables(struct crc32_tables *made)
{
    uint32_t(*tables)[256] = made->tables;
    for (uint32_t i = 0; i < 256; i++)
        tables[0][i] = crc32_short(i, (const unsigned char[1]){0}, 1);
    for (int k = 1; k < 8; k++)
        for (uint32_t i = 0; i < 256; i++)
            tables[k][i] = tables[0][tables[k - 1][i] & 255u] ^ (tables[k - 1][i] >> 8);
}

static inline uint32_t crc32_eight(const struct crc32_tables *made, uint32_t crc,
                                   const unsigned char *byte)
{
    const uint32_t(*tables)[256] = made->tables;
    const uint32_t low = load_word(byte) ^ crc, high = load_word(byte + 4);
    return tables[7][low & 255u] ^ tables[6][low >> 8 & 255u] ^ tables[5][low >> 16 & 255u] ^
           tables[4][low >> 24] ^ tables[3][high & 255u] ^ tables[2][high >> 8 & 255u] ^
           tables[1][high >> 16 & 255u] ^ tables[0][high >> 24];
}

// The product of two polynomials modulo CRC-32's, whose highest power is the lowest bit.
static uint32_t crc32_multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = UINT32_C(1) << 31; bit != 0; bit >>= 1) {
        product ^= (a & bit) != 0 ? b : 0;
        b = (b >> 1) ^ ((b & 1u) != 0 ? UINT32_C(0xedb88320) : 0);
    }
    return product;
}

enum { CRC_STREAM_LOG2 = 13, CRC_STREAM = 1 << CRC_STREAM_LOG2, CRC_STREAMS = 4 };

// Four pieces that follow each other, at the same time: each waits for its own reads of the tables
// only. A piece's remainder is moved over those behind it by a product with a power of x.
static uint32_t crc32_streams(const struct crc32_tables *tables, uint32_t moves, uint32_t crc,
                              const unsigned char *byte)
{
    uint32_t second = 0, third = 0, fourth = 0;
    for (const unsigned char *end = byte + CRC_STREAM; byte < end; byte += 8) {
        crc = crc32_eight(tables, crc, byte);
        second = crc32_eight(tables, second, byte + CRC_STREAM);
        third = crc32_eight(tables, third, byte + 2 * CRC_STREAM);
        fourth = crc32_eight(tables, fourth, byte + 3 * CRC_STREAM);
    }
    second ^= crc32_multiply(crc, moves);
    third ^= crc32_multiply(second, moves);
    return fourth ^ crc32_multiply(third, moves);
}

// For what is much longer than it takes to make tables; returns how many bytes it has done.
static size_t crc32_long(uint32_t *crc, const unsigned char *byte, size_t size)
{
    struct crc32_tables tables;
    uint32_t moves = UINT32_C(1) << (31 - 8); // x^8, over one byte
    size_t done = 0;
    crc32_make_tables(&tables);
    for (uint32_t i = 0; i < CRC_STREAM_LOG2; i++)
        moves = crc32_multiply(moves, moves);
    for (; size - done >= CRC_STREAMS * CRC_STREAM; done += CRC_STREAMS * CRC_STREAM)
        *crc = crc32_streams(&tables, moves, *crc, byte + done);
    for (; size - done >= 8; done += 8)
        *crc = crc32_eight(&tables, *crc, byte + done);
    return done;
}

uint32_t espy_crc32(uint32_t crc, const void *bytes, size_t size)
{
    enum { LONG_SIZE = 16 * 1024 };
    const unsigned char *byte = bytes;
    size_t done = 0;
    if (size == 0) // bytes may be NULL, which has no offsets
        return crc;
    crc = ~crc;
    if (size >= LONG_SIZE)
        done = crc32_long(&crc, byte, size);
    return ~crc32_short(crc, byte + done, size - done);
}

uint64_t espy_hash(uint64_t hash, const void *bytes, size_t size)
{
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
    return hash;
}
