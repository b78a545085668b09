// SHA-256 (FIPS 180-4) of a salt and a value, as hexadecimal text; what a salt has of whole blocks is hashed once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tungsten {

inline constexpr uint32_t sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

inline uint32_t rotated(uint32_t value, int by) { return value >> by | value << (32 - by); }

inline void sha256_block(uint32_t* state, const uint8_t* block) {
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; ++i, block += 4)
        w[i] = uint32_t(block[0]) << 24 | uint32_t(block[1]) << 16 | uint32_t(block[2]) << 8 | block[3];
    for (int i = 16; i < 64; ++i) {
        const uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (rotated(a, 7) ^ rotated(a, 18) ^ a >> 3) +
               (rotated(b, 17) ^ rotated(b, 19) ^ b >> 10);
    }
    std::memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; ++i) {
        const uint32_t e = s[4], a = s[0];
        const uint32_t one = s[7] + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + ((e & s[5]) ^ (~e & s[6])) +
                             sha256_constants[i] + w[i];
        const uint32_t two = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) +
                             ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        s[7] = s[6], s[6] = s[5], s[5] = e, s[4] = s[3] + one, s[3] = s[2], s[2] = s[1], s[1] = a, s[0] = one + two;
    }
    for (int i = 0; i < 8; ++i) state[i] += s[i];
}

class Sha256 {
public:
    void begin() {
        static constexpr uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                                0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
        std::memcpy(state_, initial, sizeof state_);
        waiting_ = size_ = 0;
    }

    void add(const uint8_t* data, size_t size) {
        size_ += size;
        while (size) {
            if (waiting_ == 0 && size >= 64) {
                sha256_block(state_, data);
                data += 64, size -= 64;
                continue;
            }
            const size_t part = size < 64 - waiting_ ? size : 64 - waiting_;
            std::memcpy(block_ + waiting_, data, part);
            data += part, size -= part, waiting_ += part;
            if (waiting_ == 64) {
                sha256_block(state_, block_);
                waiting_ = 0;
            }
        }
    }

    // 64 hexadecimal digits in lower case.
    void end(char* digits) {
        const uint64_t bits = uint64_t(size_) * 8;
        block_[waiting_++] = 0x80;
        if (waiting_ > 56) {
            std::memset(block_ + waiting_, 0, 64 - waiting_);
            sha256_block(state_, block_);
            waiting_ = 0;
        }
        std::memset(block_ + waiting_, 0, 56 - waiting_);
        for (int i = 0; i < 8; ++i) block_[56 + i] = uint8_t(bits >> (56 - 8 * i));
        sha256_block(state_, block_);
        for (int i = 0; i < 32; ++i) {
            const uint8_t byte = uint8_t(state_[i >> 2] >> (24 - 8 * (i & 3)));
            *digits++ = "0123456789abcdef"[byte >> 4];
            *digits++ = "0123456789abcdef"[byte & 15];
        }
    }

private:
    uint32_t state_[8];
    uint8_t block_[64];
    size_t waiting_, size_;
};

}  // namespace tungsten
