// CpuBackend: modules. Their variables lie at the end of the window until nothing can mean them any more.
#include <algorithm>
#include <cstring>
#include <iterator>
#include <unordered_set>

#include "server/backend/cpu/device.h"
#include "server/module/image.h"

namespace accelmesh {

void CpuBackend::PlaceVariable(std::uint32_t module, std::string name, MutableByteView memory, bool keep) {
  const MutexLock lock(modules_mu_);
  placed_[module][std::move(name)] = {memory, keep};
}

Result<std::uint64_t> CpuBackend::AllocateGlobal(const ptx::Variable& variable) {
  const std::optional<std::uint64_t> address = globals_.Take(variable.bytes, variable.alignment);
  if (!address.has_value())
    return Status(Code::kOutOfMemory, "CpuBackend::ModuleLoad", "no room for variable " + variable.name);
  memory_.Allow(*address, variable.bytes);
  return *address;
}

// What kernels get from malloc(); there once a module calls it.
Status CpuBackend::MakeHeap(const ptx::Module& module) {
  const auto calls_malloc = [](const std::vector<ptx::Kernel>& bodies) {
    return std::any_of(bodies.begin(), bodies.end(), [](const ptx::Kernel& body) {
      return std::find(body.called.begin(), body.called.end(), "malloc") != body.called.end();
    });
  };
  if (!calls_malloc(module.kernels) && !calls_malloc(module.functions)) return Status::Ok();
  const MutexLock lock(modules_mu_);
  if (heap_ != nullptr) return Status::Ok();
  ptx::Variable place;
  place.name = "(the heap)";
  place.bytes = heap_bytes_.load(std::memory_order_relaxed);
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t address, AllocateGlobal(place));
  heap_ = std::make_unique<tier0::Heap>(address, place.bytes);
  return Status::Ok();
}

Result<ModuleDescription> CpuBackend::ModuleLoad(std::uint32_t /*device*/, std::uint32_t id, Bytes image) {
  ACCELMESH_ASSIGN_OR_RETURN(std::vector<std::string> texts, ExtractTexts(image, options_.compute_capability));
  ForgetModules();
  auto module = std::make_shared<Module>(globals_);
  ACCELMESH_ASSIGN_OR_RETURN(module->source, ptx::LinkModules(std::move(texts)));
  ACCELMESH_RETURN_IF_ERROR(ptx::CheckTarget(*module->source, options_.compute_capability));
  ACCELMESH_RETURN_IF_ERROR(MakeHeap(*module->source));
  ModuleDescription description;
  std::unordered_map<std::string, Placed> placed;
  {
    const MutexLock lock(modules_mu_);
    if (const auto found = placed_.find(id); found != placed_.end()) {
      placed = std::move(found->second);
      placed_.erase(found);
    }
  }
  std::unordered_set<std::string> kept;
  for (const ptx::Variable& variable : module->source->variables) {
    if (variable.is_extern) continue;
    std::uint64_t address = 0;
    if (const auto found = placed.find(variable.name); found != placed.end()) {
      const Placed& place = found->second;
      address = reinterpret_cast<std::uint64_t>(place.memory.data());
      if (variable.bytes > place.memory.size() || address % std::max<std::uint64_t>(variable.alignment, 1) != 0) {
        return Status(Code::kInvalidArgument, "CpuBackend::ModuleLoad",
                      "variable " + variable.name + " does not fit where the client placed it");
      }
      if (place.keep) kept.insert(variable.name);
    } else {
      ACCELMESH_ASSIGN_OR_RETURN(address, AllocateGlobal(variable));
      module->globals.emplace_back(address, variable.bytes);
    }
    if (!kept.contains(variable.name)) {
      std::memset(reinterpret_cast<void*>(address), 0, variable.bytes);
      if (!variable.initial.empty())
        std::memcpy(reinterpret_cast<void*>(address), variable.initial.data(), variable.initial.size());
    }
    module->symbols[variable.name] = address;
    description.globals.push_back({variable.name, address, variable.bytes, variable.space == ptx::Space::kConst});
  }
  for (const ptx::Variable& variable : module->source->variables) {
    if (variable.is_extern || kept.contains(variable.name)) continue;
    for (const ptx::Variable::Relocation& relocation : variable.relocations) {
      const auto target = module->symbols.find(relocation.symbol);
      if (target == module->symbols.end()) {
        return Status(Code::kInvalidArgument, "CpuBackend::ModuleLoad", "no symbol is named " + relocation.symbol);
      }
      const std::uint64_t value = target->second + static_cast<std::uint64_t>(relocation.addend);
      std::memcpy(reinterpret_cast<void*>(module->symbols[variable.name] + relocation.offset), &value, sizeof(value));
    }
  }
  for (const ptx::Kernel& kernel : module->source->kernels) {
    auto made = std::make_unique<Kernel>();
    made->source = &kernel;
    module->kernels.push_back(std::move(made));
    KernelDescription out;
    out.name = kernel.name;
    for (const ptx::Parameter& parameter : kernel.parameters)
      out.parameters.emplace_back(parameter.offset, parameter.bytes);
    out.max_threads_per_block = kernel.max_threads;
    out.static_shared_bytes = kernel.static_shared_bytes;
    out.local_bytes = kernel.local_bytes;
    out.registers = std::min(255u, kernel.registers);
    out.ptx_version = module->source->target;
    out.binary_version = options_.compute_capability;
    description.kernels.push_back(std::move(out));
  }
  const MutexLock lock(modules_mu_);
  modules_[id] = std::move(module);
  return description;
}

Status CpuBackend::ModuleUnload(std::uint32_t id) {
  PastModule past;
  {
    const MutexLock lock(modules_mu_);
    const auto found = modules_.find(id);
    if (found == modules_.end()) return {Code::kInvalidArgument, "CpuBackend::ModuleUnload", "no such module"};
    past.module = std::move(found->second);
    modules_.erase(found);
  }
  // Launches in flight hold it; copies have no more than the address of a variable.
  const MutexLock lock(mu_);
  for (const std::uint32_t stream : live_streams_) {
    const Stream& state = streams_[stream];
    if (state.completed < state.queued) past.after.emplace_back(stream, state.queued);
  }
  past_modules_.push_back(std::move(past));
  return Status::Ok();
}

void CpuBackend::ForgetModules() {
  std::vector<PastModule> gone;  // after the lock
  const MutexLock lock(mu_);
  const auto passed = std::partition(past_modules_.begin(), past_modules_.end(), [this](const PastModule& past) {
    mu_.AssertHeld();
    return !Passed(past.after);
  });
  gone.assign(std::make_move_iterator(passed), std::make_move_iterator(past_modules_.end()));
  past_modules_.erase(passed, past_modules_.end());
}

}  // namespace accelmesh
