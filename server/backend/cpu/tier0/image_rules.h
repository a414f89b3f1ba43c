// What the opcode tables of textures and of surfaces share. Private to this folder.
#pragma once

#include <algorithm>

#include "server/backend/cpu/tier0/decoder.h"
#include "server/backend/cpu/tier0/sampler.h"

namespace accelmesh::tier0 {

// In Op::rows: data first, then x, y and z. Op::a is the handle, Op::b the layer or kNoRow.
inline constexpr std::size_t kCoordinates = 4;

// The object that the lane names, or null with the fault raised.
const Texture* FindTexture(Warp& warp, const Op& op, std::uint32_t lane);
// The geometry among the modifiers; false if there is none of ours.
bool ReadShape(const ptx::Instruction& from, TextureShape* shape);
// Fills Op::a, Op::b and the coordinates from [a, {...}].
Status CoordinateRows(Decoder& decoder, const ptx::Instruction& from, const ptx::Operand& address, TextureShape shape,
                      Op& op);

}  // namespace accelmesh::tier0
