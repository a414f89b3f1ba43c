// The shared object under test, through its C border.
//
// Threads: values.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "protocol/base/bytes.h"
#include "server/backend/cpu/blas.h"

namespace accelmesh::blas_test {

class Plugin {
 public:
  // Opens and starts it, once per process.
  static const Plugin& Get();

  // By its name; 0 is none.
  static std::uint32_t NumberOf(std::uint32_t library, const std::string& function);
  bool Has(std::uint32_t library, std::uint32_t function) const;
  // Names of all that the shared object says it has.
  std::vector<std::string> Functions(std::uint32_t library) const;
  cpu_blas::Outcome Run(const cpu_blas::Call& call) const;

 private:
  Plugin();

  const cpu_blas::Interface* interface_ = nullptr;
  std::array<Bytes, 3> functions_;  // by library
};

}  // namespace accelmesh::blas_test
