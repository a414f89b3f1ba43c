// Calls of cuBLASLt as they cross the wire. A function's words (library.h) are one of these structures, a word a
// member: whole numbers, enumerators and flags as they are, sign-extended; addresses of device memory; a float as its
// bits. Enumerators are those of cublasLt.h, cublas_api.h and library_types.h.
//
// LtMatmul and LtTransform are posted into their stream (wire::LibraryCall). The others depend on nothing but their
// words, are asked (wire::LibraryAsk: at once, before whatever is in streams) and answered with the bytes that are said
// at each; a client may remember an answer for good. What the library knows of no problem it may never be asked: the
// settings of all calls are number 0, which has no words.
//
// Threads: values.
#pragma once

#include <array>
#include <cstdint>

#include "protocol/library/library.h"

namespace accelmesh {

// cublasLtMatrixLayout_t.
struct LtLayout {
  std::int64_t type = 0;
  std::int64_t order = 0;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t leading = 0;  // elements
  std::int64_t batch_count = 1;
  std::int64_t batch_stride = 0;  // elements
  std::int64_t plane_offset = 0;  // bytes
  std::int64_t batch_mode = 0;
};

// cublasLtMatmulDesc_t. Asked about, an address stands for one that is as aligned and null where it is: its last eight
// bits under kLtAlignedAddress.
struct LtOperation {
  std::int64_t compute_type = 0;
  std::int64_t scale_type = 0;
  std::int64_t pointer_mode = 0;
  std::int64_t transa = 0;
  std::int64_t transb = 0;
  std::int64_t transc = 0;
  std::int64_t fill_mode = 0;
  std::int64_t epilogue = 0;
  std::uint64_t bias = 0;
  std::int64_t bias_batch_stride = 0;
  std::int64_t bias_type = -1;  // -1: not set
  std::uint64_t aux = 0;
  std::int64_t aux_leading = 0;
  std::int64_t aux_batch_stride = 0;
  std::int64_t aux_type = -1;
  std::uint64_t aux_scale = 0;
  std::uint64_t aux_amax = 0;
  std::int64_t aux_scale_mode = 0;
  std::int64_t alpha_batch_stride = 0;
  std::int64_t sm_count_target = 0;
  std::uint64_t a_scale = 0;
  std::uint64_t b_scale = 0;
  std::uint64_t c_scale = 0;
  std::uint64_t d_scale = 0;
  std::int64_t a_scale_mode = 0;
  std::int64_t b_scale_mode = 0;
  std::int64_t c_scale_mode = 0;
  std::int64_t d_scale_mode = 0;
  std::uint64_t d_out_scale = 0;
  std::int64_t d_out_scale_mode = 0;
  std::uint64_t d_amax = 0;
  std::int64_t fast_accumulation = 0;
  // cublasLtEmulationDesc_t, if there is one.
  std::int64_t has_emulation = 0;
  std::int64_t emulation_strategy = 0;
  std::int64_t special_values = 0;
  std::int64_t mantissa_control = 0;
  std::int64_t mantissa_bits_max = 0;
  std::int64_t mantissa_bit_offset = 0;
  std::uint64_t mantissa_bits = 0;
};
inline constexpr std::uint64_t kLtAlignedAddress = std::uint64_t{1} << 40;

// cublasLtMatmulAlgo_t: nobody but the server's library knows what is in it.
using LtAlgorithm = std::array<std::uint64_t, 8>;

// Four layouts of one product.
struct LtLayouts {
  LtLayout a;
  LtLayout b;
  LtLayout c;
  LtLayout d;
};

// cublasLtMatmul. A scalar is its value, of the scale type from the first byte on, or, as the pointer mode says, an
// address in its first word; beta is 0 if the pointer mode says so.
struct LtMatmul {
  LtOperation operation;
  LtLayouts layouts;
  std::array<std::uint64_t, 2> alpha{};
  std::array<std::uint64_t, 2> beta{};
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  std::uint64_t c = 0;
  std::uint64_t d = 0;
  std::int64_t has_algorithm = 0;  // 0: the one that the heuristic finds
  LtAlgorithm algorithm{};
  std::uint64_t workspace = 0;
  std::uint64_t workspace_bytes = 0;
};

// cublasLtMatrixTransform. Scalars as LtMatmul's. B's layout is all 0 where there is no B.
struct LtTransform {
  std::int64_t scale_type = 0;
  std::int64_t pointer_mode = 0;
  std::int64_t transa = 0;
  std::int64_t transb = 0;
  LtLayout a_layout;
  LtLayout b_layout;
  LtLayout c_layout;
  std::array<std::uint64_t, 2> alpha{};
  std::array<std::uint64_t, 2> beta{};
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  std::uint64_t c = 0;
};

// cublasLtMatmulPreference_t.
struct LtPreference {
  std::int64_t search_mode = 0;
  std::uint64_t workspace_bytes_max = 0;
  std::int64_t reduction_mask = 0;
  std::int64_t a_alignment = 0;  // bytes
  std::int64_t b_alignment = 0;
  std::int64_t c_alignment = 0;
  std::int64_t d_alignment = 0;
  std::uint64_t waves_max = 0;  // a float's bits
  std::uint64_t implementation_mask = 0;
};

// cublasLtMatmulHeuristicResult_t, as an answer's bytes have it.
struct LtHeuristic {
  LtAlgorithm algorithm{};
  std::uint64_t workspace_bytes = 0;
  std::uint64_t status = 0;  // a cublasStatus_t
  std::uint64_t waves = 0;   // a float's bits
};
inline constexpr std::int64_t kLtHeuristicsMax = 256;

// cublasLtMatmulAlgoGetHeuristic. Answer: at most `count` LtHeuristic, the best first.
struct LtFindAlgorithms {
  LtOperation operation;
  LtLayouts layouts;
  LtPreference preference;
  LtAlgorithm algorithm{};  // of the first result, where the search mode limits the search to it
  std::int64_t count = 0;   // 1 to kLtHeuristicsMax
};

struct LtTypes {
  std::int64_t compute_type = 0;
  std::int64_t scale_type = 0;
  std::int64_t a = 0;
  std::int64_t b = 0;
  std::int64_t c = 0;
  std::int64_t d = 0;
};
// cublasLtMatmulAlgoGetIds. Answer: at most `count` numbers of 32 bits.
struct LtListAlgorithms {
  LtTypes types;
  std::int64_t count = 0;  // 1 to kLtHeuristicsMax
};
// cublasLtMatmulAlgoInit. Answer: an LtAlgorithm.
struct LtInitAlgorithm {
  LtTypes types;
  std::int64_t id = 0;
};
// cublasLtMatmulAlgoCheck. Answer: an LtHeuristic.
struct LtCheckAlgorithm {
  LtOperation operation;
  LtLayouts layouts;
  LtAlgorithm algorithm{};
};
// cublasLtMatmulAlgoCapGetAttribute. Answer: all of the attribute.
struct LtGetCapability {
  LtAlgorithm algorithm{};
  std::int64_t attribute = 0;
};
// cublasLtMatmulAlgoConfigSetAttribute: `bytes` of the value, 1 to 8. Answer: the LtAlgorithm that it has become.
struct LtSetConfiguration {
  LtAlgorithm algorithm{};
  std::int64_t attribute = 0;
  std::int64_t bytes = 0;
  std::uint64_t value = 0;
};
// cublasLtMatmulAlgoConfigGetAttribute. Answer: the attribute.
struct LtGetConfiguration {
  LtAlgorithm algorithm{};
  std::int64_t attribute = 0;
};

template <typename Words>
inline constexpr std::uint32_t kLtWords = sizeof(Words) / sizeof(std::uint64_t);
static_assert(kLtWords<LtMatmul> <= kLibraryWordsMax && kLtWords<LtFindAlgorithms> <= kLibraryWordsMax);

// The number of the function that has these words.
template <typename Words>
inline constexpr std::uint32_t kLtFunction = 0;
#define ACCELMESH_BLASLT_FUNCTION(function, name, Words) \
  template <>                                            \
  inline constexpr std::uint32_t kLtFunction<Words> = function;
#include "protocol/gen_blaslt_functions.inc"
#undef ACCELMESH_BLASLT_FUNCTION

// The words of arguments of that function's shape.
template <typename Words>
Words ReadLt(ByteView arguments) {
  Words words;
  if (arguments.size() == sizeof(std::uint64_t) + sizeof(Words))
    std::memcpy(static_cast<void*>(&words), arguments.data() + sizeof(std::uint64_t), sizeof(Words));
  return words;
}

}  // namespace accelmesh
