// Functions on vectors whose types are arguments. The client has refused what cuBLAS does not have; what comes here
// nevertheless is refused again.
#pragma once

#include "server/backend/cpu/blas/enumerators.h"
#include "server/backend/cpu/blas/rotations.h"
#include "server/backend/cpu/blas/vectors.h"

namespace accelmesh::cpu_blas {

template <typename T>
inline constexpr int kTypeOf = std::is_same_v<T, Half>           ? CUDA_R_16F
                               : std::is_same_v<T, Bfloat16>     ? CUDA_R_16BF
                               : std::is_same_v<T, float>        ? CUDA_R_32F
                               : std::is_same_v<T, double>       ? CUDA_R_64F
                               : std::is_same_v<T, ComplexFloat> ? CUDA_C_32F
                                                                 : CUDA_C_64F;

inline void FailType(Context& context) {
  context.Fail(kNotSupported, "that combination of types is none of this function's");
}

// Calls run.operator()<T>() for vectors of the type.
template <typename Run>
void ForRealVectors(Context& context, int type, Run run) {
  switch (type) {
    case CUDA_R_16F: return run.template operator()<Half>();
    case CUDA_R_16BF: return run.template operator()<Bfloat16>();
    case CUDA_R_32F: return run.template operator()<float>();
    case CUDA_R_64F: return run.template operator()<double>();
    default: FailType(context);
  }
}
template <typename Run>
void ForVectors(Context& context, int type, Run run) {
  switch (type) {
    case CUDA_C_32F: return run.template operator()<ComplexFloat>();
    case CUDA_C_64F: return run.template operator()<ComplexDouble>();
    default: ForRealVectors(context, type, run);
  }
}

// A scalar that is stored as the vectors are, or as what is computed with.
template <typename T>
Sum<T> ScalarOf(Context& context, Scalar<void> scalar, int type) {
  if (type == kTypeOf<Sum<T>>) return context.ValueAs<Sum<T>>(scalar);
  if (type != kTypeOf<T>) FailType(context);
  return context.failed() ? Sum<T>(0) : Convert<Sum<T>>(context.ValueAs<T>(scalar));
}

inline void ScalEx(Context& context, i64 n, Scalar<void> alpha, int alpha_type, Out<void> x, int type, i64 incx,
                   int /*execution*/) {
  if (n <= 0 || incx <= 0) return;
  ForVectors(context, type, [&]<typename T>() {
    ScaleVector(context, n, ScalarOf<T>(context, alpha, alpha_type), Out<T>{x.address}, incx);
  });
}

inline void AxpyEx(Context& context, i64 n, Scalar<void> alpha, int alpha_type, In<void> x, int type, i64 incx,
                   Out<void> y, int y_type, i64 incy, int /*execution*/) {
  if (y_type != type) return FailType(context);
  if (n <= 0) return;
  ForVectors(context, type, [&]<typename T>() {
    AddVector(context, n, ScalarOf<T>(context, alpha, alpha_type), In<T>{x.address}, incx, Out<T>{y.address}, incy);
  });
}

inline void CopyEx(Context& context, i64 n, In<void> x, int type, i64 incx, Out<void> y, int y_type, i64 incy) {
  if (y_type != type) return FailType(context);
  ForVectors(context, type,
             [&]<typename T>() { CopyVector(context, n, In<T>{x.address}, incx, Out<T>{y.address}, incy); });
}

inline void SwapEx(Context& context, i64 n, Out<void> x, int type, i64 incx, Out<void> y, int y_type, i64 incy) {
  if (y_type != type) return FailType(context);
  ForVectors(context, type,
             [&]<typename T>() { SwapVectors(context, n, Out<T>{x.address}, incx, Out<T>{y.address}, incy); });
}

template <bool kConjugates>
void DotProductEx(Context& context, i64 n, In<void> x, int type, i64 incx, In<void> y, int y_type, i64 incy,
                  Result<void> result, int result_type) {
  if (y_type != type || result_type != type) return FailType(context);
  ForVectors(context, type, [&]<typename T>() {
    DotProduct<kConjugates>(context, n, In<T>{x.address}, incx, In<T>{y.address}, incy, Result<T>{result.word});
  });
}
inline void DotEx(Context& context, i64 n, In<void> x, int type, i64 incx, In<void> y, int y_type, i64 incy,
                  Result<void> result, int result_type, int /*execution*/) {
  DotProductEx<false>(context, n, x, type, incx, y, y_type, incy, result, result_type);
}
inline void DotcEx(Context& context, i64 n, In<void> x, int type, i64 incx, In<void> y, int y_type, i64 incy,
                   Result<void> result, int result_type, int /*execution*/) {
  DotProductEx<true>(context, n, x, type, incx, y, y_type, incy, result, result_type);
}

inline void Nrm2Ex(Context& context, i64 n, In<void> x, int type, i64 incx, Result<void> result, int result_type,
                   int /*execution*/) {
  ForVectors(context, type, [&]<typename T>() {
    if (result_type != kTypeOf<RealOf<T>>) return FailType(context);
    Norm(context, n, In<T>{x.address}, incx, Result<RealOf<T>>{result.word});
  });
}
inline void AsumEx(Context& context, i64 n, In<void> x, int type, i64 incx, Result<void> result, int result_type,
                   int /*execution*/) {
  ForVectors(context, type, [&]<typename T>() {
    if (result_type != kTypeOf<RealOf<T>>) return FailType(context);
    SumOfSizes(context, n, In<T>{x.address}, incx, Result<RealOf<T>>{result.word});
  });
}

template <typename I>
void IamaxEx(Context& context, i64 n, In<void> x, int type, i64 incx, Result<I> result) {
  ForVectors(context, type, [&]<typename T>() { Extreme<true>(context, n, In<T>{x.address}, incx, result); });
}
template <typename I>
void IaminEx(Context& context, i64 n, In<void> x, int type, i64 incx, Result<I> result) {
  ForVectors(context, type, [&]<typename T>() { Extreme<false>(context, n, In<T>{x.address}, incx, result); });
}

// The cosine is real, and the first part of it counts where it is stored as a complex number.
inline void RotEx(Context& context, i64 n, Out<void> x, int type, i64 incx, Out<void> y, int y_type, i64 incy,
                  Scalar<void> c, Scalar<void> s, int cs_type, int /*execution*/) {
  if (y_type != type) return FailType(context);
  if (n <= 0) return;
  ForVectors(context, type, [&]<typename T>() {
    const Out<T> first{x.address};
    const Out<T> second{y.address};
    const auto cosine = Convert<RealOf<Sum<T>>>(context.ValueAs<RealOf<T>>(c));
    if constexpr (kIsComplex<T>) {
      if (cs_type == kTypeOf<RealOf<T>>)
        return Rotate(context, n, first, incx, second, incy, cosine, context.ValueAs<RealOf<T>>(s));
    }
    if (cs_type != kTypeOf<T>) return FailType(context);
    Rotate(context, n, first, incx, second, incy, cosine, Convert<Sum<T>>(context.ValueAs<T>(s)));
  });
}

inline void RotgEx(Context& context, InOut<void> a, InOut<void> b, int type, Result<void> c, Result<void> s,
                   int cs_type, int /*execution*/) {
  if (cs_type != type) return FailType(context);
  ForVectors(context, type, [&]<typename T>() {
    Sum<T> first = Convert<Sum<T>>(context.Value(InOut<T>{a.word}));
    Sum<T> second = Convert<Sum<T>>(context.Value(InOut<T>{b.word}));
    context.CheckResult(Result<RealOf<T>>{c.word});
    context.CheckResult(Result<T>{s.word});
    if (context.failed()) return;
    RealOf<Sum<T>> cosine(0);
    Sum<T> sine(0);
    MakeRotation(first, second, cosine, sine);
    context.Give(InOut<T>{a.word}, Convert<T>(first));
    context.Give(InOut<T>{b.word}, Convert<T>(second));
    context.Give(Result<RealOf<T>>{c.word}, Convert<RealOf<T>>(cosine));
    context.Give(Result<T>{s.word}, Convert<T>(sine));
  });
}

template <typename To, typename From>
std::array<To, 5> ConvertedRotation(const std::array<From, 5>& rotation) {
  std::array<To, 5> converted;
  for (std::size_t i = 0; i < rotation.size(); ++i) converted[i] = Convert<To>(rotation[i]);
  return converted;
}

inline void RotmEx(Context& context, i64 n, Out<void> x, int type, i64 incx, Out<void> y, int y_type, i64 incy,
                   Scalar<void> param, int param_type, int /*execution*/) {
  if (y_type != type || param_type != type) return FailType(context);
  if (n <= 0) return;
  ForRealVectors(context, type, [&]<typename T>() {
    RotateModified(context, n, Out<T>{x.address}, incx, Out<T>{y.address}, incy,
                   ConvertedRotation<Sum<T>>(context.Values<T, 5>(param.word)));
  });
}

inline void RotmgEx(Context& context, InOut<void> d1, int d1_type, InOut<void> d2, int d2_type, InOut<void> x1,
                    int x1_type, Scalar<void> y1, int y1_type, Result<void> param, int param_type, int /*execution*/) {
  if (d2_type != d1_type || x1_type != d1_type || y1_type != d1_type || param_type != d1_type) return FailType(context);
  ForRealVectors(context, d1_type, [&]<typename T>() {
    using W = Sum<T>;
    W new_d1 = Convert<W>(context.Value(InOut<T>{d1.word}));
    W new_d2 = Convert<W>(context.Value(InOut<T>{d2.word}));
    W new_x1 = Convert<W>(context.Value(InOut<T>{x1.word}));
    const W y = Convert<W>(context.ValueAs<T>(y1));
    ModifiedRotation<W> rotation = ConvertedRotation<W>(context.Before<T, 5>(param.word));
    if (context.failed()) return;
    MakeModifiedRotation(new_d1, new_d2, new_x1, y, rotation);
    context.Give(InOut<T>{d1.word}, Convert<T>(new_d1));
    context.Give(InOut<T>{d2.word}, Convert<T>(new_d2));
    context.Give(InOut<T>{x1.word}, Convert<T>(new_x1));
    context.GiveAll(param.word, ConvertedRotation<T>(rotation));
  });
}

}  // namespace accelmesh::cpu_blas
