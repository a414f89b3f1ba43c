// Products of cuBLASLt against plain C++: types, transposes, orders of memory, batches, every epilogue, scalars on the
// device, and what the library says of algorithms.
#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cstring>

#include "cublas_check.h"

template <typename T>
constexpr cudaDataType kType = CUDA_R_32F;
template <>
constexpr cudaDataType kType<double> = CUDA_R_64F;
template <>
constexpr cudaDataType kType<__half> = CUDA_R_16F;
template <>
constexpr cudaDataType kType<__nv_bfloat16> = CUDA_R_16BF;
template <typename T>
constexpr double kTolerance = 1e-4;
template <>
constexpr double kTolerance<__half> = 4e-3;
template <>
constexpr double kTolerance<__nv_bfloat16> = 3e-2;

struct Shape {
  int rows, columns, leading;
  bool in_rows;
  long long stride;
  size_t At(int batch, int i, int j) const {
    return batch * stride + (in_rows ? static_cast<size_t>(i) * leading + j : static_cast<size_t>(j) * leading + i);
  }
  size_t Elements(int batches) const {
    return (batches - 1) * stride + static_cast<size_t>(leading) * (in_rows ? rows : columns);
  }
};

static Shape MakeShape(Random& random, int rows, int columns, bool in_rows, bool one_for_all) {
  Shape shape{rows, columns, (in_rows ? columns : rows) + 8 * static_cast<int>(random.Below(3)), in_rows, 0};
  if (!one_for_all) shape.stride = static_cast<long long>(shape.leading) * (in_rows ? rows : columns) + 16;
  return shape;
}

class Descriptor {
 public:
  Descriptor(cublasComputeType_t compute, cudaDataType scale) {
    CHECK_BLAS(cublasLtMatmulDescInit(&bytes_, compute, scale));
  }
  template <typename V>
  void Set(cublasLtMatmulDescAttributes_t attribute, V value) {
    CHECK_BLAS(cublasLtMatmulDescSetAttribute(&bytes_, attribute, &value, sizeof(value)));
  }
  cublasLtMatmulDesc_t get() { return &bytes_; }

 private:
  cublasLtMatmulDescOpaque_t bytes_;
};

class Layout {
 public:
  Layout(cudaDataType type, const Shape& shape, int batches) {
    CHECK_BLAS(cublasLtMatrixLayoutInit(&bytes_, type, shape.rows, shape.columns, shape.leading));
    const int32_t order = shape.in_rows ? CUBLASLT_ORDER_ROW : CUBLASLT_ORDER_COL;
    Set(CUBLASLT_MATRIX_LAYOUT_ORDER, order);
    Set(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<int32_t>(batches));
    Set(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, static_cast<int64_t>(shape.stride));
  }
  template <typename V>
  void Set(cublasLtMatrixLayoutAttribute_t attribute, V value) {
    CHECK_BLAS(cublasLtMatrixLayoutSetAttribute(&bytes_, attribute, &value, sizeof(value)));
  }
  cublasLtMatrixLayout_t get() { return &bytes_; }

 private:
  cublasLtMatrixLayoutOpaque_t bytes_;
};

static double Gelu(double x) { return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); }
static double GeluSlope(double x) {
  const double t = std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.7978845608028654 * (1 + 3 * 0.044715 * x * x);
}

// The first algorithm that there is; false if there is none.
static bool FindAlgorithm(cublasLtHandle_t handle, Descriptor& operation, Layout& a, Layout& b, Layout& c, Layout& d,
                          cublasLtMatmulAlgo_t* algorithm) {
  cublasLtMatmulPreferenceOpaque_t preference;
  CHECK_BLAS(cublasLtMatmulPreferenceInit(&preference));
  cublasLtMatmulHeuristicResult_t found;
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, operation.get(), a.get(), b.get(), c.get(),
                                                               d.get(), &preference, 1, &found, &count);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || count == 0) return false;
  CHECK_BLAS(status);
  CHECK_BLAS(found.state);
  EXPECT(found.workspaceSize == 0, "it was told of no workspace, and wants %zu bytes", found.workspaceSize);
  *algorithm = found.algo;
  return true;
}

struct Case {
  uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  bool a_in_rows = false, b_in_rows = false, d_in_rows = false;
  int batches = 1;
  bool on_device = false;
};

// One product of random shape; false if the library does not have it.
template <typename T, typename S>
static bool TestProduct(cublasLtHandle_t handle, Random& random, cublasComputeType_t compute, const Case& what) {
  const uint32_t epilogue = what.epilogue;
  const int m = 16 * (1 + random.Below(5)), n = 8 * (1 + random.Below(6)), k = 16 * (1 + random.Below(4));
  const bool ta = random.Below(2) != 0, tb = random.Below(2) != 0, in_place = random.Below(2) != 0;
  const int batches = what.batches;
  const Shape a = MakeShape(random, ta ? k : m, ta ? m : k, what.a_in_rows, random.Below(2) != 0 && batches > 1);
  const Shape b = MakeShape(random, tb ? n : k, tb ? k : n, what.b_in_rows, false);
  const Shape d = MakeShape(random, m, n, what.d_in_rows, false);
  const Shape c = in_place ? d : MakeShape(random, m, n, what.d_in_rows, false);
  const std::vector<T> ha = RandomNumbers<T>(random, a.Elements(batches)),
                       hb = RandomNumbers<T>(random, b.Elements(batches)),
                       hc = RandomNumbers<T>(random, c.Elements(batches));
  std::vector<T> hd = in_place ? hc : RandomNumbers<T>(random, d.Elements(batches));
  const bool has_bias = (epilogue & CUBLASLT_EPILOGUE_BIAS) != 0, has_aux = (epilogue & 128) != 0;
  const bool has_relu = (epilogue & CUBLASLT_EPILOGUE_RELU) != 0, has_gelu = (epilogue & CUBLASLT_EPILOGUE_GELU) != 0;
  const bool is_drelu = (epilogue & 8) != 0, is_dgelu = (epilogue & 64) != 0;
  const bool is_mask = has_aux && (has_relu || is_drelu);
  const int gradients = epilogue == CUBLASLT_EPILOGUE_BGRADB ? n : m;
  const int aux_leading = is_mask ? 128 : m + 8;
  const std::vector<T> bias = RandomNumbers<T>(random, batches * 128),
                       aux = RandomNumbers<T>(random, batches * aux_leading * n);
  std::vector<uint8_t> mask(batches * n * 16);
  for (uint8_t& byte : mask) byte = static_cast<uint8_t>(random.Below(256));
  const S alpha = static_cast<S>(0.25), beta = static_cast<S>(random.Below(3)) * static_cast<S>(0.5);
  const OnDevice<T> da(ha), db(hb), dc(hc), other(hd), dbias(bias), daux(aux);
  const OnDevice<uint8_t> dmask(mask);
  const OnDevice<S> dalpha({alpha}), dbeta({beta});
  T* const dd = in_place ? dc.get() : other.get();

  Descriptor operation(compute, kType<S>);
  operation.Set(CUBLASLT_MATMUL_DESC_TRANSA, static_cast<int32_t>(ta ? CUBLAS_OP_T : CUBLAS_OP_N));
  operation.Set(CUBLASLT_MATMUL_DESC_TRANSB, static_cast<int32_t>(tb ? CUBLAS_OP_T : CUBLAS_OP_N));
  operation.Set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
  operation.Set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(dbias.get()));
  operation.Set(CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, int64_t{128});
  if (has_aux) {
    operation.Set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER,
                  is_mask ? static_cast<void*>(dmask.get()) : static_cast<void*>(daux.get()));
    operation.Set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, static_cast<int64_t>(aux_leading));
    operation.Set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, static_cast<int64_t>(aux_leading) * n);
  }
  if (what.on_device)
    operation.Set(CUBLASLT_MATMUL_DESC_POINTER_MODE, static_cast<int32_t>(CUBLASLT_POINTER_MODE_DEVICE));
  Layout la(kType<T>, a, batches), lb(kType<T>, b, batches), lc(kType<T>, c, batches), ld(kType<T>, d, batches);
  cublasLtMatmulAlgo_t algorithm;
  if (!FindAlgorithm(handle, operation, la, lb, lc, ld, &algorithm)) return false;
  const bool chooses = random.Below(2) != 0;
  CHECK_BLAS(cublasLtMatmul(handle, operation.get(), what.on_device ? dalpha.get() : &alpha, da.get(), la.get(),
                            db.get(), lb.get(), what.on_device ? dbeta.get() : &beta, dc.get(), lc.get(), dd, ld.get(),
                            chooses ? &algorithm : nullptr, nullptr, 0, nullptr));
  CHECK(cudaDeviceSynchronize());

  const std::vector<T> got = in_place ? dc.Read() : other.Read();
  const std::vector<T> got_bias = dbias.Read(), got_aux = daux.Read();
  const std::vector<uint8_t> got_mask = dmask.Read();
  const double tolerance = kTolerance<T>;
  for (int batch = 0; batch < batches; ++batch) {
    std::vector<double> gradient(gradients, 0.0);
    for (int j = 0; j < n; ++j) {
      for (int i = 0; i < m; ++i) {
        double sum = 0;
        for (int l = 0; l < k; ++l)
          sum += static_cast<double>(ha[ta ? a.At(batch, l, i) : a.At(batch, i, l)]) *
                 static_cast<double>(hb[tb ? b.At(batch, j, l) : b.At(batch, l, j)]);
        double value = alpha * sum + static_cast<double>(beta) * static_cast<double>(hc[c.At(batch, i, j)]);
        if (has_bias) value += static_cast<double>(bias[batch * 128 + i]);
        const size_t place = (static_cast<size_t>(batch) * n + j) * aux_leading + i;
        if (has_aux && has_relu)
          EXPECT((got_mask[place / 8] >> (place % 8) & 1) == (value > 0), "mask at %d, %d of %g", i, j, value);
        if (has_aux && has_gelu) ExpectNear(static_cast<double>(got_aux[place]), value, tolerance, "aux", i);
        if (has_relu) value = std::max(value, 0.0);
        if (has_gelu) value = Gelu(value);
        if (is_drelu && (mask[place / 8] >> (place % 8) & 1) == 0) value = 0;
        if (is_dgelu) value *= GeluSlope(static_cast<double>(aux[place]));
        ExpectNear(static_cast<double>(got[d.At(batch, i, j)]), value, tolerance, "matmul", i + j * m);
        if ((epilogue & 16) != 0) gradient[i] += value;
      }
    }
    for (int l = 0; l < k; ++l) {
      for (int i = 0; i < gradients; ++i) {
        if (epilogue == CUBLASLT_EPILOGUE_BGRADA)
          gradient[i] += static_cast<double>(ha[ta ? a.At(batch, l, i) : a.At(batch, i, l)]);
        if (epilogue == CUBLASLT_EPILOGUE_BGRADB)
          gradient[i] += static_cast<double>(hb[tb ? b.At(batch, i, l) : b.At(batch, l, i)]);
      }
    }
    const bool has_gradient = (epilogue & (16 | 256 | 512)) != 0;
    for (int i = 0; has_gradient && i < gradients; ++i)
      ExpectNear(static_cast<double>(got_bias[batch * 128 + i]), gradient[i], 4 * tolerance, "gradient", i);
  }
  return true;
}

template <typename T, typename S>
static int TestType(cublasLtHandle_t handle, Random& random, cublasComputeType_t compute,
                    const std::vector<Case>& cases) {
  int done = 0;
  for (const Case& what : cases) done += TestProduct<T, S>(handle, random, compute, what) ? 1 : 0;
  return done;
}

static std::vector<Case> EveryEpilogue() {
  std::vector<Case> cases;
  for (const uint32_t epilogue :
       {CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_RELU, CUBLASLT_EPILOGUE_RELU_AUX, CUBLASLT_EPILOGUE_BIAS,
        CUBLASLT_EPILOGUE_RELU_BIAS, CUBLASLT_EPILOGUE_RELU_AUX_BIAS, CUBLASLT_EPILOGUE_DRELU,
        CUBLASLT_EPILOGUE_DRELU_BGRAD, CUBLASLT_EPILOGUE_GELU, CUBLASLT_EPILOGUE_GELU_AUX, CUBLASLT_EPILOGUE_GELU_BIAS,
        CUBLASLT_EPILOGUE_GELU_AUX_BIAS, CUBLASLT_EPILOGUE_DGELU, CUBLASLT_EPILOGUE_DGELU_BGRAD,
        CUBLASLT_EPILOGUE_BGRADA, CUBLASLT_EPILOGUE_BGRADB}) {
    Case what;
    what.epilogue = epilogue;
    cases.push_back(what);
  }
  return cases;
}
static std::vector<Case> EveryForm() {
  std::vector<Case> cases;
  for (int form = 0; form < 32; ++form) {
    Case what;
    what.a_in_rows = (form & 1) != 0;
    what.b_in_rows = (form & 2) != 0;
    what.d_in_rows = (form & 4) != 0;
    what.batches = (form & 8) != 0 ? 3 : 1;
    what.on_device = (form & 16) != 0;
    cases.push_back(what);
  }
  return cases;
}

// Whole numbers, exact; and a scale for each row.
static void TestWholeNumbers(cublasLtHandle_t handle) {
  const int n = 32;
  std::vector<int8_t> a(n * n), b(n * n);
  for (int i = 0; i < n * n; ++i)
    a[i] = static_cast<int8_t>(i * 7 % 255 - 127), b[i] = static_cast<int8_t>(i * 11 % 255 - 127);
  const OnDevice<int8_t> da(a), db(b);
  const OnDevice<int32_t> dd(std::vector<int32_t>(n * n, 5));
  Descriptor operation(CUBLAS_COMPUTE_32I, CUDA_R_32I);
  operation.Set(CUBLASLT_MATMUL_DESC_TRANSA, static_cast<int32_t>(CUBLAS_OP_T));
  const Shape square{n, n, n, false, 0};
  Layout in(CUDA_R_8I, square, 1), out(CUDA_R_32I, square, 1);
  const int32_t alpha = 2, beta = 0;
  CHECK_BLAS(cublasLtMatmul(handle, operation.get(), &alpha, da.get(), in.get(), db.get(), in.get(), &beta, dd.get(),
                            out.get(), dd.get(), out.get(), nullptr, nullptr, 0, nullptr));
  const std::vector<int32_t> got = dd.Read();
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < n; ++i) {
      int32_t sum = 0;
      for (int l = 0; l < n; ++l) sum += a[i * n + l] * b[j * n + l];
      EXPECT(got[j * n + i] == 2 * sum, "int8: %d, not %d", got[j * n + i], 2 * sum);
    }
  }
}

static void TestVectors(cublasLtHandle_t handle) {
  const int n = 16;
  std::vector<float> identity(n * n, 0.0f), scales(n);
  for (int i = 0; i < n; ++i) identity[i * n + i] = 1, scales[i] = static_cast<float>(i);
  const OnDevice<float> a(identity), b(std::vector<float>(n * n, 2.0f)), d(std::vector<float>(n * n, NAN)),
      alpha(scales);
  Descriptor operation(CUBLAS_COMPUTE_32F, CUDA_R_32F);
  operation.Set(CUBLASLT_MATMUL_DESC_POINTER_MODE,
                static_cast<int32_t>(CUBLASLT_POINTER_MODE_ALPHA_DEVICE_VECTOR_BETA_ZERO));
  const Shape square{n, n, n, false, 0};
  Layout layout(CUDA_R_32F, square, 1);
  cublasLtMatmulAlgo_t algorithm;
  if (!FindAlgorithm(handle, operation, layout, layout, layout, layout, &algorithm)) return;
  CHECK_BLAS(cublasLtMatmul(handle, operation.get(), alpha.get(), a.get(), layout.get(), b.get(), layout.get(), nullptr,
                            d.get(), layout.get(), d.get(), layout.get(), &algorithm, nullptr, 0, nullptr));
  const std::vector<float> got = d.Read();
  for (int i = 0; i < n * n; ++i) EXPECT(got[i] == 2.0f * (i % n), "row %d has %g", i % n, got[i]);
}

static void TestTransform(cublasLtHandle_t handle) {
  const int rows = 5, columns = 7;
  std::vector<float> a(rows * columns);
  for (int i = 0; i < rows * columns; ++i) a[i] = static_cast<float>(i);
  const OnDevice<float> da(a), db(std::vector<float>(rows * columns, 1.0f));
  const OnDevice<__half> dc(std::vector<__half>(rows * columns));
  cublasLtMatrixTransformDesc_t transform = nullptr;
  CHECK_BLAS(cublasLtMatrixTransformDescCreate(&transform, CUDA_R_32F));
  const int32_t transposed = CUBLAS_OP_T;
  CHECK_BLAS(cublasLtMatrixTransformDescSetAttribute(transform, CUBLASLT_MATRIX_TRANSFORM_DESC_TRANSA, &transposed,
                                                     sizeof(transposed)));
  Layout la(CUDA_R_32F, {columns, rows, columns, false, 0}, 1), lb(CUDA_R_32F, {rows, columns, rows, false, 0}, 1),
      lc(CUDA_R_16F, {rows, columns, columns, true, 0}, 1);
  const float alpha = 2, beta = -1;
  CHECK_BLAS(cublasLtMatrixTransform(handle, transform, &alpha, da.get(), la.get(), &beta, db.get(), lb.get(), dc.get(),
                                     lc.get(), nullptr));
  CHECK_BLAS(cublasLtMatrixTransformDescDestroy(transform));
  const std::vector<__half> got = dc.Read();
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j)
      ExpectNear(static_cast<double>(got[i * columns + j]), 2.0 * a[i * columns + j] - 1, 1e-3, "transform", i);
  }
}

static void TestAlgorithms(cublasLtHandle_t handle) {
  int ids[8], count = 0;
  const auto list = [&](cudaDataType type, int wanted) {
    return cublasLtMatmulAlgoGetIds(handle, CUBLAS_COMPUTE_32F, CUDA_R_32F, type, type, type, type, wanted, ids,
                                    &count);
  };
  CHECK_BLAS(list(CUDA_R_32F, 8));
  EXPECT(count >= 1 && count <= 8, "%d algorithms", count);
  CHECK_BLAS_STATUS(list(CUDA_R_32F, 0), CUBLAS_STATUS_INVALID_VALUE);
  cublasLtMatmulAlgo_t algorithm;
  CHECK_BLAS(cublasLtMatmulAlgoInit(handle, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F,
                                    CUDA_R_32F, ids[0], &algorithm));
  int32_t id = -1, batches = 0;
  size_t written = 0;
  CHECK_BLAS(cublasLtMatmulAlgoConfigGetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_ID, &id, sizeof(id), &written));
  EXPECT(id == ids[0] && written == sizeof(id), "it is number %d, not %d", id, ids[0]);
  CHECK_BLAS(cublasLtMatmulAlgoCapGetAttribute(&algorithm, CUBLASLT_ALGO_CAP_STRIDED_BATCH_SUPPORT, &batches,
                                               sizeof(batches), nullptr));
  CHECK_BLAS(cublasLtMatmulAlgoCapGetAttribute(&algorithm, CUBLASLT_ALGO_CAP_TILE_IDS, nullptr, 0, &written));
  EXPECT(written % sizeof(uint32_t) == 0, "tiles have %zu bytes", written);
  uint32_t swizzling = 0;
  CHECK_BLAS(cublasLtMatmulAlgoConfigSetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, &swizzling,
                                                  sizeof(swizzling)));
  CHECK_BLAS_STATUS(cublasLtMatmulAlgoConfigSetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, &swizzling, 1),
                    CUBLAS_STATUS_INVALID_VALUE);
}

static void TestErrors(cublasLtHandle_t handle) {
  const Shape square{16, 16, 16, false, 0}, wide{16, 17, 16, false, 0};
  Descriptor operation(CUBLAS_COMPUTE_32F, CUDA_R_32F);
  Layout layout(CUDA_R_32F, square, 1), other(CUDA_R_32F, wide, 1), halves(CUDA_R_16F, square, 1);
  const OnDevice<float> a(std::vector<float>(256, 1.0f));
  const float one = 1;
  const auto matmul = [&](cublasLtHandle_t h, const float* alpha, const void* at, Layout& b, Layout& d) {
    return cublasLtMatmul(h, operation.get(), alpha, at, layout.get(), a.get(), b.get(), &one, a.get(), d.get(),
                          a.get(), d.get(), nullptr, nullptr, 0, nullptr);
  };
  CHECK_BLAS(matmul(handle, &one, a.get(), layout, layout));
  CHECK_BLAS_STATUS(matmul(nullptr, &one, a.get(), layout, layout), CUBLAS_STATUS_NOT_INITIALIZED);
  CHECK_BLAS_STATUS(matmul(handle, nullptr, a.get(), layout, layout), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_BLAS_STATUS(matmul(handle, &one, nullptr, layout, layout), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_BLAS_STATUS(matmul(handle, &one, a.get(), layout, other), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_BLAS_STATUS(matmul(handle, &one, a.get(), halves, layout), CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(cudaDeviceSynchronize());
}

int main() {
  cublasLtHandle_t handle = nullptr;
  CHECK_BLAS(cublasLtCreate(&handle));
  Random random(23);
  const std::vector<Case> epilogues = EveryEpilogue(), forms = EveryForm();
  // Every plain form is there; others depend on the device.
  int done = TestType<float, float>(handle, random, CUBLAS_COMPUTE_32F, forms);
  EXPECT(done >= 2, "%d of %zu forms of float", done, forms.size());
  std::printf("float: %d of %zu forms\n", done, forms.size());
  TestType<double, double>(handle, random, CUBLAS_COMPUTE_64F, forms);
  TestType<__nv_bfloat16, float>(handle, random, CUBLAS_COMPUTE_32F, forms);
  for (int repeat = 0; repeat < 2; ++repeat) {
    done = TestType<__half, float>(handle, random, CUBLAS_COMPUTE_32F, epilogues);
    EXPECT(done >= 8, "%d of %zu epilogues of half", done, epilogues.size());
    std::printf("half: %d of %zu epilogues\n", done, epilogues.size());
  }
  done = TestType<float, float>(handle, random, CUBLAS_COMPUTE_32F, epilogues);
  std::printf("float: %d of %zu epilogues\n", done, epilogues.size());
  TestWholeNumbers(handle);
  TestVectors(handle);
  TestTransform(handle);
  TestAlgorithms(handle);
  TestErrors(handle);
  CHECK_BLAS(cublasLtDestroy(handle));

  // A handle of cuBLAS is one as well.
  cublasHandle_t blas = nullptr;
  CHECK_BLAS(cublasCreate(&blas));
  EXPECT((TestProduct<float, float>(reinterpret_cast<cublasLtHandle_t>(blas), random, CUBLAS_COMPUTE_32F, Case{})),
         "no product by a handle of cuBLAS");
  CHECK_BLAS(cublasDestroy(blas));
  return Passed();
}
