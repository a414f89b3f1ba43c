// Attributes as cuBLASLt's functions get and set them: a number, a buffer and its size, which must be the attribute's.
//
// Threads: pure functions.
#pragma once

#include <cublasLt.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace accelmesh::blaslt {

struct Field {
  int attribute;
  std::size_t offset;  // in the bytes of what has it
  std::size_t bytes;
};

inline const Field* FindField(std::span<const Field> fields, int attribute) {
  for (const Field& field : fields) {
    if (field.attribute == attribute) return &field;
  }
  return nullptr;
}

cublasStatus_t SetField(void* state, std::span<const Field> fields, int attribute, const void* buffer,
                        std::size_t bytes);
cublasStatus_t GetField(const void* state, std::span<const Field> fields, int attribute, void* buffer,
                        std::size_t bytes, std::size_t* written);
// Without a size only `written` is set: to how large the value is.
cublasStatus_t GiveValue(const void* value, std::size_t value_bytes, void* buffer, std::size_t bytes,
                         std::size_t* written);

}  // namespace accelmesh::blaslt
