// What the programs on the statuses of cuDNN's graph API share: attributes set with every type, and descriptors that
// are whole but for one of their attributes.
#pragma once

#include <string>

#include "cudnn_backend.h"

using Types = uint64_t;  // a bit for each cudnnBackendAttributeType_t
constexpr Types Of(int type) { return Types{1} << type; }
constexpr Types kDesc = Of(CUDNN_TYPE_BACKEND_DESCRIPTOR), kInt = Of(CUDNN_TYPE_INT64), kInt32 = Of(CUDNN_TYPE_INT32),
                kFloat = Of(CUDNN_TYPE_FLOAT), kDouble = Of(CUDNN_TYPE_DOUBLE), kBool = Of(CUDNN_TYPE_BOOLEAN),
                kData = Of(CUDNN_TYPE_DATA_TYPE), kNan = Of(10), kLength = kInt | Of(CUDNN_TYPE_FRACTION);
constexpr cudnnStatus_t kBad = CUDNN_STATUS_BAD_PARAM, kType = CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE;

// A tensor that is finalised, of no memory.
class Described {
 public:
  Described(const Ints& dims, cudnnDataType_t type, bool is_value = false) : tensor_(CUDNN_BACKEND_TENSOR_DESCRIPTOR) {
    static int64_t uid = 1;
    tensor_.Set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type)
        .SetInts(CUDNN_ATTR_TENSOR_DIMENSIONS, dims)
        .SetInts(CUDNN_ATTR_TENSOR_STRIDES, PackedStrides(dims))
        .Set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, uid++)
        .Set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, int64_t{16})
        .Set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, is_value)
        .Finalize();
  }
  const Backend& get() const { return tensor_; }

 private:
  Backend tensor_;
};

// What setting one element of a type says, of an attribute.
inline cudnnStatus_t SetOne(cudnnBackendDescriptorType_t descriptor, cudnnBackendAttributeName_t name, int type) {
  const Described tensor({2, 3, 4, 5}, CUDNN_DATA_FLOAT);
  alignas(16) unsigned char element[32] = {};
  const cudnnBackendDescriptor_t referred = tensor.get().get();
  const int64_t fraction[2] = {1, 1};
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) memcpy(element, &referred, sizeof(referred));
  if (type == CUDNN_TYPE_FRACTION) memcpy(element, fraction, sizeof(fraction));
  Backend of(descriptor);
  return cudnnBackendSetAttribute(of.get(), name, static_cast<cudnnBackendAttributeType_t>(type), 1, element);
}

// With each type: one of `types` is well, another one `otherwise`; those of `unasked` are not looked at.
inline void TestTypes(cudnnBackendDescriptorType_t descriptor, cudnnBackendAttributeName_t name, Types types,
                      cudnnStatus_t otherwise, Types unasked = 0) {
  for (int type = 0; type <= CUDNN_TYPE_MOE_GROUPED_MATMUL_MODE; ++type) {
    // The library looks into what handles and pointers point to.
    if (type == CUDNN_TYPE_HANDLE || type == CUDNN_TYPE_VOID_PTR || type == CUDNN_TYPE_CHAR) continue;
    if ((unasked & Of(type)) != 0) continue;
    const cudnnStatus_t status = SetOne(descriptor, name, type);
    const cudnnStatus_t wanted = (types & Of(type)) != 0 ? CUDNN_STATUS_SUCCESS : otherwise;
    EXPECT(status == wanted, "descriptor %d, attribute %d, type %d: %s, not %s", descriptor, name, type,
           cudnnGetErrorString(status), cudnnGetErrorString(wanted));
  }
}

// One attribute of a descriptor that is whole: numbers, or tensors of dimensions and a type.
struct Item {
  int name;
  int type;  // of numbers; CUDNN_TYPE_BACKEND_DESCRIPTOR: a tensor
  Ints words;
  cudnnDataType_t data;
  cudnnStatus_t without;  // it
  bool is_value = false;
};
constexpr cudnnStatus_t kWell = CUDNN_STATUS_SUCCESS, kOpen = CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;

inline Item Plain(int name, int type, const Ints& words, cudnnStatus_t without) {
  return {name, type, words, CUDNN_DATA_FLOAT, without};
}
inline Item Shaped(int name, const Ints& dims, cudnnDataType_t data, cudnnStatus_t without) {
  return {name, CUDNN_TYPE_BACKEND_DESCRIPTOR, dims, data, without};
}

// What finalising says of a descriptor with these attributes, and of the tensors that they refer to.
inline cudnnStatus_t Finalize(cudnnBackendDescriptorType_t type, const std::vector<Item>& items, size_t left_out,
                              const Backend* description, int description_name) {
  Backend of(type);
  std::vector<std::unique_ptr<Described>> tensors;
  if (description != nullptr) of.Refer(static_cast<cudnnBackendAttributeName_t>(description_name), *description);
  for (size_t i = 0; i < items.size(); ++i) {
    if (i == left_out) continue;
    const Item& item = items[i];
    const auto name = static_cast<cudnnBackendAttributeName_t>(item.name);
    if (item.type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
      tensors.push_back(std::make_unique<Described>(item.words, item.data, item.is_value));
      of.Refer(name, tensors.back()->get());
      continue;
    }
    std::vector<unsigned char> elements;
    for (const int64_t word : item.words) {
      const auto put = [&elements](auto value) {
        const size_t at = elements.size();
        elements.resize(at + sizeof(value));
        memcpy(elements.data() + at, &value, sizeof(value));
      };
      switch (item.type) {
        case CUDNN_TYPE_INT64: put(word); break;
        case CUDNN_TYPE_DOUBLE: put(static_cast<double>(word)); break;
        case CUDNN_TYPE_FLOAT: put(static_cast<float>(word)); break;
        case CUDNN_TYPE_BOOLEAN: put(word != 0); break;
        default: put(static_cast<int32_t>(word)); break;
      }
    }
    CHECK_DNN(cudnnBackendSetAttribute(of.get(), name, static_cast<cudnnBackendAttributeType_t>(item.type),
                                       static_cast<int64_t>(item.words.size()), elements.data()));
  }
  return cudnnBackendFinalize(of.get());
}

// Whole it is well; without one of its attributes it is what the list says.
inline void TestWhole(const char* what, cudnnBackendDescriptorType_t type, const std::vector<Item>& items,
                      const Backend* description = nullptr, int description_name = 0) {
  const cudnnStatus_t whole = Finalize(type, items, items.size(), description, description_name);
  EXPECT(whole == CUDNN_STATUS_SUCCESS, "%s: %s", what, cudnnGetErrorString(whole));
  for (size_t i = 0; i < items.size(); ++i) {
    const cudnnStatus_t status = Finalize(type, items, i, description, description_name);
    EXPECT(status == items[i].without, "%s without %d: %s, not %s", what, items[i].name, cudnnGetErrorString(status),
           cudnnGetErrorString(items[i].without));
  }
}
// With another shape in the place of one.
inline void TestWrong(const char* what, cudnnBackendDescriptorType_t type, std::vector<Item> items, size_t at,
                      const Ints& words, cudnnStatus_t wanted, const Backend* description = nullptr,
                      int description_name = 0) {
  items[at].words = words;
  const cudnnStatus_t status = Finalize(type, items, items.size(), description, description_name);
  EXPECT(status == wanted, "%s: %s, not %s", what, cudnnGetErrorString(status), cudnnGetErrorString(wanted));
}
