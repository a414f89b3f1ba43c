// A software GPU of one thread for tests: memory, kernels from PTX text, and a way to run one instruction over many
// values.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "server/backend/cpu/tier0/heap.h"
#include "server/backend/cpu/tier0/tier0.h"

namespace accelmesh {
class Jit;
}

namespace accelmesh::tier0 {

class Machine {
 public:
  Machine();
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // Parses the text and decodes its kernel number `kernel`. Failures of both are the result.
  Status Load(std::string_view text, std::size_t kernel = 0);
  // Space in device memory, zeroed; everything is given back by Reset().
  std::uint64_t Allocate(std::uint64_t bytes);
  void Reset();
  template <typename T>
  T* At(std::uint64_t address) const {
    return reinterpret_cast<T*>(address);
  }
  // Runs all blocks, in order, until one faults.
  std::optional<Fault> Run(Dim3 grid, Dim3 block, ByteView arguments, std::uint32_t dynamic_shared_bytes = 0);
  std::optional<Fault> Run(Dim3 grid, Dim3 block, const std::vector<std::uint64_t>& arguments = {},
                           std::uint32_t dynamic_shared_bytes = 0);
  // Runs all blocks of a cooperative grid on this thread, a slice each in turn, until one faults or `slices_max` are
  // over (which fails the test).
  std::optional<Fault> RunTogether(Dim3 grid, Dim3 block, const std::vector<std::uint64_t>& arguments = {},
                                   std::uint64_t slices_max = 1u << 20);
  const ptx::Module& module() const { return *module_; }
  const std::string& printed() const { return printed_; }
  const std::string& complained() const { return complained_; }
  std::atomic<bool>& cancel() { return cancel_; }
  // Kernels are compiled before they run, for the size of block that they run with.
  void set_compiler(Jit* compiler) { compiler_ = compiler; }
  const DecodedKernel& kernel() const { return *kernel_; }
  const tier1::Compiled* compiled(bool linear) const;
  void set_stack_bytes(std::uint32_t bytes) { stack_bytes_ = bytes; }
  // Objects that kernels may name; they stay the caller's.
  void set_textures(const TextureTable* textures) { textures_ = textures; }
  // Beyond what is allocated: a kernel may not touch it.
  std::uint64_t forbidden() const { return base_ + kBytes / 2; }

  static constexpr std::uint64_t kHeapBytes = 1 << 20;  // of malloc in kernels

 private:
  static constexpr std::uint64_t kBytes = 64 << 20;
  void Compile(const Dim3& block);
  GridLaunch LaunchOf(Dim3 grid, Dim3 block, ByteView arguments);
  std::uint64_t base_ = 0;
  std::uint64_t used_ = 0;
  MemoryMap memory_;
  std::shared_ptr<const ptx::Module> module_;
  std::unique_ptr<DecodedKernel> kernel_;
  BlockContext context_;
  std::unique_ptr<Heap> heap_;
  Jit* compiler_ = nullptr;
  std::string printed_;
  std::string complained_;
  std::function<void(std::string_view)> print_ = [this](std::string_view text) { printed_ += text; };
  std::function<void(std::string_view)> complain_ = [this](std::string_view text) { complained_ += text; };
  std::uint32_t stack_bytes_ = kStackBytesDefault;
  const TextureTable* textures_ = nullptr;
  std::atomic<bool> cancel_{false};
};

// A kernel with `body` between the header and the end: registers %a to %e, %r<16>, %rd<16>, %rs<8>, %f<8>, %fd<8> and
// %p<8>; %rd1 to %rd4 hold the four arguments of the kernel, %r1 the thread's index in its block.
std::string KernelText(const std::string& body);

// One row of values for an instruction.
struct Values {
  std::uint64_t a = 0, b = 0, c = 0, e = 0;
};
// Bits of the registers %d, %a, %b, %c, %e.
struct Widths {
  int d = 32, a = 32, b = 32, c = 32, e = 32;
};
// Runs `body` once for each row, with the values in %a, %b, %c, %e, and returns what it left in %d. Predicates %p, %q
// and registers %t<4> (32-bit) are there to help. Fails the test and returns nothing if the body is refused.
std::vector<std::uint64_t> RunRows(const std::string& body, const Widths& widths, const std::vector<Values>& rows);

// Values that matter, and a few hundred random ones from a fixed seed, in every combination of two or three operands
// that is affordable.
enum class Kind { kNone, kInteger, kShift, kF32, kF64, kF16, kBf16 };
std::vector<std::uint64_t> Interesting(Kind kind, int bits);
std::vector<Values> Rows(Kind a, int a_bits, Kind b = Kind::kNone, int b_bits = 0, Kind c = Kind::kNone,
                         int c_bits = 0);

// For the mutation run (mutation_main.cpp): what tests execute, and one instruction made wrong on purpose.
struct Mutations {
  // An opcode with all its modifiers, "add.rn.f32". Empty: nothing is made wrong.
  std::string form;
  // Called with each form that a kernel of a test has; `direct` if it stands in the body that a test hands to RunRows.
  std::function<void(const std::string& form, bool direct)> seen;
};
Mutations& GetMutations();

using Reference = std::function<std::uint64_t(const Values&)>;
// Compares the low Widths::d bits of each result with the reference's.
void ExpectRows(const std::string& body, const Widths& widths, const std::vector<Values>& rows,
                const Reference& reference);

}  // namespace accelmesh::tier0
