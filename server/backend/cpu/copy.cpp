// The software GPU: copies and fills.
#include <algorithm>
#include <cstring>

#include "protocol/transport/copy.h"
#include "server/backend/cpu/device.h"

namespace accelmesh {
namespace {

// The address of row (y, z) of one side; packed sides lie row after row.
std::uint8_t* RowOf(const CopySide& side, const std::uint8_t* packed, std::uint64_t width, std::uint64_t height,
                    std::uint64_t y, std::uint64_t z) {
  switch (side.kind) {
    case CopySide::Kind::kDevice:
      return reinterpret_cast<std::uint8_t*>(side.address + z * side.slice + y * side.pitch);
    case CopySide::Kind::kHost: return side.host.data() + z * side.slice + y * side.pitch;
    case CopySide::Kind::kBody:
    case CopySide::Kind::kToken: return const_cast<std::uint8_t*>(packed) + (z * height + y) * width;
  }
  return nullptr;
}

}  // namespace

void CpuBackend::RunCopy(std::uint32_t stream, std::uint64_t sequence, const CopyJob& job) {
  const std::uint8_t* packed = job.body != nullptr ? job.body->bytes().data() : nullptr;
  const bool linear = job.height == 1 && job.depth == 1;
  if (job.dst.kind != CopySide::Kind::kToken) {
    for (std::uint64_t z = 0; z < job.depth; ++z) {
      for (std::uint64_t y = 0; y < job.height; ++y) {
        std::uint8_t* to = RowOf(job.dst, packed, job.width, job.height, y, z);
        const std::uint8_t* from = RowOf(job.src, packed, job.width, job.height, y, z);
        // Only two places on the device can overlap.
        if (job.dst.kind == CopySide::Kind::kDevice && job.src.kind == CopySide::Kind::kDevice) {
          std::memmove(to, from, job.width);
        } else {
          CopyBody(to, from, job.width);
        }
      }
    }
    return;
  }
  Bytes rows;
  ByteView from;
  if (linear) {
    from = {RowOf(job.src, packed, job.width, 1, 0, 0), job.width};
  } else {
    rows.resize(job.width * job.height * job.depth);
    for (std::uint64_t z = 0; z < job.depth; ++z) {
      for (std::uint64_t y = 0; y < job.height; ++y) {
        std::memcpy(rows.data() + (z * job.height + y) * job.width, RowOf(job.src, packed, job.width, job.height, y, z),
                    job.width);
      }
    }
    from = rows;
  }
  for (std::size_t at = 0; at < from.size(); at += limits::kBulkBytesMax) {
    const Status sent =
        sink_->SendToClient(job.dst.token, at, from.subspan(at, std::min(limits::kBulkBytesMax, from.size() - at)));
    if (!sent.ok()) {
      sink_->Failed(stream, sequence, kDeviceUnknown, true,
                    "a copy to the client did not get through: " + sent.ToString());
      return;
    }
  }
}

Status CpuBackend::Copy(std::uint32_t stream, std::uint64_t sequence, CopyJob job) {
  auto shared = std::make_shared<CopyJob>(std::move(job));
  Task task;
  task.sequence = sequence;
  // The client waits for what it gets.
  task.passes = shared->dst.kind == CopySide::Kind::kDevice;
  task.run = [this, stream, sequence, shared] { RunCopy(stream, sequence, *shared); };
  Enqueue(stream, std::move(task));
  return Status::Ok();
}

Status CpuBackend::Fill(std::uint32_t stream, std::uint64_t sequence, const FillJob& job) {
  Task task;
  task.sequence = sequence;
  task.passes = true;
  task.run = [job] {
    for (std::uint64_t z = 0; z < job.depth; ++z) {
      for (std::uint64_t y = 0; y < job.height; ++y) {
        auto* row = reinterpret_cast<std::uint8_t*>(job.address + z * job.slice + y * job.pitch);
        if (job.element_bytes == 1) std::memset(row, static_cast<int>(job.value), job.width);
        if (job.element_bytes == 2)
          std::fill_n(reinterpret_cast<std::uint16_t*>(row), job.width, static_cast<std::uint16_t>(job.value));
        if (job.element_bytes == 4) std::fill_n(reinterpret_cast<std::uint32_t*>(row), job.width, job.value);
      }
    }
  };
  Enqueue(stream, std::move(task));
  return Status::Ok();
}

}  // namespace accelmesh
