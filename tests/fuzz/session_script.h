// Seeds of session_fuzz: its scripts, written as the commands that they send; and where seeds go.
//
// Threads: one.
#pragma once

#include <filesystem>
#include <fstream>
#include <string_view>

#include "protocol/gen_commands.h"

namespace accelmesh::fuzz {

inline std::filesystem::path& SeedFolder() {
  static std::filesystem::path folder;
  return folder;
}
inline void Write(const char* fuzzer, const char* name, const Bytes& bytes) {
  std::filesystem::create_directories(SeedFolder() / fuzzer);
  std::ofstream out(SeedFolder() / fuzzer / name, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

inline void Append(Bytes& to, ByteView bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }
inline void Counted(Bytes& to, ByteView bytes) {
  Append(to, AsBytes(static_cast<std::uint16_t>(bytes.size())));
  Append(to, bytes);
}

// A record as in a frame.
template <typename T>
void AddRecord(Bytes& to, const T& body, ByteView payload = {}) {
  RecordHeaderValue header;
  header.bytes = static_cast<std::uint32_t>(RecordBytes(sizeof(body), payload.size()));
  header.body_bytes = sizeof(body);
  header.payload_bytes = static_cast<std::uint32_t>(payload.size());
  header.command = static_cast<std::uint16_t>(CommandTraits<T>::kId);
  Append(to, AsBytes(header));
  Append(to, AsBytes(body));
  Append(to, payload);
  to.resize(AlignUp(to.size(), 8));
}

// A script of session_fuzz: see there.
class Script {
 public:
  // `flags` as in session_fuzz.cpp.
  explicit Script(std::uint8_t flags = 1) : bytes_{flags} {}
  template <typename T>
  Script& Frame(const T& body, ByteView payload = {}) {
    bytes_.insert(bytes_.end(), {0, 1});
    return Record(body, payload);
  }
  // Several records in one frame: Frames(n) and then Record() n times.
  Script& Frames(std::uint8_t records) {
    bytes_.insert(bytes_.end(), {0, records});
    return *this;
  }
  template <typename T>
  Script& Record(const T& body, ByteView payload = {}) {
    bytes_.push_back(static_cast<std::uint8_t>(CommandTraits<T>::kId));
    Counted(bytes_, AsBytes(body));
    Counted(bytes_, payload);
    return *this;
  }
  // A command that is a table.
  template <typename T>
  Script& Table(ByteView body) {
    bytes_.insert(bytes_.end(), {0, 1, static_cast<std::uint8_t>(CommandTraits<T>::kId)});
    Counted(bytes_, body);
    Counted(bytes_, {});
    return *this;
  }
  template <typename T>
  Script& Side(const T& body) {
    bytes_.push_back(5);
    return Record(body);
  }
  Script& Raw(std::uint8_t lane, ByteView frame) {
    bytes_.insert(bytes_.end(), {1, lane});
    Counted(bytes_, frame);
    return *this;
  }
  Script& Body(std::uint8_t token, ByteView body) {
    bytes_.insert(bytes_.end(), {2, token});
    Counted(bytes_, body);
    return *this;
  }
  Script& Complete(std::uint8_t stream, std::uint8_t count) {
    bytes_.insert(bytes_.end(), {3, stream, count});
    return *this;
  }
  Script& HoldAll(bool on) {
    bytes_.insert(bytes_.end(), {4, static_cast<std::uint8_t>(on ? 1 : 0)});
    return *this;
  }
  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

}  // namespace accelmesh::fuzz
