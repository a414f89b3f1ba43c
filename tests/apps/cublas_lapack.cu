// Batches of small systems: factors, solutions, inverses and least squares, each multiplied back by plain loops.
#include "cublas_dense.h"

ANY(getrfBatched)
ANY(getriBatched)
ANY(getrsBatched)
ANY(matinvBatched)
ANY(geqrfBatched)
ANY(gelsBatched)

// Matrices of one size, and the array of their addresses on the device.
template <typename T>
class Batch {
 public:
  Batch(Random& random, int rows, int columns, int stride, int count, double diagonal = 0) {
    for (int i = 0; i < count; ++i) {
      all_.push_back(Dense<T>(random, rows, columns, stride));
      if (diagonal != 0)
        all_[i].Edit([=](int row, int j, Wide element) { return row == j ? element + diagonal : element; });
    }
    Publish();
  }
  // As it was before anything was computed.
  const Stored<T>& operator[](int i) const { return all_[i]; }
  // Makes elements of one of the matrices 0, by is_empty(i, j).
  template <typename IsEmpty>
  void Clear(int batch, IsEmpty is_empty) {
    all_[batch].Edit([&](int i, int j, Wide element) { return is_empty(i, j) ? Wide(0) : element; });
    Publish();
  }
  T* const* get() const { return addresses_->get(); }
  const T* const* input() const { return const_cast<const T* const*>(addresses_->get()); }

 private:
  void Publish() {
    std::vector<T*> addresses;
    for (const Stored<T>& one : all_) addresses.push_back(one.get());
    addresses_.reset(new OnDevice<T*>(addresses));
  }
  std::vector<Stored<T>> all_;
  std::unique_ptr<OnDevice<T*>> addresses_;
};

// What the device has now.
template <typename T>
static std::vector<Wide> Read(const Stored<T>& matrix, int rows, int columns, int stride) {
  std::vector<T> raw((columns - 1) * stride + rows);
  CHECK(cudaMemcpy(raw.data(), matrix.get(), raw.size() * sizeof(T), cudaMemcpyDeviceToHost));
  std::vector<Wide> all;
  for (int j = 0; j < columns; ++j) {
    for (int i = 0; i < rows; ++i) all.push_back(ToWide(raw[j * stride + i]));
  }
  return all;
}

// Factors, with pivots or without; a matrix of a batch is singular. Then solves and inverts with the others' factors.
template <typename T>
static void TestFactors(cublasHandle_t handle, Random& random, int n, bool has_pivots) {
  const int count = 3, singular = 1, right = 4, stride = n + 2;
  Batch<T> a(random, n, n, stride, count, has_pivots ? 0 : 40);
  // Its second column is 0: so is the second pivot, whatever is exchanged.
  a.Clear(singular, [](int, int j) { return j == 1; });
  const OnDevice<int> pivots(std::vector<int>(n * count, -7)), info(std::vector<int>(count, -7));
  int* const own_pivots = has_pivots ? pivots.get() : nullptr;
  CHECK_BLAS(getrfBatched(Tag<T>(), handle, n, a.get(), stride, own_pivots, info.get(), count));
  const std::vector<int> exchanged = pivots.Read(), found = info.Read();
  for (int batch = 0; batch < count; ++batch) {
    EXPECT(found[batch] == (batch == singular ? 2 : 0), "getrf: info of %d is %d", batch, found[batch]);
    const std::vector<Wide> factors = Read(a[batch], n, n, stride);
    std::vector<int> rows(n);
    for (int i = 0; i < n; ++i) rows[i] = i;
    for (int i = 0; has_pivots && i < n; ++i) {
      const int other = exchanged[batch * n + i] - 1;
      EXPECT(other >= i && other < n, "getrf: pivot %d is %d", i, other);
      std::swap(rows[i], rows[other]);
    }
    for (int j = 0; j < n; ++j) {
      for (int i = 0; i < n; ++i) {
        Wide sum = 0;
        for (int l = 0; l <= i && l <= j; ++l) sum += (l == i ? Wide(1) : factors[l * n + i]) * factors[j * n + l];
        ExpectClose(As<T>(sum), a[batch].At(rows[i], j), "getrf", j * n + i, 1e3);
      }
    }
  }
  for (const cublasOperation_t trans : {CUBLAS_OP_N, CUBLAS_OP_T, CUBLAS_OP_C}) {
    const Batch<T> b(random, n, right, stride, count);
    int host_info = -7;
    // Without the singular one: of a batch of one, twice.
    for (const int batch : {0, 2}) {
      CHECK_BLAS(getrsBatched(Tag<T>(), handle, trans, n, right, a.input() + batch, stride,
                              has_pivots ? static_cast<const int*>(pivots.get() + batch * n) : nullptr, b.get() + batch,
                              stride, &host_info, 1));
      EXPECT(host_info == 0, "getrs: info is %d", host_info);
      const std::vector<Wide> x = Read(b[batch], n, right, stride);
      for (int j = 0; j < right; ++j) {
        for (int i = 0; i < n; ++i) {
          Wide sum = 0;
          for (int l = 0; l < n; ++l) {
            const Wide element = trans == CUBLAS_OP_N ? a[batch].At(i, l) : a[batch].At(l, i);
            sum += ConjugateIf(trans == CUBLAS_OP_C, element) * x[j * n + l];
          }
          ExpectClose(As<T>(sum), b[batch].At(i, j), "getrs", j * n + i, 1e4);
        }
      }
    }
  }
  const Batch<T> inverse(random, n, n, stride, count);
  CHECK_BLAS(getriBatched(Tag<T>(), handle, n, a.input(), stride, static_cast<const int*>(own_pivots), inverse.get(),
                          stride, info.get(), count));
  const std::vector<int> inverted = info.Read();
  for (int batch = 0; batch < count; ++batch) {
    EXPECT(inverted[batch] == (batch == singular ? 2 : 0), "getri: info of %d is %d", batch, inverted[batch]);
    if (batch == singular) continue;
    const std::vector<Wide> x = Read(inverse[batch], n, n, stride);
    for (int j = 0; j < n; ++j) {
      for (int i = 0; i < n; ++i) {
        Wide sum = 0;
        for (int l = 0; l < n; ++l) sum += a[batch].At(i, l) * x[j * n + l];
        ExpectClose(As<T>(sum), i == j ? 1 : 0, "getri", j * n + i, 1e4);
      }
    }
  }
}

template <typename T>
static void TestInverse(cublasHandle_t handle, Random& random) {
  const int n = 21, count = 2, stride = 24;
  Batch<T> a(random, n, n, stride, count);
  a.Clear(1, [](int i, int) { return i == 4; });
  const Batch<T> inverse(random, n, n, n, count);
  const OnDevice<int> info(std::vector<int>(count, -7));
  CHECK_BLAS(matinvBatched(Tag<T>(), handle, n, a.input(), stride, inverse.get(), n, info.get(), count));
  EXPECT(info.Read()[0] == 0 && info.Read()[1] > 0, "matinv: info is %d and %d", info.Read()[0], info.Read()[1]);
  const std::vector<Wide> x = Read(inverse[0], n, n, n);
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < n; ++i) {
      Wide sum = 0;
      for (int l = 0; l < n; ++l) sum += a[0].At(i, l) * x[j * n + l];
      ExpectClose(As<T>(sum), i == j ? 1 : 0, "matinv", j * n + i, 1e4);
    }
  }
  a[0].Expect("matinv's operand", [&](int i, int j) { return a[0].At(i, j); }, 0);
  CHECK_BLAS_STATUS(matinvBatched(Tag<T>(), handle, 33, a.input(), 40, inverse.get(), 40, info.get(), 1),
                    CUBLAS_STATUS_INVALID_VALUE);
}

// Q is what the reflections make of the unit matrix, from the last to the first.
template <typename T>
static void TestOrthogonal(cublasHandle_t handle, Random& random, int m, int n) {
  const int count = 2, stride = m + 1, least = m < n ? m : n;
  const Batch<T> a(random, m, n, stride, count), taus(random, least, 1, least, count);
  int info = -7;
  CHECK_BLAS(geqrfBatched(Tag<T>(), handle, m, n, a.get(), stride, taus.get(), &info, count));
  EXPECT(info == 0, "geqrf: info is %d", info);
  for (int batch = 0; batch < count; ++batch) {
    const std::vector<Wide> factors = Read(a[batch], m, n, stride), tau = Read(taus[batch], least, 1, least);
    std::vector<Wide> product(m * n);
    for (int j = 0; j < n; ++j) {
      for (int i = 0; i < m && i <= j; ++i) product[j * m + i] = factors[j * m + i];
    }
    for (int reflection = least - 1; reflection >= 0; --reflection) {
      const auto v = [&](int i) { return i == reflection ? Wide(1) : factors[reflection * m + i]; };
      for (int j = 0; j < n; ++j) {
        Wide sum = 0;
        for (int i = reflection; i < m; ++i) sum += std::conj(v(i)) * product[j * m + i];
        for (int i = reflection; i < m; ++i) product[j * m + i] -= tau[reflection] * v(i) * sum;
      }
    }
    for (int i = 0; i < m * n; ++i) ExpectClose(As<T>(product[i]), a[batch].At(i % m, i / m), "geqrf", i, 1e2);
  }
}

// What is left over is orthogonal to all columns.
template <typename T>
static void TestLeastSquares(cublasHandle_t handle, Random& random) {
  const int m = 15, n = 6, right = 3, count = 2, stride = 16;
  Batch<T> a(random, m, n, stride, count), b(random, m, right, 18, count);
  a.Clear(1, [](int, int j) { return j == 0; });
  const OnDevice<int> singular(std::vector<int>(count, -7));
  int info = -7;
  CHECK_BLAS(gelsBatched(Tag<T>(), handle, CUBLAS_OP_N, m, n, right, a.get(), stride, b.get(), 18, &info,
                         singular.get(), count));
  EXPECT(info == 0, "gels: info is %d", info);
  EXPECT(singular.Read()[0] == 0 && singular.Read()[1] == 1, "gels: info is %d and %d", singular.Read()[0],
         singular.Read()[1]);
  const std::vector<Wide> x = Read(b[0], m, right, 18);
  for (int j = 0; j < right; ++j) {
    std::vector<Wide> left(m);
    for (int i = 0; i < m; ++i) {
      left[i] = b[0].At(i, j);
      for (int l = 0; l < n; ++l) left[i] -= a[0].At(i, l) * x[j * m + l];
    }
    for (int column = 0; column < n; ++column) {
      Wide sum = 0;
      for (int i = 0; i < m; ++i) sum += std::conj(a[0].At(i, column)) * left[i];
      ExpectClose(As<T>(sum), 0, "gels", j * n + column, 1e3);
    }
  }
  CHECK_BLAS_STATUS(gelsBatched(Tag<T>(), handle, CUBLAS_OP_N, n, m, right, a.get(), stride, b.get(), 18, &info,
                                singular.get(), count),
                    CUBLAS_STATUS_NOT_SUPPORTED);
}

template <typename T>
static void TestAny(cublasHandle_t handle, Random& random) {
  for (const bool has_pivots : {true, false}) {
    TestFactors<T>(handle, random, 13, has_pivots);
    // More columns than fit into one piece of whoever computes it piece by piece.
    TestFactors<T>(handle, random, 150, has_pivots);
  }
  TestInverse<T>(handle, random);
  TestOrthogonal<T>(handle, random, 14, 9);
  TestOrthogonal<T>(handle, random, 8, 12);
  TestLeastSquares<T>(handle, random);
}

int main() {
  cublasHandle_t handle = nullptr;
  CHECK_BLAS(cublasCreate(&handle));
  Random random(41);
  TestAny<float>(handle, random);
  TestAny<double>(handle, random);
  TestAny<cuComplex>(handle, random);
  TestAny<cuDoubleComplex>(handle, random);
  CHECK_BLAS(cublasDestroy(handle));
  return Passed();
}
