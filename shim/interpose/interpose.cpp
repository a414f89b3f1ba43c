#include "shim/interpose/interpose.h"

#include <memory>
#include <new>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "protocol/base/elf.h"
#include "protocol/base/log.h"
#include "protocol/base/mapped_file.h"
#include "protocol/base/mutex.h"
#include "shim/interpose/loaded_objects.h"
#include "shim/interpose/loader_watch.h"
#include "shim/interpose/redirect.h"
#include "shim/interpose/runtime_functions.h"

namespace accelmesh {
namespace {

class Interposer {
 public:
  explicit Interposer(const Interposition& interposition) : interposition_(interposition) {}

  // Looks at every object that it has not seen, and forgets those that are gone.
  void Update() {
    const MutexLock lock(mu_);
    const std::vector<LoadedObject> objects = ListLoadedObjects();
    std::unordered_set<const link_map*> present;
    for (const LoadedObject& object : objects) present.insert(object.map);
    // First, so that one that was loaded in the place of another is seen as new. A closed object's pages are reached
    // by nobody.
    std::erase_if(seen_, [&](const auto& seen) { return present.count(seen.first) == 0; });
    for (const LoadedObject& object : objects) {
      const auto [place, is_new] = seen_.try_emplace(object.map);
      if (is_new) place->second = Examine(object);
    }
  }

  void OnChange() {
    // Only between changes is the list whole.
    if (!LoaderIsConsistent()) return;
    Update();
    interposition_.on_change();
  }

  void OutOfMemory() const { interposition_.on_out_of_memory(); }
  void LockForFork() ACCELMESH_THREAD_ATTRIBUTE(acquire_capability(mu_)) { mu_.lock(); }
  void UnlockAfterFork() ACCELMESH_THREAD_ATTRIBUTE(release_capability(mu_)) { mu_.unlock(); }

 private:
  // The pages over which its functions jump; none if it has no static runtime.
  NearPages Examine(const LoadedObject& object) ACCELMESH_REQUIRES(mu_) {
    const Result<MappedFile> file = MappedFile::Open(object.path);
    // What cannot be read is not judged: the loader did read it.
    if (!file.ok()) return {};
    const Result<ProgramFacts> facts = ReadProgram(file->bytes());
    if (!facts.ok()) return {};
    if (const RuntimeFault fault = FindRuntimeFault(*facts, object.name); !fault.text.empty()) {
      interposition_.on_fault(object.is_program, fault);
      return {};
    }
    if (facts->static_runtime != StaticRuntime::kServed) return {};
    Result<NearPages> pages = RedirectRuntime(object, file->bytes());
    if (pages.ok()) return *std::move(pages);
    interposition_.on_fault(
        object.is_program,
        {false, object.name + " is built with the static CUDA runtime, which cannot be redirected here: " +
                    pages.status().text() + "; rebuild it with nvcc -cudart shared"});
    return {};
  }

  Result<NearPages> RedirectRuntime(const LoadedObject& object, ByteView file) ACCELMESH_REQUIRES(mu_) {
    ACCELMESH_ASSIGN_OR_RETURN(const std::vector<RuntimeFunction> functions,
                               FindRuntimeFunctions(file, interposition_.entry_points));
    constexpr const char* kWhere = "RedirectRuntime";
    if (!IsLoadedFrom(object, file))
      return Status(Code::kUnsupported, kWhere, "its file is not the one that was loaded");
    std::vector<Redirection> redirections;
    redirections.reserve(functions.size());
    for (const RuntimeFunction& function : functions) {
      const std::uintptr_t at = object.bias() + function.address;
      // A breakpoint, or somebody else who redirects.
      if (std::memcmp(reinterpret_cast<const void*>(at), function.code.data(), function.code.size()) != 0)
        return Status(Code::kUnsupported, kWhere, "the code of " + std::string(function.name) + " is changed already");
      if (function.entry != nullptr) {
        redirections.push_back({at, reinterpret_cast<std::uintptr_t>(function.entry->function)});
      } else {
        const std::string& name = *refused_names_.emplace(function.name).first;
        redirections.push_back({at, reinterpret_cast<std::uintptr_t>(interposition_.refuse), name.c_str()});
      }
    }
    return Redirect(redirections);
  }

  const Interposition interposition_;
  Mutex mu_;
  std::unordered_map<const link_map*, NearPages> seen_ ACCELMESH_GUARDED_BY(mu_);
  std::set<std::string> refused_names_ ACCELMESH_GUARDED_BY(mu_);  // a node's string stays where it is
};

Interposer* g_interposer = nullptr;  // never destroyed; written before there are threads

void OnLoaderChange() {
  // Nothing may come out into ld.so.
  try {
    g_interposer->OnChange();
  } catch (const std::bad_alloc&) {
    g_interposer->OutOfMemory();
  }
}

}  // namespace

void BeginInterposing(const Interposition& interposition) {
  g_interposer = new Interposer(interposition);
  const Status watched = WatchLoader(&OnLoaderChange);
  // Another copy of ours, in another namespace, looks after this one, too.
  if (watched.code() == Code::kFull) return;
  if (!watched.ok())
    log::Warning("accelmesh", "libraries with a static CUDA runtime that the program opens later will not be served: " +
                                  watched.text());
  g_interposer->Update();
}

void LockInterposingForFork() ACCELMESH_THREAD_ATTRIBUTE(no_thread_safety_analysis) {
  if (g_interposer != nullptr) g_interposer->LockForFork();
}
void UnlockInterposingAfterFork() ACCELMESH_THREAD_ATTRIBUTE(no_thread_safety_analysis) {
  if (g_interposer != nullptr) g_interposer->UnlockAfterFork();
}

}  // namespace accelmesh
