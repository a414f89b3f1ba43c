// The linker: PTX texts that were compiled to be linked, made into what stands here for machine code.
//     image := magic u32 texts (u64 bytes, bytes)*          magic begins as an ELF file's
#include <cstring>

#include "tests/contract/state.h"

namespace accelmesh::contract {
namespace {

constexpr std::string_view kMagic =
    "\x7f"
    "ELFcontract";

template <typename T>
void Append(Bytes* bytes, const T& value) {
  const ByteView view = AsBytes(value);
  bytes->insert(bytes->end(), view.begin(), view.end());
}

template <typename T>
T Take(const std::uint8_t** at) {
  T value;
  std::memcpy(&value, *at, sizeof(value));
  *at += sizeof(value);
  return value;
}

}  // namespace

std::optional<std::vector<std::string>> TextsOfLinked(const void* image) {
  // The first difference ends the look: what follows may not be there.
  const auto* at = static_cast<const std::uint8_t*>(image);
  for (const char c : kMagic) {
    if (*at++ != static_cast<std::uint8_t>(c)) return std::nullopt;
  }
  std::vector<std::string> texts(Take<std::uint32_t>(&at));
  for (std::string& text : texts) {
    const auto bytes = Take<std::uint64_t>(&at);
    text.assign(reinterpret_cast<const char*>(at), bytes);
    at += bytes;
  }
  return texts;
}

}  // namespace accelmesh::contract

using namespace accelmesh;
using namespace accelmesh::contract;

CONTRACT_API CUresult cuLinkCreate(unsigned int count, CUjit_option* options, void** values, CUlinkState* handle) {
  return Enter(Function::k_cuLinkCreate, [&](Call&) -> CUresult {
    if (handle == nullptr || (count != 0 && (options == nullptr || values == nullptr))) return CUDA_ERROR_INVALID_VALUE;
    auto link = std::make_shared<contract::Link>();
    link->options = count;
    link->option = options;
    link->values = values;
    *handle = AsHandle<CUlinkState>(state().links.Add(std::move(link)));
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuLinkAddData(CUlinkState handle, CUjitInputType type, void* data, std::size_t bytes,
                                    const char* /*name*/, unsigned int /*count*/, CUjit_option* /*options*/,
                                    void** /*values*/) {
  return Enter(Function::k_cuLinkAddData, [&](Call& call) -> CUresult {
    const auto link = call.Find(state().links, handle);
    if (link == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (data == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (type != CU_JIT_INPUT_PTX)
      return call.Break(CONTRACT_RULE_WRONG_SIZE, CUDA_ERROR_NOT_SUPPORTED, "only PTX is linked here");
    const std::string_view text(static_cast<const char*>(data), bytes);
    if (text.back() != '\0')
      return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_VALUE, "text without a zero at its end");
    // Only its own mistakes: what it calls may come with another.
    std::string one(text.substr(0, text.find('\0')));
    const auto parsed = ptx::ParseModule(one);
    const Status fits = parsed.ok() ? ptx::CheckTarget(**parsed, settings().capability) : parsed.status();
    if (!fits.ok()) {
      WriteLog(fits.ToString(), link->options, link->option, link->values);
      return fits.code() == Code::kVersionMismatch ? CUDA_ERROR_UNSUPPORTED_PTX_VERSION : CUDA_ERROR_INVALID_PTX;
    }
    link->texts.push_back(std::move(one));
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuLinkComplete(CUlinkState handle, void** image, std::size_t* bytes) {
  return Enter(Function::k_cuLinkComplete, [&](Call& call) -> CUresult {
    const auto link = call.Find(state().links, handle);
    if (link == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    std::shared_ptr<const ptx::Module> made;
    std::string said;
    if (const CUresult result = Compile(link->texts, &made, &said); result != CUDA_SUCCESS) {
      WriteLog(said, link->options, link->option, link->values);
      return result;
    }
    link->image.assign(kMagic.begin(), kMagic.end());
    Append(&link->image, static_cast<std::uint32_t>(link->texts.size()));
    for (const std::string& text : link->texts) {
      Append(&link->image, std::uint64_t{text.size()});
      link->image.insert(link->image.end(), text.begin(), text.end());
    }
    *image = link->image.data();
    if (bytes != nullptr) *bytes = link->image.size();
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuLinkDestroy(CUlinkState handle) {
  return Enter(Function::k_cuLinkDestroy, [&](Call& call) -> CUresult {
    const auto link = call.Find(state().links, handle);
    if (link == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    // What was loaded of it has been copied.
    std::fill(link->image.begin(), link->image.end(), std::uint8_t{0});
    state().links.Remove(reinterpret_cast<std::uint64_t>(handle));
    return CUDA_SUCCESS;
  });
}
