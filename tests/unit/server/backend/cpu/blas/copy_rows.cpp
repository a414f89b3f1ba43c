// What cuBLAS adds to level 3: sums and scalings of matrices, and copies between storages.
#include "tests/unit/server/backend/cpu/blas/rows.h"
#include "tests/unit/server/backend/cpu/blas/triangle.h"

namespace accelmesh::blas_test {
namespace {

void Geam(Case& t, const Row& row) {
  int trans_a = t.Operation(), trans_b = t.Operation();
  const i64 m = t.Dimension(), n = t.Dimension();
  const Scalar alpha = t.Coefficient(row.scalar), beta = t.Coefficient(row.scalar);
  // C is A, or B, if that is not transposed.
  const bool is_in_place = t.Chance(35), is_a = t.Chance(50);
  if (is_in_place) (is_a ? trans_a : trans_b) = kN;
  const Matrix a = t.Dense(row.type, trans_a == kN ? m : n, trans_a == kN ? n : m,
                           is_in_place ? Role::kOutput : Role::kInput, NumbersIf(!alpha.is_zero()));
  Matrix b = t.Dense(row.type, trans_b == kN ? m : n, trans_b == kN ? n : m, is_in_place ? Role::kOutput : Role::kInput,
                     NumbersIf(!beta.is_zero()));
  const Matrix c = is_in_place ? (is_a ? a : b) : t.Dense(row.type, m, n, Role::kOutput, Content::kNothing);
  t.Put(trans_a, trans_b, m, n, alpha, a, Step{a.stride}, beta);
  // Programs give no B at all where they only transpose.
  if (beta.is_zero() && c.memory != b.memory && t.Chance(50)) {
    t.Put(Optional{nullptr});
  } else {
    t.Put(b);
  }
  t.Put(Step{b.stride}, c, Step{c.stride});
  if (!t.Run()) return;
  for (i64 j = 0; j < n; ++j) {
    for (i64 i = 0; i < m; ++i) {
      Sum sum;
      if (!alpha.is_zero()) sum.Add(alpha.value, a.Was(trans_a, i, j));
      if (!beta.is_zero()) sum.Add(beta.value, b.Was(trans_b, i, j));
      t.Expect(c.memory, c.At(i, j), sum);
    }
  }
}

void Dgmm(Case& t, const Row& row) {
  const int side = t.Bit();
  const i64 m = t.Dimension(), n = t.Dimension();
  const bool is_in_place = t.Chance(35);
  const Matrix a = t.Dense(row.type, m, n, is_in_place ? Role::kOutput : Role::kInput);
  // Without a step, it is one number for all.
  const i64 step = t.kind() != Kind::kHostile && t.Chance(10) ? 0 : t.Increment();
  const Vector x = t.Line(row.type, side == kLeft ? m : n, step, Role::kInput);
  const Matrix c = is_in_place ? a : t.Dense(row.type, m, n, Role::kOutput, Content::kNothing);
  t.MaybeNan(x);
  t.Put(side, m, n, a, Step{a.stride}, x, Step{x.step}, c, Step{c.stride});
  if (!t.Run()) return;
  for (i64 j = 0; j < n; ++j) {
    for (i64 i = 0; i < m; ++i) {
      Sum sum;
      sum.Add(a.Was(kN, i, j), x.memory->Was(x.At(side == kLeft ? i : j)));
      t.Expect(c.memory, c.At(i, j), sum);
    }
  }
}

template <bool kPacks>
void Repack(Case& t, const Row& row) {
  const int fill = t.Bit();
  const i64 n = t.Dimension();
  const Triangle from(t, row, kPacks ? Storage::kFull : Storage::kPacked, fill, n, Role::kInput, Content::kNumbers);
  const Triangle to(t, row, kPacks ? Storage::kPacked : Storage::kFull, fill, n, Role::kOutput, Content::kNothing);
  t.Put(fill, n, from.memory());
  if (kPacks) t.Put(Step{from.stride()});
  t.Put(to.memory());
  if (!kPacks) t.Put(Step{to.stride()});
  if (!t.Run()) return;
  from.ForEach([&](i64 i, i64 j) { t.ExpectExactly(to.operand(), to.At(i, j, 0), from.Was(i, j)); });
}

}  // namespace

void AddCopies(std::vector<Row>& rows) {
  rows += Rows("cublas?geam", "SDCZ", &Geam);
  rows += Rows("cublas?dgmm", "SDCZ", &Dgmm);
  rows += Rows("cublas?tpttr", "SDCZ", &Repack<false>);
  rows += Rows("cublas?trttp", "SDCZ", &Repack<true>);
}

}  // namespace accelmesh::blas_test
