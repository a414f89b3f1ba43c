// Tier 0 of the software GPU: a warp interpreter in plain C++ (no compile latency, no LLVM).
//
// A kernel is decoded once (Decode) and then run block by block (RunBlock): 32 lanes a warp, lane masks, lowest pc
// first. Device addresses are host addresses of this process; every access is checked against a MemoryMap. Threads: a
// DecodedKernel and a MemoryMap may be shared; a BlockContext belongs to one thread at a time. Errors: Fault says what
// a kernel did wrong, in CUDA's terms; nothing here throws or raises signals.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/backend/cpu/ptx/module.h"
#include "server/device.h"

namespace accelmesh::tier0 {

// Which addresses a kernel may touch: the window, in chunks of 2 MiB that the device marks as it gives memory out.
class MemoryMap {
 public:
  static constexpr unsigned kChunkShift = 21;
  void Reset(std::uint64_t base, std::uint64_t bytes);
  void Allow(std::uint64_t address, std::uint64_t bytes);
  bool Allowed(std::uint64_t address, std::uint64_t bytes) const {
    const std::uint64_t offset = address - base_;
    if (offset >= bytes_ || bytes > bytes_ - offset) return false;
    return Marked(offset >> kChunkShift) && Marked((offset + bytes - 1) >> kChunkShift);
  }

 private:
  bool Marked(std::uint64_t chunk) const {
    return (words_[chunk >> 6].load(std::memory_order_relaxed) >> (chunk & 63) & 1) != 0;
  }
  std::uint64_t base_ = 0;
  std::uint64_t bytes_ = 0;
  std::unique_ptr<std::atomic<std::uint64_t>[]> words_;
};

struct Fault {
  DeviceStatus status = kDeviceLaunchFailed;
  std::string text;  // kernel, instruction with line, thread and block, address
};

struct Program;  // decoded form; private to this folder

class DecodedKernel {
 public:
  DecodedKernel(std::unique_ptr<Program> program);
  ~DecodedKernel();
  const Program& program() const { return *program_; }

 private:
  std::unique_ptr<Program> program_;
};

// Looks up the address of a module's variable; 0 if there is none.
using SymbolLookup = std::function<std::uint64_t(std::string_view)>;
// kUnsupported names the instruction and its line. `module` must outlive the result.
Result<std::unique_ptr<DecodedKernel>> Decode(const ptx::Module& module, const ptx::Kernel& kernel,
                                              const SymbolLookup& symbols);

struct GridLaunch {
  const DecodedKernel* kernel = nullptr;
  const MemoryMap* memory = nullptr;
  Dim3 grid;
  Dim3 block;
  std::uint32_t dynamic_shared_bytes = 0;
  ByteView arguments;
  std::atomic<bool>* cancel = nullptr;                     // polled; true ends the block quietly
  std::function<void(std::string_view)>* print = nullptr;  // what device printf wrote
};

// Scratch that a thread keeps between blocks.
class BlockContext {
 public:
  BlockContext();
  ~BlockContext();
  struct State;
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

// Runs one block to completion on this thread. The fault, if the kernel committed one.
std::optional<Fault> RunBlock(const GridLaunch& launch, std::uint64_t block_index, BlockContext& context);

}  // namespace accelmesh::tier0
