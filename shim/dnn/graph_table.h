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
  kInGraph,   // to be part of a graph: NVIDIA's library finalises without, and has a value that it does not tell
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
// Whether the header has it though it is in no row: it is not remoted.
bool IsAttributeOfHeader(int attribute);
// What NVIDIA's library returns of an attribute that is set with another type, with too many elements or too few, that
// is only to be read, that refers to nothing (success: it is as one that was not set); and of one that is missing when
// its descriptor is finalised.
cudnnStatus_t WrongType(const AttributeRow& row);
cudnnStatus_t WrongCount(const AttributeRow& row, std::int64_t count);
bool CountFits(const AttributeRow& row, std::int64_t count);
cudnnStatus_t WrongAnswer(const AttributeRow& row);
cudnnStatus_t NullReference(const AttributeRow& row);
cudnnStatus_t Missing(const AttributeRow& row);

}  // namespace accelmesh::dnn
