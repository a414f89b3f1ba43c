// Who may connect to the CURVE sockets of a context: libzmq asks the context's ZapHandler (ZeroMQ RFC 27) of every new
// connection, and whom it does not know is refused. NULL and PLAIN always are.
//
// The owner's Lookup decides by key; its answers are kept for a while, so that a flood of connections costs it little,
// and forgotten by Reload() when what they rest on has changed; a refusal counts for a moment only. A refusal is logged
// once per key, with the remedy; the refused client itself sees no more than a closed connection, which is why every
// client of ours says hello and waits for the answer no longer than a deadline.
//
// Threads: the handler has one of its own, which calls Lookup, one call at a time. Lifetime: declare it before the
// sockets that need it and after their context: it must be gone before the context ends, and while it is not there
// nobody new gets in.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "protocol/base/clock.h"
#include "protocol/base/result.h"
#include "protocol/security/curve.h"

namespace accelmesh::zmq {

class ZapHandler {
 public:
  // The User-Id of the connections of `key` to sockets of `domain` (SecureServer), at most 255 bytes; or why it may not
  // connect, with the remedy.
  using Lookup = std::function<Result<std::string>(const security::CurveKey& key, std::string_view domain)>;

  // kUnavailable if the context has one already.
  static Result<std::unique_ptr<ZapHandler>> Start(void* context, Lookup lookup,
                                                   Duration remember_for = std::chrono::seconds(30));
  ~ZapHandler();
  ZapHandler(const ZapHandler&) = delete;
  ZapHandler& operator=(const ZapHandler&) = delete;

  // Asks Lookup anew from now on. Connections that were admitted stay. Any thread.
  void Reload();

 private:
  class Impl;
  explicit ZapHandler(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace accelmesh::zmq
