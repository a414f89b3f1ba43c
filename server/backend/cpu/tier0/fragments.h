// Elements of matrices as the lanes of a warp hold them. Private to this folder: matrix.cpp and wmma.cpp.
#pragma once

#include "server/backend/cpu/tier0/decoder.h"
#include "server/backend/cpu/tier0/small_float.h"

namespace accelmesh::tier0 {

enum class Element : std::uint8_t {
  kNone,
  kF16,
  kBf16,
  kTf32,
  kF32,
  kF64,
  kS32,
  kS8,
  kU8,
  kS4,
  kU4,
  kB1,
  kE4m3,
  kE5m2
};

struct ElementNames {
  std::string_view name;
  Element element;
};
inline Element ParseElement(std::string_view name) {
  static constexpr ElementNames kNames[] = {{"f16", Element::kF16},  {"bf16", Element::kBf16}, {"tf32", Element::kTf32},
                                            {"f32", Element::kF32},  {"f64", Element::kF64},   {"s32", Element::kS32},
                                            {"s8", Element::kS8},    {"u8", Element::kU8},     {"s4", Element::kS4},
                                            {"u4", Element::kU4},    {"b1", Element::kB1},     {"e4m3", Element::kE4m3},
                                            {"e5m2", Element::kE5m2}};
  for (const ElementNames& known : kNames) {
    if (known.name == name) return known.element;
  }
  return Element::kNone;
}
inline std::uint32_t BitsOf(Element element) {
  switch (element) {
    case Element::kF64: return 64;
    case Element::kF16:
    case Element::kBf16: return 16;
    case Element::kS8:
    case Element::kU8:
    case Element::kE4m3:
    case Element::kE5m2: return 8;
    case Element::kS4:
    case Element::kU4: return 4;
    case Element::kB1: return 1;
    default: return 32;
  }
}
inline bool IsIntegral(Element element) { return element >= Element::kS32 && element <= Element::kB1; }

// Element number `index` of a register, as a number. Integers are exact in double, too.
inline double ReadElement(Element element, std::uint64_t word, std::uint32_t index) {
  const std::uint32_t bits = BitsOf(element);
  if (bits == 64) return std::bit_cast<double>(word);
  const auto v = static_cast<std::uint32_t>(bits == 32 ? word : word >> (index * bits) & ((1ull << bits) - 1));
  switch (element) {
    case Element::kF16: return FromSmall(v, kHalf);
    case Element::kBf16: return FromSmall(v, kBrain);
    case Element::kTf32: return FromTf32(v);
    case Element::kF32: return std::bit_cast<float>(v);
    case Element::kS32: return static_cast<std::int32_t>(v);
    case Element::kS8: return static_cast<std::int8_t>(v);
    case Element::kS4: return static_cast<std::int32_t>(v << 28) >> 28;
    case Element::kE4m3: return FromSmall(v, kFormatE4m3);
    case Element::kE5m2: return FromSmall(v, kFormatE5m2);
    default: return v;
  }
}

inline std::uint64_t WriteElement(Element element, double v) {
  switch (element) {
    case Element::kF64: return std::bit_cast<std::uint64_t>(v);
    case Element::kF16: return ToSmall(v, kHalf, kNearest);
    case Element::kS32: return static_cast<std::uint32_t>(static_cast<std::int64_t>(v));
    default: return v != v ? 0x7fffffffu : std::bit_cast<std::uint32_t>(static_cast<float>(v));
  }
}

// d = a b + c, of m x k and k x n elements.
struct Product {
  std::uint32_t m = 0, n = 0, k = 0;
  Element d = Element::kNone, a = Element::kNone, b = Element::kNone, c = Element::kNone;
  enum Bits : std::uint8_t { kMultiply, kXor, kAnd } bits = kMultiply;
  bool saturates = false;  // integers
};
inline constexpr std::uint32_t kElementsMax = 16 * 256;  // of one matrix: A of m16n8k256
// Which sizes and elements there are, of mma and of wmma alike.
bool ParseShape(std::string_view name, Product* product);
// The element types in the order of an opcode: d, a, b, c, or (wmma of f16) d, c. False if there are others.
bool ParseElements(const ptx::Instruction& from, Product* product);
// matrix.cpp. a, b: row by row. sums: c before, d behind. Products of small floats are exact; they are added in double,
// c first and then in the order of k, and rounded once, to nearest even: hardware, which cuts off low bits as it adds,
// may differ in the last places. Double precision is a chain of fused multiply-adds in the order of k.
void Multiply(const Product& product, const double* a, const double* b, double* sums);
// The op keeps a product in its rows.
void PackProduct(const Product& product, Op& op);
Product UnpackProduct(const Op& op);
// Rows of the registers in { } are added to op.targets.
Status AddRegisters(Decoder& decoder, const ptx::Operand& operand, bool destination, Op& op);
// The op waits for all lanes of the warp.
void WaitForWarp(Decoder& decoder, Op& op);

}  // namespace accelmesh::tier0
