// One call of libcudnn, made of words of the wire. A function is a body that names what it gives to the library:
//
//     cudnnStatus_t ScaleTensor(DnnCall& call, const DnnScaleTensor& words) {
//       return call.Do(call.library().ScaleTensor, call.Tensor(words.y.tensor), call.Address(words.y.address),
//                      call.Scalar(words.alpha, words.y.tensor));
//     }
//
// and a line in the table beside it. The same body, without a handle, tells problems apart: then nothing is called.
// Words are a client's: what would be read past an end is checked here, all else is the library's to refuse. The first
// thing that is wrong is what Do() returns.
//
// Threads: a call is one thread's.
#pragma once

#include <array>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "protocol/library/dnn_calls.h"
#include "server/backend/cuda/library_dnn.h"
#include "server/backend/cuda/library_native.h"

namespace accelmesh::cuda {

// Descriptors of one kind by what they say: made for the first call that has one, kept for the next.
template <typename Descriptor>
class DescriptorsOf {
 public:
  // Null, with *status, if the library refuses what `key` says. `set(descriptor)` makes it say that.
  template <typename Set>
  Descriptor Get(std::string_view key, cudnnStatus_t (*create)(Descriptor*), cudnnStatus_t (*destroy)(Descriptor),
                 cudnnStatus_t* status, Set set) {
    if (const auto found = made_.find(key); found != made_.end()) return found->second;
    Descriptor made = nullptr;
    *status = create(&made);
    if (*status != CUDNN_STATUS_SUCCESS) return nullptr;
    *status = set(made);
    if (*status == CUDNN_STATUS_SUCCESS) return made_.emplace(key, made).first->second;
    (void)destroy(made);
    return nullptr;
  }
  std::size_t size() const { return made_.size(); }
  void Clear(cudnnStatus_t (*destroy)(Descriptor)) {
    for (const auto& [words, descriptor] : made_) (void)destroy(descriptor);
    made_.clear();
  }

 private:
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::unordered_map<std::string, Descriptor, Hash, std::equal_to<>> made_;
};

struct DnnDescriptors {
  DescriptorsOf<cudnnTensorDescriptor_t> tensors;
  DescriptorsOf<cudnnFilterDescriptor_t> filters;
  DescriptorsOf<cudnnConvolutionDescriptor_t> convolutions;
  DescriptorsOf<cudnnActivationDescriptor_t> activations;
  DescriptorsOf<cudnnPoolingDescriptor_t> poolings;
  DescriptorsOf<cudnnOpTensorDescriptor_t> operations;
  DescriptorsOf<cudnnReduceTensorDescriptor_t> reductions;
  DescriptorsOf<cudnnDropoutDescriptor_t> dropouts;
  DescriptorsOf<cudnnRNNDescriptor_t> networks;
  DescriptorsOf<cudnnRNNDataDescriptor_t> sequences;
  DescriptorsOf<cudnnLRNDescriptor_t> lrns;
  DescriptorsOf<cudnnSpatialTransformerDescriptor_t> transformers;
  DescriptorsOf<cudnnCTCLossDescriptor_t> ctcs;
  DescriptorsOf<cudnnTensorTransformDescriptor_t> transforms;
  DescriptorsOf<cudnnAttnDescriptor_t> attentions;
  DescriptorsOf<cudnnSeqDataDescriptor_t> sequence_data;

  void Clear(const DnnLibrary& library);
  // Between calls: a client that never says the same twice does not fill the memory.
  void Trim(const DnnLibrary& library);
};

class DnnCall {
 public:
  using Value = NativeArguments::Value;

  // Without a handle nothing is called.
  DnnCall(const DnnLibrary& library, DnnHandle* handle, GraphPlans* plans = nullptr,
          std::shared_ptr<const Bytes> settings = nullptr)
      : library_(library), handle_(handle), plans_(plans), settings_(std::move(settings)) {}
  const DnnLibrary& library() const { return library_; }
  cudnnStatus_t status() const { return status_; }
  // What the arguments have in common with those of other calls that need the same kernels.
  std::uint64_t problem() const { return problem_; }

  // CUDNN_STATUS_BAD_PARAM if not.
  void Require(bool holds) {
    if (!holds && status_ == CUDNN_STATUS_SUCCESS) status_ = CUDNN_STATUS_BAD_PARAM;
  }
  cudnnTensorDescriptor_t Tensor(const DnnTensor& words);
  // Null if there is none.
  cudnnTensorDescriptor_t Optional(const DnnTensor& words) { return words.rank == 0 ? nullptr : Tensor(words); }
  cudnnFilterDescriptor_t Filter(const DnnTensor& words);
  cudnnConvolutionDescriptor_t Convolution(const DnnConvolution& words);
  cudnnActivationDescriptor_t Activation(const DnnActivation& words);
  cudnnPoolingDescriptor_t Pooling(const DnnPooling& words);
  cudnnOpTensorDescriptor_t Operation(const DnnOpTensor& words);
  cudnnReduceTensorDescriptor_t Reduction(const DnnReduceTensor& words);
  cudnnDropoutDescriptor_t Dropout(const DnnDropout& words);
  // Makes its states anew.
  cudnnStatus_t Seed(const DnnDropout& words);
  // For calls with so many sequences.
  cudnnRNNDescriptor_t Network(const DnnRnn& words, std::int32_t batch);
  cudnnRNNDataDescriptor_t Sequences(const DnnSequences& words, std::span<const std::int32_t> lengths);
  cudnnLRNDescriptor_t Lrn(const DnnLrn& words);
  cudnnSpatialTransformerDescriptor_t Transformer(const DnnSpatialTransformer& words);
  cudnnCTCLossDescriptor_t Ctc(const DnnCtc& words);
  cudnnTensorTransformDescriptor_t Transform(const DnnTransform& words);
  cudnnAttnDescriptor_t Attention(const DnnAttention& words);
  cudnnSeqDataDescriptor_t SequenceData(const DnnSequenceData& words, std::span<const std::int32_t> lengths);
  // Whether the words of a plan (dnn_graph.h) can be run, and with what; else why not.
  cudnnStatus_t AskGraph(const std::shared_ptr<const Bytes>& words, DnnGraphAnswer* answer, std::string* why);
  // Runs the plan that is the call's settings. `pairs` are those of a DnnGraphExecute.
  cudnnStatus_t ExecuteGraph(std::span<const std::int64_t> pairs, std::uint64_t workspace);
  // A number or an enumerator, of whatever type its parameter has.
  Value Number(std::int64_t value) {
    Mix(static_cast<std::uint64_t>(value));
    return {value, &fits_};
  }
  Value Size(const DnnSpace& space) { return Number(static_cast<std::int64_t>(space.bytes)); }
  void* Address(std::uint64_t address) {
    constexpr std::uint64_t kReadAtOnce = 16;  // bytes, by a kernel
    Mix(address == 0 ? kReadAtOnce : address % kReadAtOnce);
    return reinterpret_cast<void*>(address);
  }
  // A host scalar: double if the result is, and float if not.
  const void* Scalar(double value, const DnnTensor& result);
  // Memory of the call's own, if it needs some.
  void* Room(std::size_t bytes);

  // Calls the function, behind the handle.
  template <typename... Parameters>
  cudnnStatus_t Do(cudnnStatus_t (*function)(cudnnHandle_t, Parameters...),
                   std::type_identity_t<Parameters>... values) {
    Require(fits_);
    if (status_ == CUDNN_STATUS_SUCCESS && handle_ != nullptr) status_ = function(handle_->handle_, values...);
    return status_;
  }

 private:
  void Mix(std::uint64_t word) {
    problem_ = (problem_ ^ word) * 0x9e3779b97f4a7c15;
    problem_ ^= problem_ >> 29;
  }
  // A descriptor of the handle's, or null.
  template <typename Descriptor, typename Words, typename Set>
  Descriptor Describe(DescriptorsOf<Descriptor> DnnDescriptors::* kind, const Words& words,
                      cudnnStatus_t (*create)(Descriptor*), cudnnStatus_t (*destroy)(Descriptor), Set set) {
    return DescribeKey(kind, AsText(AsBytes(words)), create, destroy, set);
  }
  template <typename Descriptor, typename Set>
  Descriptor DescribeKey(DescriptorsOf<Descriptor> DnnDescriptors::* kind, std::string_view key,
                         cudnnStatus_t (*create)(Descriptor*), cudnnStatus_t (*destroy)(Descriptor), Set set) {
    Mix(std::hash<std::string_view>()(key));
    if (status_ != CUDNN_STATUS_SUCCESS || handle_ == nullptr) return nullptr;
    return (handle_->descriptors_.get()->*kind).Get(key, create, destroy, &status_, set);
  }

  // Each has a place of its own, as arguments are made in no certain order.
  union HostScalar {
    double in_double;
    float in_float;
  };

  const DnnLibrary& library_;
  DnnHandle* handle_;
  GraphPlans* plans_;
  std::shared_ptr<const Bytes> settings_;
  cudnnStatus_t status_ = CUDNN_STATUS_SUCCESS;
  std::uint64_t problem_ = 0;
  bool fits_ = true;
  std::array<HostScalar, 8> scalars_{};
  std::size_t scalars_used_ = 0;
};

// Functions by their number on the wire.
using DnnTable = std::vector<DnnFunction>;
void AddConvolutions(DnnTable& table);
void AddLayers(DnnTable& table);
void AddWholeTensors(DnnTable& table);
void AddRecurrent(DnnTable& table);
void AddNorms(DnnTable& table);
void AddOlder(DnnTable& table);
void AddAttention(DnnTable& table);
void AddGraphs(DnnTable& table);

// The words of arguments of that function's shape.
template <typename Words>
Words ReadDnn(ByteView arguments) {
  Words words;
  if (arguments.size() >= sizeof(std::uint64_t) + sizeof(Words))
    std::memcpy(static_cast<void*>(&words), arguments.data() + sizeof(std::uint64_t), sizeof(Words));
  return words;
}
// The numbers behind them.
template <typename Words>
std::vector<std::int32_t> ReadDnnTail(ByteView arguments) {
  constexpr std::size_t kFront = sizeof(std::uint64_t) + sizeof(Words);
  if (arguments.size() <= kFront) return {};
  std::vector<std::int32_t> tail((arguments.size() - kFront) / sizeof(std::int32_t));
  std::memcpy(tail.data(), arguments.data() + kFront, tail.size() * sizeof(std::int32_t));
  return tail;
}

// A structure without a number is on no wire yet.
template <typename Words, cudnnStatus_t (*kBody)(DnnCall&, const Words&)>
void AddRun(DnnTable& table, DnnGroup group = DnnGroup::kAll, bool may_wait = false) {
  if (kDnnFunction<Words> == 0) return;
  DnnFunction& function = table[kDnnFunction<Words>];
  function.run = [](DnnCall& call, ByteView arguments) { return kBody(call, ReadDnn<Words>(arguments)); };
  function.group = group;
  function.may_wait = may_wait;
}
// Of words with a tail. Mostly as many launches as it has steps.
template <typename Words, cudnnStatus_t (*kBody)(DnnCall&, const Words&, std::span<const std::int32_t>)>
void AddLongRun(DnnTable& table, DnnGroup group, bool may_wait = true) {
  if (kDnnFunction<Words> == 0) return;
  DnnFunction& function = table[kDnnFunction<Words>];
  function.run = [](DnnCall& call, ByteView arguments) {
    return kBody(call, ReadDnn<Words>(arguments), ReadDnnTail<Words>(arguments));
  };
  function.group = group;
  function.may_wait = may_wait;
}
template <typename Words, cudnnStatus_t (*kBody)(DnnCall&, const Words&, std::span<const std::int32_t>, Bytes*)>
void AddLongAsk(DnnTable& table, DnnGroup group) {
  if (kDnnFunction<Words> == 0) return;
  DnnFunction& function = table[kDnnFunction<Words>];
  function.ask = [](DnnCall& call, ByteView arguments, Bytes* answer) {
    return kBody(call, ReadDnn<Words>(arguments), ReadDnnTail<Words>(arguments), answer);
  };
  function.group = group;
}
template <typename Words, cudnnStatus_t (*kBody)(DnnCall&, const Words&, Bytes*)>
void AddAsk(DnnTable& table, DnnGroup group = DnnGroup::kAll) {
  if (kDnnFunction<Words> == 0) return;
  DnnFunction& function = table[kDnnFunction<Words>];
  function.ask = [](DnnCall& call, ByteView arguments, Bytes* answer) {
    return kBody(call, ReadDnn<Words>(arguments), answer);
  };
  function.group = group;
}
template <typename T>
void GiveAnswer(const T& value, Bytes* answer) {
  const ByteView bytes = AsBytes(value);
  answer->assign(bytes.begin(), bytes.end());
}

}  // namespace accelmesh::cuda
