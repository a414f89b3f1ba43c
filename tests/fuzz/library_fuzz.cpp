// Functions of NVIDIA's libraries as the software GPU runs them (server/backend/cpu/blas.h), with whatever arguments a
// client may send. Operands lie against pages that nobody may touch, and only their bytes are allowed: an access beside
// them faults, whoever makes it. The input is:
//
//     library:u8 function:u16 flags:u8 operand{4} word*
//     operand := content:u8 short:u8    4096 bytes less 16 for each of `short`; content bit 0: they end where a page
//                                       does, else they begin there; bit 1: they are addresses of the operands
//     word := how:u8 ...                0: what the parameter's kind has by itself; 1 to 5: see Word()
//
// Words that the input does not have are of the first kind, and make a small product of a product's arguments. A count
// is as large as it likes, but not beside a step of zero, with which nothing of it has to be memory: how long a session
// keeps its own worker busy is its own affair, and not looked for here.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <memory>
#include <vector>

#include "protocol/library/lt_problem.h"
#include "server/backend/cpu/blas.h"
#include "server/backend/cpu/blas/elements.h"
#include "tests/fuzz/operands.h"

extern "C" const accelmesh::cpu_blas::Interface* accelmesh_cpu_blas();

namespace accelmesh::fuzz {
namespace {

constexpr std::size_t kOperands = 4;
constexpr std::size_t kPage = Operands::kPage;
constexpr std::int64_t kSmallMax = 256;

// Parameters by what they are, from the generated calls.
enum class Kind : std::uint8_t { kNumber, kEnum, kDevice, kArray, kValue };
class Parameters {
 public:
  std::vector<Kind> kinds;  // by word

  int Number(std::size_t word) { return Note(word, Kind::kNumber); }
  int Enum(std::size_t word) { return Note(word, Kind::kEnum); }
#define ACCELMESH_NOTE(method, kind) \
  template <typename T>              \
  int method(std::size_t word) {     \
    return Note(word, kind);         \
  }
  ACCELMESH_NOTE(In, Kind::kDevice)
  ACCELMESH_NOTE(Out, Kind::kDevice)
  ACCELMESH_NOTE(InArray, Kind::kArray)
  ACCELMESH_NOTE(OutArray, Kind::kArray)
  ACCELMESH_NOTE(Scalar, Kind::kValue)
  ACCELMESH_NOTE(Result, Kind::kValue)
  ACCELMESH_NOTE(InOut, Kind::kValue)
#undef ACCELMESH_NOTE

 private:
  int Note(std::size_t word, Kind kind) {
    if (kinds.size() <= word) kinds.resize(word + 1, Kind::kValue);
    kinds[word] = kind;
    return 0;
  }
};

// Of a structure of lt_problem.h: `layouts` of them from a byte on, `addresses` from another, and both scalars.
template <typename Words>
std::vector<Kind> LtKinds(std::size_t layouts, std::size_t layouts_at, std::size_t addresses, std::size_t addresses_at,
                          std::size_t scalars_at) {
  std::vector<Kind> kinds(kLtWords<Words>, Kind::kEnum);
  for (std::size_t i = 0; i < layouts; ++i) {
    const std::size_t layout = layouts_at + i * sizeof(LtLayout);
    for (std::size_t at = offsetof(LtLayout, rows); at <= offsetof(LtLayout, plane_offset); at += 8)
      kinds[(layout + at) / 8] = Kind::kNumber;
  }
  std::fill_n(kinds.begin() + static_cast<std::ptrdiff_t>(addresses_at / 8), addresses, Kind::kDevice);
  kinds[scalars_at / 8] = Kind::kValue;
  return kinds;
}

std::vector<Kind> KindsOf(std::uint32_t library, std::uint32_t function) {
  using namespace cpu_blas;
  if (library == kLibraryBlasLt) {
    if (function == kLtFunction<LtMatmul>)
      return LtKinds<LtMatmul>(4, offsetof(LtMatmul, layouts), 4, offsetof(LtMatmul, a), offsetof(LtMatmul, alpha));
    if (function == kLtFunction<LtTransform>)
      return LtKinds<LtTransform>(3, offsetof(LtTransform, a_layout), 3, offsetof(LtTransform, a),
                                  offsetof(LtTransform, alpha));
    return {};
  }
  Parameters a;
  const auto note = [](auto... /*noted*/) {};
  switch (function) {
#define ACCELMESH_BLAS_CALL(number, family, ...) \
  case number: note(__VA_ARGS__); break;
#include "protocol/gen_blas_calls.inc"
#undef ACCELMESH_BLAS_CALL
    default: break;
  }
  return a.kinds;
}

// Floats that are whole, or addresses.
void Lay(Operands& operands, std::size_t index, std::uint8_t content, std::uint8_t shorter) {
  const std::size_t bytes = kPage - 16 * std::size_t{shorter};
  std::uint8_t* const begin = operands.Lay(index, bytes, (content & 1) != 0);
  for (std::size_t i = 0; i + 8 <= bytes; i += 8) {
    const float numbers[2] = {static_cast<float>(i % 7), static_cast<float>(content) - 3};
    const std::uint64_t address = operands.Address((index + 1 + i / 8) % kOperands, 0);
    if ((content & 2) != 0) {
      std::memcpy(begin + i, &address, sizeof(address));
    } else {
      std::memcpy(begin + i, numbers, sizeof(numbers));
    }
  }
}

std::uint64_t ByItself(Kind kind, std::size_t word, const Operands& memory) {
  switch (kind) {
    case Kind::kNumber: return 4;
    case Kind::kEnum: return 0;
    case Kind::kDevice: return memory.Address(word % (kOperands - 1), 0);
    case Kind::kArray: return memory.Address(kOperands - 1, 0);
    case Kind::kValue: return 0x3f800000;  // 1 in float
  }
  return 0;
}

std::uint64_t Word(Input& input, Kind kind, std::size_t word, const Operands& memory) {
  switch (const std::uint8_t how = input.Number<std::uint8_t>(); how % 6) {
    case 1: return static_cast<std::uint64_t>(std::int64_t{input.Number<std::int8_t>()});
    case 2: return input.Number<std::uint8_t>();
    case 3: return memory.Address(how / 6 % kOperands, input.Number<std::uint16_t>() % (kPage + 64));
    case 4: return input.Number<std::uint64_t>();
    case 5: {
      const std::uint64_t power = std::uint64_t{1} << input.Number<std::uint8_t>() % 64;
      return power + static_cast<std::uint64_t>(std::int64_t{input.Number<std::int8_t>()});
    }
    default: return ByItself(kind, word, memory);
  }
}

void Run(Input input) {
  static const cpu_blas::Interface& border = []() -> const cpu_blas::Interface& {
    accelmesh_cpu_blas()->start(1);
    return *accelmesh_cpu_blas();
  }();
  const std::uint32_t library = input.Number<std::uint8_t>() % 2 == 0 ? kLibraryBlas : kLibraryBlasLt;
  const std::uint32_t function = input.Number<std::uint16_t>() % LibraryFunctions(library);
  Bytes bits((LibraryFunctions(library) + 7) / 8);
  border.functions(library, bits.data(), bits.size());
  if (!HasBit(bits, function)) return;

  std::vector<std::uint64_t> words{input.Number<std::uint8_t>()};  // flags
  static Operands memory(kOperands, kPage);
  for (std::size_t i = 0; i < kOperands; ++i) {
    const auto content = input.Number<std::uint8_t>();
    Lay(memory, i, i + 1 == kOperands ? content ^ 2 : content, input.Number<std::uint8_t>());
  }
  const std::vector<Kind> kinds = KindsOf(library, function);
  const auto has_shape = [&] {
    return HasLibraryShape(library, function,
                           {reinterpret_cast<const std::uint8_t*>(words.data()), words.size() * sizeof(words[0])});
  };
  while (!has_shape()) {
    if (words.size() > kLibraryWordsMax) return;
    const std::size_t at = words.size() - 1;
    words.push_back(Word(input, at < kinds.size() ? kinds[at] : Kind::kEnum, at, memory));
  }
  const auto is_number = [&](std::size_t at) { return at - 1 < kinds.size() && kinds[at - 1] == Kind::kNumber; };
  bool has_large = false;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const auto value = static_cast<std::int64_t>(words[i]);
    has_large = has_large || (is_number(i) && (value > kSmallMax || value < -kSmallMax));
  }
  // Of elements of up to 16 bytes: what comes to no bytes is a step of zero, too.
  for (std::size_t i = 1; i < words.size(); ++i) words[i] += has_large && is_number(i) && words[i] << 4 == 0 ? 1 : 0;

  // A copy of its own, so that nothing beside it is read.
  const auto arguments = std::make_unique<std::uint64_t[]>(words.size());
  std::copy(words.begin(), words.end(), arguments.get());
  cpu_blas::Outcome outcome;
  border.run({library, function, reinterpret_cast<const std::uint8_t*>(arguments.get()),
              words.size() * sizeof(words[0]), &Operands::Allowed, &memory},
             &outcome);
  CheckOutcome(outcome);
}

}  // namespace
}  // namespace accelmesh::fuzz

// See operands.h.
extern "C" __attribute__((visibility("default"))) const char* __asan_default_options() { return "replace_intrin=0"; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  accelmesh::fuzz::Run({data, size});
  return 0;
}
