// cublasLtMatmul with its epilogues, and cublasLtMatrixTransform.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "protocol/library/lt_problem.h"
#include "tests/unit/server/backend/cpu/blas/rows.h"

namespace accelmesh::blas_test {
namespace {

// cublasLtEpilogue_t's bits.
constexpr int kRelu = 2, kBias = 4, kReluGradient = 8, kBiasGradient = 16, kGelu = 32, kGeluGradient = 64, kAux = 128;
constexpr int kBgradA = 256, kBgradB = 512;
constexpr int kFull = 2;  // cublasFillMode_t

// A matrix by columns or by rows.
struct Ordered : Matrix {
  bool is_by_rows = false;
  i64 Of(i64 i, i64 j, i64 piece) const { return is_by_rows ? At(j, i, piece) : At(i, j, piece); }
  Wide WasOf(int operation, i64 i, i64 j, i64 piece) const {
    return operation == kN ? memory->Was(Of(i, j, piece)) : ConjugateIf(operation == kC, memory->Was(Of(j, i, piece)));
  }
  LtLayout Layout() const {
    return {.type = static_cast<i64>(memory->type),
            .order = is_by_rows ? 1 : 0,
            .rows = is_by_rows ? columns : rows,
            .columns = is_by_rows ? rows : columns,
            .leading = stride,
            .batch_count = static_cast<i64>(first.size()),
            .batch_stride = apart};
  }
};
Ordered Draw(Case& t, Type type, bool is_by_rows, i64 rows, i64 columns, Role role, Content content, i64 count) {
  const Batch batch{Form::kStrided, count};
  return {is_by_rows ? t.Dense(type, columns, rows, role, content, batch)
                     : t.Dense(type, rows, columns, role, content, batch),
          is_by_rows};
}

i64 NotEmpty(Case& t) { return std::max<i64>(1, t.Dimension()); }

// The form with tanh, and its derivative.
long double Gelu(long double x) {
  return 0.5L * x * (1 + std::tanh(std::sqrt(2 / M_PIl) * (x + 0.044715L * x * x * x)));
}
long double GeluSlope(long double x) {
  const long double factor = std::sqrt(2 / M_PIl);
  const long double t = std::tanh(factor * (x + 0.044715L * x * x * x));
  return 0.5L * (1 + t) + 0.5L * x * (1 - t * t) * factor * (1 + 3 * 0.044715L * x * x);
}

// What an epilogue reads or writes beside D.
struct Extras {
  Vector bias;
  Operand* mask = nullptr;  // bytes of bits
  i64 mask_leading = 0, mask_apart = 0;
  Matrix aux;
};

Extras DrawExtras(Case& t, const Row& row, i64 m, i64 n, i64 count, LtOperation* operation) {
  Extras extras;
  const int epilogue = row.epilogue;
  const bool has_gradient = (epilogue & (kBiasGradient | kBgradA | kBgradB)) != 0;
  if ((epilogue & kBias) != 0 || has_gradient) {
    const Batch batch{Form::kStrided, count};
    extras.bias = t.Line(row.out, epilogue == kBgradB ? n : m, 1, has_gradient ? Role::kOutput : Role::kInput,
                         NumbersIf(!has_gradient), batch);
    operation->bias = extras.bias.memory->address;
    operation->bias_batch_stride = count > 1 ? extras.bias.apart : 0;
    if (t.Chance(50)) operation->bias_type = static_cast<i64>(row.out);
  }
  if ((epilogue & kAux) == 0) return extras;
  const bool is_input = (epilogue & (kReluGradient | kGeluGradient)) != 0;
  if ((epilogue & (kRelu | kReluGradient)) != 0) {
    extras.mask_leading = (m + 127) / 128 * 128 + 128 * t.Below(2);
    extras.mask_apart = extras.mask_leading * n + 128 * t.Below(2);
    extras.mask = t.Plain(Type::kR8I, (extras.mask_apart * (count - 1) + extras.mask_leading * n) / 8);
    for (i64 i = 0; is_input && i < extras.mask->elements; ++i)
      extras.mask->Set(i, {static_cast<long double>(t.Below(256) - 128), 0});
    operation->aux = extras.mask->address;
    operation->aux_leading = extras.mask_leading;
    operation->aux_batch_stride = count > 1 ? extras.mask_apart : 0;
  } else {
    // Both strides are whole eights.
    const i64 leading = (m + 7) / 8 * 8 + 8 * t.Below(2), apart = leading * n + 8 * t.Below(2);
    extras.aux.memory = t.Plain(row.out, apart * (count - 1) + leading * (n - 1) + m);
    extras.aux.stride = leading;
    for (i64 piece = 0; piece < count; ++piece) extras.aux.first.push_back(piece * apart);
    for (i64 piece = 0; is_input && piece < count; ++piece) {
      for (i64 j = 0; j < n; ++j) {
        for (i64 i = 0; i < m; ++i) {
          Wide number = t.Number(row.out);
          number.re *= 4;
          extras.aux.memory->Set(extras.aux.At(i, j, piece), number);
        }
      }
    }
    operation->aux = extras.aux.memory->address;
    operation->aux_leading = leading;
    operation->aux_batch_stride = count > 1 ? apart : 0;
  }
  return extras;
}

bool Bit(const Extras& extras, bool now, i64 i, i64 j, i64 piece) {
  const i64 at = extras.mask_apart * piece + extras.mask_leading * j + i;
  const Wide byte = now ? extras.mask->Is(at / 8) : extras.mask->Was(at / 8);
  return (static_cast<unsigned>(static_cast<int>(byte.re)) >> (at % 8) & 1) != 0;
}

// D's element out of what the product is, with what else the epilogue writes for it.
Sum Finished(Case& t, const Row& row, const Extras& extras, i64 i, i64 j, i64 piece, Sum sum) {
  const int epilogue = row.epilogue;
  if ((epilogue & kBias) != 0) sum.Add(extras.bias.memory->Was(extras.bias.At(i, piece)));
  const long double x = sum.value.re;
  if ((epilogue & kRelu) != 0) {
    // Of a number that rounding may have taken over 0, either is right.
    const bool is_clear = std::fabs(x) > sum.magnitude * UnitRoundoff(row.computed_in) * 4 * (sum.terms + 4);
    if (extras.mask != nullptr && is_clear)
      t.Require(Bit(extras, true, i, j, piece) == (x > 0), "a bit of the mask is not as the sign is");
    sum.value.re = std::max(x, 0.0L);
  } else if ((epilogue & kGelu) != 0) {
    if ((epilogue & kAux) != 0) t.Expect(extras.aux.memory, extras.aux.At(i, j, piece), sum);
    sum.value.re = Gelu(x);
    sum.magnitude *= 1.2L;
    sum.terms += 8;
  } else if ((epilogue & kReluGradient) != 0) {
    if (!Bit(extras, false, i, j, piece)) sum = Sum{};
  } else if ((epilogue & kGeluGradient) != 0) {
    sum.value.re = x * GeluSlope(extras.aux.memory->Was(extras.aux.At(i, j, piece)).re);
    sum.magnitude *= 1.2L;
    sum.terms += 16;
  }
  return sum;
}

// How alpha and beta are given: one number for all, or, on the device, one for each row.
struct Factors {
  Scalar alpha, beta;
  Vector alphas, betas;
  int mode = 0;  // cublasLtPointerMode_t

  bool is_read() const { return mode >= 2 || !alpha.is_zero(); }
  bool is_kept() const { return mode == 2 || !beta.is_zero(); }
  Wide AlphaOf(i64 i, i64 piece) const { return mode >= 2 ? alphas.memory->Was(alphas.At(i, piece)) : alpha.value; }
  Wide BetaOf(i64 i) const { return mode == 2 ? betas.memory->Was(betas.At(i)) : beta.value; }
};
Factors DrawFactors(Case& t, const Row& row, i64 m, i64 count) {
  Factors factors;
  // So that bytes do not overflow, or not always.
  const long double size = row.out == Type::kR8I ? std::ldexp(1.0L, -10) : 1;
  if (!t.Chance(25) || IsComplex(row.type)) {
    const Wide alpha = t.Drawn(row.scalar);
    factors.mode = t.is_on_device() ? 1 : 0;
    factors.alpha = t.Value(row.scalar, {alpha.re * size, alpha.im});
    factors.beta = t.Coefficient(row.scalar);
    return factors;
  }
  // Without a beta C is not read, and may be anything: not what a hostile case expects.
  factors.mode = count > 1 ? 4 : t.kind() == Kind::kHostile ? t.OneOf({2, 4}) : t.OneOf({2, 3, 4});
  const auto line = [&](i64 pieces) {
    const Vector x = t.Line(row.scalar, m, 1, Role::kOutput, Content::kNothing, {Form::kStrided, pieces});
    for (i64 piece = 0; piece < pieces; ++piece) {
      for (i64 i = 0; i < m; ++i)
        x.memory->Set(x.At(i, piece), {IsInteger(row.scalar) ? 1.0L + t.Below(3) : t.Number(row.scalar).re * size, 0});
    }
    return x;
  };
  factors.alphas = line(count);
  if (factors.mode == 2) factors.betas = line(1);
  const Wide beta = factors.mode == 4 ? t.Drawn(row.scalar) : Wide{};
  factors.beta = {row.scalar, beta, {beta}, nullptr};
  return factors;
}

std::array<std::uint64_t, 2> WordsOf(const Scalar& scalar) {
  std::array<std::uint64_t, 2> words{};
  if (scalar.memory != nullptr) {
    words[0] = scalar.memory->address;
  } else {
    std::uint8_t bytes[sizeof(words)] = {};
    Store(scalar.type, bytes, scalar.value);
    std::memcpy(words.data(), bytes, sizeof(bytes));
  }
  return words;
}
// `optional`: by the numbers of their words, addresses that mean something else where they are null.
template <typename Words>
void PutAll(Case& t, const Words& words, std::initializer_list<std::size_t> optional) {
  std::array<std::uint64_t, kLtWords<Words>> all;
  std::memcpy(all.data(), &words, sizeof(words));
  t.PutWords(all, Memory::Get().operands(), {optional.begin(), optional.size()});
}

bool IsFloat8(Type type) { return type == Type::kE4M3 || type == Type::kE5M2; }
// What a matrix of 8 bits is multiplied by.
Wide DrawScale(Case& t, Type type, std::uint64_t* address) {
  if (!IsFloat8(type) || t.Chance(30)) return {1, 0};
  Operand* const scale = t.Plain(Type::kR32F, 1);
  const Wide value = t.Number(Type::kR32F);
  scale->Set(0, value);
  *address = scale->address;
  return value;
}

void Matmul(Case& t, const Row& row) {
  const bool is_complex = IsComplex(row.type);
  const int trans_a = is_complex ? t.Operation() : t.Bit(), trans_b = is_complex ? t.Operation() : t.Bit();
  const i64 m = NotEmpty(t), n = NotEmpty(t), k = NotEmpty(t), count = t.Chance(50) ? 1 : std::max<i64>(1, t.Count());
  const Factors factors = DrawFactors(t, row, m, count);
  const bool is_plain = row.epilogue == 1;
  const bool rows_a = t.Chance(30), rows_b = t.Chance(30), rows_d = is_plain && t.Chance(40);
  const Content read = NumbersIf(factors.is_read() || row.epilogue >= kBgradA);
  const Ordered a = Draw(t, row.type, rows_a, trans_a == kN ? m : k, trans_a == kN ? k : m, Role::kInput, read, count);
  const Ordered b = Draw(t, row.type, rows_b, trans_b == kN ? k : n, trans_b == kN ? n : k, Role::kInput, read, count);
  const Type type_c = IsFloat8(row.out) ? Type::kR16BF : row.out;
  const Content kept = NumbersIf(factors.is_kept());
  const bool is_in_place = type_c == row.out && t.Chance(50);
  const Ordered d = Draw(t, row.out, rows_d, m, n, Role::kOutput, is_in_place ? kept : Content::kNothing, count);
  const Ordered c = is_in_place ? d : Draw(t, type_c, rows_d, m, n, Role::kInput, kept, count);

  LtMatmul words;
  LtOperation& operation = words.operation;
  operation.compute_type = row.compute;
  operation.scale_type = static_cast<i64>(row.scalar);
  operation.pointer_mode = factors.mode;
  operation.transa = trans_a;
  operation.transb = trans_b;
  operation.fill_mode = kFull;
  operation.epilogue = row.epilogue;
  const Extras extras = DrawExtras(t, row, m, n, count, &operation);
  const Wide scale = DrawScale(t, row.type, &operation.a_scale) * DrawScale(t, row.type, &operation.b_scale);
  const Wide scale_d = DrawScale(t, row.out, &operation.d_scale);
  words.layouts = {a.Layout(), b.Layout(), c.Layout(), d.Layout()};
  words.alpha = WordsOf(factors.alpha);
  if (factors.mode >= 2) words.alpha[0] = factors.alphas.memory->address;
  if (factors.mode == 4 && count > 1) operation.alpha_batch_stride = factors.alphas.apart;
  words.beta = WordsOf(factors.beta);
  if (factors.mode == 2) words.beta[0] = factors.betas.memory->address;
  words.a = a.memory->address;
  words.b = b.memory->address;
  const bool is_given = factors.is_kept() || is_in_place || factors.mode == 1 || t.Chance(70);
  words.c = is_given ? c.memory->address : 0;
  words.d = d.memory->address;
  constexpr auto of_operation = [](std::size_t offset) { return offset / sizeof(std::uint64_t); };
  static_assert(offsetof(LtMatmul, operation) == 0);
  PutAll(t, words,
         {of_operation(offsetof(LtOperation, a_scale)), of_operation(offsetof(LtOperation, b_scale)),
          of_operation(offsetof(LtOperation, d_scale))});
  if (!t.Run()) return;

  std::vector<Sum> row_sums(static_cast<std::size_t>(m));
  for (i64 piece = 0; piece < count; ++piece) {
    row_sums.assign(row_sums.size(), Sum{});
    for (i64 j = 0; j < n; ++j) {
      for (i64 i = 0; i < m; ++i) {
        const Wide alpha = factors.AlphaOf(i, piece), beta = factors.BetaOf(i);
        Sum sum;
        for (i64 l = 0; !(alpha == Wide{}) && l < k; ++l)
          sum.Add(a.WasOf(trans_a, i, l, piece), b.WasOf(trans_b, l, j, piece));
        const Wide was = beta == Wide{} ? Wide{} : c.memory->Was(c.Of(i, j, piece));
        sum = Finished(t, row, extras, i, j, piece, Combined(alpha * scale, sum, beta, was));
        t.Expect(d.memory, d.Of(i, j, piece), Scaled(scale_d, sum));
        Sum& total = row_sums[static_cast<std::size_t>(i)];
        total.value = total.value + sum.value;
        total.magnitude += sum.magnitude;
        total.terms = std::max(total.terms, sum.terms + n);
      }
    }
    // Sums of D, which may have been rounded.
    for (i64 i = 0; (row.epilogue & kBiasGradient) != 0 && i < m; ++i)
      t.Expect(extras.bias.memory, extras.bias.At(i, piece), row_sums[static_cast<std::size_t>(i)], row.out);
    for (i64 i = 0; row.epilogue == kBgradA && i < m; ++i) {
      Sum sum;
      for (i64 l = 0; l < k; ++l) sum.Add(a.WasOf(trans_a, i, l, piece));
      t.Expect(extras.bias.memory, extras.bias.At(i, piece), sum);
    }
    for (i64 j = 0; row.epilogue == kBgradB && j < n; ++j) {
      Sum sum;
      for (i64 l = 0; l < k; ++l) sum.Add(b.WasOf(trans_b, l, j, piece));
      t.Expect(extras.bias.memory, extras.bias.At(j, piece), sum);
    }
    // A byte of the mask has bits of no row, too.
    for (i64 j = 0; extras.mask != nullptr && j < n; ++j) {
      for (i64 i = 0; i < m; ++i) extras.mask->Accept((extras.mask_apart * piece + extras.mask_leading * j + i) / 8);
    }
  }
}

// alpha op(A) + beta op(B), of any orders and types.
void Transform(Case& t, const Row& row) {
  const bool is_complex = IsComplex(row.type);
  const int trans_a = is_complex ? t.Operation() : t.Bit(), trans_b = is_complex ? t.Operation() : t.Bit();
  const i64 m = NotEmpty(t), n = NotEmpty(t), count = t.Chance(50) ? 1 : std::max<i64>(1, t.Count());
  const Scalar alpha = t.Coefficient(row.scalar), beta = t.Coefficient(row.scalar);
  const bool has_b = !beta.is_zero() || t.Chance(50);
  const auto side = [&](int trans, bool is_read) {
    return Draw(t, row.type, t.Chance(40), trans == kN ? m : n, trans == kN ? n : m, Role::kInput, NumbersIf(is_read),
                count);
  };
  const Ordered a = side(trans_a, !alpha.is_zero()), b = side(trans_b, !beta.is_zero());
  const Ordered c = Draw(t, row.out, t.Chance(40), m, n, Role::kOutput, Content::kNothing, count);
  LtTransform words;
  words.scale_type = static_cast<i64>(row.scalar);
  words.pointer_mode = t.is_on_device() ? 1 : 0;
  words.transa = trans_a;
  words.transb = trans_b;
  words.a_layout = a.Layout();
  if (has_b) words.b_layout = b.Layout();
  words.c_layout = c.Layout();
  words.alpha = WordsOf(alpha);
  words.beta = WordsOf(beta);
  words.a = a.memory->address;
  words.b = has_b ? b.memory->address : 0;
  words.c = c.memory->address;
  PutAll(t, words,
         {offsetof(LtTransform, a) / sizeof(std::uint64_t), offsetof(LtTransform, b) / sizeof(std::uint64_t)});
  if (!t.Run()) return;
  for (i64 piece = 0; piece < count; ++piece) {
    for (i64 j = 0; j < n; ++j) {
      for (i64 i = 0; i < m; ++i) {
        Sum sum;
        if (!alpha.is_zero()) sum.Add(alpha.value, a.WasOf(trans_a, i, j, piece));
        if (!beta.is_zero()) sum.Add(beta.value, b.WasOf(trans_b, i, j, piece));
        t.Expect(c.memory, c.Of(i, j, piece), sum);
      }
    }
  }
}

struct Computed {
  int compute;
  Type type, out, scalar, computed_in;
};

}  // namespace

void AddLtProducts(std::vector<Row>& rows) {
  const auto add = [&](const Computed& one, int epilogue, const std::string& name) {
    Row row{"cublasLtMatmul", &Matmul, one.type, one.out, one.scalar, one.computed_in};
    row.is_ex = true;
    row.compute = one.compute;
    row.library = kLibraryBlasLt;
    row.epilogue = epilogue;
    row.variant = name;
    rows.push_back(row);
  };
  constexpr Computed kAll[] = {
      {64, Type::kR16F, Type::kR16F, Type::kR16F, Type::kR32F},
      {72, Type::kR8I, Type::kR32I, Type::kR32I, Type::kR32I},
      {68, Type::kR16BF, Type::kR16BF, Type::kR32F, Type::kR32F},
      {68, Type::kR16F, Type::kR16F, Type::kR32F, Type::kR32F},
      {68, Type::kR16F, Type::kR32F, Type::kR32F, Type::kR32F},
      {68, Type::kR16BF, Type::kR32F, Type::kR32F, Type::kR32F},
      {68, Type::kR32F, Type::kR32F, Type::kR32F, Type::kR32F},
      {77, Type::kR32F, Type::kR32F, Type::kR32F, Type::kR32F},
      {68, Type::kC32F, Type::kC32F, Type::kC32F, Type::kC32F},
      {70, Type::kR64F, Type::kR64F, Type::kR64F, Type::kR64F},
      {70, Type::kC64F, Type::kC64F, Type::kC64F, Type::kC64F},
      {72, Type::kR8I, Type::kR8I, Type::kR32F, Type::kR32F},
      {68, Type::kR8I, Type::kR32F, Type::kR32F, Type::kR32F},
      {68, Type::kC8I, Type::kC32F, Type::kC32F, Type::kC32F},
      {68, Type::kE4M3, Type::kR32F, Type::kR32F, Type::kR32F},
      {68, Type::kE4M3, Type::kR16BF, Type::kR32F, Type::kR32F},
      {68, Type::kE4M3, Type::kE4M3, Type::kR32F, Type::kR32F},
      {68, Type::kE5M2, Type::kR16F, Type::kR32F, Type::kR32F},
  };
  for (const Computed& one : kAll) add(one, 1, "plain");
  constexpr Computed kWithEpilogues[] = {
      {68, Type::kR16BF, Type::kR16BF, Type::kR32F, Type::kR32F},
      {68, Type::kR16F, Type::kR16F, Type::kR32F, Type::kR32F},
      {68, Type::kR32F, Type::kR32F, Type::kR32F, Type::kR32F},
  };
  const std::pair<int, const char*> epilogues[] = {
      {kBias, "bias"},
      {kRelu, "relu"},
      {kRelu | kAux, "relu_aux"},
      {kRelu | kBias, "relu_bias"},
      {kRelu | kAux | kBias, "relu_aux_bias"},
      {kReluGradient | kAux, "drelu"},
      {kReluGradient | kAux | kBiasGradient, "drelu_bgrad"},
      {kGelu, "gelu"},
      {kGelu | kAux, "gelu_aux"},
      {kGelu | kBias, "gelu_bias"},
      {kGelu | kAux | kBias, "gelu_aux_bias"},
      {kGeluGradient | kAux, "dgelu"},
      {kGeluGradient | kAux | kBiasGradient, "dgelu_bgrad"},
      {kBgradA, "bgrada"},
      {kBgradB, "bgradb"},
  };
  for (const Computed& one : kWithEpilogues) {
    for (const auto& [epilogue, name] : epilogues) add(one, epilogue, name);
  }
  const std::pair<Type, Type> transforms[] = {
      {Type::kR32F, Type::kR32F}, {Type::kR64F, Type::kR64F},   {Type::kC32F, Type::kC32F}, {Type::kC64F, Type::kC64F},
      {Type::kR16F, Type::kR16F}, {Type::kR16BF, Type::kR16BF}, {Type::kR16F, Type::kR32F}, {Type::kR32F, Type::kR16F},
  };
  for (const auto& [type, out] : transforms) {
    const Type scalar = BytesOf(type) == 2 || BytesOf(out) == 2 ? Type::kR32F : type;
    Row row{"cublasLtMatrixTransform", &Transform, type, out, scalar, scalar};
    row.is_ex = true;
    row.library = kLibraryBlasLt;
    rows.push_back(row);
  }
}

}  // namespace accelmesh::blas_test
