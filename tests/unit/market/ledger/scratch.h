// A folder for one test, and keys that are the same each time.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "market/ledger/note.h"

namespace accelmesh::market::ledger {

class Scratch {
 public:
  Scratch() {
    std::filesystem::create_directories(ACCELMESH_SCRATCH);
    std::string name = ACCELMESH_SCRATCH "/ledger-XXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~Scratch() { std::filesystem::remove_all(folder_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

 private:
  std::string folder_;
};

inline security::SigningKey KeyOf(std::uint8_t number) {
  Bytes seed(security::kKeyBytes, number);
  return std::move(security::SigningKey::FromSeed(seed)).value();
}
inline NamedKey NamedKeyOf(const std::string& name, std::uint8_t number) { return {name, KeyOf(number).public_key()}; }

inline Bytes BytesOf(std::string_view text) { return {text.begin(), text.end()}; }

inline std::string ReadWhole(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
inline void WriteWhole(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

}  // namespace accelmesh::market::ledger
