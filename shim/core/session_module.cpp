// Session: modules and launches.
#include <algorithm>
#include <array>
#include <cstring>

#include "protocol/base/log.h"
#include "shim/core/session_inl.h"

namespace accelmesh {
namespace {

constexpr std::chrono::minutes kLoadPatience{5};

void FillKernel(const wire::KernelInfo& from, KernelLayout* kernel) {
  if (from.name() != nullptr) kernel->name = from.name()->str();
  if (from.parameters() != nullptr) {
    for (const wire::KernelParameter* p : *from.parameters()) {
      // A claim of the server about how much of the program's memory is read: bounded before it is kept.
      const std::uint64_t end = std::uint64_t{p->offset()} + p->bytes();
      if (end > limits::kKernelArgumentBytesMax) continue;
      kernel->parameters.push_back(*p);
      kernel->argument_bytes = std::max(kernel->argument_bytes, static_cast<std::uint32_t>(end));
    }
  }
  kernel->max_threads_per_block = from.max_threads_per_block();
  kernel->static_shared_bytes = from.static_shared_bytes();
  kernel->local_bytes = from.local_bytes();
  kernel->constant_bytes = from.constant_bytes();
  kernel->registers = from.registers();
  kernel->ptx_version = from.ptx_version();
  kernel->binary_version = from.binary_version();
  kernel->cluster[0] = from.cluster_width();
  kernel->cluster[1] = from.cluster_height();
  kernel->cluster[2] = from.cluster_depth();
  kernel->cluster_must_be_set = from.cluster_must_be_set();
  kernel->cluster_policy = from.cluster_policy();
}

}  // namespace

std::shared_ptr<const LoadedModule> ClientSession::LoadModule(std::uint32_t device, ByteView image,
                                                              const std::vector<ManagedPlacement>& managed) {
  auto module = std::make_shared<LoadedModule>();
  if (image.size() > limits::kImageBytesMax) {
    log::Error("module load", "the image has " + std::to_string(image.size()) + " bytes, past the limit");
    module->error = kInvalidValue;
    return module;
  }
  {
    const MutexLock lock(stream_mu_);
    const std::optional<std::uint32_t> id = module_ids_.Take();
    if (!id.has_value()) {
      module->error = kOutOfMemory;
      return module;
    }
    module->id = *id;
  }
  // The tokens of one image are consecutive, whatever other threads send at the same time.
  const std::uint32_t tokens =
      static_cast<std::uint32_t>((image.size() + limits::kBulkBytesMax - 1) / limits::kBulkBytesMax);
  const std::uint64_t first = commands_->TakeTokens(tokens);
  for (const ManagedPlacement& one : managed) {
    const wire::ManagedVariable command(one.address, one.bytes, module->id, one.keep ? 1 : 0);
    const auto posted = commands_->Post(command, AsBytes(std::string_view(one.name)));
    if (!posted.ok()) {
      module->error = Lost(posted.status());
      return module;
    }
  }
  // The command goes first: an image may be larger than what the server holds of bodies that nobody has asked for.
  const Result<std::uint64_t> begun =
      commands_->BeginCall(wire::ModuleLoad(first, image.size(), tokens, module->id, device, 0));
  Status sent = begun.ok() ? commands_->Flush() : begun.status();
  for (std::uint32_t i = 0; i < tokens && sent.ok(); ++i) {
    const std::size_t at = i * limits::kBulkBytesMax;
    sent = commands_->SendBulk(first + i, image.subspan(at, std::min(limits::kBulkBytesMax, image.size() - at)));
  }
  if (!sent.ok()) {
    module->error = Lost(sent);
    return module;
  }
  const Result<Reply> reply = commands_->FinishCall(*begun, Deadline::After(kLoadPatience));
  if (!reply.ok()) {
    module->error = Lost(reply.status());
    return module;
  }
  if (reply->device_status != 0 || reply->code != 0) {
    log::Error("module load", reply->text);
    module->error = reply->device_status != 0 ? reply->device_status : kUnknown;
    const MutexLock lock(stream_mu_);
    module_ids_.GiveBack(module->id);
    return module;
  }
  flatbuffers::Verifier verifier(reply->body.data(), reply->body.size());
  if (!verifier.VerifyBuffer<wire::ModuleInfo>(nullptr)) {
    module->error = Lost(Status(Code::kBadFrame, "ClientSession::LoadModule", "ModuleInfo does not verify"));
    return module;
  }
  const auto& info = *flatbuffers::GetRoot<wire::ModuleInfo>(reply->body.data());
  std::uint64_t load = 0;
  {
    const MutexLock lock(stream_mu_);
    loads_[module->id] = load = ++last_load_;
  }
  if (info.kernels() != nullptr) {
    std::uint32_t index = 0;
    for (const wire::KernelInfo* from : *info.kernels()) {
      KernelLayout kernel;
      kernel.module = module->id;
      kernel.load = load;
      kernel.index = index++;
      FillKernel(*from, &kernel);
      module->kernels.emplace(kernel.name, std::move(kernel));
    }
  }
  if (info.globals() != nullptr) {
    const MutexLock lock(memory_mu_);
    for (const wire::GlobalInfo* from : *info.globals()) {
      if (from->name() == nullptr) continue;
      module->globals[from->name()->str()] = {from->address(), from->bytes(), from->is_managed()};
      // What lies in the host window is known there.
      if (!IsCommonAddress(from->address())) globals_[from->address()] = {from->bytes(), device};
    }
  }
  for (const ManagedPlacement& one : managed) module->globals[one.name] = {one.address, one.bytes};
  if (!managed.empty()) {
    // The initial values: written by the load, which has ended.
    NoteTwinWork(legacy_[device]->slot, 0);
    if (const DeviceResult settled = Settle(); settled != 0) module->error = settled;
  }
  return module;
}

void ClientSession::UnloadModule(const LoadedModule& module) {
  {
    const MutexLock lock(memory_mu_);
    for (const auto& [name, global] : module.globals) globals_.erase(global.address);
  }
  occupancy_.Forget(module.id);
  const auto posted = commands_->Post(wire::ModuleUnload(module.id, 0));
  if (!posted.ok()) {
    Lost(posted.status());
    return;
  }
  // The next load under this id is behind the unload in the command stream.
  const MutexLock lock(stream_mu_);
  loads_.erase(module.id);
  module_ids_.GiveBack(module.id);
}

DeviceResult ClientSession::AskOccupancy(const KernelLayout& kernel, wire::OccupancyOf of,
                                         const LaunchGeometry& geometry, std::uint64_t* count) {
  const wire::Occupancy command(kernel.module, kernel.index, geometry.shared_bytes, geometry.grid[0], geometry.grid[1],
                                geometry.grid[2], geometry.block[0], geometry.block[1], geometry.block[2], of,
                                geometry.attributes, geometry.cluster.policy, ToWire(geometry.cluster.size), 0);
  const ByteView asked = AsBytes(command);
  const Bytes key(asked.begin(), asked.end());
  if (const std::optional<std::uint32_t> known = occupancy_.Find(kernel.module, key); known.has_value()) {
    *count = *known;
    return 0;
  }
  const auto reply = commands_->Call(command, Deadline::After(kLoadPatience));
  if (!reply.ok()) return Lost(reply.status());
  if (reply->device_status != 0) return reply->device_status;
  flatbuffers::Verifier verifier(reply->body.data(), reply->body.size());
  if (!verifier.VerifyBuffer<wire::OccupancyInfo>(nullptr))
    return Lost(Status(Code::kBadFrame, "ClientSession::AskOccupancy", "the reply does not verify"));
  const std::uint32_t answer = flatbuffers::GetRoot<wire::OccupancyInfo>(reply->body.data())->count();
  occupancy_.Add(kernel.module, key, answer);
  *count = answer;
  return 0;
}

DeviceResult ClientSession::Launch(Stream* stream, const KernelLayout& kernel, const LaunchGeometry& geometry,
                                   void* const* arguments) {
  // The argument block is laid out as the kernel's parameter table says; the array that came in holds no sizes.
  std::array<std::uint8_t, 512> small;
  Bytes large;
  std::uint8_t* block = small.data();
  if (kernel.argument_bytes > small.size()) {
    large.resize(kernel.argument_bytes);
    block = large.data();
  }
  // Padding between parameters must not carry bytes of our stack to the server.
  std::memset(block, 0, kernel.argument_bytes);
  for (std::size_t i = 0; i < kernel.parameters.size(); ++i) {
    std::memcpy(block + kernel.parameters[i].offset(), arguments[i], kernel.parameters[i].bytes());
  }
  if (DeviceResult captured = 0; Diverts(*stream, &captured)) [[unlikely]] {
    if (captured != 0) return captured;
    GraphKernel node{stream->device,    kernel.module, kernel.index, nullptr, geometry, {},
                     kernel.parameters, kernel.load};
    node.arguments.assign(block, block + kernel.argument_bytes);
    return captures_->Capture(*stream, std::move(node));
  }
  if (const DeviceResult ready = BeforeKernel(stream, {block, kernel.argument_bytes}); ready != 0) return ready;
  const wire::Launch command(kernel.module, kernel.index, stream->slot, geometry.shared_bytes, geometry.grid[0],
                             geometry.grid[1], geometry.grid[2], geometry.block[0], geometry.block[1],
                             geometry.block[2], geometry.attributes, geometry.cluster.policy,
                             ToWire(geometry.cluster.size), ToWire(geometry.cluster.preferred));
  std::uint64_t sequence = 0;
  const DeviceResult posted = PostOn(stream, command, {block, kernel.argument_bytes}, &sequence);
  if (posted == 0) NoteDeviceWork(stream->slot, sequence);
  return posted;
}

}  // namespace accelmesh
