// Session: texture and surface objects. The server samples them; what the program asks of one is answered here.
#include "protocol/base/log.h"
#include "shim/core/session_inl.h"

namespace accelmesh {
namespace {

constexpr std::chrono::seconds kHandlePatience{60};

flatbuffers::Offset<wire::TextureCreate> Describe(flatbuffers::FlatBufferBuilder& builder, std::uint64_t id,
                                                  bool is_surface, const TextureResource& resource,
                                                  const TextureSampling& sampling,
                                                  const std::optional<TextureView>& view) {
  std::vector<wire::TextureLevel> levels;
  for (const TextureResource::Level& level : resource.levels) {
    levels.emplace_back(level.address, level.pitch, level.slice, level.shape.width,
                        static_cast<std::uint32_t>(level.shape.height), static_cast<std::uint32_t>(level.shape.depth));
  }
  const auto packed = builder.CreateVectorOfStructs(levels);
  const wire::TextureSampling how(sampling.border[0], sampling.border[1], sampling.border[2], sampling.border[3],
                                  sampling.mipmap_bias, sampling.mipmap_min, sampling.mipmap_max,
                                  sampling.anisotropy_max, sampling.flags, sampling.address[0], sampling.address[1],
                                  sampling.address[2], sampling.filter, sampling.mipmap_filter, 0, 0);
  const TextureView part = view.value_or(TextureView{});
  const wire::TextureView seen(part.first_level, part.last_level, part.first_layer, part.last_layer, part.format);
  return wire::CreateTextureCreate(builder, id, resource.device, static_cast<wire::TextureSource>(resource.source),
                                   is_surface, static_cast<std::uint8_t>(resource.shape.format),
                                   static_cast<std::uint8_t>(resource.shape.channels), resource.shape.flags, packed,
                                   &how, view.has_value() ? &seen : nullptr);
}

}  // namespace

DeviceResult ClientSession::CreateTexture(bool is_surface, const TextureResource& resource,
                                          const TextureSampling& sampling, const std::optional<TextureView>& view,
                                          std::shared_ptr<const void> origin, std::uint64_t* handle) {
  const std::optional<std::uint64_t> number = textures_.NextId();
  if (!number.has_value()) return kOutOfMemory;
  const std::uint64_t id = *number;
  flatbuffers::FlatBufferBuilder builder(512);
  builder.Finish(Describe(builder, id, is_surface, resource, sampling, view));
  const auto posted = commands_->PostTable<wire::TextureCreate>({builder.GetBufferPointer(), builder.GetSize()});
  if (!posted.ok()) return Lost(posted.status());
  *handle = id;
  if (facts_.textures_have_handles) {
    if (const DeviceResult asked = AskTextureHandle(id, handle); asked != 0) {
      if (const auto ended = commands_->Post(wire::TextureDestroy(id)); !ended.ok()) return Lost(ended.status());
      return asked;
    }
  }
  textures_.Add(*handle, {id, is_surface, resource.device, std::move(origin)});
  return 0;
}

// A driver's handle is what kernels must be given, so it has to be known before the program goes on.
DeviceResult ClientSession::AskTextureHandle(std::uint64_t id, std::uint64_t* handle) {
  const Result<Reply> reply = commands_->Call(wire::TextureHandle(id), Deadline::After(kHandlePatience));
  if (!reply.ok()) return Lost(reply.status());
  if (reply->device_status != 0 || reply->code != 0) {
    log::Error("texture", reply->text);
    return reply->device_status != 0 ? reply->device_status : kUnknown;
  }
  flatbuffers::Verifier verifier(reply->body.data(), reply->body.size());
  if (!verifier.VerifyBuffer<wire::TextureHandleInfo>(nullptr))
    return Lost(Status(Code::kBadFrame, "ClientSession::AskTextureHandle", "TextureHandleInfo does not verify"));
  *handle = flatbuffers::GetRoot<wire::TextureHandleInfo>(reply->body.data())->handle();
  return 0;
}

DeviceResult ClientSession::DestroyTexture(std::uint64_t handle, bool is_surface) {
  const std::optional<std::uint64_t> id = textures_.Take(handle, is_surface);
  if (!id.has_value()) return kInvalidValue;
  const auto posted = commands_->Post(wire::TextureDestroy(*id));
  return posted.ok() ? 0 : Lost(posted.status());
}

}  // namespace accelmesh
