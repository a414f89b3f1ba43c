#include "protocol/transport/rdma/layout.h"

#include <sys/mman.h>

#include <cerrno>
#include <new>

namespace accelmesh::rdma {

Result<std::unique_ptr<Block>> Block::Create(Role role) {
  const std::size_t bytes = BytesOf(role);
  void* base = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return Status::System(errno, "rdma::Block::Create", "mmap");
  // A child that is forked must not make the device write into pages of its own.
  ::madvise(base, bytes, MADV_DONTFORK);
  std::unique_ptr<Block> block(new Block(role, static_cast<std::uint8_t*>(base)));
  for (Words* words : {&block->mine(), &block->peers(), &block->looked()}) {
    new (words) Words();
    words->receives.store(kReceives, std::memory_order_relaxed);
  }
  return block;
}

Block::~Block() { ::munmap(base_, bytes()); }

Result<Greeting> ReadGreeting(ByteView bytes, std::span<const std::uint8_t, 16> mark) {
  constexpr const char* kWhere = "rdma::ReadGreeting";
  Greeting greeting;
  // The connection manager may pad what it carries.
  if (bytes.size() < sizeof(greeting)) {
    return Status(Code::kBadFrame, kWhere, "the peer's greeting is too short; is it an AccelMesh?");
  }
  std::memcpy(&greeting, bytes.data(), sizeof(greeting));
  if (greeting.magic != Greeting::kMagic) {
    return Status(Code::kVersionMismatch, kWhere, "the peer lays its memory out differently; use one release on both");
  }
  unsigned difference = 0;
  for (std::size_t i = 0; i < mark.size(); ++i) difference |= static_cast<unsigned>(greeting.mark[i] ^ mark[i]);
  if (difference != 0) {
    return Status(Code::kPermissionDenied, kWhere, "the peer does not know the session's secret; it was turned away");
  }
  return greeting;
}

}  // namespace accelmesh::rdma
