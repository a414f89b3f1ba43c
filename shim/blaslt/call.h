// Calls of cuBLASLt on their way to the server: posted into a stream, or asked once and remembered.
//
// Threads: everything from any thread. Nothing is allocated for what is posted, nor for what is known already.
#pragma once

#include <cublasLt.h>

#include <memory>

#include "protocol/library/lt_problem.h"
#include "shim/blaslt/answers.h"
#include "shim/blaslt/handle.h"

namespace accelmesh::blaslt {

// Arguments of a function as the wire has them, behind their flags; as a question, behind who is asked.
template <typename Words>
struct Arguments {
  std::uint64_t head = 0;
  Words words;
};

// `name` is what complaints call it.
cublasStatus_t PostBytes(const Target& target, const char* name, std::uint32_t function, cudaStream_t stream,
                         ByteView arguments);
// `question`: arguments with QuestionHead() as their first word. `is_new`: whether it was sent now.
cublasStatus_t AskBytes(const Target& target, const char* name, std::uint32_t function, ByteView question,
                        Answers& answers, std::shared_ptr<const Answer>* answer, bool* is_new);

// Unique among questions of a process.
inline std::uint64_t QuestionHead(std::uint32_t device, std::uint32_t function) {
  return std::uint64_t{device} << 32 | function;
}

template <typename Words>
cublasStatus_t Post(const Target& target, const char* name, cudaStream_t stream, const Arguments<Words>& arguments) {
  return PostBytes(target, name, kLtFunction<Words>, stream, AsBytes(arguments));
}

// The answer of a function that succeeded, or its status.
template <typename Words>
cublasStatus_t Ask(const Target& target, const char* name, const Words& words, Answers& answers,
                   std::shared_ptr<const Answer>* answer, bool* is_new = nullptr) {
  const Arguments<Words> question{QuestionHead(target.device, kLtFunction<Words>), words};
  return AskBytes(target, name, kLtFunction<Words>, AsBytes(question), answers, answer, is_new);
}
// Makes known what nobody need ask any more.
template <typename Words>
void Remember(const Target& target, const Words& words, Answers& answers, std::shared_ptr<const Answer> answer) {
  const Arguments<Words> question{QuestionHead(target.device, kLtFunction<Words>), words};
  answers.Remember(AsBytes(question), std::move(answer));
}

}  // namespace accelmesh::blaslt
