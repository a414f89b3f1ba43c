// When kernels become machine code: tier 0 runs them from their first launch on, tier 1 (tier1.h) once they are hot.
//
// The compiler is a shared object beside this one, opened at first need by a thread of low priority; without it, or if
// it fails, everything runs on tier 0, and the log says so once. Threads: all methods from any. The Jit must outlive
// the kernels it compiled only in so far as they keep the shared object themselves.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <thread>

#include "protocol/base/mutex.h"
#include "server/backend/cpu/tier0/tier0.h"
#include "server/device.h"

namespace accelmesh {

class Jit {
 public:
  struct Options {
    JitMode mode = JitMode::kAuto;
    std::string library;       // empty: beside the object that this code is in
    std::string cache_folder;  // empty: CacheFolder()
  };
  explicit Jit(Options options);
  ~Jit();
  Jit(const Jit&) = delete;
  Jit& operator=(const Jit&) = delete;

  JitMode mode() const { return options_.mode; }
  // What ACCELMESH_TIER1_CACHE says ("off": no folder, nothing is kept), else a folder of the user's cache.
  static std::string CacheFolder();

  // Compiles and installs, on this thread, for blocks of a size that is linear (tier0::IsLinear) or not. kUnsupported:
  // the kernel stays on tier 0.
  Status Compile(const tier0::DecodedKernel& kernel, bool linear);
  // The same on the thread of the compiler, some time later. `keeps` holds the kernel until then.
  void CompileLater(const tier0::DecodedKernel* kernel, bool linear, std::shared_ptr<const void> keeps);

 private:
  struct Library;
  Result<std::shared_ptr<Library>> Open();
  Status Fail(const std::string& why) ACCELMESH_REQUIRES(library_mu_);  // said once, and the same ever after
  void Main();

  const Options options_;
  Mutex library_mu_;
  std::shared_ptr<Library> library_ ACCELMESH_GUARDED_BY(library_mu_);
  Status failed_ ACCELMESH_GUARDED_BY(library_mu_);

  struct Work {
    const tier0::DecodedKernel* kernel = nullptr;
    bool linear = false;
    std::shared_ptr<const void> keeps;
  };
  Mutex mu_;
  CondVar work_;
  std::deque<Work> queue_ ACCELMESH_GUARDED_BY(mu_);
  bool stop_ ACCELMESH_GUARDED_BY(mu_) = false;
  std::thread thread_ ACCELMESH_GUARDED_BY(mu_);
};

}  // namespace accelmesh
