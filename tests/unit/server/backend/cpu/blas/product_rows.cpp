// Level 3: general products, of one matrix or of a batch, and products with a symmetric or triangular matrix.
#include "tests/unit/server/backend/cpu/blas/rows.h"
#include "tests/unit/server/backend/cpu/blas/triangle.h"

namespace accelmesh::blas_test {
namespace {

void Gemm(Case& t, const Row& row) {
  const int trans_a = t.Operation(), trans_b = t.Operation();
  const i64 m = t.Dimension(), n = t.Dimension(), k = t.Dimension();
  const i64 count = row.form == Form::kSingle ? 1 : t.Count();
  const Batch batch{row.form, count};
  const Scalar alpha = t.Coefficient(row.scalar), beta = t.Coefficient(row.scalar);
  const Content read = NumbersIf(!alpha.is_zero());
  const Matrix a = t.Dense(row.type, trans_a == kN ? m : k, trans_a == kN ? k : m, Role::kInput, read, batch);
  const Matrix b = t.Dense(row.type, trans_b == kN ? k : n, trans_b == kN ? n : k, Role::kInput, read, batch);
  const Matrix c = t.Dense(row.out, m, n, Role::kOutput, NumbersIf(!beta.is_zero()), batch);
  if (!IsInteger(row.type)) t.MaybeNan(t.Chance(50) ? a : b);
  const auto put = [&](const Matrix& matrix, Type type) {
    t.Put(matrix);
    if (row.is_ex) t.Put(type);
    t.Put(Step{matrix.stride});
    if (row.form == Form::kStrided) t.Put(Step{matrix.apart});
  };
  t.Put(trans_a, trans_b, m, n, k, alpha);
  put(a, row.type);
  put(b, row.type);
  t.Put(beta);
  put(c, row.out);
  if (row.form != Form::kSingle) t.Put(count);
  if (row.compute != 0) t.Put(row.compute, t.OneOf({-1, 0, 7, 23, 99, 101, 115}));
  if (!t.Run()) return;
  for (i64 piece = 0; piece < count; ++piece) {
    for (i64 j = 0; j < n; ++j) {
      for (i64 i = 0; i < m; ++i) {
        Sum sum;
        for (i64 l = 0; !alpha.is_zero() && l < k; ++l)
          sum.Add(a.Was(trans_a, i, l, piece), b.Was(trans_b, l, j, piece));
        const i64 at = c.At(i, j, piece);
        t.Expect(c.memory, at, Combined(alpha.value, sum, beta.value, c.memory->Was(at)));
      }
    }
  }
}

void Symm(Case& t, const Row& row) {
  const int side = t.Bit(), fill = t.Bit();
  const i64 m = t.Dimension(), n = t.Dimension(), order = side == kLeft ? m : n;
  const Scalar alpha = t.Coefficient(row.scalar), beta = t.Coefficient(row.scalar);
  const Content read = NumbersIf(!alpha.is_zero());
  const Triangle a(t, row, Storage::kFull, fill, order, Role::kInput, read);
  const Matrix b = t.Dense(row.type, m, n, Role::kInput, read);
  const Matrix c = t.Dense(row.type, m, n, Role::kOutput, NumbersIf(!beta.is_zero()));
  t.MaybeNan(b);
  t.Put(side, fill, m, n, alpha, a.memory(), Step{a.stride()}, b, Step{b.stride}, beta, c, Step{c.stride});
  if (!t.Run()) return;
  for (i64 j = 0; j < n; ++j) {
    for (i64 i = 0; i < m; ++i) {
      Sum sum;
      for (i64 l = 0; !alpha.is_zero() && l < order; ++l) {
        if (side == kLeft) {
          sum.Add(a.Was(i, l), b.Was(kN, l, j));
        } else {
          sum.Add(b.Was(kN, i, l), a.Was(l, j));
        }
      }
      t.Expect(c.memory, c.At(i, j), Combined(alpha.value, sum, beta.value, c.memory->Was(c.At(i, j))));
    }
  }
}

// op(A) X or X op(A) at (i, j).
template <typename Element>
Sum TriangularProduct(const Triangle& a, int side, int trans, int diagonal, i64 order, i64 i, i64 j, i64 piece,
                      Element element) {
  Sum sum;
  for (i64 l = 0; l < order; ++l) {
    const Wide factor =
        side == kLeft ? a.WasTriangular(trans, diagonal, i, l, piece) : a.WasTriangular(trans, diagonal, l, j, piece);
    if (!(factor == Wide{})) sum.Add(factor, side == kLeft ? element(l, j) : element(i, l));
  }
  return sum;
}

void Trmm(Case& t, const Row& row) {
  const int side = t.Bit(), fill = t.Bit(), trans = t.Operation(), diagonal = t.Bit();
  const i64 m = t.Dimension(), n = t.Dimension(), order = side == kLeft ? m : n;
  const Scalar alpha = t.Coefficient(row.scalar);
  Triangle a(t, row, Storage::kFull, fill, order, Role::kInput, NumbersIf(!alpha.is_zero()));
  a.ForgetDiagonal(diagonal);
  const Matrix b = t.Dense(row.type, m, n, Role::kOutput, NumbersIf(!alpha.is_zero()));
  // In place, or not.
  const Matrix c = t.Chance(40) ? b : t.Dense(row.type, m, n, Role::kOutput, Content::kNothing);
  t.Put(side, fill, trans, diagonal, m, n, alpha, a.memory(), Step{a.stride()}, b, Step{b.stride}, c, Step{c.stride});
  if (!t.Run()) return;
  for (i64 j = 0; j < n; ++j) {
    for (i64 i = 0; i < m; ++i) {
      Sum sum;
      if (!alpha.is_zero()) {
        sum = TriangularProduct(a, side, trans, diagonal, order, i, j, 0,
                                [&](i64 line, i64 column) { return b.Was(kN, line, column); });
      }
      t.Expect(c.memory, c.At(i, j), Scaled(alpha.value, sum));
    }
  }
}

void Trsm(Case& t, const Row& row) {
  const int side = t.Bit(), fill = t.Bit(), trans = t.Operation(), diagonal = t.Bit();
  const i64 m = t.Dimension(), n = t.Dimension(), order = side == kLeft ? m : n;
  const i64 count = row.form == Form::kSingle ? 1 : t.Count();
  const Batch batch{row.form, count};
  const Scalar alpha = t.Coefficient(row.scalar);
  Triangle a(t, row, Storage::kFull, fill, order, Role::kInput, Content::kNothing, batch);
  if (!alpha.is_zero()) a.MakeSolvable(t, diagonal);
  const Matrix b = t.Dense(row.type, m, n, Role::kOutput, NumbersIf(!alpha.is_zero()), batch);
  t.Put(side, fill, trans, diagonal, m, n, alpha, a.memory(), Step{a.stride()}, b, Step{b.stride});
  if (row.form != Form::kSingle) t.Put(count);
  if (!t.Run()) return;
  for (i64 piece = 0; piece < count; ++piece) {
    for (i64 j = 0; j < n; ++j) {
      for (i64 i = 0; i < m; ++i) {
        const i64 at = b.At(i, j, piece);
        if (alpha.is_zero()) {
          t.ExpectExactly(b.memory, at, {});
          continue;
        }
        b.memory->Accept(at);
        const Sum sum = TriangularProduct(a, side, trans, diagonal, order, i, j, piece, [&](i64 line, i64 column) {
          return b.memory->Is(b.At(line, column, piece));
        });
        const Wide wanted = alpha.value * b.memory->Was(at);
        t.ExpectSmall(sum.value - wanted, sum.magnitude + Size(wanted), sum.terms, "the right side");
      }
    }
  }
}

// Compute types, and types that they go with: as the manual of cublasGemmEx lists them.
struct Computed {
  int compute;
  Type type, out, scalar, computed_in;
};
constexpr Computed kComputed[] = {
    {64, Type::kR16F, Type::kR16F, Type::kR16F, Type::kR32F},
    {65, Type::kR16F, Type::kR16F, Type::kR16F, Type::kR32F},
    {72, Type::kR8I, Type::kR32I, Type::kR32I, Type::kR32I},
    {73, Type::kR8I, Type::kR32I, Type::kR32I, Type::kR32I},
    {68, Type::kR16BF, Type::kR16BF, Type::kR32F, Type::kR32F},
    {68, Type::kR16F, Type::kR16F, Type::kR32F, Type::kR32F},
    {68, Type::kR8I, Type::kR32F, Type::kR32F, Type::kR32F},
    {68, Type::kR16BF, Type::kR32F, Type::kR32F, Type::kR32F},
    {68, Type::kR16F, Type::kR32F, Type::kR32F, Type::kR32F},
    {68, Type::kR32F, Type::kR32F, Type::kR32F, Type::kR32F},
    {68, Type::kC8I, Type::kC32F, Type::kC32F, Type::kC32F},
    {68, Type::kC32F, Type::kC32F, Type::kC32F, Type::kC32F},
    {69, Type::kR16F, Type::kR32F, Type::kR32F, Type::kR32F},
    {74, Type::kR32F, Type::kR32F, Type::kR32F, Type::kR32F},
    {75, Type::kC32F, Type::kC32F, Type::kC32F, Type::kC32F},
    {77, Type::kR32F, Type::kR32F, Type::kR32F, Type::kR32F},
    {78, Type::kC32F, Type::kC32F, Type::kC32F, Type::kC32F},
    {70, Type::kR64F, Type::kR64F, Type::kR64F, Type::kR64F},
    {70, Type::kC64F, Type::kC64F, Type::kC64F, Type::kC64F},
    {71, Type::kR64F, Type::kR64F, Type::kR64F, Type::kR64F},
    {79, Type::kR64F, Type::kR64F, Type::kR64F, Type::kR64F},
};

std::vector<Row> GemmEx(const std::string& name, Form form) {
  std::vector<Row> rows;
  for (const Computed& one : kComputed) {
    Row row{name, &Gemm, one.type, one.out, one.scalar, one.computed_in, form};
    row.is_ex = true;
    row.compute = one.compute;
    row.may_refuse = one.type == Type::kC8I;
    rows.push_back(row);
  }
  return rows;
}

// Without a compute type: that of the scalars.
std::vector<Row> TypedGemmEx(const std::string& name, std::initializer_list<std::pair<Type, Type>> types, Type scalar) {
  std::vector<Row> rows;
  for (const auto& [type, out] : types) {
    Row row{name, &Gemm, type, out, scalar, scalar};
    row.is_ex = true;
    row.may_refuse = type == Type::kC8I;
    rows.push_back(row);
  }
  return rows;
}

}  // namespace

void AddProducts(std::vector<Row>& rows) {
  const auto form = [](Form one) { return [one](Row& row) { row.form = one; }; };
  rows += Rows("cublas?gemm_v2", "SDCZ", &Gemm);
  rows += Rows("cublas?gemm", "H", &Gemm);
  rows += With(Rows("cublas?gemmBatched", "SDCZH", &Gemm), form(Form::kPointers));
  rows += With(Rows("cublas?gemmStridedBatched", "SDCZH", &Gemm), form(Form::kStrided));
  rows += Rows("cublas?gemm3m", "CZ", &Gemm);
  rows += With(Rows("cublas?gemm3mBatched", "C", &Gemm), form(Form::kPointers));
  rows += With(Rows("cublas?gemm3mStridedBatched", "C", &Gemm), form(Form::kStrided));
  rows += GemmEx("cublasGemmEx", Form::kSingle);
  rows += GemmEx("cublasGemmBatchedEx", Form::kPointers);
  rows += GemmEx("cublasGemmStridedBatchedEx", Form::kStrided);
  rows += TypedGemmEx("cublasSgemmEx",
                      {{Type::kR16BF, Type::kR16BF},
                       {Type::kR16F, Type::kR16F},
                       {Type::kR8I, Type::kR32F},
                       {Type::kR16BF, Type::kR32F},
                       {Type::kR16F, Type::kR32F},
                       {Type::kR32F, Type::kR32F}},
                      Type::kR32F);
  for (const char* const name : {"cublasCgemmEx", "cublasCgemm3mEx"})
    rows += TypedGemmEx(name, {{Type::kC8I, Type::kC32F}, {Type::kC32F, Type::kC32F}}, Type::kC32F);
  rows += Rows("cublas?symm_v2", "SDCZ", &Symm);
  rows += With(Rows("cublas?hemm_v2", "CZ", &Symm), [](Row& row) { row.is_hermitian = true; });
  rows += Rows("cublas?trmm_v2", "SDCZ", &Trmm);
  rows += Rows("cublas?trsm_v2", "SDCZ", &Trsm);
  rows += With(Rows("cublas?trsmBatched", "SDCZ", &Trsm), form(Form::kPointers));
}

}  // namespace accelmesh::blas_test
