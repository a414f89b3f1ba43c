// Writes the seeds of library_fuzz, and those of session_fuzz that call libraries: make_library_seeds FOLDER makes
// FOLDER/<fuzzer>/<what it is>, which is committed.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "protocol/library/lt_problem.h"
#include "tests/fuzz/session_script.h"

namespace accelmesh {
namespace {

using namespace fuzz;

std::uint32_t Number(const std::string& name) {
  for (std::uint32_t function = 0; function < LibraryFunctions(kLibraryBlas); ++function) {
    if (LibraryFunctionName(kLibraryBlas, function) == name) return function;
  }
  std::fprintf(stderr, "no function %s\n", name.c_str());
  std::exit(1);
}

// Of library_fuzz: see there.
class Call {
 public:
  Call(std::uint8_t library, std::uint32_t function, bool on_device = false) : bytes_{library} {
    Append(bytes_, AsBytes(static_cast<std::uint16_t>(function)));
    bytes_.push_back(on_device ? kDevicePointers : 0);
    for (const std::uint8_t content : {5, 4, 9, 0}) Operand(content, 0);
  }
  explicit Call(const std::string& name, bool on_device = false) : Call(0, Number(name), on_device) {}

  Call& ByItself(std::size_t words = 1) {
    bytes_.insert(bytes_.end(), words, 0);
    return *this;
  }
  Call& Small(std::int8_t value) {
    bytes_.insert(bytes_.end(), {1, static_cast<std::uint8_t>(value)});
    return *this;
  }
  // Enumerators.
  Call& One(std::uint8_t value) {
    bytes_.insert(bytes_.end(), {2, value});
    return *this;
  }
  Call& Address(std::uint8_t operand, std::uint16_t offset) {
    bytes_.push_back(static_cast<std::uint8_t>(3 + 6 * operand));
    Append(bytes_, AsBytes(offset));
    return *this;
  }
  Call& Exactly(std::uint64_t value) {
    bytes_.push_back(4);
    Append(bytes_, AsBytes(value));
    return *this;
  }
  Call& Power(std::uint8_t exponent, std::int8_t more) {
    bytes_.insert(bytes_.end(), {5, exponent, static_cast<std::uint8_t>(more)});
    return *this;
  }
  void Write(const char* name) const { fuzz::Write("library", name, bytes_); }

 private:
  void Operand(std::uint8_t content, std::uint8_t shorter) { bytes_.insert(bytes_.end(), {content, shorter}); }

  Bytes bytes_;
};

void BlasSeeds() {
  constexpr std::uint8_t kR16F = 2, kR8I = 3, kR32I = 10, kR16BF = 14;
  constexpr std::uint8_t kCompute32F = 68, kCompute32I = 72;
  // All by itself: a function of each family and of each type.
  for (const char* name : {"cublasSgemm_v2",      "cublasDgemm_v2",      "cublasZgemm_v2",      "cublasHgemm",
                           "cublasSgemmBatched",  "cublasCgemv_v2",      "cublasSdot_v2",       "cublasDznrm2_v2",
                           "cublasIzamax_v2",     "cublasSaxpy_v2",      "cublasZscal_v2",      "cublasDrotmg_v2",
                           "cublasStrsm_v2",      "cublasDtrmm_v2",      "cublasCherk_v2",      "cublasSsyr2k_v2",
                           "cublasZhemm_v2",      "cublasDspr2_v2",      "cublasCgeam",         "cublasSdgmm",
                           "cublasSgetrfBatched", "cublasDgetriBatched", "cublasCgeqrfBatched", "cublasSmatinvBatched",
                           "cublasZtpttr"}) {
    Call(name).Write(name);
  }
  Call("cublasSgbmv_v2").ByItself(3).Small(1).Small(2).Write("a_band");
  Call("cublasStbsv_v2").ByItself(4).Small(2).Write("a_triangle_in_a_band");
  Call("cublasSdot_v2", true).ByItself(5).Address(2, 64).Write("result_on_the_device");
  Call("cublasSgemm_v2", true)
      .One(1)
      .One(2)
      .Small(9)
      .Small(7)
      .Small(5)
      .Address(0, 4)
      .ByItself()
      .Address(0, 16)
      .Small(5)
      .Address(1, 256)
      .Small(9)
      .Address(2, 0)
      .ByItself()
      .Address(2, 512)
      .Small(11)
      .Write("leading_dimensions");
  Call("cublasSaxpy_v2").Small(30).ByItself(2).Address(0, 40).Small(-3).Address(1, 8).Small(2).Write("steps");
  Call("cublasSaxpy_v2").Power(61, 0).ByItself(3).Small(1).ByItself().Small(1).Write("longer_than_memory");
  Call("cublasSgemm_v2")
      .ByItself(2)
      .Power(31, -1)
      .Power(31, -1)
      .Power(31, -1)
      .ByItself(3)
      .Power(31, -1)
      .ByItself()
      .Power(31, -1)
      .ByItself(3)
      .Power(31, -1)
      .Write("products_that_overflow");
  Call("cublasDgemm_v2").ByItself(2).Small(0).Small(4).Small(4).Write("nothing_to_do");
  Call("cublasSgemm_v2").ByItself(4).Small(0).Write("an_empty_sum");
  Call("cublasSgemm_v2").ByItself(7).Exactly(0).Write("no_memory");
  Call("cublasDgemm_v2").ByItself(7).Address(0, 3).Write("misaligned");
  Call("cublasGemmEx")
      .One(0)
      .One(1)
      .ByItself(5)
      .Address(0, 0)
      .One(kR16F)
      .Small(4)
      .Address(1, 0)
      .One(kR16F)
      .Small(4)
      .ByItself(2)
      .Address(2, 0)
      .One(kR16F)
      .Small(4)
      .One(kCompute32F)
      .Write("half");
  Call("cublasGemmEx")
      .ByItself(7)
      .Address(0, 0)
      .One(kR8I)
      .Small(4)
      .Address(1, 0)
      .One(kR8I)
      .Small(4)
      .ByItself(2)
      .Address(2, 0)
      .One(kR32I)
      .Small(4)
      .One(kCompute32I)
      .Write("bytes");
  Call("cublasGemmStridedBatchedEx")
      .ByItself(7)
      .Address(0, 0)
      .One(kR16BF)
      .Small(4)
      .Small(16)
      .Address(1, 0)
      .One(kR16BF)
      .Small(4)
      .Small(16)
      .ByItself(2)
      .Address(2, 0)
      .One(0)
      .Small(4)
      .Small(16)
      .Small(5)
      .One(kCompute32F)
      .Write("a_batch");
}

// What stands for the first byte of an operand.
constexpr std::uint64_t kOperands = std::uint64_t{1} << 60;

// The words of a structure of lt_problem.h.
template <typename Words>
void Lt(const char* name, const Words& words) {
  Call call(1, kLtFunction<Words>);
  std::array<std::uint64_t, kLtWords<Words>> all;
  std::memcpy(all.data(), &words, sizeof(all));
  for (const std::uint64_t word : all) {
    if (word - kOperands < 4) {
      call.Address(static_cast<std::uint8_t>(word - kOperands), 0);
    } else {
      call.Exactly(word);
    }
  }
  call.Write(name);
}

void LtSeeds() {
  constexpr std::int64_t kCompute32F = 68;
  constexpr std::int64_t kFull = 2;
  const auto at = [](std::uint64_t operand) { return kOperands + operand; };
  LtMatmul product;
  product.operation.compute_type = kCompute32F;
  product.operation.fill_mode = kFull;
  product.operation.epilogue = 1;  // none
  for (LtLayout* layout : {&product.layouts.a, &product.layouts.b, &product.layouts.c, &product.layouts.d})
    layout->rows = layout->columns = layout->leading = 8;
  product.alpha[0] = 0x3f800000;
  product.a = at(0);
  product.b = at(1);
  product.c = product.d = at(2);
  Lt("lt_product", product);
  product.operation.epilogue = 4 | 2;  // a bias, then ReLU
  product.operation.bias = at(1);
  product.operation.transa = 1;
  Lt("lt_epilogue", product);
  LtTransform transform;
  for (LtLayout* layout : {&transform.a_layout, &transform.c_layout})
    layout->rows = layout->columns = layout->leading = 8;
  transform.alpha[0] = 0x3f800000;
  transform.transa = 1;
  transform.a = at(0);
  transform.c = at(2);
  transform.a_layout.rows = 4;
  transform.c_layout.columns = 4;
  Lt("lt_transform", transform);
  LtFindAlgorithms find;
  find.operation.compute_type = kCompute32F;
  find.operation.fill_mode = kFull;
  find.operation.epilogue = 1;
  find.layouts = product.layouts;
  find.count = 3;
  Lt("lt_find", find);
}

// Scripts of session_fuzz. The checking backend has functions 1, 2 and 4, and not 3.
void SessionSeeds() {
  const auto arguments = [](std::uint32_t library, std::uint32_t function) {
    Bytes words(8);
    while (!HasLibraryShape(library, function, words)) words.resize(words.size() + 8, 1);
    return words;
  };
  const Bytes blas = arguments(kLibraryBlas, 1);
  Bytes nodes;
  AddRecord(nodes, wire::LibraryCall(kLibraryBlas, 1, 0, 1), blas);
  Write("session", "library",
        Script()
            .Frame(wire::StreamCreate(1, 0, 0, wire::StreamKind::NonBlocking))
            .Frame(wire::LibraryOpen(kLibraryBlas, 0))
            .Frame(wire::LibrarySettings(kLibraryBlas, 0), Bytes(88, 0))
            .Frame(wire::LibrarySettings(kLibraryBlas, 1), Bytes(88, 1))
            .Frame(wire::LibraryCall(kLibraryBlas, 1, 1, 0), blas)
            .HoldAll(true)
            .Frame(wire::LibraryQuery(kLibraryBlas, 1, 1, 1), blas)
            .Frame(wire::GraphDefine(0, 1, 0, 1), nodes)
            .Frame(wire::GraphLaunch(0, 1, 0, 1))
            .Frame(wire::LibrarySettings(kLibraryBlas, 2), Bytes(8, 2))
            .Complete(1, 3)
            .Frame(wire::StreamDestroy(1, 0))
            .Frame(wire::LibraryCall(kLibraryBlas, 3, 0, 0), arguments(kLibraryBlas, 3))
            .bytes());
  Write("session", "library_asked",
        Script()
            .Frame(wire::LibraryOpen(kLibraryBlasLt, 0))
            .Frame(wire::LibrarySettings(kLibraryBlasLt, 0))
            .Frame(wire::LibraryCall(kLibraryBlasLt, 1, 0, 0), arguments(kLibraryBlasLt, 1))
            .Frame(wire::LibraryAsk(kLibraryBlasLt, 4, 0, 0), arguments(kLibraryBlasLt, 4))
            .Frame(wire::LibraryAsk(kLibraryBlasLt, 4, 0, 0), Bytes(arguments(kLibraryBlasLt, 4).size()))
            .Frame(wire::LibraryAsk(kLibraryBlasLt, 1, 0, 0), arguments(kLibraryBlasLt, 1))
            .bytes());
  Write("session", "library_none",
        Script(1 | 8)
            .Frame(wire::LibraryOpen(kLibraryBlas, 0))
            .Frame(wire::LibrarySettings(kLibraryBlas, 0), Bytes(88, 0))
            .Frame(wire::LibraryCall(kLibraryBlas, 1, 0, 0), blas)
            .bytes());
}

}  // namespace
}  // namespace accelmesh

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "make_library_seeds FOLDER\n");
    return 2;
  }
  accelmesh::fuzz::SeedFolder() = argv[1];
  accelmesh::BlasSeeds();
  accelmesh::LtSeeds();
  accelmesh::SessionSeeds();
  return 0;
}
