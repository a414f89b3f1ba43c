// The handles that a program has of one of NVIDIA's libraries. `Context` is what a handle points to: it has the session
// and the device that its calls go to.
//
// Threads: everything from any thread.
#pragma once

#include <memory>

#include "protocol/base/mutex.h"
#include "shim/runtime/pointer_table.h"
#include "shim/runtime/runtime.h"

namespace accelmesh {

template <typename Context>
class LibraryHandles {
 public:
  // Never destroyed: destructors of the program's own objects destroy handles.
  static LibraryHandles& All() {
    static auto* handles = new LibraryHandles;
    return *handles;
  }

  // Null for what is no handle.
  Context* Find(const void* handle) const { return table_.Find(handle); }
  Context* Add(std::unique_ptr<Context> context) {
    const MutexLock lock(mu_);
    table_.Set(context.get(), context.get());
    return context.release();
  }
  // Null if it is no handle, or no more.
  std::unique_ptr<Context> Take(const void* handle) {
    const MutexLock lock(mu_);
    std::unique_ptr<Context> context(table_.Find(handle));
    if (context != nullptr) table_.Erase(handle);
    return context;
  }
  // As Take(), and CUDA waits for the device: what a program can see of it is that its work is done.
  std::unique_ptr<Context> TakeIdle(const void* handle) {
    std::unique_ptr<Context> context = Take(handle);
    if (context != nullptr && Runtime::Get().SessionIfOpen() == context->session)
      (void)context->session->SynchronizeDevice(context->device);
    return context;
  }

 private:
  Mutex mu_;  // of changes
  PointerTable<Context> table_;
};

}  // namespace accelmesh
