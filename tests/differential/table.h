// How operations come into their table. Private to operations*.cpp.
#pragma once

#include <bit>
#include <cmath>
#include <type_traits>
#include <utility>

#include "tests/differential/operations.h"

namespace accelmesh::differential {

using Wide = __int128;

// 16 bits of a smaller float, and a pair of them.
struct Half {
  std::uint16_t bits;
};

template <typename T>
constexpr Class ClassOf() {
  if constexpr (std::is_same_v<T, bool>) return Class::kPredicate;
  if constexpr (std::is_same_v<T, Half>) return Class::k16;
  return sizeof(T) == 2 ? Class::k16 : sizeof(T) == 8 ? Class::k64 : Class::k32;  // bytes lie in 32 bits
}
template <typename T>
constexpr Source SourceOf() {
  if constexpr (std::is_same_v<T, bool>) return {Class::kPredicate, Kind::kPredicate, false, false};
  if constexpr (std::is_same_v<T, Half>) return {Class::k16, Kind::kHalf, false, false};
  if constexpr (std::is_same_v<T, float>) return {Class::k32, Kind::kF32, true, false};
  if constexpr (std::is_same_v<T, double>) return {Class::k64, Kind::kF64, true, false};
  return {ClassOf<T>(), Kind::kInteger, sizeof(T) > 1, false};
}
template <typename T>
T FromRegister(std::uint64_t v) {
  if constexpr (std::is_same_v<T, bool>) {
    return (v & 1) != 0;
  } else if constexpr (std::is_same_v<T, Half>) {
    return {static_cast<std::uint16_t>(v)};
  } else if constexpr (std::is_same_v<T, float>) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(v));
  } else if constexpr (std::is_same_v<T, double>) {
    return std::bit_cast<double>(v);
  } else {
    return static_cast<T>(v);
  }
}
// Single precision has one NaN, and double precision has one here, too (kOneNan).
template <typename T>
std::uint64_t ToRegister(T v) {
  if constexpr (std::is_same_v<T, Half>) {
    return v.bits;
  } else if constexpr (std::is_same_v<T, float>) {
    return std::isnan(v) ? 0x7fffffffu : std::bit_cast<std::uint32_t>(v);
  } else if constexpr (std::is_same_v<T, double>) {
    return std::isnan(v) ? 0x7ff8000000000000u : std::bit_cast<std::uint64_t>(v);
  } else {
    return Masked(ClassOf<T>(), static_cast<std::uint64_t>(v));
  }
}
template <typename T>
const char* Name() {
  if constexpr (std::is_same_v<T, bool>) return "pred";
  if constexpr (std::is_same_v<T, float>) return "f32";
  if constexpr (std::is_same_v<T, double>) return "f64";
  if constexpr (std::is_same_v<T, std::uint8_t>) return "u8";
  if constexpr (std::is_same_v<T, std::int8_t>) return "s8";
  if constexpr (std::is_same_v<T, std::uint16_t>) return "u16";
  if constexpr (std::is_same_v<T, std::int16_t>) return "s16";
  if constexpr (std::is_same_v<T, std::uint32_t>) return "u32";
  if constexpr (std::is_same_v<T, std::int32_t>) return "s32";
  if constexpr (std::is_same_v<T, std::uint64_t>) return "u64";
  if constexpr (std::is_same_v<T, std::int64_t>) return "s64";
  return "?";
}

// Lines that give a NaN the bits it has here, where the ISA names none.
inline const std::string kOneNan64 = "\ntestp.notanumber.f64 %q0, $0\nselp.b64 $0, 0x7ff8000000000000, $0, %q0";
inline const std::string kOneNan32 = "\ntestp.notanumber.f32 %q0, $0\nselp.b32 $0, 0x7fffffff, $0, %q0";

class Table {
 public:
  explicit Table(std::vector<Operation>* operations) : operations_(operations) {}

  Operation& Raw(Family family, std::string text, std::vector<Class> results, std::vector<Source> sources,
                 std::function<void(const std::uint64_t*, std::uint64_t*)> compute) {
    Operation& added = operations_->emplace_back();
    added.text = std::move(text);
    added.family = family;
    added.results = std::move(results);
    added.sources = std::move(sources);
    added.compute = std::move(compute);
    return added;
  }
  // `opcode` with one result and the operands of the signature, as in Add<int(int, int)>. An opcode with operands ($0)
  // is taken as it is.
  template <typename Signature, typename F>
  Operation& Add(Family family, const std::string& opcode, F f) {
    return AddTyped(family, opcode, f, static_cast<Signature*>(nullptr));
  }
  // What was added last, or some before that.
  Operation& last(std::size_t before = 0) { return operations_->at(operations_->size() - 1 - before); }
  std::size_t size() const { return operations_->size(); }

 private:
  template <typename F, typename R, typename... A>
  Operation& AddTyped(Family family, const std::string& opcode, F f, R (*)(A...)) {
    std::string text = opcode;
    if (opcode.find('$') == std::string::npos) {
      text += " $0";
      for (std::size_t i = 0; i < sizeof...(A); ++i) text += ", #" + std::to_string(i);
    }
    if (std::is_same_v<R, double>) text += kOneNan64;
    return Raw(family, std::move(text), {ClassOf<R>()}, {SourceOf<A>()...},
               [f](const std::uint64_t* in, std::uint64_t* out) {
                 out[0] = Call<R, A...>(f, in, std::index_sequence_for<A...>());
               });
  }
  template <typename R, typename... A, typename F, std::size_t... I>
  static std::uint64_t Call(const F& f, const std::uint64_t* in, std::index_sequence<I...>) {
    return ToRegister<R>(f(FromRegister<A>(in[I])...));
  }
  std::vector<Operation>* operations_;
};

void AddIntegerOperations(Table& table);
void AddFloatOperations(Table& table);
void AddConversions(Table& table);
void AddGroupOperations(Table& table);

}  // namespace accelmesh::differential
