// Words of a library call (protocol/library) as arguments of the real function.
//
// Threads: an object belongs to one call.
#pragma once

#include <cublas_api.h>
#include <cuda.h>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstring>
#include <type_traits>
#include <utility>

#include "protocol/library/library.h"

namespace accelmesh::cuda {

class NativeArguments {
 public:
  // `result`: the device memory that the result of a function goes to whose caller waits for it; 0 if there is none.
  NativeArguments(ByteView arguments, CUdeviceptr result)
      : words_(arguments), result_(result), on_device_(words_.has_device_pointers()) {}

  // Becomes whatever the parameter is. A number that does not fit makes the call one that is not to be made.
  class Value {
   public:
    Value(std::int64_t bits, bool* fits) : bits_(bits), fits_(fits) {}
    template <typename T>
      requires std::integral<T>
    operator T() const {
      if (!std::in_range<T>(bits_)) *fits_ = false;
      return static_cast<T>(bits_);
    }
    template <typename T>
      requires std::is_enum_v<T>
    operator T() const {
      return static_cast<T>(static_cast<int>(*this));
    }
    template <typename T>
    operator T*() const {
      return reinterpret_cast<T*>(bits_);
    }

   private:
    std::int64_t bits_;
    bool* fits_;
  };

  Value Word(std::size_t index) { return {words_.Word(index), &fits_}; }
  // Each scalar and result has a slot of its own, as arguments are made in no certain order.
  Value Scalar(std::size_t slot, std::size_t word, std::size_t words) {
    if (on_device_) return Word(word);
    const ByteView value = words_.Raw(word, words * sizeof(std::uint64_t));
    std::memcpy(slots_[slot].bytes, value.data(), value.size());
    return At(slots_[slot].bytes);
  }
  Value Result(std::size_t slot, std::size_t word, std::size_t bytes) {
    if (on_device_) return Word(word);
    // A client may name a type that the function does not have, and the library then refuses.
    slots_[slot].result_bytes = std::min(bytes, sizeof(Slot::bytes));
    return result_ != 0 ? Value(static_cast<std::int64_t>(result_), &fits_) : At(slots_[slot].bytes);
  }
  Value InOut(std::size_t slot, std::size_t word, std::size_t bytes) {
    if (on_device_) return Word(word);
    slots_[slot].result_bytes = bytes;  // as large as a scalar at most
    const ByteView value = words_.Raw(word, bytes);
    std::memcpy(slots_[slot].bytes, value.data(), value.size());
    return At(slots_[slot].bytes);
  }
  // Of the arguments themselves, which the client has checked.
  Value HostInfo() { return At(&info_); }

  bool fits() const { return fits_; }
  // How many bytes of results the caller waits for, and those that are the host's, in the order of the parameters.
  std::size_t result_bytes() const {
    std::size_t bytes = 0;
    for (const Slot& slot : slots_) bytes += slot.result_bytes;
    return bytes;
  }
  Bytes HostResults() const {
    Bytes results;
    for (const Slot& slot : slots_) results.insert(results.end(), slot.bytes, slot.bytes + slot.result_bytes);
    return results;
  }

 private:
  // The library may read a complex number at once.
  struct alignas(16) Slot {
    std::uint8_t bytes[64] = {};
    std::size_t result_bytes = 0;
  };
  Value At(void* host) { return {reinterpret_cast<std::int64_t>(host), &fits_}; }

  LibraryArguments words_;
  CUdeviceptr result_;
  bool on_device_;
  bool fits_ = true;
  int info_ = 0;
  std::array<Slot, 8> slots_;
};

// The call of a function of that type, but for the handle in front.
template <typename Function>
struct NativeCall;
template <typename... Parameters>
struct NativeCall<cublasStatus_t(Parameters...)> {
  void* symbol;
  cublasHandle_t handle;
  const NativeArguments& arguments;
  cublasStatus_t operator()(Parameters... values) const {
    if (!arguments.fits()) return CUBLAS_STATUS_INVALID_VALUE;
    return reinterpret_cast<cublasStatus_t (*)(cublasHandle_t, Parameters...)>(symbol)(handle, values...);
  }
};

}  // namespace accelmesh::cuda
