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
  std::int32_t max_count;
  Need need;
};

// The rows of a type of descriptors; empty if there is none, or if it is not remoted.
std::span<const AttributeRow> RowsOf(int descriptor);
const AttributeRow* FindRow(int descriptor, int attribute);
// Of an element in the program's memory; 0 if there is no such type.
std::size_t ElementBytes(int type);
bool IsOperation(int descriptor);
// What NVIDIA's library returns of an attribute that is set with another type, with too many elements or none, from no
// memory; and of one that is missing when its descriptor is finalised. It is not the same for all of them.
cudnnStatus_t WrongType(const AttributeRow& row);
cudnnStatus_t WrongCount(const AttributeRow& row);
bool CountFits(const AttributeRow& row, std::int64_t count);
cudnnStatus_t WrongMemory(const AttributeRow& row);
cudnnStatus_t Missing(const AttributeRow& row);

}  // namespace accelmesh::dnn
