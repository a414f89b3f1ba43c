#include "market/registry/registry.h"

#include <set>

namespace accelmesh::registry {
namespace {

Status CheckKey(std::string_view key, const char* where) {
  if (key.empty()) return {Code::kInvalidArgument, where, "the key is empty; every key has at least one byte"};
  if (key.size() > kKeyBytesMax) {
    return {Code::kLimitExceeded, where,
            "a key of " + std::to_string(key.size()) + " bytes; at most " + std::to_string(kKeyBytesMax)};
  }
  return {};
}

Status CheckBranch(const std::vector<Operation>& branch, const char* where, std::size_t& bytes) {
  std::set<std::string_view> written;
  for (const Operation& operation : branch) {
    ACCELMESH_RETURN_IF_ERROR(CheckKey(operation.key, where));
    if (operation.value.size() > kValueBytesMax) {
      return {Code::kLimitExceeded, where,
              "the value of " + KeyText(operation.key) + " has " + std::to_string(operation.value.size()) +
                  " bytes; at most " + std::to_string(kValueBytesMax)};
    }
    if (operation.lease < 0) return {Code::kInvalidArgument, where, "a lease's id is positive, or 0 for none"};
    if (operation.kind != Operation::Kind::kGet && !written.insert(operation.key).second) {
      return {Code::kInvalidArgument, where, KeyText(operation.key) + " is written twice in one branch; write it once"};
    }
    bytes += operation.key.size() + operation.value.size();
  }
  return {};
}

}  // namespace

Status CheckTxn(const Txn& txn) {
  for (const std::size_t count : {txn.compares.size(), txn.then.size(), txn.otherwise.size()}) {
    if (count > kOperationsMax) {
      return {Code::kLimitExceeded, "Registry::Submit",
              std::to_string(count) + " operations or compares; at most " + std::to_string(kOperationsMax) +
                  ": split it, and let the second part compare what the first one wrote"};
    }
  }
  std::size_t bytes = 0;
  for (const Compare& compare : txn.compares) {
    ACCELMESH_RETURN_IF_ERROR(CheckKey(compare.key, "Registry::Submit.compares"));
    bytes += compare.key.size() + compare.value.size();
  }
  ACCELMESH_RETURN_IF_ERROR(CheckBranch(txn.then, "Registry::Submit.then", bytes));
  ACCELMESH_RETURN_IF_ERROR(CheckBranch(txn.otherwise, "Registry::Submit.otherwise", bytes));
  if (bytes > kTxnBytesMax) {
    return {Code::kLimitExceeded, "Registry::Submit",
            "keys and values of " + std::to_string(bytes) + " bytes; at most " + std::to_string(kTxnBytesMax)};
  }
  return {};
}

Status CheckPrefix(std::string_view prefix) { return CheckKey(prefix, "Registry.prefix"); }

Status CheckTtl(std::chrono::seconds ttl) {
  if (ttl >= kLeaseTtlMin && ttl <= kLeaseTtlMax) return {};
  return {Code::kInvalidArgument, "Registry::GrantLease.ttl",
          std::to_string(ttl.count()) + " s; from " + std::to_string(kLeaseTtlMin.count()) + " to " +
              std::to_string(kLeaseTtlMax.count())};
}

std::string KeyText(std::string_view key) {
  constexpr std::size_t kShown = 80;
  constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (const char c : key.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      text += c;
    } else {
      text += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  if (key.size() > kShown) text += "...";
  return text;
}

}  // namespace accelmesh::registry
