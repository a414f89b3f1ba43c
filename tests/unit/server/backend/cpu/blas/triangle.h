// A triangle of a square matrix in each of BLAS's storages, with nothing but NaN where the storage has room that no
// element needs. A symmetric or Hermitian matrix is one triangle; so is a triangular one, without its diagonal if that
// is said to be 1.
//
// Threads: one.
#pragma once

#include <cmath>
#include <utility>

#include "tests/unit/server/backend/cpu/blas/rows.h"

namespace accelmesh::blas_test {

enum class Storage { kFull, kBand, kPacked };

class Triangle {
 public:
  Triangle(Case& t, const Row& row, Storage storage, int fill, i64 n, Role role, Content content, Batch batch = {})
      : storage_(storage), is_hermitian_(row.is_hermitian), fill_(fill), n_(n) {
    if (storage == Storage::kBand) width_ = t.Below(n < 2 ? 3 : n + 2);
    const Type type = role == Role::kInput ? row.type : row.out;
    if (storage == Storage::kPacked) {
      packed_ = t.Plain(type, n * (n + 1) / 2);
    } else {
      dense_ = t.Dense(type, storage == Storage::kFull ? n : width_ + 1, n, role, Content::kNothing, batch);
    }
    if (content == Content::kNothing) return;
    const i64 pieces = storage == Storage::kPacked ? 1 : batch.count;
    for (i64 piece = 0; piece < pieces; ++piece) {
      ForEach([&](i64 i, i64 j) {
        Wide number = t.Number(type);
        // Taken to be 0, whatever it is.
        if (is_hermitian_ && i == j) number.im = NAN;
        Set(i, j, number, piece);
      });
    }
  }

  // What to Put(): its place and, unless it is packed, its stride.
  Pieces memory() const {
    Pieces place = dense_;
    if (packed_ != nullptr) place.memory = packed_;
    return place;
  }
  i64 stride() const { return dense_.stride; }
  i64 width() const { return width_; }

  // Whether that element of the whole matrix is one of its.
  bool Has(i64 i, i64 j) const { return storage_ != Storage::kBand || std::abs(i - j) <= width_; }
  bool IsStored(i64 i, i64 j) const { return (fill_ == kLower ? i >= j : i <= j) && Has(i, j); }
  // Before the call, of a symmetric or Hermitian matrix.
  Wide Was(i64 i, i64 j, i64 piece = 0) const {
    const bool is_stored = IsStored(i, j);
    const Wide element =
        ConjugateIf(is_hermitian_ && !is_stored, WasStored(is_stored ? i : j, is_stored ? j : i, piece));
    return is_hermitian_ && i == j ? Wide{element.re, 0} : element;
  }
  // Before the call, of op of a triangular matrix.
  Wide WasTriangular(int operation, int diagonal, i64 i, i64 j, i64 piece = 0) const {
    if (i == j && diagonal == kUnit) return {1, 0};
    if (operation != kN) std::swap(i, j);
    return IsStored(i, j) ? ConjugateIf(operation == kC, WasStored(i, j, piece)) : Wide{};
  }
  // Makes one that can be solved: nothing outgrows its diagonal, which is left out if it is said to be 1.
  void MakeSolvable(Case& t, int diagonal) {
    for (i64 piece = 0; piece < pieces(); ++piece) {
      ForEach([&](i64 i, i64 j) {
        Wide number = t.Number(type());
        if (i == j) {
          number = diagonal == kUnit ? Wide{NAN, NAN} : number + Wide{number.re < 0 ? -0.5L : 0.5L, 0};
        } else {
          number = number * Wide{2.0L / static_cast<long double>(n_), 0};
        }
        Set(i, j, number, piece);
      });
    }
  }
  void ForgetDiagonal(int diagonal) {
    for (i64 piece = 0; diagonal == kUnit && piece < pieces(); ++piece) {
      for (i64 i = 0; i < n_; ++i) Set(i, i, {NAN, NAN}, piece);
    }
  }

  void Expect(Case& t, i64 i, i64 j, const Sum& sum, i64 piece = 0) const {
    Sum real = sum;
    if (is_hermitian_ && i == j) real.value.im = 0;
    t.Expect(operand(), At(i, j, piece), real);
  }
  // Of a matrix that nothing is added to, the diagonal may become real.
  void AcceptDiagonal() const {
    for (i64 piece = 0; is_hermitian_ && piece < pieces(); ++piece) {
      for (i64 i = 0; i < n_; ++i) operand()->Accept(At(i, i, piece));
    }
  }
  template <typename Body>
  void ForEach(Body body) const {
    for (i64 j = 0; j < n_; ++j) {
      for (i64 i = 0; i < n_; ++i) {
        if (IsStored(i, j)) body(i, j);
      }
    }
  }
  i64 At(i64 i, i64 j, i64 piece) const {
    switch (storage_) {
      case Storage::kFull: return dense_.At(i, j, piece);
      case Storage::kBand: return dense_.At(fill_ == kLower ? i - j : width_ + i - j, j, piece);
      case Storage::kPacked: break;
    }
    return fill_ == kLower ? i + j * (2 * n_ - j - 1) / 2 : i + j * (j + 1) / 2;
  }
  Operand* operand() const { return packed_ != nullptr ? packed_ : dense_.memory; }

 private:
  Type type() const { return operand()->type; }
  i64 pieces() const { return packed_ != nullptr ? 1 : static_cast<i64>(dense_.first.size()); }
  void Set(i64 i, i64 j, Wide value, i64 piece) { operand()->Set(At(i, j, piece), value); }
  Wide WasStored(i64 i, i64 j, i64 piece) const { return operand()->Was(At(i, j, piece)); }

  Storage storage_;
  bool is_hermitian_;
  int fill_;
  i64 n_;
  i64 width_ = 0;
  Matrix dense_;
  Operand* packed_ = nullptr;
};

}  // namespace accelmesh::blas_test
