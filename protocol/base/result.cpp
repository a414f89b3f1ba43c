#include "protocol/base/result.h"

#include <system_error>

namespace accelmesh {

std::string_view CodeName(Code code) {
  switch (code) {
    case Code::kOk: return "ok";
    case Code::kInvalidArgument: return "invalid_argument";
    case Code::kNotFound: return "not_found";
    case Code::kLimitExceeded: return "limit_exceeded";
    case Code::kOutOfMemory: return "out_of_memory";
    case Code::kBadFrame: return "bad_frame";
    case Code::kVersionMismatch: return "version_mismatch";
    case Code::kClosed: return "closed";
    case Code::kDeadlineExceeded: return "deadline_exceeded";
    case Code::kUnavailable: return "unavailable";
    case Code::kUnsupported: return "unsupported";
    case Code::kPermissionDenied: return "permission_denied";
    case Code::kDeviceFault: return "device_fault";
    case Code::kFull: return "full";
    case Code::kSystem: return "system";
    case Code::kInternal: return "internal";
  }
  return "unknown";
}

Status::Status(Code code, std::string where, std::string text)
    : code_(code), where_(std::move(where)), text_(std::move(text)) {}

Status Status::System(int error_number, std::string where, std::string text) {
  text += ": ";
  text += std::generic_category().message(error_number);
  return {Code::kSystem, std::move(where), std::move(text)};
}

std::string Status::ToString() const {
  if (ok()) return "ok";
  std::string line(CodeName(code_));
  line += " in ";
  line += where_;
  line += ": ";
  line += text_;
  return line;
}

}  // namespace accelmesh
