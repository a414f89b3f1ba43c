// Status and Result<T>: how every function of AccelMesh that can fail says so. Nothing of ours throws.
//
// Contract: a Status is a value; `ok()` or a code, the place that decided (`where`, a function and parameter such as
// "Session::Decode.size") and a text for people that names the cause and, where there is one, the remedy. Whoever first
// decides that something is an error logs it once; callers pass it up unlogged. Outputs are set only on success.
// Threads: values; safe to copy and move between threads.
#pragma once

#include <cassert>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace accelmesh {

enum class Code : std::uint16_t {
  kOk = 0,
  kInvalidArgument = 1,    // the caller's value is wrong
  kNotFound = 2,           // a name or handle nobody knows
  kLimitExceeded = 3,      // past protocol/base/limits.h or a quota
  kOutOfMemory = 4,        // device or host memory of the lease is used up
  kBadFrame = 5,           // bytes from a peer that do not verify; its session ends
  kVersionMismatch = 6,    // HELLO offered no version that both sides speak
  kClosed = 7,             // the connection or session has ended
  kDeadlineExceeded = 8,   // a wait ran past its deadline
  kUnavailable = 9,        // nobody answers at the endpoint
  kUnsupported = 10,       // known, and refused by name
  kPermissionDenied = 11,  // refused by a rule (address, token, sandbox)
  kDeviceFault = 12,       // a kernel or device error; sticky in its session
  kFull = 13,              // would have to wait; try again after progress
  kSystem = 14,            // the operating system refused; text carries errno
  kInternal = 15,          // a bug of ours, contained
};

// The stable, lower-case name of a code, for logs ("bad_frame").
std::string_view CodeName(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string where, std::string text);

  static Status Ok() { return {}; }
  // Makes a kSystem status whose text ends in strerror(`error_number`).
  static Status System(int error_number, std::string where, std::string text);

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& where() const { return where_; }
  const std::string& text() const { return text_; }
  // "bad_frame in Session::Decode.size: 12 bytes of 40", or "ok".
  std::string ToString() const;

 private:
  Code code_ = Code::kOk;
  std::string where_;
  std::string text_;
};

// A value or the Status that explains its absence. Reading the value of a failed Result is a bug (asserted).
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}         // NOLINT(google-explicit-constructor): reads as the value.
  Result(Status status) : status_(std::move(status)) {  // NOLINT(google-explicit-constructor): reads as the error.
    assert(!status_.ok());
  }

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  Code code() const { return status_.code(); }

  T& value() & {
    assert(ok());
    return *value_;
  }
  const T& value() const& {
    assert(ok());
    return *value_;
  }
  T&& value() && {
    assert(ok());
    return *std::move(value_);
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  Status status_;
  std::optional<T> value_;
};

}  // namespace accelmesh

// Returns early with the Status of a failed expression. The expression yields a Status.
#define ACCELMESH_RETURN_IF_ERROR(expression)                                                                 \
  do {                                                                                                        \
    if (::accelmesh::Status accelmesh_status = (expression); !accelmesh_status.ok()) return accelmesh_status; \
  } while (false)

#define ACCELMESH_CONCAT_(a, b) a##b
#define ACCELMESH_CONCAT(a, b) ACCELMESH_CONCAT_(a, b)
// Declares `lhs` from the value of a Result expression, or returns early with its Status.
#define ACCELMESH_ASSIGN_OR_RETURN(lhs, expression) \
  ACCELMESH_ASSIGN_OR_RETURN_(ACCELMESH_CONCAT(accelmesh_result_, __LINE__), lhs, expression)
#define ACCELMESH_ASSIGN_OR_RETURN_(result, lhs, expression) \
  auto result = (expression);                                \
  if (!result.ok()) return result.status();                  \
  lhs = std::move(result).value()
