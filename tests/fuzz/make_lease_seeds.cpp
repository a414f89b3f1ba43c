// Writes the seeds of lease_fuzz into a folder: a lease, a sublet of it, and both cut short.
#include <fstream>

#include "tests/fuzz/input.h"
#include "tests/fuzz/lease_world.h"

int main(int argc, char** argv) {
  using namespace accelmesh;
  if (argc != 2) return 2;
  const fuzz::LeaseWorld world;
  const auto write = [&](const char* name, ByteView bytes) {
    std::ofstream(std::string(argv[1]) + "/" + name, std::ios::binary) << AsText(bytes);
  };
  const Bytes lease = GrantLease(world.market, world.grant, world.whole).value();
  const Bytes sublet = AttenuateLease(lease, world.tenant, world.part).value();
  write("lease", lease);
  write("sublet", sublet);
  write("lease_short", ByteView(lease).first(lease.size() / 2));
  write("sublet_short", ByteView(sublet).first(sublet.size() - 1));
  return 0;
}
