// Batches of factorizations and what is solved with them: each against what it must reproduce.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/unit/server/backend/cpu/blas/rows.h"

namespace accelmesh::blas_test {
namespace {

i64 Order(Case& t, i64 most = 90) { return std::min(t.Dimension(), most); }

// Of the parameters, on the host: the client has answered it.
constexpr Enumerator kHostInfo{0};

void AcceptAll(const Matrix& a) {
  for (i64 piece = 0; piece < static_cast<i64>(a.first.size()); ++piece) {
    for (i64 j = 0; j < a.columns; ++j) {
      for (i64 i = 0; i < a.rows; ++i) a.memory->Accept(a.At(i, j, piece));
    }
  }
}
// 0, or the place of a zero that there is.
bool ExpectInfo(Case& t, Operand* info, i64 piece, i64 zero) {
  info->Accept(piece);
  const Wide got = info->Is(piece);
  t.Require(got == Wide{static_cast<long double>(zero), 0}, "info is " + ToText(got) + ", not " + std::to_string(zero));
  return zero == 0 && !t.has_failed();
}

// Rows as the exchanges of a pivot array leave them: row i of the result is row [i] of what was.
std::vector<i64> Permutation(const Operand* pivots, i64 n, i64 piece, bool now) {
  std::vector<i64> rows(static_cast<std::size_t>(n));
  std::iota(rows.begin(), rows.end(), i64{0});
  for (i64 i = 0; pivots != nullptr && i < n; ++i) {
    const Wide pivot = now ? pivots->Is(piece * n + i) : pivots->Was(piece * n + i);
    const auto other = static_cast<i64>(pivot.re) - 1;
    if (other < i || other >= n) return {};
    std::swap(rows[static_cast<std::size_t>(i)], rows[static_cast<std::size_t>(other)]);
  }
  return rows;
}

// What both triangles of a factorization multiply to.
template <typename Element>
std::vector<Sum> Multiplied(i64 n, Element element) {
  std::vector<Sum> product(static_cast<std::size_t>(n * n));
  for (i64 j = 0; j < n; ++j) {
    for (i64 i = 0; i < n; ++i) {
      Sum& sum = product[static_cast<std::size_t>(i + j * n)];
      for (i64 l = 0; l <= std::min(i, j); ++l) sum.Add(l == i ? Wide{1, 0} : element(i, l), element(l, j));
    }
  }
  return product;
}

void Getrf(Case& t, const Row& row) {
  const i64 n = Order(t), count = t.Count();
  const bool is_pivoted = t.Chance(70);
  const Matrix a = t.Dense(row.type, n, n, Role::kOutput, Content::kNumbers, {Form::kPointers, count});
  Operand* const pivots = is_pivoted ? t.Plain(Type::kR32I, n * count) : nullptr;
  Operand* const info = t.Plain(Type::kR32I, count);
  for (i64 piece = 0; piece < count; ++piece) {
    for (i64 i = 0; !is_pivoted && i < n; ++i) {
      const i64 at = a.At(i, i, piece);
      a.memory->Set(at, a.memory->Is(at) + Wide{static_cast<long double>(n), 0});
    }
  }
  const i64 singular = n > 0 && count > 0 && t.Chance(20) ? t.Below(count) : -1;
  for (i64 i = 0; singular >= 0 && i < n; ++i) a.memory->Set(a.At(i, 0, singular), {});
  t.Put(n, a, Step{a.stride}, Optional{pivots}, info, count);
  if (!t.Run()) return;
  AcceptAll(a);
  for (i64 piece = 0; piece < count; ++piece) {
    for (i64 i = 0; pivots != nullptr && i < n; ++i) pivots->Accept(piece * n + i);
    if (n == 0) {
      info->Accept(piece);
      continue;
    }
    if (!ExpectInfo(t, info, piece, piece == singular ? 1 : 0)) continue;
    const std::vector<i64> rows = Permutation(pivots, n, piece, true);
    t.Require(!rows.empty(), "a pivot is no row below its own");
    if (t.has_failed()) return;
    const auto now = [&](i64 i, i64 j) { return a.memory->Is(a.At(i, j, piece)); };
    const std::vector<Sum> product = Multiplied(n, now);
    for (i64 j = 0; j < n; ++j) {
      for (i64 i = 0; i < n; ++i) {
        const Sum& sum = product[static_cast<std::size_t>(i + j * n)];
        const Wide was = a.memory->Was(a.At(rows[static_cast<std::size_t>(i)], j, piece));
        t.ExpectSmall(sum.value - was, sum.magnitude + Size(was), sum.terms, "L U");
        // By the largest pivot, of which a complex number's size is the sum of its parts' or its modulus.
        if (is_pivoted && i > j) t.Require(Size(now(i, j)) <= (IsComplex(row.type) ? 2.001L : 1.001L), "L is large");
      }
    }
  }
}

// A factorization as getrf leaves it, of a matrix that is well off.
struct Factored {
  Matrix a;
  Operand* pivots = nullptr;
  i64 zero = 0;  // the place of a zero of the diagonal, from 1, in each
};
Factored DrawFactored(Case& t, const Row& row, i64 n, i64 count, bool may_be_singular) {
  Factored drawn;
  drawn.a = t.Dense(row.type, n, n, Role::kInput, Content::kNumbers, {Form::kPointers, count});
  if (n > 0 && may_be_singular && t.Chance(15)) drawn.zero = 1 + t.Below(n);
  for (i64 piece = 0; piece < count; ++piece) {
    for (i64 j = 0; j < n; ++j) {
      for (i64 i = 0; i < n; ++i) {
        Wide number = t.Number(row.type);
        if (i == j) {
          number = i + 1 == drawn.zero ? Wide{} : number + Wide{number.re < 0 ? -0.5L : 0.5L, 0};
        } else {
          number = number * Wide{2.0L / static_cast<long double>(n), 0};
        }
        drawn.a.memory->Set(drawn.a.At(i, j, piece), number);
      }
    }
  }
  if (t.Chance(30)) return drawn;
  drawn.pivots = t.Plain(Type::kR32I, n * count);
  for (i64 piece = 0; piece < count; ++piece) {
    for (i64 i = 0; i < n; ++i) {
      const i64 pivot = 1 + i + t.Below(n - i);
      drawn.pivots->Set(piece * n + i, {static_cast<long double>(pivot), 0});
    }
  }
  return drawn;
}

// That `product` times X is what `wanted` says. An inverse may be off by how much solving amplifies, which is little
// with these matrices.
template <typename X, typename Wanted>
void ExpectSolved(Case& t, const std::vector<Sum>& product, int trans, i64 n, i64 columns, long double amplified, X x,
                  Wanted wanted) {
  for (i64 j = 0; j < columns; ++j) {
    for (i64 i = 0; i < n; ++i) {
      Wide value;
      long double magnitude = 0;
      for (i64 l = 0; l < n; ++l) {
        const Sum& factor = product[static_cast<std::size_t>(trans == kN ? i + l * n : l + i * n)];
        const Wide other = x(l, j);
        value = value + ConjugateIf(trans == kC, factor.value) * other;
        magnitude += factor.magnitude * Size(other);
      }
      const Wide target = wanted(i, j);
      t.ExpectSmall(value - target, amplified * (magnitude + Size(target)), 4 * n, "what is solved");
    }
  }
}

void Getri(Case& t, const Row& row) {
  const i64 n = Order(t), count = t.Count();
  const Factored factored = DrawFactored(t, row, n, count, true);
  const Matrix c = t.Dense(row.type, n, n, Role::kOutput, Content::kNothing, {Form::kPointers, count});
  Operand* const info = t.Plain(Type::kR32I, count);
  t.Put(n, factored.a, Step{factored.a.stride}, Optional{factored.pivots}, c, Step{c.stride}, info, count);
  if (!t.Run()) return;
  AcceptAll(c);
  for (i64 piece = 0; piece < count; ++piece) {
    if (n == 0) info->Accept(piece);
    if (n == 0 || !ExpectInfo(t, info, piece, factored.zero)) continue;
    const std::vector<i64> rows = Permutation(factored.pivots, n, piece, false);
    const auto element = [&](i64 i, i64 j) { return factored.a.memory->Was(factored.a.At(i, j, piece)); };
    ExpectSolved(
        t, Multiplied(n, element), kN, n, n, 16, [&](i64 i, i64 j) { return c.memory->Is(c.At(i, j, piece)); },
        [&](i64 i, i64 j) { return Wide{rows[static_cast<std::size_t>(i)] == j ? 1.0L : 0.0L, 0}; });
  }
}

void Getrs(Case& t, const Row& row) {
  const int trans = t.Operation();
  const i64 n = Order(t), columns = t.Dimension(), count = t.Count();
  const Factored factored = DrawFactored(t, row, n, count, false);
  const Matrix b = t.Dense(row.type, n, columns, Role::kOutput, Content::kNumbers, {Form::kPointers, count});
  t.Put(trans, n, columns, factored.a, Step{factored.a.stride}, Optional{factored.pivots}, b, Step{b.stride}, kHostInfo,
        count);
  if (!t.Run()) return;
  AcceptAll(b);
  for (i64 piece = 0; n > 0 && piece < count; ++piece) {
    const std::vector<i64> rows = Permutation(factored.pivots, n, piece, false);
    const auto element = [&](i64 i, i64 j) { return factored.a.memory->Was(factored.a.At(i, j, piece)); };
    const auto moved = [&](i64 i) { return rows[static_cast<std::size_t>(i)]; };
    ExpectSolved(
        t, Multiplied(n, element), trans, n, columns, 1,
        [&](i64 i, i64 j) { return b.memory->Is(b.At(trans == kN ? i : moved(i), j, piece)); },
        [&](i64 i, i64 j) { return b.memory->Was(b.At(trans == kN ? moved(i) : i, j, piece)); });
  }
}

void Matinv(Case& t, const Row& row) {
  const i64 n = Order(t, 32), count = t.Count();
  const Matrix a = t.Dense(row.type, n, n, Role::kInput, Content::kNumbers, {Form::kPointers, count});
  const Matrix c = t.Dense(row.type, n, n, Role::kOutput, Content::kNothing, {Form::kPointers, count});
  Operand* const info = t.Plain(Type::kR32I, count);
  const bool is_singular = n > 0 && t.Chance(15);
  for (i64 piece = 0; piece < count; ++piece) {
    for (i64 j = 0; j < n; ++j) {
      for (i64 i = 0; i < n; ++i) {
        Wide number = t.Number(row.type);
        // Large where row i meets column n - 1 - i, so that it is inverted by pivots only.
        if (i + j == n - 1) number = number + Wide{static_cast<long double>(n), 0};
        a.memory->Set(a.At(i, j, piece), is_singular && j == 0 ? Wide{} : number);
      }
    }
  }
  t.Put(n, a, Step{a.stride}, c, Step{c.stride}, info, count);
  if (!t.Run()) return;
  AcceptAll(c);
  for (i64 piece = 0; piece < count; ++piece) {
    if (n == 0) info->Accept(piece);
    if (n == 0 || !ExpectInfo(t, info, piece, is_singular ? 1 : 0)) continue;
    std::vector<Sum> elements(static_cast<std::size_t>(n * n));
    for (i64 j = 0; j < n; ++j) {
      for (i64 i = 0; i < n; ++i) elements[static_cast<std::size_t>(i + j * n)].Add(a.Was(kN, i, j, piece));
    }
    ExpectSolved(
        t, elements, kN, n, n, 16, [&](i64 i, i64 j) { return c.memory->Is(c.At(i, j, piece)); },
        [](i64 i, i64 j) { return Wide{i == j ? 1.0L : 0.0L, 0}; });
  }
}

// A = H1 H2 ... R, where Hi = 1 - tau v v^H is unitary and v has zeros above i and 1 at it.
void Geqrf(Case& t, const Row& row) {
  const i64 m = Order(t), n = Order(t), count = t.Count(), reflectors = std::min(m, n);
  const Batch batch{Form::kPointers, count};
  const Matrix a = t.Dense(row.type, m, n, Role::kOutput, Content::kNumbers, batch);
  const Vector tau = t.Line(row.type, reflectors, 1, Role::kOutput, Content::kNothing, batch);
  t.Put(m, n, a, Step{a.stride}, tau, kHostInfo, count);
  if (!t.Run()) return;
  AcceptAll(a);
  for (i64 piece = 0; piece < count; ++piece) {
    const auto now = [&](i64 i, i64 j) { return a.memory->Is(a.At(i, j, piece)); };
    const auto reflector = [&](i64 i, i64 l) { return i < l ? Wide{} : i == l ? Wide{1, 0} : now(i, l); };
    for (i64 l = 0; l < reflectors; ++l) {
      tau.memory->Accept(tau.At(l, piece));
      const Wide factor = tau.memory->Is(tau.At(l, piece));
      const Wide square = factor * Conjugate(factor);
      Sum length;
      for (i64 i = l; i < m; ++i) length.Add(reflector(i, l), Conjugate(reflector(i, l)));
      t.ExpectSmall(Wide{2 * factor.re, 0} - square * length.value, square.re * length.magnitude + 2 * Size(factor), m,
                    "that a reflection is unitary");
    }
    for (i64 j = 0; j < n; ++j) {
      std::vector<Wide> column(static_cast<std::size_t>(m));
      for (i64 i = 0; i <= std::min(j, m - 1); ++i) column[static_cast<std::size_t>(i)] = now(i, j);
      for (i64 l = reflectors - 1; l >= 0; --l) {
        Wide inner;
        for (i64 i = l; i < m; ++i) inner = inner + Conjugate(reflector(i, l)) * column[static_cast<std::size_t>(i)];
        inner = tau.memory->Is(tau.At(l, piece)) * inner;
        for (i64 i = l; i < m; ++i)
          column[static_cast<std::size_t>(i)] = column[static_cast<std::size_t>(i)] - inner * reflector(i, l);
      }
      long double size = 0;
      for (i64 i = 0; i < m; ++i) size += Size(a.Was(kN, i, j, piece));
      for (i64 i = 0; i < m; ++i)
        t.ExpectSmall(column[static_cast<std::size_t>(i)] - a.Was(kN, i, j, piece), size, m + n, "Q R");
    }
  }
}

// The residual of the least squares is orthogonal to the columns.
void Gels(Case& t, const Row& row) {
  const i64 first = Order(t), second = Order(t), m = std::max(first, second), n = std::min(first, second);
  const i64 columns = t.Dimension(), count = t.Count();
  const Batch batch{Form::kPointers, count};
  const Matrix a = t.Dense(row.type, m, n, Role::kOutput, Content::kNumbers, batch);
  const Matrix c = t.Dense(row.type, m, columns, Role::kOutput, Content::kNumbers, batch);
  Operand* const info = t.Chance(50) ? t.Plain(Type::kR32I, count) : nullptr;
  for (i64 piece = 0; piece < count; ++piece) {
    for (i64 i = 0; i < n; ++i) {
      const i64 at = a.At(i, i, piece);
      a.memory->Set(at, a.memory->Is(at) + Wide{static_cast<long double>(n), 0});
    }
  }
  t.Put(kN, m, n, columns, a, Step{a.stride}, c, Step{c.stride}, kHostInfo, Optional{info}, count);
  if (!t.Run()) return;
  AcceptAll(a);
  AcceptAll(c);
  for (i64 piece = 0; piece < count; ++piece) {
    if (info != nullptr && (n == 0 || columns == 0)) info->Accept(piece);
    if (n == 0 || columns == 0 || (info != nullptr && !ExpectInfo(t, info, piece, 0))) continue;
    long double size_a = 0;
    for (i64 j = 0; j < n; ++j) {
      for (i64 i = 0; i < m; ++i) size_a = std::max(size_a, Size(a.Was(kN, i, j, piece)));
    }
    for (i64 j = 0; j < columns; ++j) {
      std::vector<Wide> rest(static_cast<std::size_t>(m));
      long double size = 0;
      for (i64 i = 0; i < m; ++i) {
        Wide value = Wide{} - c.Was(kN, i, j, piece);
        size = std::max(size, Size(value));
        for (i64 l = 0; l < n; ++l) value = value + a.Was(kN, i, l, piece) * c.memory->Is(c.At(l, j, piece));
        rest[static_cast<std::size_t>(i)] = value;
      }
      for (i64 l = 0; l < n; ++l) size += size_a * Size(c.memory->Is(c.At(l, j, piece)));
      for (i64 l = 0; l < n; ++l) {
        Wide inner;
        for (i64 i = 0; i < m; ++i)
          inner = inner + Conjugate(a.Was(kN, i, l, piece)) * rest[static_cast<std::size_t>(i)];
        t.ExpectSmall(inner, size_a * size, m + n, "a column times the residual");
      }
    }
  }
}

}  // namespace

void AddFactorizations(std::vector<Row>& rows) {
  rows += Rows("cublas?getrfBatched", "SDCZ", &Getrf);
  rows += Rows("cublas?getriBatched", "SDCZ", &Getri);
  rows += Rows("cublas?getrsBatched", "SDCZ", &Getrs);
  rows += Rows("cublas?matinvBatched", "SDCZ", &Matinv);
  rows += Rows("cublas?geqrfBatched", "SDCZ", &Geqrf);
  rows += Rows("cublas?gelsBatched", "SDCZ", &Gels);
}

}  // namespace accelmesh::blas_test
