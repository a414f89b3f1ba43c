// A Hello, as the supervisor verifies and reads it.
#include "protocol/schema/session_generated.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const accelmesh::Bytes hello(data, data + size);
  flatbuffers::Verifier verifier(hello.data(), hello.size());
  if (!verifier.VerifyBuffer<accelmesh::wire::Hello>(nullptr)) return 0;
  const auto& message = *flatbuffers::GetRoot<accelmesh::wire::Hello>(hello.data());
  std::uint64_t sum = message.version_min() + message.version_max() + message.pid() + message.memory_bytes();
  accelmesh::fuzz::Touch(accelmesh::AsBytes(sum));
  for (const flatbuffers::String* text : {message.program(), message.boot_id()}) {
    if (text != nullptr) accelmesh::fuzz::Touch(accelmesh::AsBytes(text->string_view()));
  }
  return 0;
}
