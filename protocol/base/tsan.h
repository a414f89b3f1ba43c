// What ThreadSanitizer cannot see by itself. It follows addresses, so an order that two mappings of the same shared
// memory give (a ring in one, its other end in another process or mapping) is none to it.
#pragma once

#if defined(__SANITIZE_THREAD__)
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
#endif

namespace accelmesh {

// What this thread has done so far happens before what follows the next TsanAcquire() of the same address.
inline void TsanRelease([[maybe_unused]] void* address) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(address);
#endif
}
inline void TsanAcquire([[maybe_unused]] void* address) {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(address);
#endif
}

// The order that runs through the peer: a client thread sends what it has done (a body, the end of a host function),
// the server lets a stream pass, and another thread takes that in. Release before what the server acts on leaves, and
// once what it sent has landed; acquire before a body is written to its place, and once a wait is over.
inline char g_order_through_peer;
inline void TsanReleaseToPeer() { TsanRelease(&g_order_through_peer); }
inline void TsanAcquireFromPeer() { TsanAcquire(&g_order_through_peer); }

}  // namespace accelmesh
