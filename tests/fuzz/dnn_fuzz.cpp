// Functions of cuDNN as the software GPU runs them (server/backend/cpu/dnn.h), with whatever words a client may send.
// The input is:
//
//     function:u8 content:u8{8} [plan_words:u16 word{plan_words}] word*
//     content    an operand's: bit 0: it ends where its pages do, else it begins there; bits 1, 2: what it holds, see
//                Lay(); the others: by how many 256 bytes it is shorter than two pages
//     word       8 bytes: itself or, with kMark on top, an address: operand << 40, an offset below
//
// The words behind the operands are those of the function and their tail, whose length is made to be right: a session
// looks at no others (library.h). An execution of a graph has words before them, its settings, and is asked about
// first, as a client does it. How long a session keeps its own worker busy is its own affair, and not looked for here:
// memory is short, so that what is large is refused soon.
#include <array>
#include <vector>

#include "protocol/library/dnn_calls.h"
#include "server/backend/cpu/dnn.h"
#include "tests/fuzz/operands.h"
#include "tests/fuzz/short_memory.h"

extern "C" const accelmesh::cpu_blas::Interface* accelmesh_cpu_dnn();

namespace accelmesh::fuzz {
namespace {

constexpr std::size_t kOperands = 8;
constexpr std::size_t kOperandBytes = 2 * Operands::kPage;
constexpr std::uint64_t kMark = 0xa0d5;

constexpr std::size_t kMemoryBytes = 4 << 20;
constexpr std::size_t kOutrageousBytes = std::size_t{4} << 30;

using Content = std::array<std::uint8_t, kOperandBytes>;
template <typename T, typename Make>
Content Fill(Make make) {
  Content content;
  for (std::size_t i = 0; i < kOperandBytes / sizeof(T); ++i) {
    const T value = make(i);
    std::memcpy(content.data() + i * sizeof(T), &value, sizeof(value));
  }
  return content;
}

// Floats that are whole, doubles, small numbers as labels and lengths are, or bytes like any.
void Lay(Operands& operands, std::size_t index, std::uint8_t content) {
  static const std::array<Content, 4> contents{
      Fill<float>([](std::size_t i) { return static_cast<float>(i % 7) - 2; }),
      Fill<double>([](std::size_t i) { return static_cast<double>(i % 5) / 4; }),
      Fill<std::int32_t>([](std::size_t i) { return static_cast<std::int32_t>(1 + i % 3); }),
      Fill<std::uint8_t>([](std::size_t i) { return static_cast<std::uint8_t>(i * 37 + i / 256); })};
  const std::size_t bytes = kOperandBytes - 256 * (content >> 3U);
  std::memcpy(operands.Lay(index, bytes, (content & 1) != 0), contents[content >> 1 & 3].data(), bytes);
}

std::uint64_t Word(Input& input, const Operands& operands) {
  const auto word = input.Number<std::uint64_t>();
  if (word >> 48 != kMark) return word;
  const std::size_t operand = (word >> 40 & 0xff) % operands.size();
  return operands.Address(operand, (word & 0xffffff) % (operands.BytesOf(operand) + 64));
}

struct Shape {
  std::size_t words = 0;
  bool has_tail = false;
};
Shape ShapeOf(std::uint32_t function) {
  switch (function) {
#define ACCELMESH_DNN_FUNCTION(number, name, Words) \
  case number: return {kDnnWords<Words>, kDnnHasTail<Words>};
#include "protocol/gen_dnn_functions.inc"
#undef ACCELMESH_DNN_FUNCTION
    default: return {};
  }
}

// Copies of its own, so that nothing beside them is read.
class Border {
 public:
  explicit Border(const Operands& operands) : operands_(operands) {
    accelmesh_cpu_dnn()->start(1);
    functions_.resize((LibraryFunctions(kLibraryDnn) + 7) / 8);
    accelmesh_cpu_dnn()->functions(kLibraryDnn, functions_.data(), functions_.size());
  }
  bool Has(std::uint32_t function) const { return HasBit(functions_, function); }
  cpu_blas::Outcome Run(std::uint32_t function, const std::vector<std::uint64_t>& arguments,
                        const std::vector<std::uint64_t>& settings) const {
    const Bytes bytes = BytesOf(arguments), settings_bytes = BytesOf(settings);
    Require(HasLibraryShape(kLibraryDnn, function, bytes), "words of the function's shape");
    cpu_blas::Outcome outcome;
    {
      const ShortMemory short_memory(kMemoryBytes, kOutrageousBytes);
      accelmesh_cpu_dnn()->run({kLibraryDnn, function, bytes.data(), bytes.size(), &Operands::Allowed, &operands_,
                                settings_bytes.data(), settings_bytes.size()},
                               &outcome);
    }
    CheckOutcome(outcome);
    Require(outcome.status == 0 || IsAsked(kLibraryDnn, function), "only who is asked refuses");
    return outcome;
  }

 private:
  static Bytes BytesOf(const std::vector<std::uint64_t>& words) {
    Bytes bytes(words.size() * sizeof(std::uint64_t));
    if (!words.empty()) std::memcpy(bytes.data(), words.data(), bytes.size());
    bytes.shrink_to_fit();
    return bytes;
  }

  const Operands& operands_;
  Bytes functions_;
};

void Run(Input input) {
  static Operands operands(kOperands, kOperandBytes);
  static const Border border(operands);
  const std::uint32_t function = input.Number<std::uint8_t>() % LibraryFunctions(kLibraryDnn);
  if (!border.Has(function)) return;
  for (std::size_t i = 0; i < kOperands; ++i) Lay(operands, i, input.Number<std::uint8_t>());

  std::vector<std::uint64_t> settings;
  if (function == kDnnFunction<DnnGraphExecute>) {
    const std::size_t words = input.Number<std::uint16_t>() % (kDnnPlanWordsMax + 1);
    while (settings.size() < words && !input.empty()) settings.push_back(Word(input, operands));
  }
  const Shape shape = ShapeOf(function);
  std::vector<std::uint64_t> arguments{0};  // flags
  while (arguments.size() < 1 + shape.words) arguments.push_back(Word(input, operands));
  if (shape.has_tail) {
    while (!input.empty() && arguments.size() < 1 + shape.words + kDnnTailWordsMax)
      arguments.push_back(Word(input, operands));
    arguments[1] = arguments.size() - 1 - shape.words;
  }
  bool is_refused = false;
  if (function == kDnnFunction<DnnGraphExecute>) {
    std::vector<std::uint64_t> query{0, settings.size()};
    query.insert(query.end(), settings.begin(), settings.end());
    is_refused = border.Run(kDnnFunction<DnnGraphQuery>, query, {}).status != 0;
  }
  const cpu_blas::Outcome outcome = border.Run(function, arguments, settings);
  Require(!is_refused || outcome.device_status != 0, "what is refused when asked does not run");
}

}  // namespace
}  // namespace accelmesh::fuzz

// See operands.h.
extern "C" __attribute__((visibility("default"))) const char* __asan_default_options() { return "replace_intrin=0"; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  accelmesh::fuzz::Run({data, size});
  return 0;
}
