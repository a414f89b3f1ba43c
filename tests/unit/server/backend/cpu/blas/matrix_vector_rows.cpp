// Level 2: products of a matrix and a vector, and updates by vectors.
#include <algorithm>

#include "tests/unit/server/backend/cpu/blas/rows.h"
#include "tests/unit/server/backend/cpu/blas/triangle.h"

namespace accelmesh::blas_test {
namespace {

void Gemv(Case& t, const Row& row) {
  const int trans = t.Operation();
  const i64 m = t.Dimension(), n = t.Dimension();
  const i64 count = row.form == Form::kSingle ? 1 : t.Count();
  const Batch batch{row.form, count};
  const Scalar alpha = t.Coefficient(row.scalar), beta = t.Coefficient(row.scalar);
  const i64 length_x = trans == kN ? n : m, length_y = trans == kN ? m : n;
  const Content read = NumbersIf(!alpha.is_zero());
  const Matrix a = t.Dense(row.type, m, n, Role::kInput, read, batch);
  const Vector x = t.Line(row.type, length_x, t.Increment(), Role::kInput, read, batch);
  const Vector y = t.Line(row.out, length_y, t.Increment(), Role::kOutput, NumbersIf(!beta.is_zero()), batch);
  t.MaybeNan(a);
  const auto stride = [&](const Pieces& pieces) {
    if (row.form == Form::kStrided) t.Put(Step{pieces.apart});
  };
  t.Put(trans, m, n, alpha, a, Step{a.stride});
  stride(a);
  t.Put(x, Step{x.step});
  stride(x);
  t.Put(beta, y, Step{y.step});
  stride(y);
  if (row.form != Form::kSingle) t.Put(count);
  if (!t.Run()) return;
  // Nothing is done if either is 0, not even scaling.
  if (m == 0 || n == 0) return;
  for (i64 piece = 0; piece < count; ++piece) {
    for (i64 i = 0; i < length_y; ++i) {
      Sum sum;
      for (i64 j = 0; !alpha.is_zero() && j < length_x; ++j)
        sum.Add(a.Was(trans, i, j, piece), x.memory->Was(x.At(j, piece)));
      const i64 at = y.At(i, piece);
      t.Expect(y.memory, at, Combined(alpha.value, sum, beta.value, y.memory->Was(at)));
    }
  }
}

void Gbmv(Case& t, const Row& row) {
  const int trans = t.Operation();
  const i64 m = t.Dimension(), n = t.Dimension(), kl = t.Below(std::max<i64>(1, m) + 2),
            ku = t.Below(std::max<i64>(1, n) + 2);
  const Scalar alpha = t.Coefficient(row.scalar), beta = t.Coefficient(row.scalar);
  const i64 length_x = trans == kN ? n : m, length_y = trans == kN ? m : n;
  const Content read = NumbersIf(!alpha.is_zero());
  const Matrix a = t.Dense(row.type, kl + ku + 1, n, Role::kInput, Content::kNothing);
  const auto in_band = [&](i64 i, i64 j) { return i - j <= kl && j - i <= ku; };
  for (i64 j = 0; !alpha.is_zero() && j < n; ++j) {
    for (i64 i = 0; i < m; ++i) {
      if (in_band(i, j)) a.memory->Set(a.At(ku + i - j, j), t.Number(row.type));
    }
  }
  const Vector x = t.Line(row.type, length_x, t.Increment(), Role::kInput, read);
  const Vector y = t.Line(row.type, length_y, t.Increment(), Role::kOutput, NumbersIf(!beta.is_zero()));
  t.Put(trans, m, n, kl, ku, alpha, a, Step{a.stride}, x, Step{x.step}, beta, y, Step{y.step});
  if (!t.Run() || m == 0 || n == 0) return;
  for (i64 i = 0; i < length_y; ++i) {
    Sum sum;
    for (i64 j = 0; !alpha.is_zero() && j < length_x; ++j) {
      const i64 line = trans == kN ? i : j, column = trans == kN ? j : i;
      if (!in_band(line, column)) continue;
      const Wide element = a.memory->Was(a.At(ku + line - column, column));
      sum.Add(ConjugateIf(trans == kC, element), x.memory->Was(x.At(j)));
    }
    t.Expect(y.memory, y.At(i), Combined(alpha.value, sum, beta.value, y.memory->Was(y.At(i))));
  }
}

template <Storage kStorage>
void Symv(Case& t, const Row& row) {
  const int fill = t.Bit();
  const i64 n = t.Dimension();
  const Scalar alpha = t.Coefficient(row.scalar), beta = t.Coefficient(row.scalar);
  const Content read = NumbersIf(!alpha.is_zero());
  const Triangle a(t, row, kStorage, fill, n, Role::kInput, read);
  const Vector x = t.Line(row.type, n, t.Increment(), Role::kInput, read);
  const Vector y = t.Line(row.type, n, t.Increment(), Role::kOutput, NumbersIf(!beta.is_zero()));
  t.Put(fill, n);
  if (kStorage == Storage::kBand) t.Put(a.width());
  t.Put(alpha, a.memory());
  if (kStorage != Storage::kPacked) t.Put(Step{a.stride()});
  t.Put(x, Step{x.step}, beta, y, Step{y.step});
  if (!t.Run()) return;
  for (i64 i = 0; i < n; ++i) {
    Sum sum;
    for (i64 j = 0; !alpha.is_zero() && j < n; ++j) {
      if (a.Has(i, j)) sum.Add(a.Was(i, j), x.memory->Was(x.At(j)));
    }
    t.Expect(y.memory, y.At(i), Combined(alpha.value, sum, beta.value, y.memory->Was(y.At(i))));
  }
}

// A + alpha x y^T, or y^H.
void Ger(Case& t, const Row& row) {
  const i64 m = t.Dimension(), n = t.Dimension();
  const Scalar alpha = t.Coefficient(row.scalar);
  const Content read = NumbersIf(!alpha.is_zero());
  const Vector x = t.Line(row.type, m, t.Increment(), Role::kInput, read);
  const Vector y = t.Line(row.type, n, t.Increment(), Role::kInput, read);
  const Matrix a = t.Dense(row.type, m, n, Role::kOutput);
  t.Put(m, n, alpha, x, Step{x.step}, y, Step{y.step}, a, Step{a.stride});
  if (!t.Run() || alpha.is_zero()) return;
  for (i64 j = 0; j < n; ++j) {
    for (i64 i = 0; i < m; ++i) {
      Sum sum;
      sum.Add(x.memory->Was(x.At(i)), ConjugateIf(row.is_hermitian, y.memory->Was(y.At(j))));
      t.Expect(a.memory, a.At(i, j), Combined(alpha.value, sum, {1, 0}, a.memory->Was(a.At(i, j))));
    }
  }
}

// A + alpha x x^T, or x^H.
template <Storage kStorage>
void Syr(Case& t, const Row& row) {
  const int fill = t.Bit();
  const i64 n = t.Dimension();
  const Scalar alpha = t.Coefficient(row.scalar);
  const Vector x = t.Line(row.type, n, t.Increment(), Role::kInput, NumbersIf(!alpha.is_zero()));
  const Triangle a(t, row, kStorage, fill, n, Role::kOutput, Content::kNumbers);
  t.Put(fill, n, alpha, x, Step{x.step}, a.memory());
  if (kStorage != Storage::kPacked) t.Put(Step{a.stride()});
  if (!t.Run() || alpha.is_zero()) return a.AcceptDiagonal();
  a.ForEach([&](i64 i, i64 j) {
    Sum sum;
    sum.Add(x.memory->Was(x.At(i)), ConjugateIf(row.is_hermitian, x.memory->Was(x.At(j))));
    a.Expect(t, i, j, Combined(alpha.value, sum, {1, 0}, a.Was(i, j)));
  });
}

// A + alpha x y^T + alpha y x^T, or A + alpha x y^H + conj(alpha) y x^H.
template <Storage kStorage>
void Syr2(Case& t, const Row& row) {
  const int fill = t.Bit();
  const i64 n = t.Dimension();
  const Scalar alpha = t.Coefficient(row.scalar);
  const Content read = NumbersIf(!alpha.is_zero());
  const Vector x = t.Line(row.type, n, t.Increment(), Role::kInput, read);
  const Vector y = t.Line(row.type, n, t.Increment(), Role::kInput, read);
  const Triangle a(t, row, kStorage, fill, n, Role::kOutput, Content::kNumbers);
  t.Put(fill, n, alpha, x, Step{x.step}, y, Step{y.step}, a.memory());
  if (kStorage != Storage::kPacked) t.Put(Step{a.stride()});
  if (!t.Run() || alpha.is_zero()) return a.AcceptDiagonal();
  a.ForEach([&](i64 i, i64 j) {
    const bool is = row.is_hermitian;
    const Wide xi = x.memory->Was(x.At(i)), xj = ConjugateIf(is, x.memory->Was(x.At(j)));
    const Wide yi = y.memory->Was(y.At(i)), yj = ConjugateIf(is, y.memory->Was(y.At(j)));
    Sum sum;
    sum.Add(alpha.value * xi, yj);
    sum.Add(ConjugateIf(is, alpha.value) * yi, xj);
    sum.Add(a.Was(i, j));
    a.Expect(t, i, j, sum);
  });
}

}  // namespace

void AddMatrixVectors(std::vector<Row>& rows) {
  rows += Rows("cublas?gemv_v2", "SDCZ", &Gemv);
  for (const Form form : {Form::kPointers, Form::kStrided}) {
    const std::string suffix = form == Form::kPointers ? "gemvBatched" : "gemvStridedBatched";
    const auto batched = [form](Row& row) { row.form = form; };
    rows += With(Rows("cublas?" + suffix, "SDCZ", &Gemv), batched);
    const auto mixed = [&](const std::string& letters, Type type, Type out) {
      rows += With(Rows("cublas" + letters + suffix, "S", &Gemv), [&](Row& row) {
        row.form = form;
        row.type = type;
        row.out = out;
      });
    };
    mixed("HSH", Type::kR16F, Type::kR16F);
    mixed("HSS", Type::kR16F, Type::kR32F);
    mixed("TST", Type::kR16BF, Type::kR16BF);
    mixed("TSS", Type::kR16BF, Type::kR32F);
  }
  rows += Rows("cublas?gbmv_v2", "SDCZ", &Gbmv);
  const auto hermitian = [](Row& row) { row.is_hermitian = true; };
  const auto real_scalar = [](Row& row) {
    row.is_hermitian = true;
    row.scalar = RealOf(row.type);
  };
  rows += Rows("cublas?symv_v2", "SDCZ", &Symv<Storage::kFull>);
  rows += With(Rows("cublas?hemv_v2", "CZ", &Symv<Storage::kFull>), hermitian);
  rows += Rows("cublas?sbmv_v2", "SD", &Symv<Storage::kBand>);
  rows += With(Rows("cublas?hbmv_v2", "CZ", &Symv<Storage::kBand>), hermitian);
  rows += Rows("cublas?spmv_v2", "SD", &Symv<Storage::kPacked>);
  rows += With(Rows("cublas?hpmv_v2", "CZ", &Symv<Storage::kPacked>), hermitian);
  rows += Rows("cublas?ger_v2", "SD", &Ger);
  rows += Rows("cublas?geru_v2", "CZ", &Ger);
  rows += With(Rows("cublas?gerc_v2", "CZ", &Ger), hermitian);
  rows += Rows("cublas?syr_v2", "SDCZ", &Syr<Storage::kFull>);
  rows += With(Rows("cublas?her_v2", "CZ", &Syr<Storage::kFull>), real_scalar);
  rows += Rows("cublas?spr_v2", "SD", &Syr<Storage::kPacked>);
  rows += With(Rows("cublas?hpr_v2", "CZ", &Syr<Storage::kPacked>), real_scalar);
  rows += Rows("cublas?syr2_v2", "SDCZ", &Syr2<Storage::kFull>);
  rows += With(Rows("cublas?her2_v2", "CZ", &Syr2<Storage::kFull>), hermitian);
  rows += Rows("cublas?spr2_v2", "SD", &Syr2<Storage::kPacked>);
  rows += With(Rows("cublas?hpr2_v2", "CZ", &Syr2<Storage::kPacked>), hermitian);
}

}  // namespace accelmesh::blas_test
