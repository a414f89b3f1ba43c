// Fetches from textures, gathers, and questions about textures and surfaces. Objects are named by handles of 64 bits;
// the names and samplers of older modules (.texref, .samplerref) are refused.
#include <cstdio>

#include "server/backend/cpu/tier0/image_rules.h"
#include "server/backend/cpu/tier0/sampler.h"

namespace accelmesh::tier0 {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;

const Texture* FindTexture(Warp& warp, const Op& op, std::uint32_t lane) {
  const std::uint64_t handle = warp.r[op.a].lane[lane];
  const TextureTable* table = warp.block->launch->textures;
  if (table != nullptr) {
    if (const auto found = table->find(handle); found != table->end()) return found->second.get();
  }
  char text[80];
  std::snprintf(text, sizeof(text), "no texture or surface object has the handle 0x%llx",
                static_cast<unsigned long long>(handle));
  RaiseFault(warp, op, lane, kDeviceIllegalAddress, text);
  return nullptr;
}

Status CoordinateRows(Decoder& decoder, const Instruction& from, const Operand& address, TextureShape shape, Op& op) {
  if (!address.is_address || address.elements.empty()) return decoder.Refuse(from, "coordinates were expected");
  ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(address));
  const bool has_layer =
      shape == TextureShape::k1DLayered || shape == TextureShape::k2DLayered || shape == TextureShape::kCubeLayered;
  const bool is_one = shape == TextureShape::k1D || shape == TextureShape::k1DLayered;
  const bool is_two = shape == TextureShape::k2D || shape == TextureShape::k2DLayered;
  const std::size_t places = is_one ? 1 : is_two ? 2 : 3;
  const std::size_t first = has_layer ? 1 : 0;
  // Vectors of three are written with four elements.
  const std::size_t count = address.elements.size();
  if (count != first + places && !(first + places == 3 && count == 4))
    return decoder.Refuse(from, "the number of coordinates is off");
  op.b = kNoRow;
  if (has_layer) {
    ACCELMESH_ASSIGN_OR_RETURN(op.b, decoder.Source(address.elements[0], Type::kU32));
  }
  for (std::size_t i = 0; i < 3; ++i) {
    if (i < places) {
      ACCELMESH_ASSIGN_OR_RETURN(op.rows[kCoordinates + i],
                                 decoder.Source(address.elements[first + i], Decoder::LastType(from)));
    } else {
      op.rows[kCoordinates + i] = decoder.Constant(0);
    }
  }
  return Status::Ok();
}

bool ReadShape(const Instruction& from, TextureShape* shape) {
  static constexpr std::pair<std::string_view, TextureShape> kShapes[] = {{"1d", TextureShape::k1D},
                                                                          {"2d", TextureShape::k2D},
                                                                          {"3d", TextureShape::k3D},
                                                                          {"a1d", TextureShape::k1DLayered},
                                                                          {"a2d", TextureShape::k2DLayered},
                                                                          {"cube", TextureShape::kCube},
                                                                          {"acube", TextureShape::kCubeLayered}};
  for (const auto& [name, value] : kShapes) {
    if (!Decoder::Has(from, name)) continue;
    *shape = value;
    return true;
  }
  return false;
}

namespace {

// Op::mode: the shape, and what else the instruction says.
constexpr std::uint8_t kShapeBits = 0x07;
constexpr std::uint8_t kIntegers = 0x08;   // the coordinates are
constexpr std::uint8_t kLevel = 0x10;      // Op::c is the row of the level
constexpr std::uint8_t kGradients = 0x20;  // Op::targets begins with the rows of both
constexpr std::uint8_t kOffset = 0x40;     // ... and ends with the rows of the offset

TextureQuery ReadQuery(const Warp& warp, const Op& op, std::uint32_t lane) {
  TextureQuery query;
  query.shape = static_cast<TextureShape>(op.mode & kShapeBits);
  query.has_integers = (op.mode & kIntegers) != 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const std::uint64_t value = warp.r[op.rows[kCoordinates + i]].lane[lane];
    if (query.has_integers) {
      query.texel[i] = Get<std::int32_t>(value);
    } else {
      query.at[i] = Get<float>(value);
    }
  }
  if (op.b != kNoRow) query.layer = Get<std::uint32_t>(warp.r[op.b].lane[lane]);
  if ((op.mode & kLevel) != 0) query.level = Get<float>(warp.r[op.c].lane[lane]);
  if ((op.mode & kOffset) != 0) {
    const std::size_t first = op.targets.size() - 3;
    for (std::size_t i = 0; i < 3; ++i) query.offset[i] = Get<std::int32_t>(warp.r[op.targets[first + i]].lane[lane]);
  }
  return query;
}

// Whether all of the lane's texels were there; else the fault is raised.
bool WasAllowed(Warp& warp, const Op& op, std::uint32_t lane, const Sampler& sampler) {
  if (sampler.bad_address() == 0) return true;
  char text[80];
  std::snprintf(text, sizeof(text), "a texture lies at illegal address 0x%llx",
                static_cast<unsigned long long>(sampler.bad_address()));
  RaiseFault(warp, op, lane, kDeviceIllegalAddress, text);
  return false;
}

void PutColor(Warp& warp, const Op& op, std::uint32_t lane, const Color& color) {
  for (std::size_t i = 0; i < color.size(); ++i) warp.r[op.rows[i]].lane[lane] = color[i];
}

// No array is sparse: all texels are there.
void SetResident(Warp& warp, const Op& op, std::uint32_t mask) {
  if (op.predicate >= 0) warp.p[op.predicate] |= mask;
}

void Fetch(Warp& warp, const Op& op, std::uint32_t mask) {
  const MemoryMap& memory = *warp.block->launch->memory;
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    const Texture* texture = FindTexture(warp, op, l);
    if (texture == nullptr) return;
    Sampler sampler(*texture, memory);
    TextureQuery query = ReadQuery(warp, op, l);
    if ((op.mode & kGradients) != 0) {
      std::array<float, 3> dx;
      std::array<float, 3> dy;
      for (std::size_t i = 0; i < 3; ++i) {
        dx[i] = Get<float>(warp.r[op.targets[i]].lane[l]);
        dy[i] = Get<float>(warp.r[op.targets[3 + i]].lane[l]);
      }
      query.level = sampler.LevelOf(query, dx, dy);
    }
    const Color color = sampler.Sample(query);
    if (!WasAllowed(warp, op, l, sampler)) return;
    PutColor(warp, op, l, color);
  }
  SetResident(warp, op, mask);
}

// Op::count: the channel.
void Gather(Warp& warp, const Op& op, std::uint32_t mask) {
  const MemoryMap& memory = *warp.block->launch->memory;
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    const Texture* texture = FindTexture(warp, op, l);
    if (texture == nullptr) return;
    Sampler sampler(*texture, memory);
    const Color color = sampler.Gather(ReadQuery(warp, op, l), op.count);
    if (!WasAllowed(warp, op, l, sampler)) return;
    PutColor(warp, op, l, color);
  }
  SetResident(warp, op, mask);
}

// Rows of a vector, the rest of three filled with zeros, behind what Op::targets has.
Status AppendRows(Decoder& decoder, const Instruction& from, const Operand& vector, Type type, Op& op) {
  const std::vector<Operand> single{vector};
  const auto& elements = vector.kind == Operand::Kind::kVector ? vector.elements : single;
  for (std::size_t i = 0; i < 3; ++i) {
    if (i >= elements.size()) {
      op.targets.push_back(decoder.Constant(0));
      continue;
    }
    ACCELMESH_ASSIGN_OR_RETURN(const std::uint32_t row, decoder.Source(elements[i], type));
    op.targets.push_back(row);
  }
  return elements.empty() || elements.size() > 4 ? decoder.Refuse(from, "a vector of an odd size") : Status::Ok();
}

// d, [a, c] and what follows; `next` is the first operand that is not read.
Status FetchOperands(Decoder& decoder, const Instruction& from, Op& op, std::size_t* next) {
  TextureShape shape{};
  if (!ReadShape(from, &shape)) return decoder.Refuse(from, "geometry not supported");
  if (from.operands.size() < 2 || !Decoder::Has(from, "v4") || from.operands[0].kind != Operand::Kind::kVector ||
      from.operands[0].elements.size() != 4)
    return decoder.Refuse(from, "four destinations were expected");
  for (std::size_t i = 0; i < 4; ++i) {
    ACCELMESH_ASSIGN_OR_RETURN(op.rows[i], decoder.Destination(from.operands[0].elements[i]));
  }
  const Type to = ptx::ParseType(from.opcode[from.opcode.size() - 2]);
  if (to != Type::kF32 && to != Type::kU32 && to != Type::kS32 && to != Type::kB32)
    return decoder.Refuse(from, "type not supported");
  const Type coordinates = Decoder::LastType(from);
  if (coordinates != Type::kF32 && coordinates != Type::kS32)
    return decoder.Refuse(from, "coordinates of this type are not supported");
  op.mode = static_cast<std::uint8_t>(shape);
  if (coordinates == Type::kS32) op.mode |= kIntegers;
  *next = 2;
  return CoordinateRows(decoder, from, from.operands[1], shape, op);
}

Status OffsetOperand(Decoder& decoder, const Instruction& from, std::size_t next, Op& op) {
  if (next == from.operands.size()) return Status::Ok();
  // What is no vector is a depth that the texel is compared with.
  if (next + 1 != from.operands.size() || from.operands[next].kind != Operand::Kind::kVector)
    return decoder.Refuse(from, "comparisons of depths are not supported");
  op.mode |= kOffset;
  return AppendRows(decoder, from, from.operands[next], Type::kS32, op);
}

Status FetchRule(Decoder& decoder, const Instruction& from, Op& op) {
  std::size_t next = 0;
  ACCELMESH_RETURN_IF_ERROR(FetchOperands(decoder, from, op, &next));
  if (Decoder::Has(from, "level")) {
    if (from.operands.size() <= next) return decoder.Refuse(from, "a level was expected");
    ACCELMESH_ASSIGN_OR_RETURN(op.c, decoder.Source(from.operands[next++], Type::kF32));
    op.mode |= kLevel;
  } else if (Decoder::Has(from, "grad")) {
    if (from.operands.size() < next + 2) return decoder.Refuse(from, "gradients were expected");
    ACCELMESH_RETURN_IF_ERROR(AppendRows(decoder, from, from.operands[next++], Type::kF32, op));
    ACCELMESH_RETURN_IF_ERROR(AppendRows(decoder, from, from.operands[next++], Type::kF32, op));
    op.mode |= kGradients;
  }
  op.handler = Fetch;
  return OffsetOperand(decoder, from, next, op);
}

Status GatherRule(Decoder& decoder, const Instruction& from, Op& op) {
  std::size_t next = 0;
  ACCELMESH_RETURN_IF_ERROR(FetchOperands(decoder, from, op, &next));
  const auto shape = static_cast<TextureShape>(op.mode & kShapeBits);
  if (shape == TextureShape::k1D || shape == TextureShape::k1DLayered || shape == TextureShape::k3D ||
      (op.mode & kIntegers) != 0)
    return decoder.Refuse(from, "geometry not supported");
  static constexpr std::string_view kChannels[] = {"r", "g", "b", "a"};
  const auto* const channel = std::find(std::begin(kChannels), std::end(kChannels), from.opcode[1]);
  if (channel == std::end(kChannels)) return decoder.Refuse(from, "a channel was expected");
  op.count = static_cast<std::uint8_t>(channel - std::begin(kChannels));
  op.handler = Gather;
  return OffsetOperand(decoder, from, next, op);
}

// Questions ----------------------------------------------------------------------------------------------------------

enum class Question : std::uint8_t { kWidth, kHeight, kDepth, kLayers, kLevels, kSamples, kNormalized };

std::uint32_t Answer(const Texture& texture, Question question, std::uint32_t at) {
  const TextureJob::Level& level = texture.levels[std::min<std::size_t>(at, texture.levels.size() - 1)];
  switch (question) {
    case Question::kWidth: return static_cast<std::uint32_t>(level.width);
    case Question::kHeight: return level.height;
    case Question::kDepth: return texture.is_layered || texture.is_cubemap ? 0 : level.depth;
    case Question::kLayers: return !texture.is_layered ? 0 : texture.is_cubemap ? level.depth / 6 : level.depth;
    case Question::kLevels: return static_cast<std::uint32_t>(texture.levels.size());
    case Question::kSamples: return 1;
    case Question::kNormalized: return texture.is_normalized ? 1 : 0;
  }
  return 0;
}

void Ask(Warp& warp, const Op& op, std::uint32_t mask) {
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    const Texture* texture = FindTexture(warp, op, l);
    if (texture == nullptr) return;
    const std::uint32_t level = op.b == kNoRow ? 0 : Get<std::uint32_t>(warp.r[op.b].lane[l]);
    warp.r[op.d].lane[l] = Answer(*texture, static_cast<Question>(op.mode), level);
  }
}

Status AskRule(Decoder& decoder, const Instruction& from, Op& op) {
  static constexpr std::pair<std::string_view, Question> kQuestions[] = {{"width", Question::kWidth},
                                                                         {"height", Question::kHeight},
                                                                         {"depth", Question::kDepth},
                                                                         {"array_size", Question::kLayers},
                                                                         {"num_samples", Question::kSamples},
                                                                         {"num_mipmap_levels", Question::kLevels},
                                                                         {"normalized_coords", Question::kNormalized}};
  const bool has_level = Decoder::Has(from, "level");
  if (from.operands.size() != (has_level ? 3 : 2)) return decoder.Refuse(from, "the number of operands is off");
  for (const auto& [name, question] : kQuestions) {
    if (!Decoder::Has(from, name)) continue;
    op.mode = static_cast<std::uint8_t>(question);
    ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Destination(from.operands[0]));
    ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(from.operands[1]));
    op.b = kNoRow;
    if (has_level) {
      ACCELMESH_ASSIGN_OR_RETURN(op.b, decoder.Source(from.operands[2], Type::kU32));
    }
    op.handler = Ask;
    return Status::Ok();
  }
  return decoder.Refuse(from, "the question is not supported");
}

}  // namespace

const RuleTable& TextureRules() {
  static const RuleTable kRules{
      {"tex", {FetchRule, "1d 2d 3d a1d a2d cube acube v4 base level grad"}},
      {"tld4", {GatherRule, "2d a2d cube acube v4 r g b a"}},
      {"txq", {AskRule, "level width height depth array_size num_samples num_mipmap_levels normalized_coords"}},
      {"suq", {AskRule, "width height depth array_size"}}};
  return kRules;
}

}  // namespace accelmesh::tier0
