#include "protocol/library/library.h"

#include <gtest/gtest.h>

#include <cstring>

#include "protocol/library/blas_settings.h"

namespace accelmesh {
namespace {

std::uint32_t FunctionNamed(const std::string& name) {
  for (std::uint32_t f = 0; f < LibraryFunctions(kLibraryBlas); ++f) {
    if (LibraryFunctionName(kLibraryBlas, f) == name) return f;
  }
  return 0;
}

TEST(Library, EveryFunctionHasOneShapeAndNoOther) {
  const std::uint32_t end = LibraryFunctions(kLibraryBlas);
  ASSERT_GT(end, 200u);
  const Bytes longest((2 + kLibraryWordsMax) * 8);
  std::size_t known = 0;
  for (std::uint32_t function = 0; function < end + 3; ++function) {
    std::size_t fitting = 0;
    for (std::size_t bytes = 0; bytes <= longest.size(); ++bytes)
      fitting += HasLibraryShape(kLibraryBlas, function, ByteView(longest).first(bytes)) ? 1 : 0;
    const bool is_known = std::string(LibraryFunctionName(kLibraryBlas, function)) != "unknown";
    EXPECT_EQ(fitting, is_known ? 1u : 0u) << function;
    known += is_known ? 1 : 0;
  }
  EXPECT_EQ(known, end - 1) << "numbers begin at 1 and have no gaps yet";
}

TEST(Library, AProductHasFifteenWordsAndAFlag) {
  const std::uint32_t sgemm = FunctionNamed("cublasSgemm_v2");
  ASSERT_NE(sgemm, 0u);
  EXPECT_TRUE(HasLibraryShape(kLibraryBlas, sgemm, Bytes(16 * 8)));
  EXPECT_FALSE(HasLibraryShape(kLibraryBlas + 1, sgemm, Bytes(16 * 8)));
  EXPECT_EQ(FunctionNamed("cublasSgemm_v2_64"), 0u) << "it is cublasSgemm_v2 on the wire";
  EXPECT_NE(FunctionNamed("cublasIsamax_v2_64"), 0u) << "it writes a number of 64 bits";
}

TEST(Library, WordsAreReadWhereTheyAreAndNotBehindTheEnd) {
  const std::uint64_t words[] = {kDevicePointers, 7, static_cast<std::uint64_t>(-3)};
  Bytes bytes(sizeof(words));
  std::memcpy(bytes.data(), words, sizeof(words));
  const LibraryArguments arguments(bytes);
  EXPECT_TRUE(arguments.has_device_pointers());
  EXPECT_EQ(arguments.Word(0), 7);
  EXPECT_EQ(arguments.Word(1), -3);
  EXPECT_EQ(arguments.Word(2), 0);
  EXPECT_EQ(arguments.Word(1u << 20), 0);
}

TEST(Library, SettingsAreAsLongAsTheyAre) {
  BlasSettings settings;
  settings.math_mode = 3;
  settings.workspace_bytes = 1 << 20;
  const Bytes bytes(AsBytes(settings).begin(), AsBytes(settings).end());
  const std::optional<BlasSettings> read = ReadBlasSettings(bytes);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->math_mode, 3);
  EXPECT_EQ(read->workspace_bytes, 1u << 20);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(ReadBlasSettings(ByteView(bytes).first(size)).has_value());
}

TEST(Library, ABitBehindTheEndIsNotSet) {
  const Bytes bits{0x02, 0x80};
  EXPECT_TRUE(HasBit(bits, 1));
  EXPECT_TRUE(HasBit(bits, 15));
  EXPECT_FALSE(HasBit(bits, 0));
  EXPECT_FALSE(HasBit(bits, 16));
  EXPECT_FALSE(HasBit(bits, 0xffffffffu));
}

}  // namespace
}  // namespace accelmesh
