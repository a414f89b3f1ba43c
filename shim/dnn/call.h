// Calls of cuDNN on their way to the server: posted into the handle's stream, or asked once and remembered.
//
//     Call call(handle, "cudnnScaleTensor");
//     DnnScaleTensor words;
//     words.y = call.Operand(yDesc, y);
//     words.alpha = call.Scalar(alpha, words.y.tensor);
//     return call.Post(words);
//
// The first thing that is wrong is what Post() returns. Threads: a call is one thread's.
#pragma once

#include <cudnn.h>

#include <initializer_list>
#include <span>

#include "protocol/library/dnn_calls.h"
#include "shim/dnn/descriptors.h"
#include "shim/dnn/handle.h"

namespace accelmesh::dnn {

class Call {
 public:
  // `name` is a literal: what complaints call it.
  Call(cudnnHandle_t handle, const char* name) : name_(name), status_(FindHandle(handle, &context_)) {}
  cudnnStatus_t status() const { return status_; }
  void Fail(cudnnStatus_t status) {
    if (status_ == CUDNN_STATUS_SUCCESS) status_ = status;
  }
  // CUDNN_STATUS_BAD_PARAM if not.
  void Require(bool holds) {
    if (!holds && status_ == CUDNN_STATUS_SUCCESS) status_ = CUDNN_STATUS_BAD_PARAM;
  }
  // CUDNN_STATUS_NOT_SUPPORTED, and a line in the log, if not.
  void Support(bool holds, const char* why);

  // CUDNN_STATUS_NOT_SUPPORTED for tensors that no backend computes with.
  void SupportTensors(std::initializer_list<DnnTensor> tensors);

  template <typename Descriptor>
  DnnTensor Tensor(const Descriptor* descriptor) {
    Require(descriptor != nullptr && descriptor->tensor.rank != 0);
    return status_ == CUDNN_STATUS_SUCCESS ? descriptor->tensor : DnnTensor{};
  }
  template <typename Descriptor>
  DnnOperand Operand(const Descriptor* descriptor, const void* memory) {
    Require(memory != nullptr);
    return {Tensor(descriptor), reinterpret_cast<std::uintptr_t>(memory)};
  }
  // A host scalar: double if the result is, and float if not.
  double Scalar(const void* scalar, const DnnTensor& result);
  DnnBlend Blend(const void* alpha, const void* beta, const DnnTensor& result) {
    return {Scalar(alpha, result), Scalar(beta, result)};
  }

  template <typename Words>
  cudnnStatus_t Post(const Words& words) {
    if (status_ != CUDNN_STATUS_SUCCESS) return status_;
    const Arguments<Words> arguments{0, words};
    return PostBytes(kDnnFunction<Words>, AsBytes(arguments));
  }
  // The same of a function whose words have a tail (dnn_calls.h).
  template <typename Words>
  cudnnStatus_t Post(Words words, std::span<const std::int32_t> tail) {
    static_assert(kDnnHasTail<Words>);
    words.tail_words = TailWords(tail);
    Support(words.tail_words <= kDnnTailWordsMax, "of more sequences or steps than one message holds");
    if (status_ != CUDNN_STATUS_SUCCESS) return status_;
    return PostWithTail(kDnnFunction<Words>, AsBytes(words), tail);
  }
  // What the server's library says of itself, such as sizes: asked once a question, which its words are all of.
  template <typename Words, typename Answer>
  cudnnStatus_t Ask(const Words& words, Answer* answer) {
    if (status_ != CUDNN_STATUS_SUCCESS) return status_;
    const Arguments<Words> arguments{0, words};
    return AskBytes(kDnnFunction<Words>, AsBytes(arguments), answer, sizeof(*answer));
  }
  // The same of a function whose words have a tail.
  template <typename Words, typename Answer>
  cudnnStatus_t Ask(Words words, std::span<const std::int32_t> tail, Answer* answer) {
    static_assert(kDnnHasTail<Words>);
    words.tail_words = TailWords(tail);
    Support(words.tail_words <= kDnnTailWordsMax, "of more words than one message holds");
    if (status_ != CUDNN_STATUS_SUCCESS) return status_;
    return AskBytes(kDnnFunction<Words>, WithTail(AsBytes(words), tail), answer, sizeof(*answer));
  }
  // Runs a plan (dnn_graph.h), which is sent with its first execution.
  cudnnStatus_t PostPlan(ByteView plan, DnnGraphExecute words, std::span<const std::int32_t> tail);
  // Which algorithms there are for a convolution: asked once a problem. They stay.
  cudnnStatus_t FindAlgorithms(const DnnFindAlgorithms& problem, std::span<const DnnAlgorithm>* algorithms);
  // Until the handle's stream has come to its end.
  cudnnStatus_t Wait();

 private:
  template <typename Words>
  struct Arguments {
    std::uint64_t flags = 0;
    Words words;
  };

  cudnnStatus_t CheckFunction(std::uint32_t function);
  cudnnStatus_t PostBytes(std::uint32_t function, ByteView arguments);
  static Bytes WithTail(ByteView words, std::span<const std::int32_t> tail);
  static std::uint64_t TailWords(std::span<const std::int32_t> tail) { return (tail.size() + 1) / 2; }
  cudnnStatus_t PostWithTail(std::uint32_t function, ByteView words, std::span<const std::int32_t> tail);
  cudnnStatus_t AskBytes(std::uint32_t function, ByteView arguments, void* to, std::size_t bytes);
  cudnnStatus_t Failed(DeviceResult result);

  const char* name_;
  cudnnContext* context_ = nullptr;
  cudnnStatus_t status_;
};

}  // namespace accelmesh::dnn
