// What there is of descriptors and attributes in cudnn_graph.h: a row an attribute.
//
// Threads: constants.
#pragma once

#include <cudnn.h>

#include <cstdint>
#include <span>

namespace accelmesh::dnn {

using TypeMask = std::uint32_t;  // a bit for each cudnnBackendAttributeType_t that the attribute is set by
constexpr TypeMask MaskOf(int type) { return TypeMask{1} << type; }

enum class Need : std::uint8_t {
  kOptional,
  kRequired,  // to finalise
  kAnswer,    // to read, made when it is finalised
  kLocal,     // to set, but said to nobody
};
struct AttributeRow {
  std::int16_t descriptor;
  std::int16_t name;
  TypeMask types;
  std::int16_t max_count;
  Need need;
};

// The rows of a type of descriptors; empty if there is none, or if it is not remoted.
std::span<const AttributeRow> RowsOf(int descriptor);
const AttributeRow* FindRow(int descriptor, int attribute);
// Of an element in the program's memory; 0 if there is no such type.
std::size_t ElementBytes(int type);
bool IsOperation(int descriptor);

}  // namespace accelmesh::dnn
