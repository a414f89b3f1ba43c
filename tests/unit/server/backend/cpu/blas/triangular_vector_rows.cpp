// Level 2: triangular products and solutions, in place.
#include "tests/unit/server/backend/cpu/blas/rows.h"
#include "tests/unit/server/backend/cpu/blas/triangle.h"

namespace accelmesh::blas_test {
namespace {

template <Storage kStorage, bool kSolves>
void Triangular(Case& t, const Row& row) {
  const int fill = t.Bit(), trans = t.Operation(), diagonal = t.Bit();
  const i64 n = t.Dimension();
  Triangle a(t, row, kStorage, fill, n, Role::kInput, Content::kNumbers);
  if (kSolves) {
    a.MakeSolvable(t, diagonal);
  } else {
    a.ForgetDiagonal(diagonal);
  }
  const Vector x = t.Line(row.type, n, t.Increment(), Role::kOutput);
  t.Put(fill, trans, diagonal, n);
  if (kStorage == Storage::kBand) t.Put(a.width());
  t.Put(a.memory());
  if (kStorage != Storage::kPacked) t.Put(Step{a.stride()});
  t.Put(x, Step{x.step});
  if (!t.Run()) return;
  for (i64 i = 0; i < n; ++i) {
    Sum sum;
    for (i64 j = 0; j < n; ++j) {
      const Wide element = a.WasTriangular(trans, diagonal, i, j);
      const Wide number = kSolves ? x.memory->Is(x.At(j)) : x.memory->Was(x.At(j));
      if (!(element == Wide{})) sum.Add(element, number);
    }
    const i64 at = x.At(i);
    if (kSolves) {
      x.memory->Accept(at);
      t.ExpectSmall(sum.value - x.memory->Was(at), sum.magnitude + Size(x.memory->Was(at)), sum.terms,
                    "the right side");
    } else {
      t.Expect(x.memory, at, sum);
    }
  }
}

}  // namespace

void AddTriangularVectors(std::vector<Row>& rows) {
  rows += Rows("cublas?trmv_v2", "SDCZ", &Triangular<Storage::kFull, false>);
  rows += Rows("cublas?tbmv_v2", "SDCZ", &Triangular<Storage::kBand, false>);
  rows += Rows("cublas?tpmv_v2", "SDCZ", &Triangular<Storage::kPacked, false>);
  rows += Rows("cublas?trsv_v2", "SDCZ", &Triangular<Storage::kFull, true>);
  rows += Rows("cublas?tbsv_v2", "SDCZ", &Triangular<Storage::kBand, true>);
  rows += Rows("cublas?tpsv_v2", "SDCZ", &Triangular<Storage::kPacked, true>);
}

}  // namespace accelmesh::blas_test
