// Plane rotations: applied ones against their formulas, made ones by what they do.
#include <algorithm>
#include <array>
#include <cmath>

#include "tests/unit/server/backend/cpu/blas/rows.h"

namespace accelmesh::blas_test {
namespace {

void PutVectors(Case& t, const Row& row, i64 n, const Vector& x, const Vector& y) {
  t.Put(n, x);
  if (row.is_ex) t.Put(row.type);
  t.Put(Step{x.step}, y);
  if (row.is_ex) t.Put(row.type);
  t.Put(Step{y.step});
}

// x, y := c x + s y, c y - conj(s) x. `out` is c's type, `scalar` is s's.
void Rotate(Case& t, const Row& row) {
  const i64 n = t.Length();
  const Vector x = t.Line(row.type, n, t.Increment(), Role::kOutput);
  const Vector y = t.Line(row.type, n, t.Increment(), Role::kOutput);
  const Scalar c = t.Value(row.out, {t.Number(RealOf(row.out)).re, 0}), s = t.Coefficient(row.scalar);
  PutVectors(t, row, n, x, y);
  t.Put(c, s);
  if (row.is_ex) t.Put(row.scalar, row.computed_in);
  if (!t.Run()) return;
  for (i64 i = 0; i < n; ++i) {
    const Wide was_x = x.memory->Was(x.At(i)), was_y = y.memory->Was(y.At(i));
    Sum sum_x, sum_y;
    sum_x.Add(c.value, was_x);
    sum_x.Add(s.value, was_y);
    sum_y.Add(c.value, was_y);
    sum_y.Add(Wide{} - Conjugate(s.value), was_x);
    t.Expect(x.memory, x.At(i), sum_x);
    t.Expect(y.memory, y.At(i), sum_y);
  }
}

// What flag, h11, h21, h12, h22 mean, row by row.
std::array<long double, 4> MatrixOf(const std::array<long double, 5>& param) {
  if (param[0] == -2) return {1, 0, 0, 1};
  if (param[0] == -1) return {param[1], param[3], param[2], param[4]};
  if (param[0] == 0) return {1, param[3], param[2], 1};
  return {param[1], 1, -1, param[4]};
}

void RotateModified(Case& t, const Row& row) {
  const i64 n = t.Length();
  const Vector x = t.Line(row.type, n, t.Increment(), Role::kOutput);
  const Vector y = t.Line(row.type, n, t.Increment(), Role::kOutput);
  std::array<long double, 5> values{};
  for (long double& value : values) value = t.Number(row.scalar).re;
  values[0] = t.OneOf<long double>({-2, -1, 0, 1});
  // Nobody looks at what the flag says.
  const bool is_read[] = {true, values[0] == -1 || values[0] == 1, values[0] == -1 || values[0] == 0,
                          values[0] == -1 || values[0] == 0, values[0] == -1 || values[0] == 1};
  std::vector<Wide> given;
  for (std::size_t i = 0; i < values.size(); ++i) given.push_back({is_read[i] ? values[i] : NAN, 0});
  const Scalar param = t.Values(row.scalar, given);
  PutVectors(t, row, n, x, y);
  t.Put(param);
  if (row.is_ex) t.Put(row.scalar, row.computed_in);
  if (!t.Run()) return;
  const std::array<long double, 4> h = MatrixOf(values);
  for (i64 i = 0; values[0] != -2 && i < n; ++i) {
    const Wide was_x = x.memory->Was(x.At(i)), was_y = y.memory->Was(y.At(i));
    Sum sum_x, sum_y;
    sum_x.Add({h[0], 0}, was_x);
    sum_x.Add({h[1], 0}, was_y);
    sum_y.Add({h[2], 0}, was_x);
    sum_y.Add({h[3], 0}, was_y);
    t.Expect(x.memory, x.At(i), sum_x);
    t.Expect(y.memory, y.At(i), sum_y);
  }
}

// c and s turn (a, b) into (r, 0). `out` is c's type, `scalar` is s's.
void MakeRotation(Case& t, const Row& row) {
  Wide a = t.Chance(15) ? Wide{} : t.Number(row.type), b = t.Chance(15) ? Wide{} : t.Number(row.type);
  const Result r = t.Updated(row.type, a), z = t.Updated(row.type, b), c = t.Written(row.out),
               s = t.Written(row.scalar);
  t.Put(r, z);
  if (row.is_ex) t.Put(row.type);
  t.Put(c, s);
  if (row.is_ex) t.Put(row.scalar, row.computed_in);
  if (!t.Run()) return;
  const Wide got_c{t.After(c).re, 0}, got_s = t.After(s), got_r = t.After(r), got_z = t.After(z);
  // Whatever is given is rounded to its type.
  const long double rounding =
      BytesOf(RealOf(row.type)) == 2 ? UnitRoundoff(row.type) / UnitRoundoff(row.computed_in) : 1;
  const long double size = rounding * (Size(a) + Size(b));
  t.ExpectSmall(got_c * a + got_s * b - got_r, size, 4, "c a + s b - r");
  t.ExpectSmall(got_c * b - Conjugate(got_s) * a, size, 4, "c b - conj(s) a");
  t.ExpectSmall(got_c * got_c + got_s * Conjugate(got_s) - Wide{1, 0}, rounding, 4, "c^2 + |s|^2 - 1");
  if (!IsComplex(row.type)) {
    // c and s again from z alone.
    const long double number = got_z.re;
    Wide again_c{1, 0}, again_s{};
    if (number == 1) {
      again_c = {0, 0};
      again_s = {1, 0};
    } else if (std::fabs(number) < 1) {
      again_c = {std::sqrt(1 - number * number), 0};
      again_s = {number, 0};
    } else {
      again_c = {1 / number, 0};
      again_s = {std::sqrt(1 - 1 / (number * number)), 0};
    }
    // The root of what is near 0 has half of the digits.
    const long double near = std::min({std::fabs(got_c.re), std::fabs(got_s.re), 1.0L});
    const long double least = std::max(near, 0.01L);
    t.ExpectSmall(again_c - got_c, 4 * rounding / least, 8, "c out of z");
    t.ExpectSmall(again_s - got_s, 4 * rounding / least, 8, "s out of z");
  }
  for (const Result* const result : {&r, &z, &c, &s}) {
    if (result->memory != nullptr) result->memory->Accept(0);
  }
}

// H with H (x1, y1) = (x1', 0) and H^T diag(d1', d2') H = diag(d1, d2).
void MakeModifiedRotation(Case& t, const Row& row) {
  const auto scaled = [&](int most) {
    const int exponent = t.Chance(50) ? 0 : static_cast<int>(t.Below(2 * most + 1)) - most;
    return std::ldexp(t.Number(row.type).re, exponent);
  };
  const int most = BytesOf(row.type) == 2 ? 1 : 14;
  long double d1 = std::fabs(scaled(most)), d2 = scaled(most);
  const long double x1 = t.Chance(10) ? 0 : scaled(3), y1 = t.Chance(10) ? 0 : scaled(3);
  if (t.Chance(10)) d1 = -d1;
  if (t.Chance(10)) d2 = 0;
  const Result r1 = t.Updated(row.type, {d1, 0}), r2 = t.Updated(row.type, {d2, 0}), rx = t.Updated(row.type, {x1, 0});
  const Scalar y = t.Value(row.type, {y1, 0});
  const Result param = t.Written(row.type, 5);
  t.Put(r1);
  if (row.is_ex) t.Put(row.type);
  t.Put(r2);
  if (row.is_ex) t.Put(row.type);
  t.Put(rx);
  if (row.is_ex) t.Put(row.type);
  t.Put(y);
  if (row.is_ex) t.Put(row.type);
  t.Put(param);
  if (row.is_ex) t.Put(row.type, row.computed_in);
  if (!t.Run()) return;
  std::array<long double, 5> values{};
  for (i64 i = 0; i < 5; ++i) values[static_cast<std::size_t>(i)] = t.After(param, i).re;
  const long double e1 = t.After(r1).re, e2 = t.After(r2).re, ex = t.After(rx).re;
  const std::array<long double, 4> h = MatrixOf(values);
  const long double q1 = d1 * x1 * x1, q2 = d2 * y1 * y1;
  t.Require(values[0] == -2 || values[0] == -1 || values[0] == 0 || values[0] == 1, "the flag is none");
  if (d1 < 0 || (std::fabs(q1) <= std::fabs(q2) && q2 < 0)) {
    t.Require(values[0] == -1 && values[1] == 0 && values[2] == 0 && values[3] == 0 && values[4] == 0 && e1 == 0 &&
                  e2 == 0 && ex == 0,
              "what there is no rotation for does not give zeros");
  } else if (d2 * y1 == 0) {
    t.Require(values[0] == -2 && e1 == d1 && e2 == d2 && ex == x1, "what needs no rotation is changed");
  } else {
    const long double rounding = BytesOf(row.type) == 2 ? UnitRoundoff(row.type) / UnitRoundoff(row.computed_in) : 1;
    const auto small = [&](long double value, long double size, const char* what) {
      t.ExpectSmall({value, 0}, rounding * size, 12, what);
    };
    small(h[0] * x1 + h[1] * y1 - ex, std::fabs(h[0] * x1) + std::fabs(h[1] * y1), "the new x1");
    small(h[2] * x1 + h[3] * y1, std::fabs(h[2] * x1) + std::fabs(h[3] * y1), "the new y1");
    const auto product = [&](int i, int j) {
      return e1 * h[static_cast<std::size_t>(i)] * h[static_cast<std::size_t>(j)] +
             e2 * h[static_cast<std::size_t>(2 + i)] * h[static_cast<std::size_t>(2 + j)];
    };
    const auto size = [&](int i, int j) {
      return std::fabs(e1 * h[static_cast<std::size_t>(i)] * h[static_cast<std::size_t>(j)]) +
             std::fabs(e2 * h[static_cast<std::size_t>(2 + i)] * h[static_cast<std::size_t>(2 + j)]);
    };
    small(product(0, 0) - d1, size(0, 0) + std::fabs(d1), "d1 out of H");
    small(product(1, 1) - d2, size(1, 1) + std::fabs(d2), "d2 out of H");
    small(product(0, 1), size(0, 1), "H's columns");
    const auto in_range = [](long double d) {
      return d == 0 || (std::fabs(d) > std::ldexp(1.0L, -24) && std::fabs(d) < std::ldexp(1.0L, 24));
    };
    t.Require(in_range(e1) && in_range(e2), "the scales are not within 4096^2");
  }
  for (const Result* const result : {&r1, &r2, &rx, &param}) {
    for (i64 i = 0; result->memory != nullptr && i < result->elements; ++i) result->memory->Accept(i);
  }
}

}  // namespace

void AddRotations(std::vector<Row>& rows) {
  const auto types = [](Type c, Type s) {
    return [c, s](Row& row) {
      row.out = c;
      row.scalar = s;
    };
  };
  const auto ex = [](Row& row) { row.is_ex = true; };
  const auto in_float = [](Row& row) { row.computed_in = Type::kR32F; };
  std::vector<Row> small = Rows("", "H", nullptr);
  small += With(small, [](Row& row) { row.type = row.out = row.scalar = Type::kR16BF; });
  small = With(With(small, in_float), ex);
  const auto both = [&](const std::string& name, void (*run)(Case&, const Row&)) {
    rows += With(small, [&](Row& row) {
      row.function = name;
      row.run = run;
    });
    rows += With(Rows(name, "SD", run), ex);
  };

  rows += Rows("cublas?rot_v2", "SD", &Rotate);
  rows += With(Rows("cublasCrot_v2", "C", &Rotate), types(Type::kR32F, Type::kC32F));
  rows += With(Rows("cublasZrot_v2", "Z", &Rotate), types(Type::kR64F, Type::kC64F));
  rows += With(Rows("cublasCsrot_v2", "C", &Rotate), types(Type::kR32F, Type::kR32F));
  rows += With(Rows("cublasZdrot_v2", "Z", &Rotate), types(Type::kR64F, Type::kR64F));
  both("cublasRotEx", &Rotate);
  rows += With(Rows("cublasRotEx", "CZ", &Rotate), ex);
  rows += With(With(Rows("cublasRotEx", "C", &Rotate), types(Type::kR32F, Type::kR32F)), ex);
  rows += With(With(Rows("cublasRotEx", "Z", &Rotate), types(Type::kR64F, Type::kR64F)), ex);

  rows += Rows("cublas?rotm_v2", "SD", &RotateModified);
  both("cublasRotmEx", &RotateModified);

  rows += Rows("cublas?rotg_v2", "SD", &MakeRotation);
  rows += With(Rows("cublasCrotg_v2", "C", &MakeRotation), types(Type::kR32F, Type::kC32F));
  rows += With(Rows("cublasZrotg_v2", "Z", &MakeRotation), types(Type::kR64F, Type::kC64F));
  both("cublasRotgEx", &MakeRotation);
  rows += With(With(Rows("cublasRotgEx", "C", &MakeRotation), types(Type::kR32F, Type::kC32F)), ex);
  rows += With(With(Rows("cublasRotgEx", "Z", &MakeRotation), types(Type::kR64F, Type::kC64F)), ex);

  rows += Rows("cublas?rotmg_v2", "SD", &MakeModifiedRotation);
  both("cublasRotmgEx", &MakeModifiedRotation);
}

}  // namespace accelmesh::blas_test
