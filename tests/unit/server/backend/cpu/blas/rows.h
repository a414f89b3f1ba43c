// The table of what is tested: a function with its types, and how its family is called and computed. A new function of
// a family is a line of its Add.
//
// Threads: values.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "protocol/library/library.h"
#include "tests/unit/server/backend/cpu/blas/case.h"

namespace accelmesh::blas_test {

struct Row {
  std::string function;
  void (*run)(Case& t, const Row& row) = nullptr;
  Type type = Type::kR32F;    // of what is read
  Type out = Type::kR32F;     // of what is written
  Type scalar = Type::kR32F;  // of alpha and beta
  Type computed_in = Type::kR32F;
  Form form = Form::kSingle;
  bool is_hermitian = false;
  bool is_ex = false;  // has types among its parameters
  int compute = 0;     // cublasComputeType_t
  // It may say that it does not have these types, which the manual lists.
  bool may_refuse = false;
  std::uint32_t library = kLibraryBlas;
  int epilogue = 0;          // cublasLtEpilogue_t
  std::string variant = {};  // what to call it where its types are not enough
};

// For the test's output.
inline void PrintTo(const Row& row, std::ostream* out) { *out << row.function << " of " << NameOf(row.type); }

std::vector<Row> AllRows();
// Functions that no manual says anything about.
std::vector<std::string> Undocumented();

// One row for each letter of `letters`, which takes the place of ? in the name: S, D, C, Z and H, or i for small ones.
std::vector<Row> Rows(const std::string& name, const std::string& letters, void (*run)(Case&, const Row&));

void AddVectors(std::vector<Row>& rows);
void AddRotations(std::vector<Row>& rows);
void AddMatrixVectors(std::vector<Row>& rows);
void AddTriangularVectors(std::vector<Row>& rows);
void AddProducts(std::vector<Row>& rows);
void AddTriangles(std::vector<Row>& rows);
void AddCopies(std::vector<Row>& rows);
void AddFactorizations(std::vector<Row>& rows);
void AddLtProducts(std::vector<Row>& rows);

inline std::vector<Row>& operator+=(std::vector<Row>& all, std::vector<Row> more) {
  all.insert(all.end(), more.begin(), more.end());
  return all;
}
// The same rows, changed.
template <typename Change>
std::vector<Row> With(std::vector<Row> rows, Change change) {
  for (Row& row : rows) change(row);
  return rows;
}

}  // namespace accelmesh::blas_test
