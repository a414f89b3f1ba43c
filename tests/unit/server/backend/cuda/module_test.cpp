// Modules of the cuda backend: managed variables as it describes them to a session, on the contract libcuda.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "server/device.h"
#include "tests/contract/control.h"

namespace accelmesh {
namespace {

constexpr std::uint64_t kWindow = 0x5500'0000'0000;
constexpr std::uint64_t kWindowBytes = 32 * limits::kGiB;
constexpr std::string_view kPtx = R"ptx(
.version 8.0
.target sm_50
.address_size 64
.visible .global .align 4 .u32 plain = 5;
.visible .const .align 4 .u32 constant = 6;
.visible .global .attribute(.managed) .align 4 .u32 word = 41;
.global .attribute(.managed) .align 1 .b8 letters[3] = {7, 8, 9};
)ptx";

template <typename Function>
Function* Contract(const char* name) {
  void* library = ::dlopen(ACCELMESH_CONTRACT_LIBCUDA, RTLD_NOW);
  return reinterpret_cast<Function*>(::dlsym(library, name));
}
#define CONTRACT(function) Contract<decltype(function)>(#function)

class Deaf final : public CompletionSink {
  void Completed(std::uint32_t, std::uint64_t) override {}
  void Failed(std::uint32_t, std::uint64_t, DeviceStatus, bool, std::string_view text) override {
    ADD_FAILURE() << text;
  }
  Status SendToClient(std::uint64_t, std::uint64_t, ByteView) override { return Status::Ok(); }
  void Output(std::uint64_t, std::string_view) override {}
  void Complaint(std::uint64_t, std::string_view) override {}
};

class CudaVariablesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("ACCELMESH_LIBCUDA", ACCELMESH_CONTRACT_LIBCUDA, 1);
    ::setenv("ACCELMESH_CONTRACT", "devices=1", 1);
    CONTRACT(contract_reset)();
    void* library = ::dlopen(ACCELMESH_BACKEND_CUDA, RTLD_NOW | RTLD_LOCAL);
    const auto create = reinterpret_cast<CreateBackendFunction>(::dlsym(library, kCreateBackendSymbol));
    BackendOptions options;
    options.window_is_reserved = true;
    backend_.reset(create(kBackendAbi, options));
    const auto devices = backend_->Open(kWindow, kWindowBytes, &sink_);
    ASSERT_TRUE(devices.ok()) << devices.status().ToString();
  }
  void TearDown() override {
    CONTRACT(contract_configure)("capability=80");
    backend_.reset();
    EXPECT_EQ(CONTRACT(contract_violations)(), 0u) << CONTRACT(contract_last_violation)();
  }
  Result<ModuleDescription> Load() {
    const ByteView text = AsBytes(kPtx);
    return backend_->ModuleLoad(0, 7, Bytes(text.begin(), text.end()));
  }

  Deaf sink_;
  std::unique_ptr<Backend> backend_;
};

TEST_F(CudaVariablesTest, TheyAreToldFromOthersAndReadAndWrittenHere) {
  EXPECT_FALSE(backend_->places_variables());
  const Result<ModuleDescription> module = Load();
  ASSERT_TRUE(module.ok()) << module.status().ToString();
  ASSERT_EQ(module->globals.size(), 4u);
  for (const GlobalDescription& global : module->globals) {
    const bool is_managed = global.name == "word" || global.name == "letters";
    EXPECT_EQ(global.is_managed, is_managed) << global.name;
    if (!is_managed) continue;
    EXPECT_GE(global.address - kWindow, kWindowBytes) << "the driver chose it";
    auto* const here = reinterpret_cast<volatile std::uint8_t*>(global.address);
    EXPECT_EQ(*here, global.name == "word" ? 41 : 7);
    *here = 1;
  }
  EXPECT_TRUE(backend_->ModuleUnload(7).ok());
}

TEST_F(CudaVariablesTest, ADeviceThatCannotShareThemAtTheSameTimeIsRefusedByName) {
  ASSERT_EQ(CONTRACT(contract_configure)("capability=52"), 0);
  const Result<ModuleDescription> module = Load();
  EXPECT_EQ(module.code(), Code::kUnsupported);
  EXPECT_THAT(module.status().text(), ::testing::HasSubstr("word"));
  EXPECT_EQ(CONTRACT(contract_calls)("cuModuleUnload"), 1u) << "it is left loaded";
}

}  // namespace
}  // namespace accelmesh
