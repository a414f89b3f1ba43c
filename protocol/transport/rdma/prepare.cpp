// Before there is an End: what the device must be able to do, the memory that is registered, and how outcomes are said.
#include <string>

#include "protocol/transport/rdma/end.h"

namespace accelmesh::rdma {

std::string_view OutcomeText(Outcome outcome) {
  switch (outcome) {
    case Outcome::kOk: return "done";
    case Outcome::kFlushed: return "the connection had failed before";
    case Outcome::kRemoteAccess: return "the peer's device refused access to its memory";
    case Outcome::kRetryExceeded: return "the peer's device does not answer";
    case Outcome::kRnrExceeded: return "the peer had no receive posted";
    case Outcome::kOther: break;
  }
  return "the device reports an error";
}

Result<Prepared> Prepare(std::unique_ptr<Link> link, Role role) {
  constexpr const char* kWhere = "rdma::Prepare";
  const LinkLimits& limits = link->limits();
  if (limits.inline_bytes_max < sizeof(Words) || limits.work_max < kWorkMax || limits.receives_max < kReceives) {
    return Status(Code::kUnsupported, kWhere,
                  "the device takes " + std::to_string(limits.inline_bytes_max) + " bytes inline, " +
                      std::to_string(limits.work_max) + " work requests and " + std::to_string(limits.receives_max) +
                      " receives at a time; " + std::to_string(sizeof(Words)) + ", " + std::to_string(kWorkMax) +
                      " and " + std::to_string(kReceives) + " are needed. Use tcp:// there");
  }
  Prepared prepared;
  ACCELMESH_ASSIGN_OR_RETURN(prepared.block, Block::Create(role));
  Block& block = *prepared.block;
  ACCELMESH_ASSIGN_OR_RETURN(prepared.outbox, link->Register(block.outbox(), Access::kRemoteRead));
  ACCELMESH_ASSIGN_OR_RETURN(prepared.inbox, link->Register(block.inbox(), Access::kRemoteWrite));
  ACCELMESH_ASSIGN_OR_RETURN(prepared.staging, link->Register(block.staging(), Access::kNone));
  ACCELMESH_RETURN_IF_ERROR(link->PostReceives(kReceives));
  prepared.greeting.inbox = reinterpret_cast<std::uintptr_t>(block.inbox().data());
  prepared.greeting.outbox = reinterpret_cast<std::uintptr_t>(block.outbox().data());
  prepared.greeting.inbox_key = prepared.inbox->remote_key();
  prepared.greeting.outbox_key = prepared.outbox->remote_key();
  prepared.link = std::move(link);
  return prepared;
}

}  // namespace accelmesh::rdma
