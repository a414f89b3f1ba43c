// Records as the bytes of the registry (protocol/schema/records.fbs), and back. What is read is verified and bounded: a
// key that somebody else wrote is an error with its name, never a crash.
//
// Threads: functions on values.
#pragma once

#include <optional>
#include <string>

#include "market/core/records.h"
#include "protocol/base/result.h"

namespace accelmesh::market {

// Precondition: the record is not "deleted".
std::string EncodeRecord(const Record& record);
// What stands at `key`. kBadFrame with the key and the remedy.
Result<Record> DecodeRecord(const RecordKey& key, std::string_view bytes);
// Which record a path of the registry is; nothing for paths that are not records.
std::optional<RecordKey> ParsePath(std::string_view path);

// Who leads, at /leader.
struct LeaderRecord {
  std::vector<std::string> urls;
  std::string name;
  std::int64_t since_ms = 0;
};
inline constexpr char kLeaderPath[] = "/leader";
inline constexpr char kPulsePath[] = "/leader/pulse";
std::string EncodeLeader(const LeaderRecord& leader);
Result<LeaderRecord> DecodeLeader(std::string_view bytes);

}  // namespace accelmesh::market
