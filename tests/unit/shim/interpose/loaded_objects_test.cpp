#include "shim/interpose/loaded_objects.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/base/mapped_file.h"

namespace accelmesh {
namespace {

using ::testing::HasSubstr;

TEST(LoadedObjects, TheProgramAndItsLibraries) {
  const std::vector<LoadedObject> objects = ListLoadedObjects();
  ASSERT_GT(objects.size(), 1u);
  EXPECT_TRUE(objects[0].is_program);
  EXPECT_THAT(objects[0].name, HasSubstr("interpose_test"));
  bool has_libc = false;
  for (std::size_t i = 1; i < objects.size(); ++i) {
    EXPECT_FALSE(objects[i].is_program) << objects[i].name;
    EXPECT_THAT(objects[i].name, HasSubstr("/"));
    has_libc |= objects[i].name.find("libc.so.6") != std::string::npos;
  }
  EXPECT_TRUE(has_libc);
  EXPECT_TRUE(LoaderIsConsistent());
}

TEST(LoadedObjects, EachComesFromItsFileAndFromNoOther) {
  const std::vector<LoadedObject> objects = ListLoadedObjects();
  for (const LoadedObject& object : objects) {
    for (const LoadedObject& other : objects) {
      const Result<MappedFile> file = MappedFile::Open(other.path);
      ASSERT_TRUE(file.ok()) << file.status().ToString();
      EXPECT_EQ(IsLoadedFrom(object, file->bytes()), &object == &other) << object.name << " from " << other.name;
    }
  }
}

TEST(LoadedObjects, APieceOfItsFileIsNotIt) {
  const LoadedObject program = ListLoadedObjects().front();
  const Result<MappedFile> file = MappedFile::Open(program.path);
  ASSERT_TRUE(file.ok());
  for (const std::size_t bytes : {0u, 4u, 63u, 64u, 200u}) {
    const Bytes part(file->bytes().begin(), file->bytes().begin() + static_cast<std::ptrdiff_t>(bytes));
    EXPECT_FALSE(IsLoadedFrom(program, part)) << bytes;
  }
}

}  // namespace
}  // namespace accelmesh
