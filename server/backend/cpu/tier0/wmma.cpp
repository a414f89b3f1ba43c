// wmma: matrices that a warp loads, multiplies and stores whole.
//
// The ISA leaves open which lane holds what, so it is simple here: elements are counted row by row, and each lane holds
// as many neighbours as its registers have room for. Where the registers (of f16) hold more than the matrix has, the
// count begins anew.
#include <algorithm>

#include "server/backend/cpu/tier0/fragments.h"
#include "server/backend/cpu/tier0/memory.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;
using ptx::Operand;

// Op::mode of loads and stores.
enum Layout : std::uint8_t { kByRows, kByColumns };

std::uint32_t PerRegister(Element element) { return std::max(32 / BitsOf(element), 1u); }

// The matrix of a load or store: rows[0] and [1] its size, rows[3] the element, b the row of the stride. Where element
// (row, column) is: at bit `at` from the address of lane 0.
struct Matrix {
  std::uint32_t rows = 0, columns = 0;
  Element element = Element::kNone;
  std::uint64_t stride = 0;
  std::uint8_t layout = kByRows;

  std::uint64_t At(std::uint32_t row, std::uint32_t column) const {
    return (layout == kByRows ? row * stride + column : column * stride + row) * BitsOf(element);
  }
};
Matrix MatrixOf(const Warp& warp, const Op& op, std::uint32_t lane) {
  return {op.rows[0], op.rows[1], static_cast<Element>(op.rows[3]), static_cast<std::uint32_t>(warp.r[op.b].lane[lane]),
          op.mode};
}
// The memory of the element number `index`, which has `bits`: a byte holds several small ones.
std::uint8_t* ElementAddress(Warp& warp, const Op& op, std::uint32_t lane, const Matrix& matrix, std::uint32_t index,
                             std::uint32_t* shift) {
  const std::uint64_t at = matrix.At(index / matrix.columns, index % matrix.columns);
  const std::uint32_t bytes = std::max(BitsOf(matrix.element) / 8, 1u);
  *shift = BitsOf(matrix.element) < 8 ? static_cast<std::uint32_t>(at % 8) : 0;
  return ResolveAt(warp, op, lane, warp.r[op.a].lane[lane] + op.immediate + at / 8, bytes);
}

void LoadFragment(Warp& warp, const Op& op, std::uint32_t mask) {
  const auto registers = static_cast<std::uint32_t>(op.targets.size());
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    const Matrix matrix = MatrixOf(warp, op, l);
    const std::uint32_t per = PerRegister(matrix.element), bits = BitsOf(matrix.element);
    std::uint64_t values[8] = {};
    for (std::uint32_t i = 0; i < registers * per; ++i) {
      const std::uint32_t index = (l * registers * per + i) % (matrix.rows * matrix.columns);
      std::uint32_t shift = 0;
      const std::uint8_t* from = ElementAddress(warp, op, l, matrix, index, &shift);
      if (from == nullptr) return;
      std::uint64_t v = 0;
      std::memcpy(&v, from, std::max(bits / 8, 1u));
      if (bits < 8) v = v >> shift & ((1u << bits) - 1);
      values[i / per] |= v << (bits * (i % per));
    }
    for (std::uint32_t j = 0; j < registers; ++j) warp.r[op.targets[j]].lane[l] = values[j];
  }
}
void StoreFragment(Warp& warp, const Op& op, std::uint32_t mask) {
  const auto registers = static_cast<std::uint32_t>(op.targets.size());
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    const Matrix matrix = MatrixOf(warp, op, l);
    const std::uint32_t per = PerRegister(matrix.element), bits = BitsOf(matrix.element);
    for (std::uint32_t i = 0; i < registers * per; ++i) {
      std::uint32_t shift = 0;
      std::uint8_t* to = ElementAddress(warp, op, l, matrix, l * registers * per + i, &shift);
      if (to == nullptr) return;
      const std::uint64_t v = warp.r[op.targets[i / per]].lane[l] >> (bits * (i % per));
      std::memcpy(to, &v, bits / 8);
    }
  }
}

void ReadFragment(const Warp& warp, Element element, const std::uint32_t* rows, std::uint32_t registers,
                  std::uint32_t total, double* to) {
  const std::uint32_t per = PerRegister(element);
  for (std::uint32_t index = 0; index < total; ++index) {
    const std::uint32_t lane = index / (registers * per), i = index % (registers * per);
    to[index] = ReadElement(element, warp.r[rows[i / per]].lane[lane], i % per);
  }
}
// Rows in op.targets: d, a, b, c; how many of each in op.rows[4] to [7]. mode: 1 A by columns, 2 B by rows: all the
// same to fragments.
void MultiplyFragments(Warp& warp, const Op& op, std::uint32_t mask) {
  const Product p = UnpackProduct(op);
  double a[kElementsMax], b[kElementsMax / 2], c[32 * 8];
  const std::uint32_t* rows = op.targets.data();
  const std::uint32_t* a_rows = rows + op.rows[4];
  const std::uint32_t* b_rows = a_rows + op.rows[5];
  ReadFragment(warp, p.a, a_rows, op.rows[5], p.m * p.k, a);
  ReadFragment(warp, p.b, b_rows, op.rows[6], p.k * p.n, b);
  ReadFragment(warp, p.c, b_rows + op.rows[6], op.rows[7], p.m * p.n, c);
  Multiply(p, a, b, c);
  const std::uint32_t per = PerRegister(p.d);
  ForLanes(mask, [&](std::uint32_t l) {
    for (std::uint32_t j = 0; j < op.rows[4]; ++j) {
      std::uint64_t v = 0;
      for (std::uint32_t e = 0; e < per; ++e) v |= WriteElement(p.d, c[l * op.rows[4] * per + j * per + e]) << (16 * e);
      warp.r[rows[j]].lane[l] = v;
    }
  });
}

// Decoding -----------------------------------------------------------------------------------------------------------

bool ShapeExists(const Product& p, Element a) {
  const bool large = (p.m == 16 && p.n == 16) || (p.m == 8 && p.n == 32) || (p.m == 32 && p.n == 8);
  switch (a) {
    case Element::kF16:
    case Element::kBf16:
    case Element::kS8:
    case Element::kU8: return large && p.k == 16;
    case Element::kTf32: return p.m == 16 && p.n == 16 && p.k == 8;
    case Element::kF64: return p.m == 8 && p.n == 8 && p.k == 4;
    case Element::kS4:
    case Element::kU4: return p.m == 8 && p.n == 8 && p.k == 32;
    case Element::kB1: return p.m == 8 && p.n == 8 && p.k == 128;
    default: return false;
  }
}
// Of a, b or (with the element types of sums) c and d.
std::uint32_t Registers(Element element, std::uint32_t elements, bool factor) {
  if (factor && element == Element::kF16) return 8;
  return std::max(elements / (kLanes * PerRegister(element)), 1u);
}
bool ShapeOfSums(const Product& p, Element element) {
  switch (element) {
    case Element::kF16: return ShapeExists(p, Element::kF16);
    case Element::kF32: return ShapeExists(p, Element::kF16) || ShapeExists(p, Element::kTf32);
    case Element::kF64: return ShapeExists(p, Element::kF64);
    case Element::kS32:
      return ShapeExists(p, Element::kS8) || ShapeExists(p, Element::kS4) || ShapeExists(p, Element::kB1);
    default: return false;
  }
}

Status FragmentRule(Decoder& decoder, const Instruction& from, const Product& shape, Op& op) {
  const bool load = from.opcode[1] == "load";
  const std::string_view which = from.opcode.size() > 2 ? from.opcode[2] : std::string_view();
  const Element element = ParseElement(from.opcode.back());
  const bool sums = load ? which == "c" : which == "d";
  const bool known = sums ? ShapeOfSums(shape, element) : (which == "a" || which == "b") && ShapeExists(shape, element);
  const bool by_rows = Decoder::Has(from, "row");
  if (!known || by_rows == Decoder::Has(from, "col")) return decoder.Refuse(from, "matrix not supported");
  const std::size_t count = from.operands.size();
  if (count != 2 && count != 3) return decoder.Refuse(from, "the number of operands is off");
  op.rows[0] = which == "b" ? shape.k : shape.m;
  op.rows[1] = which == "a" ? shape.k : shape.n;
  op.rows[3] = static_cast<std::uint32_t>(element);
  op.mode = by_rows ? kByRows : kByColumns;
  ACCELMESH_RETURN_IF_ERROR(AddRegisters(decoder, from.operands[load ? 0 : 1], load, op));
  if (op.targets.size() != Registers(element, op.rows[0] * op.rows[1], !sums))
    return decoder.Refuse(from, "the number of registers is off");
  ACCELMESH_RETURN_IF_ERROR(AccessSpace(decoder, from, from.operands[load ? 1 : 0], op));
  op.b = decoder.Constant(by_rows ? op.rows[1] : op.rows[0]);
  if (count == 3) {
    ACCELMESH_ASSIGN_OR_RETURN(op.b, decoder.Source(from.operands[2]));
  }
  op.handler = load ? LoadFragment : StoreFragment;
  WaitForWarp(decoder, op);
  return Status::Ok();
}
Status ProductRule(Decoder& decoder, const Instruction& from, Product p, Op& op) {
  const bool known = ParseElements(from, &p) && ShapeExists(p, p.a) && ShapeOfSums(p, p.c) && ShapeOfSums(p, p.d) &&
                     (p.a == p.b) && IsIntegral(p.a) == IsIntegral(p.d) && IsIntegral(p.c) == IsIntegral(p.d) &&
                     (p.a == Element::kF16 || (p.d != Element::kF16 && p.c != Element::kF16)) &&
                     (p.bits != Product::kMultiply) == (p.a == Element::kB1);
  if (!known) return decoder.Refuse(from, "matrix product not supported");
  if (from.operands.size() != 4) return decoder.Refuse(from, "the number of operands is off");
  const std::uint32_t counts[4] = {Registers(p.d, p.m * p.n, false), Registers(p.a, p.m * p.k, true),
                                   Registers(p.b, p.k * p.n, true), Registers(p.c, p.m * p.n, false)};
  for (std::size_t i = 0; i < 4; ++i) {
    const std::size_t before = op.targets.size();
    ACCELMESH_RETURN_IF_ERROR(AddRegisters(decoder, from.operands[i], i == 0, op));
    if (op.targets.size() - before != counts[i]) return decoder.Refuse(from, "the number of registers is off");
    op.rows[4 + i] = counts[i];
  }
  PackProduct(p, op);
  op.handler = MultiplyFragments;
  WaitForWarp(decoder, op);
  return Status::Ok();
}
Status WmmaRule(Decoder& decoder, const Instruction& from, Op& op) {
  Product p;
  bool shape = false;
  for (const std::string_view part : from.opcode) shape = shape || ParseShape(part, &p);
  if (!shape || from.opcode.size() < 4) return decoder.Refuse(from, "form not supported");
  p.saturates = Decoder::Has(from, "satfinite");
  p.bits = Decoder::Has(from, "xor") ? Product::kXor : Decoder::Has(from, "and") ? Product::kAnd : Product::kMultiply;
  if (from.opcode[1] == "load" || from.opcode[1] == "store") return FragmentRule(decoder, from, p, op);
  return ProductRule(decoder, from, p, op);
}

}  // namespace

const RuleTable& WmmaRules() {
  static const RuleTable kRules{{"wmma",
                                 {WmmaRule,
                                  "load store mma a b c d sync aligned row col m16n16k16 m8n32k16 m32n8k16 m16n16k8 "
                                  "m8n8k4 m8n8k32 m8n8k128 global "
                                  "shared shared::cta satfinite tf32 s4 u4 b1 xor and popc rn"}}};
  return kRules;
}

}  // namespace accelmesh::tier0
