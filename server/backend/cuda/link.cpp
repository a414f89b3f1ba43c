#include "server/backend/cuda/link.h"

#include <algorithm>
#include <array>

namespace accelmesh::cuda {
namespace {

constexpr std::size_t kLogBytes = 8192;
constexpr std::string_view kSetConditional = "cudaGraphSetConditional";

constexpr const char* kSetConditionalPtx = R"(.version 6.3
.target sm_75
.address_size 64
.visible .func cudaGraphSetConditional(.param .b64 handle, .param .b32 value)
{
  .reg .b32 %r<2>;
  .reg .b64 %rd<2>;
  ld.param.b64 %rd1, [handle];
  ld.param.b32 %r1, [value];
  st.b32 [%rd1], %r1;
  ret;
}
)";

// Whether the text says what the function does, and does not only name it.
bool Defines(std::string_view text, std::string_view function) {
  for (std::size_t at = text.find(function); at != std::string_view::npos; at = text.find(function, at + 1)) {
    const std::size_t end_before = text.find_last_of(";}", at);
    const std::string_view statement = text.substr(0, at).substr(end_before + 1);  // the end of none is 0
    if (statement.find(".func") != std::string_view::npos && statement.find(".extern") == std::string_view::npos)
      return true;
  }
  return false;
}

}  // namespace

Linked::~Linked() {
  if (state_ != nullptr) (void)driver_.LinkDestroy(state_);
}

CUresult Linked::Link(const std::vector<std::string>& texts) {
  log_.assign(kLogBytes, '\0');
  std::array<CUjit_option, 2> options{CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  values_ = {log_.data(), reinterpret_cast<void*>(log_.size())};
  CUresult result = driver_.LinkCreate(static_cast<unsigned>(options.size()), options.data(), values_.data(), &state_);
  for (std::size_t i = 0; result == CUDA_SUCCESS && i < texts.size(); ++i) {
    // With the zero at its end.
    result = driver_.LinkAddData(state_, CU_JIT_INPUT_PTX, const_cast<char*>(texts[i].c_str()), texts[i].size() + 1,
                                 nullptr, 0, nullptr, nullptr);
  }
  std::size_t bytes = 0;
  if (result == CUDA_SUCCESS) result = driver_.LinkComplete(state_, &image_, &bytes);
  return result;
}

std::string Linked::log() const { return log_.substr(0, log_.find('\0')); }

bool CallConditions(const std::vector<std::string>& texts) {
  return std::any_of(texts.begin(), texts.end(), [](const std::string& text) {
    return text.find(kSetConditional) != std::string::npos && !Defines(text, kSetConditional);
  });
}

void AddConditions(std::vector<std::string>* texts) {
  if (!CallConditions(*texts)) return;
  std::erase_if(*texts, [](const std::string& text) { return Defines(text, kSetConditional); });
  texts->emplace_back(kSetConditionalPtx);
}

}  // namespace accelmesh::cuda
