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

#include "protocol/base/clock.h"
#include "server/backend/cpu/ptx/module.h"
#include "server/backend/cpu/tier0/host_pages.h"
#include "server/backend/cpu/tier0/texture.h"
#include "server/device.h"

namespace accelmesh::tier1 {
struct Compiled;
}

namespace accelmesh::tier0 {

// Which addresses a kernel may touch: the window, in chunks of 2 MiB that the device marks as it gives memory out, and
// pages of host memory.
class MemoryMap {
 public:
  static constexpr unsigned kChunkShift = 21;
  void Reset(std::uint64_t base, std::uint64_t bytes);
  void Allow(std::uint64_t address, std::uint64_t bytes);
  // Host memory outside of the window: whole pages. False if there is no memory for what is to be remembered.
  bool AllowHost(std::uint64_t address, std::uint64_t bytes) { return host_.Set(address, bytes, true); }
  void DenyHost(std::uint64_t address, std::uint64_t bytes) { host_.Set(address, bytes, false); }
  bool Allowed(std::uint64_t address, std::uint64_t bytes) const {
    const std::uint64_t offset = address - base_;
    if (offset >= bytes_ || bytes > bytes_ - offset) [[unlikely]]
      return host_.Has(address, bytes);
    return Marked(offset >> kChunkShift) && Marked((offset + bytes - 1) >> kChunkShift);
  }
  // The part of the window around an address that is allowed, up to some chunks on either side; empty if there is none.
  // What is allowed stays allowed.
  void Around(std::uint64_t address, std::uint64_t* begin, std::uint64_t* bytes) const;

 private:
  bool Marked(std::uint64_t chunk) const {
    return (words_[chunk >> 6].load(std::memory_order_relaxed) >> (chunk & 63) & 1) != 0;
  }
  std::uint64_t base_ = 0;
  std::uint64_t bytes_ = 0;
  std::unique_ptr<std::atomic<std::uint64_t>[]> words_;
  HostPages host_;
};

struct Fault {
  DeviceStatus status = kDeviceLaunchFailed;
  std::string text;  // kernel, instruction with line, thread and block, address
};

struct Program;  // decoded form; private to this folder and to the compiler of tier 1

class DecodedKernel {
 public:
  DecodedKernel(std::unique_ptr<Program> program);
  ~DecodedKernel();
  const Program& program() const { return *program_; }
  // Blocks that begin from now on, and whose size is linear or not, run this code. Once each.
  void Install(std::shared_ptr<const tier1::Compiled> compiled, bool linear) const;

 private:
  std::unique_ptr<Program> program_;
  mutable std::shared_ptr<const tier1::Compiled> compiled_[2];
};

// Looks up the address of a module's variable; 0 if there is none.
using SymbolLookup = std::function<std::uint64_t(std::string_view)>;
// kUnsupported names the instruction and its line. `module` must outlive the result.
Result<std::unique_ptr<DecodedKernel>> Decode(const ptx::Module& module, const ptx::Kernel& kernel,
                                              const SymbolLookup& symbols);

class Heap;

// CUDA's limit of a thread's stack, unless the program sets it (cudaLimitStackSize).
inline constexpr std::uint32_t kStackBytesDefault = 1024;

// Whether in all warps of such a block %tid.x counts up by one from lane to lane, and %tid.y and %tid.z do not change:
// compiled code knows (tier1.h).
inline bool IsLinear(const Dim3& block) { return block.x % 32 == 0 || (block.y == 1 && block.z == 1); }

struct GridLaunch {
  const DecodedKernel* kernel = nullptr;
  const MemoryMap* memory = nullptr;
  Dim3 grid;
  Dim3 block;
  Dim3 cluster;  // what special registers say of it; a block here is a cluster of its own
  std::uint32_t dynamic_shared_bytes = 0;
  ByteView arguments;
  std::atomic<bool>* cancel = nullptr;                        // polled; true ends the block quietly
  std::function<void(std::string_view)>* print = nullptr;     // what device printf wrote
  std::function<void(std::string_view)>* complain = nullptr;  // what a failed assertion says, a line each
  std::uint32_t stack_bytes = kStackBytesDefault;             // bounds calls that go in circles
  Heap* heap = nullptr;                                       // of malloc and free; null: malloc gives nothing
  const TextureTable* textures = nullptr;                     // objects that the kernel may name; null: none
  // Blocks wait for one another (grid.sync): slices are short. `workspace` is theirs to meet in, as the driver gives
  // it.
  bool cooperative = false;
  MutableByteView workspace;
  std::uint64_t* instructions = nullptr;  // what lanes run is counted there, on tier 0, by one thread
};

// Scratch that a thread keeps between blocks.
class BlockContext {
 public:
  BlockContext();
  ~BlockContext();
  struct State;
  State& state() { return *state_; }
  std::uint64_t blocks() const;  // that were begun together

 private:
  std::unique_ptr<State> state_;
};

// Runs one block to completion on this thread. The fault, if the kernel committed one.
std::optional<Fault> RunBlock(const GridLaunch& launch, std::uint64_t block_index, BlockContext& context);

// The same of blocks with consecutive numbers, one after the other.
std::optional<Fault> RunBlocks(const GridLaunch& launch, std::uint64_t first, std::uint64_t count,
                               BlockContext& context);
// How many it is of use to run so, because compiled code does without coming back for each; and none of them waits for
// another.
std::uint64_t BlocksAtOnce(const GridLaunch& launch);

// The same in slices, so that blocks which wait for one another make progress on any number of threads. `launch` must
// live until the block is done; any thread may run the next slice.
std::optional<Fault> BeginBlocks(const GridLaunch& launch, std::uint64_t first, std::uint64_t count,
                                 BlockContext& context);
inline std::optional<Fault> BeginBlock(const GridLaunch& launch, std::uint64_t block_index, BlockContext& context) {
  return BeginBlocks(launch, block_index, 1, context);
}
struct Slice {
  bool done = false;           // with all blocks that were begun
  std::optional<Fault> fault;  // then done, too
};
// At least one round over the warps, and more until `until`.
Slice RunSlice(BlockContext& context, Clock::time_point until);

}  // namespace accelmesh::tier0
