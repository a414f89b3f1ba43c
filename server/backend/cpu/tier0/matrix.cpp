// Matrix products of a warp (mma), and the loads, stores and transposition that belong to them.
//
// The fragments are as the PTX ISA lays them down. A register of 32 bits holds n elements; with the lane's group g
// (lane / 4) and place t in it (lane % 4), element e of register j is
//
//     of A   row g + 8 (j % 2), column n t + e + 4 n (j / 2)     (matrices of 16 rows)
//            row g,             column n t + e + 4 n j           (of 8 rows)
//     of B   row n t + e + 4 n j, column g
//     of C   row g + 8 (number / 2), column 2 t + number % 2     where number counts elements, not registers
//
// m8n8k4 of f16 alone is another: four products at once, each by two groups of four lanes.
#include "server/backend/cpu/tier0/fragments.h"

#include <algorithm>
#include <charconv>

#include "server/backend/cpu/tier0/memory.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;

struct Place {
  std::uint32_t row = 0, column = 0;
};
std::uint32_t PerRegister(Element element) { return std::max(32 / BitsOf(element), 1u); }

Place PlaceInA(std::uint32_t m, std::uint32_t n, std::uint32_t lane, std::uint32_t j, std::uint32_t e) {
  const std::uint32_t g = lane / 4, t = lane % 4;
  return m == 16 ? Place{g + 8 * (j % 2), n * t + e + 4 * n * (j / 2)} : Place{g, n * t + e + 4 * n * j};
}
Place PlaceInB(std::uint32_t n, std::uint32_t lane, std::uint32_t j, std::uint32_t e) {
  return {n * (lane % 4) + e + 4 * n * j, lane / 4};
}
Place PlaceInC(std::uint32_t lane, std::uint32_t number) {
  return {lane / 4 + 8 * (number / 2), 2 * (lane % 4) + number % 2};
}

// Rows in op.targets: d, a, b, c; how many of each in op.rows[4] to [7].
void MatrixProduct(Warp& warp, const Op& op, std::uint32_t mask) {
  const Product p = UnpackProduct(op);
  double a[kElementsMax], b[kElementsMax / 2], c[16 * 8];
  const std::uint32_t* rows = op.targets.data();
  const std::uint32_t* a_rows = rows + op.rows[4];
  const std::uint32_t* b_rows = a_rows + op.rows[5];
  const std::uint32_t* c_rows = b_rows + op.rows[6];
  const std::uint32_t a_per = PerRegister(p.a), b_per = PerRegister(p.b), c_per = PerRegister(p.c);
  for (std::uint32_t l = 0; l < kLanes; ++l) {
    for (std::uint32_t i = 0; i < op.rows[5] * a_per; ++i) {
      const Place at = PlaceInA(p.m, a_per, l, i / a_per, i % a_per);
      a[at.row * p.k + at.column] = ReadElement(p.a, warp.r[a_rows[i / a_per]].lane[l], i % a_per);
    }
    for (std::uint32_t i = 0; i < op.rows[6] * b_per; ++i) {
      const Place at = PlaceInB(b_per, l, i / b_per, i % b_per);
      b[at.row * p.n + at.column] = ReadElement(p.b, warp.r[b_rows[i / b_per]].lane[l], i % b_per);
    }
    for (std::uint32_t i = 0; i < op.rows[7] * c_per; ++i) {
      const Place at = PlaceInC(l, i);
      c[at.row * p.n + at.column] = ReadElement(p.c, warp.r[c_rows[i / c_per]].lane[l], i % c_per);
    }
  }
  Multiply(p, a, b, c);
  const std::uint32_t d_per = PerRegister(p.d);
  ForLanes(mask, [&](std::uint32_t l) {
    for (std::uint32_t j = 0; j < op.rows[4]; ++j) {
      std::uint64_t v = 0;
      for (std::uint32_t e = 0; e < d_per; ++e) {
        const Place at = PlaceInC(l, j * d_per + e);
        v |= WriteElement(p.d, c[at.row * p.n + at.column]) << (16 * e);
      }
      warp.r[rows[j]].lane[l] = v;
    }
  });
}

// mode: 1 A by columns, 2 B by rows.
void FourProducts(Warp& warp, const Op& op, std::uint32_t mask) {
  const Product p = UnpackProduct(op);
  const std::uint32_t* rows = op.targets.data();
  const auto c_place = [](Element element, std::uint32_t lane, std::uint32_t i) {
    const std::uint32_t half = lane < 16 ? 0 : 4;
    return element == Element::kF16 ? Place{lane % 4 + half, i}
                                    : Place{(lane & 1) + (i & 2) + half, (i & 4) + (lane & 2) + (i & 1)};
  };
  for (std::uint32_t quad = 0; quad < 4; ++quad) {
    double a[8 * 4], b[4 * 8], c[8 * 8];
    for (std::uint32_t x = 0; x < 8; ++x) {
      const std::uint32_t l = 4 * quad + x % 4 + (x < 4 ? 0 : 16);
      const std::uint32_t at = x % 4, half = x < 4 ? 0 : 4;
      for (std::uint32_t i = 0; i < 4; ++i) {
        const double in_a = ReadElement(p.a, warp.r[rows[op.rows[4] + i / 2]].lane[l], i % 2);
        const double in_b = ReadElement(p.b, warp.r[rows[op.rows[4] + 2 + i / 2]].lane[l], i % 2);
        a[(op.mode & 1) != 0 ? (i + half) * 4 + at : (at + half) * 4 + i] = in_a;
        b[(op.mode & 2) != 0 ? at * 8 + i + half : i * 8 + at + half] = in_b;
      }
      for (std::uint32_t i = 0; i < 8; ++i) {
        const Place to = c_place(p.c, l, i);
        const std::uint32_t per = PerRegister(p.c);
        c[to.row * 8 + to.column] = ReadElement(p.c, warp.r[rows[op.rows[4] + 4 + i / per]].lane[l], i % per);
      }
    }
    Multiply(p, a, b, c);
    const std::uint32_t per = PerRegister(p.d);
    ForLanes(mask & (0xf000fu << (4 * quad)), [&](std::uint32_t l) {
      for (std::uint32_t j = 0; j < op.rows[4]; ++j) {
        std::uint64_t v = 0;
        for (std::uint32_t e = 0; e < per; ++e) {
          const Place from = c_place(p.d, l, j * per + e);
          v |= WriteElement(p.d, c[from.row * 8 + from.column]) << (16 * e);
        }
        warp.r[rows[j]].lane[l] = v;
      }
    });
  }
}

// The combinations that the ISA has, of shape and elements of A; the sums' types follow.
bool ProductExists(const Product& p) {
  const bool halves = p.a == Element::kF16;
  const bool bytes = p.a == Element::kS8 || p.a == Element::kU8;
  const bool nibbles = p.a == Element::kS4 || p.a == Element::kU4;
  const bool fp8 = p.a == Element::kE4m3 || p.a == Element::kE5m2;
  const bool narrow_b = bytes     ? p.b == Element::kS8 || p.b == Element::kU8
                        : nibbles ? p.b == Element::kS4 || p.b == Element::kU4
                        : fp8     ? p.b == Element::kE4m3 || p.b == Element::kE5m2
                                  : p.b == p.a;
  const bool sums = IsIntegral(p.a)        ? p.d == Element::kS32 && p.c == Element::kS32
                    : p.a == Element::kF64 ? p.d == Element::kF64 && p.c == Element::kF64
                    : halves && p.m == 8   ? p.c == Element::kF16 || (p.c == Element::kF32 && p.d == Element::kF32)
                    : (halves || fp8) && p.d == Element::kF16 ? p.c == Element::kF16
                                                              : p.d == Element::kF32 && p.c == Element::kF32;
  if (!narrow_b || !sums || p.n != 8 || (p.d != p.c && !(halves && p.m == 8))) return false;
  if (halves && p.d != Element::kF16 && p.d != Element::kF32) return false;
  const auto is = [&p](std::uint32_t m, std::uint32_t k) { return p.m == m && p.k == k; };
  if (halves) return is(8, 4) || is(16, 8) || is(16, 16);
  if (bytes) return is(8, 16) || is(16, 16) || is(16, 32);
  if (nibbles) return is(8, 32) || is(16, 32) || is(16, 64);
  if (fp8) return is(16, 16) || is(16, 32);
  switch (p.a) {
    case Element::kBf16: return is(16, 8) || is(16, 16);
    case Element::kTf32: return is(16, 4) || is(16, 8);
    case Element::kF64: return is(8, 4) || is(16, 4) || is(16, 8) || is(16, 16);
    case Element::kB1: return is(8, 128) || is(16, 128) || is(16, 256);
    default: return false;
  }
}
std::uint32_t Registers(Element element, std::uint32_t elements) {
  return std::max(elements * BitsOf(element) / (kLanes * std::max(BitsOf(element), 32u)), 1u);
}
Status MmaRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (Decoder::Has(from, "sp") || Decoder::Has(from, "block_scale"))
    return decoder.Refuse(from, "sparse and scaled matrix products are not supported");
  Product p;
  bool shape = false;
  for (const std::string_view part : from.opcode) shape = shape || ParseShape(part, &p);
  p.saturates = Decoder::Has(from, "satfinite");
  p.bits = Decoder::Has(from, "xor") ? Product::kXor : Decoder::Has(from, "and") ? Product::kAnd : Product::kMultiply;
  if (!shape || !ParseElements(from, &p) || !ProductExists(p) ||
      (p.a == Element::kB1) != (p.bits != Product::kMultiply))
    return decoder.Refuse(from, "matrix product not supported");
  const bool four = p.a == Element::kF16 && p.m == 8;
  // Row by column, but for the one shape that has all four layouts.
  std::vector<std::string_view> layouts;
  for (const std::string_view part : from.opcode) {
    if (part == "row" || part == "col") layouts.push_back(part);
  }
  if (layouts.size() != 2 || (!four && (layouts[0] != "row" || layouts[1] != "col")))
    return decoder.Refuse(from, "layout not supported");
  if (from.operands.size() != 4) return decoder.Refuse(from, "the number of operands is off");
  const std::uint32_t counts[4] = {four ? (p.d == Element::kF16 ? 4 : 8) : Registers(p.d, p.m * p.n),
                                   four ? 2 : Registers(p.a, p.m * p.k), four ? 2 : Registers(p.b, p.k * p.n),
                                   four ? (p.c == Element::kF16 ? 4 : 8) : Registers(p.c, p.m * p.n)};
  for (std::size_t i = 0; i < 4; ++i) {
    const std::size_t before = op.targets.size();
    ACCELMESH_RETURN_IF_ERROR(AddRegisters(decoder, from.operands[i], i == 0, op));
    if (op.targets.size() - before != counts[i]) return decoder.Refuse(from, "the number of registers is off");
    op.rows[4 + i] = counts[i];
  }
  PackProduct(p, op);
  op.mode |= static_cast<std::uint8_t>(four ? (layouts[0] == "col" ? 1 : 0) | (layouts[1] == "row" ? 2 : 0) : 0);
  op.handler = four ? FourProducts : MatrixProduct;
  WaitForWarp(decoder, op);
  return Status::Ok();
}

// ldmatrix, stmatrix: lane 8 i + r has the address of row r of matrix i; a lane's register i holds two neighbours of
// row lane / 4 (.trans: of column lane / 4). targets: the registers; mode 1: transposed.
void LoadMatrix(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint16_t matrices[4][8][8] = {};
  for (std::uint32_t x = 0; x < 8 * op.targets.size(); ++x) {
    const std::uint8_t* row = Resolve(warp, op, x, 16);
    if (row == nullptr) return;
    std::memcpy(matrices[x / 8][x % 8], row, 16);
  }
  for (std::size_t i = 0; i < op.targets.size(); ++i) {
    ForLanes(mask, [&](std::uint32_t l) {
      const std::uint32_t g = l / 4, t = 2 * (l % 4);
      const auto& of = matrices[i];
      const std::uint32_t low = op.mode == 1 ? of[t][g] : of[g][t];
      const std::uint32_t high = op.mode == 1 ? of[t + 1][g] : of[g][t + 1];
      warp.r[op.targets[i]].lane[l] = high << 16 | low;
    });
  }
}
void StoreMatrix(Warp& warp, const Op& op, std::uint32_t /*mask*/) {
  for (std::uint32_t x = 0; x < 8 * op.targets.size(); ++x) {
    std::uint8_t* row = Resolve(warp, op, x, 16);
    if (row == nullptr) return;
    std::uint16_t values[8];
    for (std::uint32_t column = 0; column < 8; ++column) {
      const std::uint32_t g = op.mode == 1 ? column : x % 8;
      const std::uint32_t place = op.mode == 1 ? x % 8 : column;
      values[column] =
          static_cast<std::uint16_t>(warp.r[op.targets[x / 8]].lane[4 * g + place / 2] >> (16 * (place % 2)));
    }
    std::memcpy(row, values, 16);
  }
}
template <bool kLoad>
Status MatrixAccessRule(Decoder& decoder, const Instruction& from, Op& op) {
  const std::size_t count = Decoder::Has(from, "x4") ? 4 : Decoder::Has(from, "x2") ? 2 : 1;
  if (from.operands.size() != 2 || Decoder::LastType(from) != Type::kB16 || !Decoder::Has(from, "m8n8"))
    return decoder.Refuse(from, "form not supported");
  ACCELMESH_RETURN_IF_ERROR(AddRegisters(decoder, from.operands[kLoad ? 0 : 1], kLoad, op));
  if (op.targets.size() != count) return decoder.Refuse(from, "the number of registers is off");
  ACCELMESH_RETURN_IF_ERROR(AccessSpace(decoder, from, from.operands[kLoad ? 1 : 0], op));
  op.mode = Decoder::Has(from, "trans") ? 1 : 0;
  op.handler = kLoad ? LoadMatrix : StoreMatrix;
  WaitForWarp(decoder, op);
  return Status::Ok();
}
// movmatrix: an 8 x 8 matrix, transposed.
void MoveMatrix(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t from[kLanes];
  std::memcpy(from, warp.r[op.a].lane, sizeof(from));
  const auto element = [&from](std::uint32_t row, std::uint32_t column) {
    return static_cast<std::uint16_t>(from[4 * row + column / 2] >> (16 * (column % 2)));
  };
  ForLanes(mask, [&](std::uint32_t l) {
    const std::uint32_t g = l / 4, t = 2 * (l % 4);
    warp.r[op.d].lane[l] = static_cast<std::uint32_t>(element(t + 1, g)) << 16 | element(t, g);
  });
}
Status MoveMatrixRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (!Decoder::Has(from, "trans") || Decoder::LastType(from) != Type::kB16)
    return decoder.Refuse(from, "form not supported");
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 2));
  op.handler = MoveMatrix;
  WaitForWarp(decoder, op);
  return Status::Ok();
}

}  // namespace

bool ParseShape(std::string_view name, Product* product) {
  const char* at = name.data();
  const char* end = at + name.size();
  for (const auto& [letter, size] : {std::pair{'m', &product->m}, {'n', &product->n}, {'k', &product->k}}) {
    if (at == end || *at != letter) return false;
    const auto parsed = std::from_chars(at + 1, end, *size);
    if (parsed.ec != std::errc()) return false;
    at = parsed.ptr;
  }
  return at == end;
}
bool ParseElements(const Instruction& from, Product* product) {
  std::vector<Element> elements;
  for (std::size_t i = 1; i < from.opcode.size(); ++i) {
    if (const Element element = ParseElement(from.opcode[i]); element != Element::kNone) elements.push_back(element);
  }
  if (elements.size() == 2) elements = {elements[0], Element::kF16, Element::kF16, elements[1]};
  if (elements.size() != 4) return false;
  product->d = elements[0];
  product->a = elements[1];
  product->b = elements[2];
  product->c = elements[3];
  return true;
}

void Multiply(const Product& p, const double* a, const double* b, double* sums) {
  constexpr double kMax = 2147483647.0;
  for (std::uint32_t i = 0; i < p.m; ++i) {
    for (std::uint32_t j = 0; j < p.n; ++j) {
      double sum = sums[i * p.n + j];
      for (std::uint32_t x = 0; x < p.k; ++x) {
        const double left = a[i * p.k + x], right = b[x * p.n + j];
        if (p.a == Element::kF64) {
          sum = std::fma(left, right, sum);
        } else if (p.bits == Product::kXor) {
          sum += left != right ? 1 : 0;
        } else {
          sum += left * right;
        }
      }
      if (p.saturates && p.d == Element::kS32) sum = std::clamp(sum, -kMax - 1, kMax);
      sums[i * p.n + j] = sum;
    }
  }
}

void PackProduct(const Product& p, Op& op) {
  op.rows[0] = p.m;
  op.rows[1] = p.n;
  op.rows[2] = p.k;
  op.rows[3] = static_cast<std::uint32_t>(p.d) | static_cast<std::uint32_t>(p.a) << 8 |
               static_cast<std::uint32_t>(p.b) << 16 | static_cast<std::uint32_t>(p.c) << 24;
  op.bytes = p.bits;
  op.count = p.saturates ? 2 : 1;
}
Product UnpackProduct(const Op& op) {
  const auto element = [&op](int shift) { return static_cast<Element>(op.rows[3] >> shift & 255); };
  return {op.rows[0],   op.rows[1],  op.rows[2],  element(0),
          element(8),   element(16), element(24), static_cast<Product::Bits>(op.bytes),
          op.count == 2};
}
Status AddRegisters(Decoder& decoder, const Operand& operand, bool destination, Op& op) {
  const std::vector<Operand> single{operand};
  for (const Operand& element : operand.kind == Operand::Kind::kVector ? operand.elements : single) {
    ACCELMESH_ASSIGN_OR_RETURN(const std::uint32_t row,
                               destination ? decoder.Destination(element) : decoder.Source(element));
    op.targets.push_back(row);
  }
  return Status::Ok();
}
void WaitForWarp(Decoder& decoder, Op& op) {
  op.extras = 0;
  op.members = decoder.Constant(kAllLanes);
  op.members_constant = true;
  op.control = Control::kLaneSync;
}

const RuleTable& MatrixRules() {
  static const RuleTable kRules{
      {"mma",
       {MmaRule,
        "sync aligned row col m8n8k4 m16n8k4 m16n8k8 m16n8k16 m16n8k32 m16n8k64 m8n8k16 m8n8k32 m8n8k128 m16n8k128 "
        "m16n8k256 satfinite tf32 s4 u4 b1 e4m3 e5m2 xor and popc sp block_scale"}},
      {"ldmatrix", {MatrixAccessRule<true>, "sync aligned m8n8 x1 x2 x4 trans shared shared::cta"}},
      {"stmatrix", {MatrixAccessRule<false>, "sync aligned m8n8 x1 x2 x4 trans shared shared::cta"}},
      {"movmatrix", {MoveMatrixRule, "sync aligned m8n8 trans"}}};
  return kRules;
}

}  // namespace accelmesh::tier0
