#include "protocol/transport/rdma/where.h"

#include <fstream>
#include <functional>
#include <string>

namespace accelmesh::rdma {
namespace {

// The kernel's own name for this run of it: containers of one machine share it, virtual machines do not.
std::uint16_t MarkOfThisMachine() {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return static_cast<std::uint16_t>(std::hash<std::string>()(id) | 1);
}

}  // namespace

std::uint32_t HereIs(std::uint32_t only_cpu) {
  static const std::uint16_t machine = MarkOfThisMachine();
  return WhereOf(machine, only_cpu);
}

}  // namespace accelmesh::rdma
