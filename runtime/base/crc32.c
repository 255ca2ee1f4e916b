// CRC-32 with tables; crc32_native.c has what processors do by themselves.
#include "base/crc32.h"

#include "base/base.h"

// Four bits at a time: a table of 16 words is enough for headers and other short pieces.
uint32_t espy_crc32_bytes(uint32_t crc, const unsigned char *byte, size_t size)
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
        tables[0][i] = espy_crc32_bytes(i, (const unsigned char[1]){0}, 1);
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

size_t espy_crc32_tables(uint32_t *crc, const unsigned char *byte, size_t size)
{
    enum { LONG_SIZE = 16 * 1024 }; // much longer than it takes to make tables
    if (size < LONG_SIZE)
        return 0;
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
    const unsigned char *byte = bytes;
    if (size == 0) // bytes may be NULL, which has no offsets
        return crc;
    crc = ~crc;
    size_t done = espy_crc32_native(&crc, byte, size);
    done += espy_crc32_tables(&crc, byte + done, size - done);
    return ~espy_crc32_bytes(crc, byte + done, size - done);
}
