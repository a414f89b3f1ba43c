// Boxes of bytes, and how one is cut into pieces that fit into a staging buffer, where they lie packed.
//
// Threads: pure functions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

namespace accelmesh::cuda {

// `depth` slices of `height` rows of `width` bytes.
struct Box {
  std::uint64_t width = 0;
  std::uint64_t height = 1;
  std::uint64_t depth = 1;
  std::uint64_t bytes() const { return width * height * depth; }
};
// A box inside of another: its first byte, row and slice.
struct Piece {
  std::uint64_t x = 0;
  std::uint64_t y = 0;
  std::uint64_t z = 0;
  Box box;
  // Where it begins if all of `whole` is packed; a piece is contiguous there.
  std::uint64_t PackedOffset(const Box& whole) const { return (z * whole.height + y) * whole.width + x; }
};

// Cuts a box into pieces of at most `piece_bytes`, in packed order: whole slices if they fit, else whole rows, else
// parts of a row.
class PieceCutter {
 public:
  PieceCutter(const Box& whole, std::uint64_t piece_bytes) : whole_(whole), piece_bytes_(piece_bytes) {}

  std::optional<Piece> Next() {
    if (next_.z >= whole_.depth) return std::nullopt;
    Piece piece = next_;
    const std::uint64_t slice_bytes = whole_.width * whole_.height;
    if (slice_bytes <= piece_bytes_) {
      piece.box = {whole_.width, whole_.height, std::min(piece_bytes_ / slice_bytes, whole_.depth - next_.z)};
      next_.z += piece.box.depth;
    } else if (whole_.width <= piece_bytes_) {
      piece.box = {whole_.width, std::min(piece_bytes_ / whole_.width, whole_.height - next_.y), 1};
      next_.y += piece.box.height;
    } else {
      piece.box = {std::min(piece_bytes_, whole_.width - next_.x), 1, 1};
      next_.x += piece.box.width;
    }
    if (next_.x >= whole_.width) {
      next_.x = 0;
      ++next_.y;
    }
    if (next_.y >= whole_.height) {
      next_.y = 0;
      ++next_.z;
    }
    return piece;
  }
  bool at_end() const { return next_.z >= whole_.depth; }

 private:
  Box whole_;
  std::uint64_t piece_bytes_;
  Piece next_;
};

}  // namespace accelmesh::cuda
