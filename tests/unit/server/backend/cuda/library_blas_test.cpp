// NVIDIA's libcublas of the toolkit, which opens without a GPU: whether it has what is called by name.
#include "server/backend/cuda/library_blas.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace accelmesh::cuda {
namespace {

TEST(BlasLibraryTest, NvidiasHasEveryFunctionOfTheWire) {
  ::setenv("ACCELMESH_LIBCUBLAS", ACCELMESH_NVIDIAS_CUBLAS, 1);
  const auto library = BlasLibrary::Load();
  ASSERT_TRUE(library.ok()) << library.status().ToString();
  int count = 0;
  for (std::uint32_t f = 0; f < LibraryFunctions(kLibraryBlas); ++f) {
    const std::string name = LibraryFunctionName(kLibraryBlas, f);
    if (name == "unknown") continue;
    const BlasLibrary::Function* const function = (*library)->Find(f);
    ASSERT_NE(function, nullptr) << name;
    EXPECT_TRUE(HasBit((*library)->Bits(), f));
    // The symbol is that function, or its variant with 64 bits.
    EXPECT_EQ(function->name, name + (function->is_wide && !name.ends_with("_64") ? "_64" : ""));
    ++count;
  }
  EXPECT_GT(count, 200);
  EXPECT_NE((*library)->SetEmulationStrategy, nullptr);
  EXPECT_NE((*library)->SetMantissaBits, nullptr);
  EXPECT_EQ((*library)->StatusName(CUBLAS_STATUS_ALLOC_FAILED), "CUBLAS_STATUS_ALLOC_FAILED (3)");
}

TEST(BlasLibraryTest, WhatIsNoLibraryIsRefusedByName) {
  ::setenv("ACCELMESH_LIBCUBLAS", "/nowhere/libcublas.so.13", 1);
  const auto none = BlasLibrary::Load();
  EXPECT_EQ(none.status().code(), Code::kUnsupported);
  EXPECT_THAT(none.status().text(), ::testing::HasSubstr("/nowhere/libcublas.so.13"));
  ::setenv("ACCELMESH_LIBCUBLAS", "libm.so.6", 1);
  EXPECT_THAT(BlasLibrary::Load().status().text(), ::testing::HasSubstr("libm.so.6 lacks cublasCreate_v2"));
}

}  // namespace
}  // namespace accelmesh::cuda
