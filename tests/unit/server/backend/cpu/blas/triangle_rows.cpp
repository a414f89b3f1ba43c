// Level 3: products that are symmetric or Hermitian, of which one triangle is written.
#include "tests/unit/server/backend/cpu/blas/rows.h"
#include "tests/unit/server/backend/cpu/blas/triangle.h"

namespace accelmesh::blas_test {
namespace {

// op(A) op(B)^T or op(A) op(B)^H at (i, j), where op(A) has n rows: A itself, or its transpose or adjoint.
Sum Product(const Row& row, const Matrix& a, const Matrix& b, int trans, i64 k, i64 i, i64 j) {
  Sum sum;
  const int operation = trans == kN ? kN : row.is_hermitian ? kC : kT;
  for (i64 l = 0; l < k; ++l) sum.Add(a.Was(operation, i, l), ConjugateIf(row.is_hermitian, b.Was(operation, j, l)));
  return sum;
}

// Of a complex symmetric product trans is N or T; of a Hermitian one, N or C; of a real one, any.
int DrawTrans(Case& t, const Row& row) {
  if (!IsComplex(row.type)) return t.Operation();
  return t.Bit() == 0 ? kN : row.is_hermitian ? kC : kT;
}

struct Drawn {
  int fill, trans;
  i64 n, k;
  Scalar alpha, beta;
  Content read, kept;
};
Drawn Draw(Case& t, const Row& row, Type alpha, Type beta) {
  Drawn drawn{t.Bit(),           DrawTrans(t, row),    t.Dimension(),
              t.Dimension(),     t.Coefficient(alpha), t.Coefficient(beta),
              Content::kNumbers, Content::kNumbers};
  drawn.read = NumbersIf(!drawn.alpha.is_zero());
  drawn.kept = NumbersIf(!drawn.beta.is_zero());
  return drawn;
}
Matrix Factor(Case& t, const Row& row, const Drawn& drawn) {
  const bool is_n = drawn.trans == kN;
  return t.Dense(row.type, is_n ? drawn.n : drawn.k, is_n ? drawn.k : drawn.n, Role::kInput, drawn.read);
}

template <typename Term>
void ExpectTriangle(Case& t, const Row& row, const Drawn& drawn, const Triangle& c, Term term) {
  // A matrix that stays as it is may keep what its diagonal has of imaginary parts.
  const bool stays = (drawn.alpha.is_zero() || drawn.k == 0) && drawn.beta.value == Wide{1, 0};
  if (stays && row.is_hermitian) return c.AcceptDiagonal();
  c.ForEach([&](i64 i, i64 j) {
    Sum sum = drawn.alpha.is_zero() ? Sum{} : term(i, j);
    if (!(drawn.beta.value == Wide{})) sum.Add(drawn.beta.value, c.Was(i, j));
    c.Expect(t, i, j, sum);
  });
}

void Syrk(Case& t, const Row& row) {
  const Type real = RealOf(row.scalar);
  const Drawn drawn = Draw(t, row, row.is_hermitian ? real : row.scalar, row.is_hermitian ? real : row.scalar);
  const Matrix a = Factor(t, row, drawn);
  const Triangle c(t, row, Storage::kFull, drawn.fill, drawn.n, Role::kOutput, drawn.kept);
  t.Put(drawn.fill, drawn.trans, drawn.n, drawn.k, drawn.alpha, a);
  if (row.is_ex) t.Put(row.type);
  t.Put(Step{a.stride}, drawn.beta, c.memory());
  if (row.is_ex) t.Put(row.out);
  t.Put(Step{c.stride()});
  if (!t.Run()) return;
  ExpectTriangle(t, row, drawn, c, [&](i64 i, i64 j) {
    return Scaled(drawn.alpha.value, Product(row, a, a, drawn.trans, drawn.k, i, j));
  });
}

void PutTwo(Case& t, const Drawn& drawn, const Matrix& a, const Matrix& b, const Triangle& c) {
  t.Put(drawn.fill, drawn.trans, drawn.n, drawn.k, drawn.alpha, a, Step{a.stride}, b, Step{b.stride}, drawn.beta,
        c.memory(), Step{c.stride()});
}

void Syr2k(Case& t, const Row& row) {
  const Drawn drawn = Draw(t, row, row.scalar, row.is_hermitian ? RealOf(row.scalar) : row.scalar);
  const Matrix a = Factor(t, row, drawn), b = Factor(t, row, drawn);
  const Triangle c(t, row, Storage::kFull, drawn.fill, drawn.n, Role::kOutput, drawn.kept);
  PutTwo(t, drawn, a, b, c);
  if (!t.Run()) return;
  ExpectTriangle(t, row, drawn, c, [&](i64 i, i64 j) {
    Sum sum = Scaled(drawn.alpha.value, Product(row, a, b, drawn.trans, drawn.k, i, j));
    const Sum other =
        Scaled(ConjugateIf(row.is_hermitian, drawn.alpha.value), Product(row, b, a, drawn.trans, drawn.k, i, j));
    sum.value = sum.value + other.value;
    sum.magnitude += other.magnitude;
    sum.terms += other.terms + 1;
    return sum;
  });
}

// As if B made the product symmetric: which it need not, only one triangle is looked at.
void Syrkx(Case& t, const Row& row) {
  const Drawn drawn = Draw(t, row, row.scalar, row.is_hermitian ? RealOf(row.scalar) : row.scalar);
  const Matrix a = Factor(t, row, drawn), b = Factor(t, row, drawn);
  const Triangle c(t, row, Storage::kFull, drawn.fill, drawn.n, Role::kOutput, drawn.kept);
  PutTwo(t, drawn, a, b, c);
  if (!t.Run()) return;
  ExpectTriangle(t, row, drawn, c, [&](i64 i, i64 j) {
    return Scaled(drawn.alpha.value, Product(row, a, b, drawn.trans, drawn.k, i, j));
  });
}

}  // namespace

void AddTriangles(std::vector<Row>& rows) {
  const auto hermitian = [](Row& row) { row.is_hermitian = true; };
  rows += Rows("cublas?syrk_v2", "SDCZ", &Syrk);
  rows += With(Rows("cublas?herk_v2", "CZ", &Syrk), hermitian);
  for (const char* const name : {"cublasCsyrkEx", "cublasCsyrk3mEx", "cublasCherkEx", "cublasCherk3mEx"}) {
    for (const Type type : {Type::kC8I, Type::kC32F}) {
      Row row{name, &Syrk, type, Type::kC32F, Type::kC32F, Type::kC32F};
      row.is_hermitian = std::string(name).find("herk") != std::string::npos;
      row.is_ex = true;
      row.may_refuse = type == Type::kC8I;
      rows.push_back(row);
    }
  }
  rows += Rows("cublas?syr2k_v2", "SDCZ", &Syr2k);
  rows += With(Rows("cublas?her2k_v2", "CZ", &Syr2k), hermitian);
  rows += Rows("cublas?syrkx", "SDCZ", &Syrkx);
  rows += With(Rows("cublas?herkx", "CZ", &Syrkx), hermitian);
}

}  // namespace accelmesh::blas_test
