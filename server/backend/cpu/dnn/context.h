// One call under way: gets at tensors in device memory, checked, as arrays of the type that is computed with.
//
// Errors: the first is kept. A function looks at failed() once it has all operands, before it touches any. What comes
// out of tensors that were refused is empty.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "protocol/library/dnn_calls.h"
#include "server/backend/cpu/blas.h"
#include "server/backend/cpu/dnn/view.h"

namespace accelmesh::cpu_dnn {

// CUresult numbers.
inline constexpr std::uint32_t kInvalidValue = 1;
inline constexpr std::uint32_t kOutOfMemory = 2;
inline constexpr std::uint32_t kIllegalAddress = 700;
inline constexpr std::uint32_t kMisalignedAddress = 716;
inline constexpr std::uint32_t kNotSupported = 801;

class Context {
 public:
  Context(const cpu_blas::Call& call, cpu_blas::Outcome* outcome) : call_(call), outcome_(outcome) {}
  bool failed() const { return outcome_->device_status != 0; }
  void Fail(std::uint32_t status, const std::string& text);
  // The answer to what was asked: bytes, or the library's status and why.
  void Answer(ByteView bytes);
  void Refuse(std::uint32_t library_status, const std::string& text);

  template <typename Words>
  Words Arguments() const {
    Words words;
    constexpr std::size_t kFlagsBytes = sizeof(std::uint64_t);
    if (call_.argument_bytes == kFlagsBytes + sizeof(words))
      std::memcpy(static_cast<void*>(&words), call_.arguments + kFlagsBytes, sizeof(words));
    return words;
  }

  // The same for a function whose words have a tail (dnn_calls.h): numbers of 32 bits.
  template <typename Words>
  Words Arguments(std::vector<std::int32_t>* tail) const {
    Words words;
    constexpr std::size_t kHeadBytes = sizeof(std::uint64_t) + sizeof(words);
    if (call_.argument_bytes < kHeadBytes) return words;
    std::memcpy(static_cast<void*>(&words), call_.arguments + sizeof(std::uint64_t), sizeof(words));
    tail->resize((call_.argument_bytes - kHeadBytes) / sizeof(std::int32_t));
    if (!tail->empty()) std::memcpy(tail->data(), call_.arguments + kHeadBytes, tail->size() * sizeof(std::int32_t));
    return words;
  }

  // The words of the call's settings.
  std::vector<std::int64_t> Settings() const {
    std::vector<std::int64_t> words(call_.settings_bytes / sizeof(std::int64_t));
    if (!words.empty()) std::memcpy(words.data(), call_.settings, words.size() * sizeof(std::int64_t));
    return words;
  }

  // What is computed with: float or double, which are then what In() and Out() are for.
  bool IsDouble(const DnnTensor& tensor) const { return tensor.type == CUDNN_DATA_DOUBLE; }
  void Require(bool holds, const char* what) {
    if (!holds) Fail(kInvalidValue, what);
  }

  // To read: where it lies, or converted.
  template <typename Real>
  View<Real> In(const DnnOperand& operand) {
    const Stored stored = Find(operand);
    if (stored.memory == nullptr) return {};
    if (stored.type == kStoredAs<Real>) return {static_cast<Real*>(stored.memory), stored.shape};
    return Converted<Real>(stored);
  }
  // Packed, in the order of its strides.
  template <typename Real>
  View<Real> Converted(const Stored& stored) {
    const View<Real> view = Scratch<Real>(stored.shape);
    Visit(stored, [&](auto* from) {
      Walk<2>(stored.shape, {stored.shape.strides, view.shape.strides},
              [&](const Offsets<2>& at) { view.data[at[1]] = static_cast<Real>(ToReal(from[at[0]])); });
    });
    return view;
  }
  // Not initialised.
  template <typename Real>
  View<Real> Scratch(const Shape& shape) {
    const Shape packed = Packed(shape);
    scratch_.push_back(std::make_unique_for_overwrite<std::byte[]>(Elements(packed) * sizeof(Real)));
    return {reinterpret_cast<Real*>(scratch_.back().get()), packed};
  }
  // Where a tensor lies; null, and failed(), if it must not be touched.
  Stored Find(const DnnOperand& operand);
  // The same for what is no tensor of the types above.
  void* FindBytes(std::uint64_t address, i64 bytes, i64 alignment);

 private:
  const cpu_blas::Call& call_;
  cpu_blas::Outcome* outcome_;
  std::vector<std::unique_ptr<std::byte[]>> scratch_;
};

// A result: written to view() and then, by Finish(), blended into the tensor.
template <typename Real>
class Output {
 public:
  Output(Context& context, const DnnOperand& operand, const DnnBlend& blend)
      : Output(context, context.Find(operand), blend) {}
  Output(Context& context, const Stored& stored, const DnnBlend& blend) : stored_(stored), blend_(blend) {
    if (stored_.memory == nullptr) return;
    is_direct_ = stored_.type == kStoredAs<Real> && !stored_.is_flipped && blend.alpha == 1 && blend.beta == 0;
    view_ = is_direct_ ? View<Real>{static_cast<Real*>(stored_.memory), stored_.shape}
                       : context.Scratch<Real>(stored_.shape);
  }
  const View<Real>& view() const { return view_; }
  void Finish() const {
    if (is_direct_ || view_.data == nullptr) return;
    const Real alpha = static_cast<Real>(blend_.alpha), beta = static_cast<Real>(blend_.beta);
    Visit(stored_, [&](auto* to) {
      using T = std::remove_reference_t<decltype(*to)>;
      Walk<2>(stored_.shape, {stored_.shape.strides, view_.shape.strides}, [&](const Offsets<2>& at) {
        Real value = alpha * view_.data[at[1]];
        if (beta != 0) value += beta * static_cast<Real>(ToReal(to[at[0]]));
        to[at[0]] = FromReal<T>(value);
      });
    });
  }

 private:
  Stored stored_;
  DnnBlend blend_;
  bool is_direct_ = false;
  View<Real> view_;
};

}  // namespace accelmesh::cpu_dnn
