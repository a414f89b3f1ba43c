// The plugin's side of the border: a ClientChannel as a table of C functions. Nothing leaves these functions by a
// throw.
#include <cstdio>
#include <exception>

#include "protocol/transport/plugin.h"

namespace accelmesh {
namespace {

ClientChannel& Self(void* self) { return *static_cast<ClientChannel*>(self); }
Deadline At(std::int64_t ns) { return Deadline(Instant(std::chrono::nanoseconds(ns))); }

// Runs `body`, which returns a Status, for a caller that cannot take an exception (only out of memory throws here).
template <typename Body>
void Guarded(PluginStatus* status, Body body) {
  try {
    ExportStatus(body(), status);
  } catch (const std::exception& error) {
    ExportStatus({Code::kInternal, "plugin", error.what()}, status);
  }
}

class CallbackSink final : public FrameSink {
 public:
  CallbackSink(PluginFrameCallback on_frame, void* context) : on_frame_(on_frame), context_(context) {}
  void OnFrame(ByteView frame) override { on_frame_(context_, frame.data(), frame.size()); }

 private:
  PluginFrameCallback on_frame_;
  void* context_;
};

}  // namespace

void ExportStatus(const Status& from, PluginStatus* to) {
  to->code = static_cast<std::uint32_t>(from.code());
  if (from.ok()) return;
  std::snprintf(to->where, sizeof(to->where), "%s", from.where().c_str());
  std::snprintf(to->text, sizeof(to->text), "%s", from.text().c_str());
}

void ExportChannel(std::unique_ptr<ClientChannel> implementation, PluginChannel* channel) {
  const ChannelTraits& traits = implementation->traits();
  channel->name = traits.name;
  channel->flush_each_append = traits.flush_each_append ? 1 : 0;
  channel->shares_memory = traits.shares_memory ? 1 : 0;
  channel->bulk_bytes_preferred = traits.bulk_bytes_preferred;
  channel->progress = &implementation->progress();
  channel->self = implementation.release();
  channel->destroy = [](void* self) { delete static_cast<ClientChannel*>(self); };
  channel->send = [](void* self, std::uint32_t lane, const std::uint8_t* frame, std::size_t bytes,
                     std::int64_t deadline_ns, PluginStatus* status) {
    Guarded(status, [&] { return Self(self).Send(static_cast<UpLane>(lane), {frame, bytes}, At(deadline_ns)); });
  };
  channel->send_bulk = [](void* self, std::uint64_t token, const std::uint8_t* body, std::size_t bytes,
                          std::int64_t deadline_ns, PluginStatus* status) {
    Guarded(status, [&] { return Self(self).SendBulk(token, {body, bytes}, At(deadline_ns)); });
  };
  channel->send_bulk_to_device = [](void* self, std::uint64_t token, const std::uint8_t* body, std::size_t bytes,
                                    std::int64_t deadline_ns, PluginStatus* status) {
    Guarded(status, [&] { return Self(self).SendBulkToDevice(token, {body, bytes}, At(deadline_ns)); });
  };
  channel->expect_bulk = [](void* self, std::uint64_t token, std::uint8_t* destination, std::size_t bytes,
                            PluginStatus* status) {
    Guarded(status, [&] { return Self(self).ExpectBulk(token, {destination, bytes}); });
  };
  channel->bulk_landed = [](void* self, std::uint64_t token) -> std::uint32_t { return Self(self).BulkLanded(token); };
  channel->cancel_bulk = [](void* self, std::uint64_t token) { Self(self).CancelBulk(token); };
  channel->pump = [](void* self, PluginFrameCallback on_frame, void* context, std::int64_t deadline_ns,
                     PluginStatus* status) {
    Guarded(status, [&] {
      CallbackSink sink(on_frame, context);
      return Self(self).Pump(sink, At(deadline_ns));
    });
  };
  channel->share_memory = [](void* self, std::uint32_t region, std::int32_t memfd, std::size_t bytes,
                             PluginStatus* status) {
    Guarded(status, [&] { return Self(self).ShareMemory(region, memfd, bytes); });
  };
  channel->note_pinned = [](void* self, std::uint8_t* memory, std::size_t bytes) {
    PluginStatus ignored;
    Guarded(&ignored, [&] {
      Self(self).NotePinned({memory, bytes});
      return Status();
    });
  };
  channel->note_unpinned = [](void* self, const std::uint8_t* memory) { Self(self).NoteUnpinned(memory); };
  channel->interrupt = [](void* self) { Self(self).Interrupt(); };
  channel->close = [](void* self) { Self(self).Close(); };
}

}  // namespace accelmesh
