// A session of one's own, as a program's client has it: commands of the wire to a session, most often of a backend in
// this very process, over loopback. What is measured through it has gone the way of a tenant's call: encoded, checked,
// queued, run, completed.
//
// Threads: one, but for the session's own. Errors: an error of the device ends the session's use; a new one is opened.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "protocol/base/clock.h"
#include "protocol/gen_commands.h"
#include "protocol/transport/channel.h"
#include "server/device.h"

namespace accelmesh::measure {

// A fresh backend with those options.
using BackendFactory = std::function<Result<std::unique_ptr<Backend>>(const BackendOptions& options)>;

class Tenant {
 public:
  struct Answer {
    std::uint32_t device_status = 0;
    std::string text;
    Bytes body;
  };
  struct Device {
    std::string name;
    std::string uuid;  // hex
    std::uint64_t memory_bytes = 0;
    std::uint64_t base = 0;
  };

  static Result<std::unique_ptr<Tenant>> Open(const BackendFactory& make, BackendOptions options);
  // A session of a server elsewhere, over a connection to its worker.
  static Result<std::unique_ptr<Tenant>> Attach(std::unique_ptr<ClientChannel> channel);
  ~Tenant();
  Tenant(const Tenant&) = delete;
  Tenant& operator=(const Tenant&) = delete;

  const std::string& backend_name() const { return backend_name_; }
  const Device& device() const { return device_; }
  // Memory of the device, zeros. kOutOfMemory.
  Result<std::uint64_t> Allocate(std::uint64_t bytes);
  // All that was allocated is free again; nothing uses it any more.
  Status FreeAll();

  // The sequence number of the command.
  template <typename T>
  Result<std::uint64_t> Post(const T& command, ByteView payload = {}) {
    return Send(static_cast<std::uint16_t>(CommandTraits<T>::kId), AsBytes(command), payload);
  }
  template <typename T>
  Result<Answer> Call(const T& command, ByteView payload = {}) {
    ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t sequence, Post(command, payload));
    return Hear(sequence);
  }
  // Until `stream` has completed that command. The error of the device, if there is one.
  Status Wait(std::uint32_t stream, std::uint64_t sequence);
  // What went wrong so far, as far as it has been heard.
  Status Check() const;
  // Loads PTX text; kernels have the order of the text.
  Status LoadModule(std::uint32_t module, std::string_view ptx);

 private:
  class Sink;
  Tenant() = default;
  Result<std::uint64_t> Send(std::uint16_t command, ByteView body, ByteView payload);
  Result<Answer> Hear(std::uint64_t sequence);
  Status OpenSession();
  // Whether the executor answered: then the window is reserved.
  Result<bool> TryWindow(std::uint64_t base, std::uint64_t bytes);

  std::unique_ptr<Backend> backend_;  // null if it is elsewhere
  std::string backend_name_;
  std::unique_ptr<ServerChannel> server_;
  std::unique_ptr<ClientChannel> channel_;
  std::unique_ptr<Sink> sink_;
  std::thread session_;
  std::uint64_t window_ = 0;
  std::uint64_t window_bytes_ = 0;
  std::uint64_t next_sequence_ = 1;
  std::uint64_t next_token_ = 1;
  Device device_;
  std::uint64_t allocated_ = 0;  // bytes from device_.base on
  std::vector<std::uint64_t> allocations_;
};

}  // namespace accelmesh::measure
