#include "tests/differential/device.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

namespace accelmesh::differential {
namespace {

constexpr std::uint64_t kBytes = 4ull << 20;

}  // namespace

Device::Device(const std::string& compiler) : compiler_({JitMode::kAlways, compiler, "off"}) {
  void* got = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (got == MAP_FAILED) std::abort();
  base_ = reinterpret_cast<std::uint64_t>(got);
  map_.Reset(base_, kBytes);
  map_.Allow(base_, kBytes);
}
Device::~Device() { ::munmap(reinterpret_cast<void*>(base_), kBytes); }

Result<Bytes> Device::Run(const std::string& ptx, Tier tier, const Geometry& geometry, const Bytes& memory) {
  if (memory.size() > kBytes) return Status(Code::kInvalidArgument, "Device::Run", "too much memory");
  ACCELMESH_ASSIGN_OR_RETURN(const std::shared_ptr<const ptx::Module> module, ptx::ParseModule(ptx));
  if (module->kernels.empty()) return Status(Code::kNotFound, "Device::Run", "no kernel");
  ACCELMESH_ASSIGN_OR_RETURN(
      const std::unique_ptr<tier0::DecodedKernel> kernel,
      tier0::Decode(*module, module->kernels[0], [](std::string_view) { return std::uint64_t{0}; }));
  tier0::GridLaunch launch;
  launch.kernel = kernel.get();
  launch.memory = &map_;
  launch.grid = {geometry.blocks, 1, 1};
  launch.block = {geometry.block_x, geometry.block_y, 1};
  if (tier == Tier::k1) ACCELMESH_RETURN_IF_ERROR(compiler_.Compile(*kernel, tier0::IsLinear(launch.block)));
  auto* at = reinterpret_cast<std::uint8_t*>(base_);
  std::memcpy(at, memory.data(), memory.size());
  launch.arguments = ByteView(reinterpret_cast<const std::uint8_t*>(&base_), sizeof(base_));
  for (std::uint64_t i = 0; i < launch.grid.count(); ++i) {
    if (const std::optional<tier0::Fault> fault = tier0::RunBlock(launch, i, context_))
      return Status(Code::kInternal, "kernel", fault->text);
  }
  return Bytes(at, at + memory.size());
}

}  // namespace accelmesh::differential
