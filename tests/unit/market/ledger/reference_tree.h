// The tree of RFC 6962, as its definitions say, over all leaves and without a thought of speed: what the code under
// test is compared with. Uses only SHA-256 of the library.
#pragma once

#include <sodium.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace accelmesh::market::ledger::reference {

using Hash = std::array<std::uint8_t, 32>;
using Leaves = std::vector<std::string>;

inline Hash Sha(const std::string& bytes) {
  Hash hash;
  crypto_hash_sha256(hash.data(), reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  return hash;
}
inline std::string Text(const Hash& hash) { return {hash.begin(), hash.end()}; }

inline std::size_t Split(std::size_t n) {
  std::size_t k = 1;
  while (2 * k < n) k *= 2;
  return k;
}
inline Leaves Part(const Leaves& d, std::size_t begin, std::size_t end) {
  return {d.begin() + static_cast<std::ptrdiff_t>(begin), d.begin() + static_cast<std::ptrdiff_t>(end)};
}

// 2.1: MTH(D[n])
inline Hash Mth(const Leaves& d) {
  if (d.empty()) return Sha("");
  if (d.size() == 1) return Sha(std::string(1, '\0') + d[0]);
  const std::size_t k = Split(d.size());
  return Sha("\x01" + Text(Mth(Part(d, 0, k))) + Text(Mth(Part(d, k, d.size()))));
}

// 2.1.1: PATH(m, D[n])
inline std::vector<Hash> Path(std::size_t m, const Leaves& d) {
  if (d.size() == 1) return {};
  const std::size_t k = Split(d.size());
  std::vector<Hash> path = m < k ? Path(m, Part(d, 0, k)) : Path(m - k, Part(d, k, d.size()));
  path.push_back(m < k ? Mth(Part(d, k, d.size())) : Mth(Part(d, 0, k)));
  return path;
}

// 2.1.2: SUBPROOF(m, D[n], b)
inline std::vector<Hash> Subproof(std::size_t m, const Leaves& d, bool is_whole) {
  if (m == d.size()) return is_whole ? std::vector<Hash>() : std::vector<Hash>{Mth(d)};
  const std::size_t k = Split(d.size());
  std::vector<Hash> proof =
      m <= k ? Subproof(m, Part(d, 0, k), is_whole) : Subproof(m - k, Part(d, k, d.size()), false);
  proof.push_back(m <= k ? Mth(Part(d, k, d.size())) : Mth(Part(d, 0, k)));
  return proof;
}

}  // namespace accelmesh::market::ledger::reference
