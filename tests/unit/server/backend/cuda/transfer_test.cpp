// CopyBox and FillBox: as few driver calls as a box allows, and every byte at its place. The driver is a few functions
// that do at once, in host memory, what cuda.h says.
#include "server/backend/cuda/transfer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace accelmesh::cuda {
namespace {

constexpr std::uint64_t kNoLimit = 1u << 31;

int calls = 0;

std::uint8_t* At(std::uint64_t address) { return reinterpret_cast<std::uint8_t*>(address); }

CUresult Linear(CUdeviceptr dst, CUdeviceptr src, std::size_t bytes, CUstream) {
  ++calls;
  std::memcpy(At(dst), At(src), bytes);
  return CUDA_SUCCESS;
}
CUresult Flat2D(const CUDA_MEMCPY2D* copy, CUstream) {
  ++calls;
  EXPECT_GE(copy->srcPitch, copy->WidthInBytes);
  EXPECT_GE(copy->dstPitch, copy->WidthInBytes);
  for (std::size_t y = 0; y < copy->Height; ++y) {
    std::memcpy(At(copy->dstDevice + y * copy->dstPitch), At(copy->srcDevice + y * copy->srcPitch), copy->WidthInBytes);
  }
  return CUDA_SUCCESS;
}
CUresult Deep3D(const CUDA_MEMCPY3D* copy, CUstream) {
  ++calls;
  for (std::size_t z = 0; z < copy->Depth; ++z) {
    for (std::size_t y = 0; y < copy->Height; ++y) {
      std::memcpy(At(copy->dstDevice + (z * copy->dstHeight + y) * copy->dstPitch),
                  At(copy->srcDevice + (z * copy->srcHeight + y) * copy->srcPitch), copy->WidthInBytes);
    }
  }
  return CUDA_SUCCESS;
}
template <typename T>
CUresult Fill(CUdeviceptr address, T value, std::size_t count, CUstream) {
  ++calls;
  std::fill_n(reinterpret_cast<T*>(address), count, value);
  return CUDA_SUCCESS;
}
template <typename T>
CUresult Fill2D(CUdeviceptr address, std::size_t pitch, T value, std::size_t width, std::size_t height, CUstream) {
  ++calls;
  for (std::size_t y = 0; y < height; ++y) std::fill_n(reinterpret_cast<T*>(address + y * pitch), width, value);
  return CUDA_SUCCESS;
}

Driver HostDriver() {
  Driver driver;
  driver.MemcpyAsync = &Linear;
  driver.Memcpy2DAsync = &Flat2D;
  driver.Memcpy3DAsync = &Deep3D;
  driver.MemsetD8Async = &Fill<unsigned char>;
  driver.MemsetD16Async = &Fill<unsigned short>;
  driver.MemsetD32Async = &Fill<unsigned int>;
  driver.MemsetD2D8Async = &Fill2D<unsigned char>;
  driver.MemsetD2D16Async = &Fill2D<unsigned short>;
  driver.MemsetD2D32Async = &Fill2D<unsigned int>;
  return driver;
}

struct Pitches {
  std::uint64_t pitch = 0;
  std::uint64_t slice = 0;
};
struct Case {
  Box box;
  Pitches dst;
  Pitches src;
  int calls;
  std::uint64_t max_pitch = kNoLimit;
};

TEST(CopyBox, EveryShapeArrivesInTheFewestCalls) {
  const Case cases[] = {
      {{100, 1, 1}, {100, 100}, {100, 100}, 1},   {{16, 8, 1}, {16, 128}, {16, 128}, 1},  // rows that touch
      {{16, 8, 1}, {32, 256}, {16, 128}, 1},                                              // 2D
      {{16, 8, 4}, {16, 128}, {16, 128}, 1},                                              // all in one row
      {{16, 1, 4}, {16, 64}, {16, 16}, 1},                                                // slices of one row are rows
      {{16, 8, 4}, {32, 256}, {16, 128}, 1},                                              // slices that touch are rows
      {{16, 8, 4}, {32, 320}, {16, 160}, 1},                                              // 3D
      {{16, 8, 4}, {32, 300}, {16, 128}, 4},                                              // slices at no row's distance
      {{16, 8, 1}, {32, 256}, {16, 128}, 8, 24},   // too far apart for the driver
      {{16, 8, 2}, {32, 256}, {48, 400}, 16, 24},  // the same in slices
  };
  const Driver driver = HostDriver();
  for (const Case& c : cases) {
    SCOPED_TRACE(&c - cases);
    std::vector<std::uint8_t> from(8192);
    for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
    std::vector<std::uint8_t> to(8192, 0xee);
    std::vector<std::uint8_t> expected = to;
    for (std::uint64_t z = 0; z < c.box.depth; ++z) {
      for (std::uint64_t y = 0; y < c.box.height; ++y) {
        std::memcpy(expected.data() + z * c.dst.slice + y * c.dst.pitch,
                    from.data() + z * c.src.slice + y * c.src.pitch, c.box.width);
      }
    }
    calls = 0;
    const Side dst{reinterpret_cast<std::uint64_t>(to.data()), c.dst.pitch, c.dst.slice};
    const Side src{reinterpret_cast<std::uint64_t>(from.data()), c.src.pitch, c.src.slice};
    EXPECT_EQ(CopyBox(driver, nullptr, dst, src, c.box, c.max_pitch), CUDA_SUCCESS);
    EXPECT_EQ(to, expected);
    EXPECT_EQ(calls, c.calls);
  }
}

TEST(FillBox, EveryElementSizeAndShape) {
  const Driver driver = HostDriver();
  for (const std::uint32_t element : {1u, 2u, 4u}) {
    for (const auto& [pitch, slice, expected_calls] :
         {std::tuple{16u, 64u, 1}, std::tuple{32u, 128u, 1}, std::tuple{32u, 160u, 3}}) {
      SCOPED_TRACE(std::to_string(element) + " " + std::to_string(pitch) + " " + std::to_string(slice));
      alignas(4) std::array<std::uint8_t, 1024> memory{};
      std::array<std::uint8_t, 1024> expected{};
      const std::uint32_t value = 0xa1b2c3d4;
      for (std::uint32_t z = 0; z < 3; ++z) {
        for (std::uint32_t y = 0; y < 4; ++y) {
          for (std::uint32_t x = 0; x < 16; x += element)
            std::memcpy(expected.data() + z * slice + y * pitch + x, &value, element);
        }
      }
      calls = 0;
      const FillJob job{
          reinterpret_cast<std::uint64_t>(memory.data()), pitch, slice, 16 / element, 4, 3, value, element};
      EXPECT_EQ(FillBox(driver, nullptr, job, kNoLimit), CUDA_SUCCESS);
      EXPECT_EQ(memory, expected);
      EXPECT_EQ(calls, expected_calls);
    }
  }
}

TEST(CopyBox, TheFirstErrorEndsIt) {
  Driver driver = HostDriver();
  driver.MemcpyAsync = [](CUdeviceptr, CUdeviceptr, std::size_t, CUstream) {
    return ++calls == 2 ? CUDA_ERROR_ILLEGAL_ADDRESS : CUDA_SUCCESS;
  };
  calls = 0;
  std::uint8_t bytes[256];
  const Side side{reinterpret_cast<std::uint64_t>(bytes), 32, 256};
  EXPECT_EQ(CopyBox(driver, nullptr, side, side, {16, 8, 1}, 24), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace accelmesh::cuda
