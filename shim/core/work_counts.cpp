#include "shim/core/work_counts.h"

namespace accelmesh {

void NoteLibraryCall(std::uint32_t library, std::uint32_t function, ByteView arguments) {
  if (!g_work.is_counting.load(std::memory_order_relaxed)) [[likely]]
    return;
  const Work work = WorkOf(library, function, arguments);
  if (work.operations <= 0) return;
  g_work.operations[static_cast<std::size_t>(work.kind)][static_cast<std::size_t>(work.type)].fetch_add(
      work.operations, std::memory_order_relaxed);
}

}  // namespace accelmesh
