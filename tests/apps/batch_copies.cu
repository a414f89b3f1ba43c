// Batches of copies: linear ones and boxes, with every order of reading a source.
#include <vector>

#include "check.h"

constexpr int kWords = 3000;

static cudaMemcpyAttributes Reads(cudaMemcpySrcAccessOrder order) {
  cudaMemcpyAttributes attributes{};
  attributes.srcAccessOrder = order;
  return attributes;
}

static void Linear(cudaStream_t stream) {
  const size_t bytes = kWords * sizeof(unsigned);
  unsigned *first = nullptr, *second = nullptr, *pinned = nullptr;
  CHECK(cudaMalloc(&first, bytes));
  CHECK(cudaMalloc(&second, bytes));
  CHECK(cudaMallocHost(&pinned, bytes));
  std::vector<unsigned> host(kWords), back(kWords), small(4);
  for (int i = 0; i < kWords; ++i) {
    host[i] = i * 2654435761u;
    pinned[i] = i + 5;
  }
  for (int i = 0; i < 4; ++i) small[i] = 100 + i;
  // The sources of the first two are read during the call, that of the third in the order of the stream.
  CHECK(cudaMemsetAsync(second, 0, bytes, stream));
  CHECK(cudaStreamSynchronize(stream));
  void* dsts[] = {first, second, second + 100};
  const void* srcs[] = {host.data(), small.data(), pinned + 100};
  const size_t sizes[] = {bytes, 4 * sizeof(unsigned), bytes - 100 * sizeof(unsigned)};
  cudaMemcpyAttributes attributes[] = {Reads(cudaMemcpySrcAccessOrderDuringApiCall),
                                       Reads(cudaMemcpySrcAccessOrderStream)};
  attributes[1].flags = cudaMemcpyFlagPreferOverlapWithCompute;
  size_t indices[] = {0, 2};
  CHECK(cudaMemcpyBatchAsync(dsts, srcs, sizes, 3, attributes, indices, 2, stream));
  const std::vector<unsigned> expected = host;
  host.assign(kWords, 0);
  small.assign(4, 0);
  // The batch as a whole is in the stream: what follows comes behind it.
  void* to[] = {back.data(), pinned};
  const void* from[] = {first, second};
  const size_t each[] = {bytes, bytes};
  size_t only[] = {0};
  CHECK(cudaStreamSynchronize(stream));
  CHECK(cudaMemcpyBatchAsync(to, from, each, 2, attributes + 1, only, 1, stream));
  CHECK(cudaStreamSynchronize(stream));
  for (int i = 0; i < kWords; ++i) {
    const unsigned word = i < 4 ? 100 + i : i < 100 ? 0 : i + 5;
    EXPECT(back[i] == expected[i], "word %d is %u, not %u", i, back[i], expected[i]);
    EXPECT(pinned[i] == word, "pinned word %d is %u, not %u", i, pinned[i], word);
  }

  CHECK_ERROR(cudaMemcpyBatchAsync(dsts, srcs, sizes, 0, attributes, indices, 1, stream), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemcpyBatchAsync(dsts, srcs, sizes, 3, attributes, indices, 0, stream), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemcpyBatchAsync(dsts, srcs, sizes, 1, attributes, indices, 2, stream), cudaErrorInvalidValue);
  indices[0] = 1;
  CHECK_ERROR(cudaMemcpyBatchAsync(dsts, srcs, sizes, 3, attributes, indices, 2, stream), cudaErrorInvalidValue);
  indices[0] = 0;
  indices[1] = 0;
  CHECK_ERROR(cudaMemcpyBatchAsync(dsts, srcs, sizes, 3, attributes, indices, 2, stream), cudaErrorInvalidValue);
  indices[1] = 2;
  attributes[1].srcAccessOrder = cudaMemcpySrcAccessOrderInvalid;
  CHECK_ERROR(cudaMemcpyBatchAsync(dsts, srcs, sizes, 3, attributes, indices, 2, stream), cudaErrorInvalidValue);
  attributes[1].srcAccessOrder = cudaMemcpySrcAccessOrderAny;
  CHECK_ERROR(cudaMemcpyBatchAsync(dsts, srcs, sizes, 3, attributes, indices, 2, nullptr), cudaErrorInvalidValue);
  cudaGetLastError();
  CHECK(cudaFree(first));
  CHECK(cudaFree(second));
  CHECK(cudaFreeHost(pinned));
}

static cudaMemcpy3DOperand Pointer(void* pointer, size_t row, size_t layer) {
  cudaMemcpy3DOperand operand{};
  operand.type = cudaMemcpyOperandTypePointer;
  operand.op.ptr.ptr = pointer;
  operand.op.ptr.rowLength = row;
  operand.op.ptr.layerHeight = layer;
  return operand;
}

static cudaMemcpy3DOperand Inside(cudaArray_t array, size_t x, size_t y, size_t z) {
  cudaMemcpy3DOperand operand{};
  operand.type = cudaMemcpyOperandTypeArray;
  operand.op.array.array = array;
  operand.op.array.offset = {x, y, z};
  return operand;
}

static void Boxes(cudaStream_t stream) {
  const int width = 20, height = 10, depth = 4;
  const cudaChannelFormatDesc desc = cudaCreateChannelDesc<float>();
  cudaArray_t array = nullptr;
  CHECK(cudaMalloc3DArray(&array, &desc, make_cudaExtent(width, height, depth)));
  std::vector<float> host(width * height * depth), back(width * height * depth, -1.0f);
  for (int i = 0; i < width * height * depth; ++i) host[i] = 0.5f * i;
  float* device = nullptr;
  CHECK(cudaMalloc(&device, 100 * sizeof(float)));
  // The whole array from packed memory; then, behind that, a row of it into device memory.
  cudaMemcpy3DBatchOp up{};
  up.src = Pointer(host.data(), 0, 0);
  up.dst = Inside(array, 0, 0, 0);
  up.extent = make_cudaExtent(width, height, depth);
  up.srcAccessOrder = cudaMemcpySrcAccessOrderDuringApiCall;
  CHECK(cudaMemcpy3DBatchAsync(1, &up, 0, stream));
  const std::vector<float> kept = host;
  host.assign(host.size(), 0.0f);
  cudaMemcpy3DBatchOp two[2] = {};
  two[0].src = Inside(array, 3, 4, 1);
  two[0].dst = Pointer(device, 0, 0);
  two[0].extent = make_cudaExtent(5, 2, 2);
  two[0].srcAccessOrder = cudaMemcpySrcAccessOrderStream;
  // Into memory whose rows and layers are longer than the box.
  two[1].src = Inside(array, 0, 0, 0);
  two[1].dst = Pointer(back.data(), width, height);
  two[1].extent = make_cudaExtent(7, 3, depth);
  two[1].srcAccessOrder = cudaMemcpySrcAccessOrderAny;
  CHECK(cudaMemcpy3DBatchAsync(2, two, 0, stream));
  float box[20];
  CHECK(cudaMemcpyAsync(box, device, sizeof(box), cudaMemcpyDeviceToHost, stream));
  CHECK(cudaStreamSynchronize(stream));
  for (int i = 0; i < 20; ++i) {
    const int x = 3 + i % 5, y = 4 + i / 5 % 2, z = 1 + i / 10;
    EXPECT(box[i] == kept[(z * height + y) * width + x], "element %d of the box is %g", i, box[i]);
  }
  for (int z = 0; z < depth; ++z) {
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        const int i = (z * height + y) * width + x;
        EXPECT(back[i] == (x < 7 && y < 3 ? kept[i] : -1.0f), "(%d, %d, %d) is %g", x, y, z, back[i]);
      }
    }
  }
  two[0].extent.height = 0;
  CHECK_ERROR(cudaMemcpy3DBatchAsync(2, two, 0, stream), cudaErrorInvalidValue);
  two[0].extent.height = 2;
  two[1].dst = Pointer(back.data(), 6, height);
  CHECK_ERROR(cudaMemcpy3DBatchAsync(2, two, 0, stream), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemcpy3DBatchAsync(1, two, 1, stream), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemcpy3DBatchAsync(1, two, 0, nullptr), cudaErrorInvalidValue);
  two[0].src = Inside(array, 16, 4, 1);
  CHECK_ERROR(cudaMemcpy3DBatchAsync(1, two, 0, stream), cudaErrorInvalidValue);
  cudaGetLastError();
  CHECK(cudaFree(device));
  CHECK(cudaFreeArray(array));
}

int main() {
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  Linear(stream);
  Boxes(stream);
  CHECK(cudaStreamDestroy(stream));
  std::printf("batch_copies: linear and boxes\n");
  return Passed();
}
