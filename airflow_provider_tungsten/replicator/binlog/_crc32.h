// CRC-32 of IEEE 802.3 (reflected polynomial 0xEDB88320), the checksum of the binary log's events.
//
// Eight bytes a step by tables; on x86 with carry-less multiplication 64 bytes a step, which Intel describes in "Fast
// CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction" (the constants are its x^n mod P, reflected).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define TUNGSTEN_CRC32_FOLDS 1
#endif

namespace tungsten {

using CrcTables = std::array<std::array<uint32_t, 256>, 8>;

constexpr CrcTables make_crc_tables() {
    CrcTables tables{};
    for (uint32_t byte = 0; byte < 256; ++byte) {
        uint32_t value = byte;
        for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0xEDB88320u : 0);
        tables[0][byte] = value;
    }
    for (size_t byte = 0; byte < 256; ++byte)
        for (size_t step = 1; step < 8; ++step)
            tables[step][byte] = tables[step - 1][byte] >> 8 ^ tables[0][tables[step - 1][byte] & 0xFF];
    return tables;
}

inline constexpr CrcTables crc_tables = make_crc_tables();

inline uint32_t little_endian_32(const uint8_t* p) {
    return uint32_t(p[0]) | uint32_t(p[1]) << 8 | uint32_t(p[2]) << 16 | uint32_t(p[3]) << 24;
}

inline uint32_t crc32_by_tables(uint32_t crc, const uint8_t* p, size_t n) {
    const CrcTables& t = crc_tables;
    for (; n >= 8; p += 8, n -= 8) {
        const uint32_t low = crc ^ little_endian_32(p), high = little_endian_32(p + 4);
        crc = t[7][low & 0xFF] ^ t[6][low >> 8 & 0xFF] ^ t[5][low >> 16 & 0xFF] ^ t[4][low >> 24] ^
              t[3][high & 0xFF] ^ t[2][high >> 8 & 0xFF] ^ t[1][high >> 16 & 0xFF] ^ t[0][high >> 24];
    }
    for (; n; ++p, --n) crc = crc >> 8 ^ t[0][(crc ^ *p) & 0xFF];
    return crc;
}

#ifdef TUNGSTEN_CRC32_FOLDS
constexpr size_t kFoldsFrom = 64;

__attribute__((target("pclmul,sse4.1"))) inline __m128i fold(__m128i value, __m128i by, __m128i next) {
    const __m128i low = _mm_clmulepi64_si128(value, by, 0x00), high = _mm_clmulepi64_si128(value, by, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

__attribute__((target("pclmul,sse4.1"))) inline __m128i load(const uint8_t* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}

// At least kFoldsFrom bytes; takes in a multiple of 16 of them and moves `p` and `n` behind these.
__attribute__((target("pclmul,sse4.1"))) inline uint32_t crc32_by_folds(uint32_t crc, const uint8_t*& p, size_t& n) {
    const __m128i by_512 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
    const __m128i by_128 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
    const __m128i by_64 = _mm_set_epi64x(0, 0x0163cd6124);
    const __m128i barrett = _mm_set_epi64x(0x01f7011641, 0x01db710641);
    const __m128i low_halves = _mm_set_epi32(0, -1, 0, -1);
    __m128i a = _mm_xor_si128(load(p), _mm_cvtsi32_si128(int(crc)));
    __m128i b = load(p + 16), c = load(p + 32), d = load(p + 48);
    for (p += 64, n -= 64; n >= 64; p += 64, n -= 64) {
        a = fold(a, by_512, load(p));
        b = fold(b, by_512, load(p + 16));
        c = fold(c, by_512, load(p + 32));
        d = fold(d, by_512, load(p + 48));
    }
    a = fold(fold(fold(a, by_128, b), by_128, c), by_128, d);
    for (; n >= 16; p += 16, n -= 16) a = fold(a, by_128, load(p));
    a = _mm_xor_si128(_mm_srli_si128(a, 8), _mm_clmulepi64_si128(a, by_128, 0x10));
    a = _mm_xor_si128(_mm_srli_si128(a, 4), _mm_clmulepi64_si128(_mm_and_si128(a, low_halves), by_64, 0x00));
    __m128i q = _mm_and_si128(_mm_clmulepi64_si128(_mm_and_si128(a, low_halves), barrett, 0x10), low_halves);
    q = _mm_clmulepi64_si128(q, barrett, 0x00);
    return uint32_t(_mm_extract_epi32(_mm_xor_si128(a, q), 1));
}
#endif

// The checksum of `n` more bytes behind those that gave `crc`; 0 for none.
inline uint32_t crc32(uint32_t crc, const uint8_t* p, size_t n) {
    crc = ~crc;
#ifdef TUNGSTEN_CRC32_FOLDS
    if (n >= kFoldsFrom && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1"))
        crc = crc32_by_folds(crc, p, n);
#endif
    return ~crc32_by_tables(crc, p, n);
}

}  // namespace tungsten
