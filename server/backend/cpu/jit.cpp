#include "server/backend/cpu/jit.h"

#include <dlfcn.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>

#include "protocol/base/limits.h"
#include "protocol/base/log.h"
#include "server/backend/cpu/tier1.h"

namespace accelmesh {
namespace {

constexpr std::uint64_t kCacheBytesMax = 256 * limits::kMiB;
constexpr int kNiceness = 10;

std::string FolderOfThisObject() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&FolderOfThisObject), &info) == 0 || info.dli_fname == nullptr) return ".";
  const std::string path = info.dli_fname;
  return path.substr(0, path.rfind('/'));
}

}  // namespace

// The opened shared object. It is never closed: LLVM does not like that.
struct Jit::Library {
  const tier1::Interface* interface = nullptr;
  Mutex mu;  // one kernel at a time
  tier1::Compiler* compiler = nullptr;
  ~Library() {
    if (compiler != nullptr) interface->destroy(compiler);
  }
};

Jit::Jit(Options options) : options_(std::move(options)) {}

Jit::~Jit() {
  std::thread thread;
  {
    const MutexLock lock(mu_);
    stop_ = true;
    queue_.clear();
    thread = std::move(thread_);
  }
  work_.NotifyAll();
  if (thread.joinable()) thread.join();
}

std::string Jit::CacheFolder() {
  const char* wanted = std::getenv("ACCELMESH_TIER1_CACHE");
  if (wanted != nullptr) return std::string_view(wanted) == "off" ? std::string() : std::string(wanted);
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && cache[0] == '/') return std::string(cache) + "/accelmesh/tier1";
  const char* home = std::getenv("HOME");
  return home == nullptr || home[0] != '/' ? std::string() : std::string(home) + "/.cache/accelmesh/tier1";
}

Status Jit::Fail(const std::string& why) {
  failed_ = Status(Code::kUnsupported, "Jit::Open", why);
  log::Warning("jit", "the software GPU runs all kernels on tier 0: " + why);
  return failed_;
}

Result<std::shared_ptr<Jit::Library>> Jit::Open() {
  const MutexLock lock(library_mu_);
  if (library_ != nullptr) return library_;
  ACCELMESH_RETURN_IF_ERROR(failed_);
  const std::string path =
      options_.library.empty() ? FolderOfThisObject() + "/" + tier1::kLibraryName : options_.library;
  void* object = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (object == nullptr) return Fail(std::string("its compiler cannot be opened: ") + ::dlerror());
  const auto get = reinterpret_cast<tier1::GetInterface>(::dlsym(object, tier1::kSymbol));
  const tier1::Interface* interface = get == nullptr ? nullptr : get();
  if (interface == nullptr || interface->abi != tier1::kAbi) return Fail(path + " is of another version");
  auto library = std::make_shared<Library>();
  const std::string folder = options_.cache_folder.empty()    ? CacheFolder()
                             : options_.cache_folder == "off" ? std::string()
                                                              : options_.cache_folder;
  tier1::Options options;
  options.cache_folder = folder.c_str();
  options.cache_bytes_max = kCacheBytesMax;
  library->interface = interface;
  library->compiler = interface->create(options);
  if (library->compiler == nullptr) return Fail("its compiler does not know this processor");
  library_ = library;
  return library;
}

Status Jit::Compile(const tier0::DecodedKernel& kernel, bool linear) {
  ACCELMESH_ASSIGN_OR_RETURN(const std::shared_ptr<Library> library, Open());
  char why[200] = "";
  const tier1::Compiled* compiled = nullptr;
  {
    const MutexLock lock(library->mu);
    const tier0::Program& program = kernel.program();
    if (program.compiled[linear ? 1 : 0].load(std::memory_order_relaxed) != nullptr) return Status::Ok();
    compiled = library->interface->compile(library->compiler, program, linear, why, sizeof(why));
    if (compiled != nullptr) {
      kernel.Install(std::shared_ptr<const tier1::Compiled>(compiled,
                                                            [library](const tier1::Compiled* gone) {
                                                              const MutexLock release(library->mu);
                                                              library->interface->release(library->compiler, gone);
                                                            }),
                     linear);
      return Status::Ok();
    }
  }
  return {Code::kUnsupported, "kernel " + kernel.program().kernel->name, why};
}

void Jit::CompileLater(const tier0::DecodedKernel* kernel, bool linear, std::shared_ptr<const void> keeps) {
  {
    const MutexLock lock(mu_);
    if (stop_) return;
    queue_.push_back({kernel, linear, std::move(keeps)});
    if (!thread_.joinable()) thread_ = std::thread([this] { Main(); });
  }
  work_.NotifyOne();
}

void Jit::Main() {
  // Of this thread alone.
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNiceness);
  MutexLock lock(mu_);
  while (!stop_) {
    if (queue_.empty()) {
      work_.Wait(mu_);
      continue;
    }
    Work work = std::move(queue_.front());
    queue_.pop_front();
    lock.Unlock();
    if (const Status status = Compile(*work.kernel, work.linear); !status.ok())
      log::Info("jit", "a kernel stays on tier 0: " + status.ToString());
    work = {};
    lock.Lock();
  }
}

}  // namespace accelmesh
