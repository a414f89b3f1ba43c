// Session: texture and surface objects. What they lie on is checked here once, as a copy's sides are; whether it is
// still there when a kernel looks is the program's business and the backend's safety.
#include <algorithm>
#include <cstring>

#include "protocol/base/log.h"
#include "server/session/session_inl.h"

namespace accelmesh {
namespace {

// Bytes of a channel, as CUarray_format numbers it; 0: no format of ours.
std::uint32_t ChannelBytes(std::uint8_t format) {
  switch (format) {
    case 0x01:
    case 0x08: return 1;
    case 0x02:
    case 0x09:
    case 0x10: return 2;
    case 0x03:
    case 0x0a:
    case 0x20: return 4;
    case 0x50: return 1;  // four channels in 32 bits
    default: break;
  }
  if (format < 0xc0 || format > 0xcb) return 0;
  return (format - 0xc0u) / 3 % 2 == 0 ? 1 : 2;
}

// Bytes from a level's first texel to its last; 0 if it makes no sense.
std::uint64_t LevelBytes(const TextureJob::Level& level, std::uint32_t element_bytes) {
  const std::uint64_t rows = level.height == 0 ? 1 : level.height;
  const std::uint64_t slices = level.depth == 0 ? 1 : level.depth;
  std::uint64_t row = 0;
  std::uint64_t slice = 0;
  std::uint64_t all = 0;
  if (level.width == 0 || __builtin_mul_overflow(level.width, std::uint64_t{element_bytes}, &row) ||
      (rows > 1 && level.pitch < row) || __builtin_mul_overflow(level.pitch, rows - 1, &slice) ||
      __builtin_add_overflow(slice, row, &slice) || (slices > 1 && level.slice < slice) ||
      __builtin_mul_overflow(level.slice, slices - 1, &all) || __builtin_add_overflow(all, slice, &all))
    return 0;
  return all > limits::kAllocationBytesMax ? 0 : all;
}

TextureJob ReadJob(const wire::TextureCreate& command) {
  TextureJob job;
  job.device = command.device();
  job.source = static_cast<TextureJob::Source>(command.source());
  job.is_surface = command.is_surface();
  job.format = command.format();
  job.channels = command.channels();
  job.array_flags = command.array_flags();
  for (flatbuffers::uoffset_t i = 0; i < command.levels()->size(); ++i) {
    // The verifier does not look at the alignment of a vector's structs.
    wire::TextureLevel level;
    std::memcpy(&level, command.levels()->Data() + i * sizeof(level), sizeof(level));
    job.levels.push_back({level.address(), level.pitch(), level.slice(), level.width(), level.height(), level.depth()});
  }
  if (const wire::TextureSampling* from = command.sampling(); from != nullptr) {
    job.sampling.border = {from->border_r(), from->border_g(), from->border_b(), from->border_a()};
    job.sampling.mipmap_bias = from->mipmap_bias();
    job.sampling.mipmap_min = from->mipmap_min();
    job.sampling.mipmap_max = from->mipmap_max();
    job.sampling.anisotropy_max = from->anisotropy_max();
    job.sampling.flags = from->flags();
    job.sampling.address = {from->address_x(), from->address_y(), from->address_z()};
    job.sampling.filter = from->filter();
    job.sampling.mipmap_filter = from->mipmap_filter();
  }
  if (const wire::TextureView* from = command.view(); from != nullptr) {
    job.view = TextureJob::View{from->first_level(), from->last_level(), from->first_layer(), from->last_layer(),
                                from->format()};
  }
  return job;
}

// What every backend may take for granted of a job whose memory is there.
bool IsSane(const TextureJob& job) {
  constexpr std::uint8_t kModes = 4;
  const TextureJob::Sampling& sampling = job.sampling;
  for (const std::uint8_t mode : sampling.address) {
    if (mode >= kModes) return false;
  }
  if (sampling.filter > 1 || sampling.mipmap_filter > 1) return false;
  const bool is_array = job.source == TextureJob::Source::kArray || job.source == TextureJob::Source::kMipmapped;
  if (!is_array && (job.levels.size() != 1 || job.view.has_value() || job.is_surface)) return false;
  // An array that is a level of another comes with all of those, and a view of the one.
  if (job.source == TextureJob::Source::kArray && job.levels.size() != 1 &&
      (!job.view.has_value() || job.view->first_level != job.view->last_level))
    return false;
  if (!job.view.has_value()) return true;
  const std::uint32_t layers = job.levels.front().depth;
  return job.view->first_level <= job.view->last_level && job.view->last_level < job.levels.size() &&
         job.view->first_layer <= job.view->last_layer && (job.view->last_layer == 0 || job.view->last_layer < layers);
}

}  // namespace

Status Session::On(const wire::TextureCreate& command, const RecordView& record) {
  const auto* levels = command.levels();
  if (command.device() >= devices_.size() || levels == nullptr || levels->size() == 0 ||
      levels->size() > limits::kTextureLevelsMax || textures_.contains(command.id()) ||
      std::any_of(past_.begin(), past_.end(), [&command](const Past& past) { return past.texture == command.id(); }) ||
      static_cast<std::uint8_t>(command.source()) > static_cast<std::uint8_t>(wire::TextureSource::Mipmapped))
    return {Code::kBadFrame, "TextureCreate", "device, levels or id out of range"};
  if (textures_.size() + past_.size() >= limits::kTexturesMax)
    return {Code::kLimitExceeded, "TextureCreate", "more textures than a session may hold"};
  TextureJob job = ReadJob(command);
  const std::uint32_t channel_bytes = ChannelBytes(job.format);
  Status made;
  if (channel_bytes == 0 || (job.channels != 1 && job.channels != 2 && job.channels != 4) ||
      (job.format == 0x50 && job.channels != 4) || !IsSane(job))
    made = Status(Code::kInvalidArgument, "TextureCreate", "no such format, sampling or view");
  for (const TextureJob::Level& level : job.levels) {
    if (!made.ok()) break;
    const std::uint64_t bytes = LevelBytes(level, channel_bytes * job.channels);
    if (bytes == 0) {
      made = Status(Code::kInvalidArgument, "TextureCreate.levels", "a level whose rows or slices overlap");
    } else if (const auto side =
                   ResolvePlace(wire::Place(level.address, 0, wire::PlaceKind::Device), bytes, record, false);
               !side.ok()) {
      made = side.status();
    }
  }
  if (made.ok()) made = backend_.TextureCreate(command.id(), job);
  // Kept all the same: the client does not know yet that it failed, and destroys it.
  textures_.emplace(command.id(), made.ok());
  if (made.ok()) return made;
  log::Warning("session", made.ToString());
  texture_error_ = made;
  // Who asks for the handle learns it there; nobody does if the ids are the handles.
  if (!backend_.has_texture_handles()) {
    const DeviceStatus status = made.code() == Code::kUnsupported ? kDeviceNotSupported : kDeviceInvalidValue;
    Failed(0, record.sequence, status, false, made.ToString());
  }
  return Status::Ok();
}

Status Session::On(const wire::TextureHandle& command, const RecordView& record) {
  const auto found = textures_.find(command.id());
  if (found == textures_.end()) return {Code::kBadFrame, "TextureHandle.id", "no such texture"};
  const auto answer = [this, sequence = record.sequence](const Result<std::uint64_t>& handle) {
    if (!handle.ok()) {
      const DeviceStatus status = handle.code() == Code::kUnsupported   ? kDeviceNotSupported
                                  : handle.code() == Code::kOutOfMemory ? kDeviceOutOfMemory
                                                                        : kDeviceInvalidValue;
      Reply(sequence, status, Code::kOk, handle.status().text(), {});
      return;
    }
    flatbuffers::FlatBufferBuilder builder(64);
    builder.Finish(wire::CreateTextureHandleInfo(builder, *handle));
    Reply(sequence, kDeviceOk, Code::kOk, "", {builder.GetBufferPointer(), builder.GetSize()});
  };
  if (found->second) {
    backend_.TextureHandle(command.id(), answer);
  } else {
    answer(texture_error_);
  }
  return Status::Ok();
}

Status Session::On(const wire::TextureDestroy& command, const RecordView& record) {
  const auto found = textures_.find(command.id());
  if (found == textures_.end()) return {Code::kBadFrame, "TextureDestroy.id", "no such texture"};
  const bool was_made = found->second;
  textures_.erase(found);
  if (!was_made) return Status::Ok();
  // A parked launch may name it.
  if (parked_commands_ == 0) return backend_.TextureDestroy(command.id());
  past_.push_back({record.sequence, command.id(), nullptr});
  return Status::Ok();
}

Status Session::EndPast() {
  std::uint64_t oldest = ~std::uint64_t{0};
  for (const std::uint32_t stream : parked_streams_) {
    const std::list<Parked>& parked = streams_[stream].parked;
    if (!parked.empty()) oldest = std::min(oldest, parked.front().sequence);
  }
  for (; !past_.empty() && past_.front().sequence < oldest; past_.pop_front()) {
    if (past_.front().texture.has_value()) ACCELMESH_RETURN_IF_ERROR(backend_.TextureDestroy(*past_.front().texture));
  }
  return Status::Ok();
}

}  // namespace accelmesh
