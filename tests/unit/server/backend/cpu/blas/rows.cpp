#include "tests/unit/server/backend/cpu/blas/rows.h"

namespace accelmesh::blas_test {
namespace {

Type TypeOf(char letter) {
  switch (letter) {
    case 'S':
    case 's': return Type::kR32F;
    case 'D':
    case 'd': return Type::kR64F;
    case 'C':
    case 'c': return Type::kC32F;
    case 'Z':
    case 'z': return Type::kC64F;
    default: return Type::kR16F;
  }
}

}  // namespace

std::vector<Row> Rows(const std::string& name, const std::string& letters, void (*run)(Case&, const Row&)) {
  std::vector<Row> rows;
  for (const char letter : letters) {
    std::string function = name;
    const std::size_t place = function.find('?');
    if (place != std::string::npos) function[place] = letter;
    const Type type = TypeOf(letter);
    // Half is summed in float, and rounded once.
    rows.push_back({function, run, type, type, type, type == Type::kR16F ? Type::kR32F : type});
  }
  return rows;
}

std::vector<Row> AllRows() {
  std::vector<Row> rows;
  AddVectors(rows);
  AddRotations(rows);
  AddMatrixVectors(rows);
  AddTriangularVectors(rows);
  AddProducts(rows);
  AddTriangles(rows);
  AddCopies(rows);
  AddFactorizations(rows);
  AddLtProducts(rows);
  return rows;
}

// A product of bytes with offsets, of which the headers say no more than its parameters' names.
std::vector<std::string> Undocumented() { return {"cublasUint8gemmBias"}; }

}  // namespace accelmesh::blas_test
