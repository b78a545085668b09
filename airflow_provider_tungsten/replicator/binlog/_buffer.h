// Bytes that grow. Up to a size they are memory; what is more lies in a file without a name, mapped, of which no more stays in
// memory than what is being written or read.

#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace tungsten {

struct Buffer {
    char* data = nullptr;
    size_t size = 0;
    size_t capacity = 0;
    size_t mapped = 0;  // bytes of the file; 0: there is none
    int file = 0;
    int error = 0;  // why the file gave no room
};

// More lies in a file.
constexpr size_t IN_MEMORY = size_t(16) << 20;
// Of a file, written before it is paged out, and added to it at a time.
constexpr size_t WINDOW = size_t(4) << 20;
constexpr size_t GROWTH = size_t(64) << 20;

inline bool is_paged(const Buffer* buffer) { return buffer->mapped != 0; }

// Nothing of it needs to be in memory; what is looked at again is read again.
inline void page_out(const Buffer* buffer) {
    if (buffer->mapped) madvise(buffer->data, buffer->mapped, MADV_DONTNEED);
}

// What is worked through in steps, and in which buffers that may lie: behind a step nothing of them needs to be in memory.
struct Paced {
    size_t step = WINDOW;
    std::vector<const Buffer*> buffers;

    void page_out() const {
        for (const Buffer* buffer : buffers) tungsten::page_out(buffer);
    }
};

// Forgets the bytes, keeps their room.
inline void clear(Buffer* buffer) {
    buffer->size = 0;
    if (buffer->mapped) buffer->capacity = WINDOW;
}

inline void release(Buffer* buffer) {
    if (buffer->mapped) {
        munmap(buffer->data, buffer->mapped);
        close(buffer->file);
    } else {
        std::free(buffer->data);
    }
    *buffer = Buffer{};
}

inline int unnamed_file() {
    std::string folder = "/tmp";
    for (const char* name : {"TMPDIR", "TEMP", "TMP"}) {
        const char* value = std::getenv(name);
        if (value && *value) {
            folder = value;
            break;
        }
    }
    int file = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return file;
    std::string name = folder + "/tungsten-buffer-XXXXXX";
    file = mkostemp(&name[0], O_CLOEXEC);
    if (file >= 0) unlink(name.c_str());
    return file;
}

// The file's size is taken from the disk at once: a page of a full one could not be written, which would end the process.
inline int enlarge(Buffer* buffer, size_t length) {
    const int error = posix_fallocate(buffer->file, off_t(buffer->mapped), off_t(length - buffer->mapped));
    if (error) return error;
    void* data = buffer->mapped
        ? mremap(buffer->data, buffer->mapped, length, MREMAP_MAYMOVE)
        : mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, buffer->file, 0);
    if (data == MAP_FAILED) return errno;
    buffer->data = static_cast<char*>(data);
    buffer->mapped = length;
    return 0;
}

inline int move_to_file(Buffer* buffer, size_t length) {
    Buffer moved{};
    moved.size = buffer->size;
    moved.file = unnamed_file();
    if (moved.file < 0) return errno;
    int error = enlarge(&moved, length);
    for (size_t at = 0; !error && at < buffer->size;) {
        const ssize_t written = pwrite(moved.file, buffer->data + at, buffer->size - at, off_t(at));
        if (written >= 0) at += size_t(written);
        else if (errno != EINTR) error = errno;
    }
    if (error) {
        if (moved.mapped) munmap(moved.data, moved.mapped);
        close(moved.file);
        return error;
    }
    std::free(buffer->data);
    *buffer = moved;
    return 0;
}

inline bool grow(Buffer* buffer, size_t more) {
    const size_t needed = buffer->size + more;
    if (needed < more) return false;
    if (!buffer->mapped && needed <= IN_MEMORY) {
        size_t capacity = buffer->capacity ? buffer->capacity : 4096;
        while (capacity < needed) capacity *= 2;
        void* data = std::realloc(buffer->data, capacity);
        if (!data) return false;
        buffer->data = static_cast<char*>(data);
        buffer->capacity = capacity;
        return true;
    }
    if (needed + WINDOW > buffer->mapped) {
        const size_t length = (needed + WINDOW + GROWTH) / GROWTH * GROWTH;
        buffer->error = buffer->mapped ? enlarge(buffer, length) : move_to_file(buffer, length);
        if (buffer->error) return false;
    }
    page_out(buffer);
    buffer->capacity = needed + WINDOW;
    return true;
}

// Room for so many bytes more; false: there is none.
inline bool reserve(Buffer* buffer, size_t more) {
    return buffer->capacity - buffer->size >= more || grow(buffer, more);
}

}  // namespace tungsten
