// Texts checked to be values of another type and written in its canonical form: what `filters.settings.Cast` promises.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tungsten {

enum class Type { kSmallint, kInt, kBigint, kDecimal, kDouble, kBoolean, kDate, kDatetime, kVarchar };

// The longest: a DECIMAL of 38 digits with sign, point and the zero in front of it.
constexpr size_t kCastRoom = 48;
// What is longer is no number and no time, however many zeros it has in front.
constexpr size_t kCastLongest = size_t(1) << 20;

struct Cast {
    Type type;
    uint32_t size;  // digits of DECIMAL, characters of VARCHAR, fractional digits of DATETIME
    uint32_t scale;
};

struct Text {
    const char* data;
    size_t size;
};

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

inline bool only_zeros(const char* begin, const char* end) {
    for (; begin < end; ++begin)
        if (*begin != '0') return false;
    return true;
}

// Sign, digits without leading zeros and fraction of a plain number; false: it is none.
inline bool split(Text in, bool* negative, Text* whole, Text* fraction) {
    const char *at = in.data, *end = in.data + in.size;
    *negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) ++at;
    const char* begin = at;
    while (at < end && is_digit(*at)) ++at;
    if (at == begin) return false;
    const char* whole_end = at;
    while (begin < whole_end && *begin == '0') ++begin;
    *whole = {begin, size_t(whole_end - begin)};
    *fraction = {at, 0};
    if (at < end) {
        if (*at++ != '.') return false;
        begin = at;
        while (at < end && is_digit(*at)) ++at;
        if (at == begin) return false;
        *fraction = {begin, size_t(at - begin)};
    }
    return at == end;
}

inline bool cast_integer(int64_t lowest, int64_t highest, Text in, char* room, Text* out) {
    bool negative;
    Text whole, fraction;
    int64_t value = 0;
    if (!split(in, &negative, &whole, &fraction) || !only_zeros(fraction.data, fraction.data + fraction.size) ||
        whole.size > 19)
        return false;
    char digits[20];
    digits[0] = '-';
    std::memcpy(digits + 1, whole.data, whole.size);
    if (whole.size) {
        const auto read = std::from_chars(digits + !negative, digits + 1 + whole.size, value);
        if (read.ec != std::errc()) return false;
    }
    if (value < lowest || value > highest) return false;
    *out = {room, size_t(std::to_chars(room, room + kCastRoom, value).ptr - room)};
    return true;
}

inline bool cast_decimal(const Cast& to, Text in, char* room, Text* out) {
    bool negative;
    Text whole, fraction;
    if (!split(in, &negative, &whole, &fraction) || whole.size > to.size - to.scale) return false;
    const size_t kept = fraction.size < to.scale ? fraction.size : to.scale;
    if (!only_zeros(fraction.data + kept, fraction.data + fraction.size)) return false;
    char* at = room;
    if (negative && (whole.size || !only_zeros(fraction.data, fraction.data + kept))) *at++ = '-';
    if (!whole.size) *at++ = '0';
    std::memcpy(at, whole.data, whole.size);
    at += whole.size;
    if (to.scale) {
        *at++ = '.';
        std::memcpy(at, fraction.data, kept);
        std::memset(at + kept, '0', to.scale - kept);
        at += to.scale;
    }
    *out = {room, size_t(at - room)};
    return true;
}

inline bool cast_double(Text in, Text* out) {
    double value;
    const char* end = in.data + in.size;
    const char* begin = in.data + (in.size && *in.data == '-');
    if (begin == end || !(is_digit(*begin) || *begin == '.')) return false;
    const auto read = std::from_chars(in.data, end, value);
    *out = in;
    return read.ec == std::errc() && read.ptr == end;
}

inline bool is_word(Text in, const char* word) {
    if (in.size != std::strlen(word)) return false;
    for (size_t i = 0; i < in.size; ++i)
        if ((in.data[i] | 0x20) != word[i]) return false;
    return true;
}

inline bool cast_boolean(Text in, Text* out) {
    const bool one = in.size == 1 && in.data[0] == '1', zero = in.size == 1 && in.data[0] == '0';
    *out = {one || is_word(in, "true") ? "1" : "0", 1};
    return one || zero || is_word(in, "true") || is_word(in, "false");
}

// Two or four digits; -1: none.
inline int digits(const char* at, int count) {
    int value = 0;
    for (; count; --count, ++at) {
        if (!is_digit(*at)) return -1;
        value = 10 * value + *at - '0';
    }
    return value;
}

inline bool is_date(const char* at) {
    static constexpr int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const int year = digits(at, 4), month = digits(at + 5, 2), day = digits(at + 8, 2);
    if (at[4] != '-' || at[7] != '-' || year < 1 || month < 1 || month > 12 || day < 1) return false;
    const bool leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return day <= days[month - 1] + leap;
}

inline bool is_time(const char* at) {
    const int hour = digits(at, 2), minute = digits(at + 3, 2), second = digits(at + 6, 2);
    return at[2] == ':' && at[5] == ':' && hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 &&
           second < 60;
}

// A date, or date and time with up to six fractional digits. `scale` of them are kept, more must be zero.
inline bool cast_time(bool date, uint32_t scale, Text in, char* room, Text* out) {
    if (in.size < 10 || !is_date(in.data)) return false;
    Text fraction{in.data, 0};
    if (in.size != 10) {
        if (in.size < 19 || (in.data[10] != ' ' && in.data[10] != 'T') || !is_time(in.data + 11)) return false;
        if (in.size != 19) {
            fraction = {in.data + 20, in.size - 20};
            if (in.data[19] != '.' || fraction.size < 1 || fraction.size > 6) return false;
            for (size_t i = 0; i < fraction.size; ++i)
                if (!is_digit(fraction.data[i])) return false;
        }
    }
    if (date) {
        *out = {in.data, 10};
        return true;
    }
    const size_t kept = fraction.size < scale ? fraction.size : scale;
    if (!only_zeros(fraction.data + kept, fraction.data + fraction.size)) return false;
    std::memcpy(room, in.data, 10);
    std::memcpy(room + 10, " 00:00:00.000000", 16);
    if (in.size > 10) std::memcpy(room + 11, in.data + 11, 8);
    std::memcpy(room + 20, fraction.data, kept);
    *out = {room, size_t(scale ? 20 + scale : 19)};
    return true;
}

// Where a text in UTF-8 ends behind so many characters.
inline size_t characters(const char* data, size_t size, size_t count) {
    size_t at = 0;
    if (size <= count) return size;
    for (; at < size; ++at)
        if ((uint8_t(data[at]) & 0xC0) != 0x80 && count-- == 0) break;
    return at;
}

// Where it ends within so many bytes, not inside a character.
inline size_t whole_characters(const char* data, size_t size, size_t bytes) {
    if (size <= bytes) return size;
    while (bytes && (uint8_t(data[bytes]) & 0xC0) == 0x80) --bytes;
    return bytes;
}

// Where its last so many characters begin.
inline size_t last_characters(const char* data, size_t size, size_t count) {
    size_t at = size;
    while (at && count) {
        --at;
        if ((uint8_t(data[at]) & 0xC0) != 0x80) --count;
    }
    return at;
}

// False: the text is no value of that type. What comes out lies in `room`, in the text that came in, or is constant.
inline bool cast(const Cast& to, Text in, char* room, Text* out) {
    if (in.size > kCastLongest && to.type != Type::kVarchar) return false;
    switch (to.type) {
        case Type::kSmallint: return cast_integer(INT16_MIN, INT16_MAX, in, room, out);
        case Type::kInt: return cast_integer(INT32_MIN, INT32_MAX, in, room, out);
        case Type::kBigint: return cast_integer(INT64_MIN, INT64_MAX, in, room, out);
        case Type::kDecimal: return cast_decimal(to, in, room, out);
        case Type::kDouble: return cast_double(in, out);
        case Type::kBoolean: return cast_boolean(in, out);
        case Type::kDate: return cast_time(true, 0, in, room, out);
        case Type::kDatetime: return cast_time(false, to.size, in, room, out);
        case Type::kVarchar: *out = in; return characters(in.data, in.size, to.size) == in.size;
    }
    return false;
}

}  // namespace tungsten
