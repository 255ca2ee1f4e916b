// The ways to a CRC-32, apart for tests: everybody else calls espy_crc32 (base.h). Each goes on from
// the remainder *crc, which is not inverted, and returns how many bytes it has done: 0 where they
// are too few for it.
#ifndef RUNTIME_BASE_CRC32_H_
#define RUNTIME_BASE_CRC32_H_

#include <stddef.h>
#include <stdint.h>

// All of them, four bits at a time.
uint32_t espy_crc32_bytes(uint32_t crc, const unsigned char *byte, size_t size);
size_t espy_crc32_tables(uint32_t *crc, const unsigned char *byte, size_t size);
// With the processor's instructions; 0 where it has none.
size_t espy_crc32_native(uint32_t *crc, const unsigned char *byte, size_t size);

#endif // RUNTIME_BASE_CRC32_H_
