// Level 1 without rotations.
#include <cmath>

#include "tests/unit/server/backend/cpu/blas/rows.h"

namespace accelmesh::blas_test {
namespace {

// Inputs may be one element that is read again and again.
i64 InputStep(Case& t) { return t.kind() != Kind::kHostile && t.Chance(10) ? 0 : t.Increment(); }

void Axpy(Case& t, const Row& row) {
  const i64 n = t.Length();
  const Scalar alpha = t.Coefficient(row.scalar);
  const Vector x = t.Line(row.type, n, InputStep(t), Role::kInput, NumbersIf(!alpha.is_zero()));
  const Vector y = t.Line(row.type, n, t.Increment(), Role::kOutput);
  t.MaybeNan(x);
  t.Put(n, alpha);
  if (row.is_ex) t.Put(row.scalar);
  t.Put(x);
  if (row.is_ex) t.Put(row.type);
  t.Put(Step{x.step}, y);
  if (row.is_ex) t.Put(row.type);
  t.Put(Step{y.step});
  if (row.is_ex) t.Put(row.computed_in);
  if (!t.Run()) return;
  for (i64 i = 0; !alpha.is_zero() && i < n; ++i) {
    Sum sum;
    sum.Add(alpha.value, x.memory->Was(x.At(i)));
    sum.Add(y.memory->Was(y.At(i)));
    t.Expect(y.memory, y.At(i), sum);
  }
}

void Scale(Case& t, const Row& row) {
  const i64 n = t.Length();
  // A step that is not positive is of nothing.
  const bool is_nothing = t.kind() == Kind::kPlain && t.Chance(10);
  const Scalar alpha = t.Coefficient(row.scalar);
  const Vector x = t.Line(row.type, n, std::abs(t.Increment()), Role::kOutput);
  t.Put(n, alpha);
  if (row.is_ex) t.Put(row.scalar);
  t.Put(x);
  if (row.is_ex) t.Put(row.type);
  t.Put(Step{is_nothing ? t.OneOf<i64>({0, -1, -3}) : x.step});
  if (row.is_ex) t.Put(row.computed_in);
  if (!t.Run() || is_nothing) return;
  for (i64 i = 0; i < n; ++i) {
    Sum sum;
    sum.Add(alpha.value, x.memory->Was(x.At(i)));
    t.Expect(x.memory, x.At(i), sum);
  }
}

void Copy(Case& t, const Row& row) {
  const i64 n = t.Length();
  const Vector x = t.Line(row.type, n, InputStep(t), Role::kInput);
  const Vector y = t.Line(row.type, n, t.Increment(), Role::kOutput, Content::kNothing);
  t.Put(n, x);
  if (row.is_ex) t.Put(row.type);
  t.Put(Step{x.step}, y);
  if (row.is_ex) t.Put(row.type);
  t.Put(Step{y.step});
  if (!t.Run()) return;
  for (i64 i = 0; i < n; ++i) t.ExpectExactly(y.memory, y.At(i), x.memory->Was(x.At(i)));
}

void Swap(Case& t, const Row& row) {
  const i64 n = t.Length();
  const Vector x = t.Line(row.type, n, t.Increment(), Role::kOutput);
  const Vector y = t.Line(row.type, n, t.Increment(), Role::kOutput);
  t.Put(n, x);
  if (row.is_ex) t.Put(row.type);
  t.Put(Step{x.step}, y);
  if (row.is_ex) t.Put(row.type);
  t.Put(Step{y.step});
  if (!t.Run()) return;
  for (i64 i = 0; i < n; ++i) {
    t.ExpectExactly(x.memory, x.At(i), y.memory->Was(y.At(i)));
    t.ExpectExactly(y.memory, y.At(i), x.memory->Was(x.At(i)));
  }
}

void Dot(Case& t, const Row& row) {
  const i64 n = t.Length();
  const Vector x = t.Line(row.type, n, InputStep(t), Role::kInput);
  // Of a vector with itself, too.
  const Vector y = t.Chance(10) ? x : t.Line(row.type, n, InputStep(t), Role::kInput);
  t.MaybeNan(x);
  const Result result = t.Written(row.out);
  t.Put(n, x);
  if (row.is_ex) t.Put(row.type);
  t.Put(Step{x.step}, y);
  if (row.is_ex) t.Put(row.type);
  t.Put(Step{y.step}, result);
  if (row.is_ex) t.Put(row.out, row.computed_in);
  if (!t.Run()) return;
  Sum sum;
  for (i64 i = 0; i < n; ++i) sum.Add(ConjugateIf(row.is_hermitian, x.memory->Was(x.At(i))), y.memory->Was(y.At(i)));
  t.Expect(result, sum);
}

// Of one vector: what is not positive gives 0.
struct OneVector {
  i64 n, step;
  Vector x;
};
OneVector DrawOne(Case& t, const Row& row) {
  OneVector one{t.Length(), 0, {}};
  one.x = t.Line(row.type, one.n, std::abs(t.Increment()), Role::kInput);
  one.step = one.x.step;
  if (t.kind() == Kind::kPlain && t.Chance(10)) {
    one.step = t.OneOf<i64>({0, -1, -2});
    one.n = 0;
  }
  return one;
}
void PutOne(Case& t, const Row& row, const OneVector& one, const Result& result) {
  t.Put(one.x.count, one.x);
  if (row.is_ex) t.Put(row.type);
  t.Put(Step{one.step}, result);
}

void Nrm2(Case& t, const Row& row) {
  const OneVector one = DrawOne(t, row);
  // Squares that no number of the type holds.
  const bool is_double = RealOf(row.type) == Type::kR64F, is_small = BytesOf(RealOf(row.type)) == 2;
  const int exponent = is_small ? 0 : t.OneOf({0, 0, 0, 1, -1}) * (is_double ? 700 : 90);
  for (i64 i = 0; i < one.x.count; ++i) {
    const Wide number = one.x.memory->Is(one.x.At(i));
    one.x.memory->Set(one.x.At(i), {std::ldexp(number.re, exponent), std::ldexp(number.im, exponent)});
  }
  const Result result = t.Written(row.out);
  PutOne(t, row, one, result);
  if (row.is_ex) t.Put(row.out, row.computed_in);
  if (!t.Run()) return;
  long double squares = 0;
  for (i64 i = 0; i < one.n; ++i) {
    const Wide number = one.x.memory->Was(one.x.At(i));
    squares += number.re * number.re + number.im * number.im;
  }
  Sum sum;
  sum.Add({std::sqrt(squares), 0});
  sum.terms = one.n;
  t.Expect(result, sum);
}

void Asum(Case& t, const Row& row) {
  const OneVector one = DrawOne(t, row);
  const Result result = t.Written(row.out);
  PutOne(t, row, one, result);
  if (row.is_ex) t.Put(row.out, row.computed_in);
  if (!t.Run()) return;
  Sum sum;
  for (i64 i = 0; i < one.n; ++i) sum.Add({Size(one.x.memory->Was(one.x.At(i))), 0});
  t.Expect(result, sum);
}

// The first of the largest or the smallest, counted from 1.
template <bool kLargest>
void Extreme(Case& t, const Row& row) {
  const OneVector one = DrawOne(t, row);
  // Few values, so that there are equal ones.
  for (i64 i = 0; i < one.x.count; ++i) {
    const auto part = [&] { return static_cast<long double>(t.Below(61) - 30) / 16; };
    const long double re = part();
    one.x.memory->Set(one.x.At(i), {re, IsComplex(row.type) ? part() : 0});
  }
  const Result result = t.Written(row.out);
  PutOne(t, row, one, result);
  if (!t.Run()) return;
  i64 place = 0;
  long double best = 0;
  for (i64 i = 0; i < one.n; ++i) {
    const long double size = Size(one.x.memory->Was(one.x.At(i)));
    if (place != 0 && (kLargest ? size <= best : size >= best)) continue;
    place = i + 1;
    best = size;
  }
  t.ExpectExactly(result, {static_cast<long double>(place), 0});
}

void RealResult(Row& row) { row.out = RealOf(row.type); }

// For functions whose types are parameters: as the manual's tables have them.
std::vector<Row> Ex(const std::string& name, void (*run)(Case&, const Row&)) {
  std::vector<Row> rows;
  for (const Type type : {Type::kR16F, Type::kR16BF, Type::kR32F, Type::kR64F, Type::kC32F, Type::kC64F}) {
    const Type computed_in = BytesOf(type) == 2 ? Type::kR32F : type;
    Row row{name, run, type, type, computed_in, computed_in};
    row.is_ex = true;
    rows.push_back(row);
  }
  return rows;
}

}  // namespace

void AddVectors(std::vector<Row>& rows) {
  rows += Rows("cublas?axpy_v2", "SDCZ", &Axpy);
  rows += Ex("cublasAxpyEx", &Axpy);
  rows += Rows("cublas?scal_v2", "SDCZ", &Scale);
  const auto real_scalar = [](Row& row) { row.scalar = RealOf(row.type); };
  rows += With(Rows("cublasCsscal_v2", "C", &Scale), real_scalar);
  rows += With(Rows("cublasZdscal_v2", "Z", &Scale), real_scalar);
  rows += Ex("cublasScalEx", &Scale);
  rows += Rows("cublas?copy_v2", "SDCZ", &Copy);
  rows += Ex("cublasCopyEx", &Copy);
  rows += Rows("cublas?swap_v2", "SDCZ", &Swap);
  rows += Ex("cublasSwapEx", &Swap);
  const auto conjugated = [](Row& row) { row.is_hermitian = true; };
  rows += Rows("cublas?dot_v2", "SD", &Dot);
  rows += Rows("cublas?dotu_v2", "CZ", &Dot);
  rows += With(Rows("cublas?dotc_v2", "CZ", &Dot), conjugated);
  rows += Ex("cublasDotEx", &Dot);
  rows += With(Ex("cublasDotcEx", &Dot), conjugated);
  rows += Rows("cublas?nrm2_v2", "SD", &Nrm2);
  rows += With(Rows("cublasScnrm2_v2", "C", &Nrm2), &RealResult);
  rows += With(Rows("cublasDznrm2_v2", "Z", &Nrm2), &RealResult);
  const auto real_execution = [](Row& row) {
    row.out = RealOf(row.type);
    row.computed_in = RealOf(row.computed_in);
  };
  rows += With(Ex("cublasNrm2Ex", &Nrm2), real_execution);
  rows += Rows("cublas?asum_v2", "SD", &Asum);
  rows += With(Rows("cublasScasum_v2", "C", &Asum), &RealResult);
  rows += With(Rows("cublasDzasum_v2", "Z", &Asum), &RealResult);
  rows += With(Ex("cublasAsumEx", &Asum), real_execution);
  const auto place = [](Type type) { return [type](Row& row) { row.out = type; }; };
  rows += With(Rows("cublasI?amax_v2", "sdcz", &Extreme<true>), place(Type::kR32I));
  rows += With(Rows("cublasI?amax_v2_64", "sdcz", &Extreme<true>), place(Type::kR64I));
  rows += With(Ex("cublasIamaxEx", &Extreme<true>), place(Type::kR32I));
  rows += With(Ex("cublasIamaxEx_64", &Extreme<true>), place(Type::kR64I));
  rows += With(Rows("cublasI?amin_v2", "sdcz", &Extreme<false>), place(Type::kR32I));
  rows += With(Rows("cublasI?amin_v2_64", "sdcz", &Extreme<false>), place(Type::kR64I));
  rows += With(Ex("cublasIaminEx", &Extreme<false>), place(Type::kR32I));
  rows += With(Ex("cublasIaminEx_64", &Extreme<false>), place(Type::kR64I));
}

}  // namespace accelmesh::blas_test
