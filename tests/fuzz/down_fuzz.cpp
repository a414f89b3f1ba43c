// What a server may send to a client core: whole Down frames, and replies that it waits for with any table inside. The
// program behind it opens a session, loads a module, launches what the module claims to have, asks for an elapsed time
// and for results of a library.
// The input is a list of answers, one for each call of the client, and what comes uninvited in front of it:
//
//     answer := kind:u8 device_status:u8 body:counted        kind 0: a proper reply with this body
//             | kind:u8 frame:counted ... the answer again   kind 1: a frame as it is, then another answer
//
// After the last answer the server is gone.
#include <algorithm>
#include <deque>
#include <iterator>
#include <mutex>

#include "protocol/base/log.h"
#include "protocol/library/library.h"
#include "shim/core/session.h"
#include "tests/fuzz/input.h"

namespace accelmesh::fuzz {
namespace {

// A server made of the input: answers calls as they are sent.
class AnsweringChannel final : public ClientChannel {
 public:
  explicit AnsweringChannel(Input input) : input_(input) {}

  const ChannelTraits& traits() const override { return traits_; }
  Status Send(UpLane lane, ByteView frame, Deadline /*deadline*/) override {
    const std::lock_guard lock(mutex_);
    if (closed_) return {Code::kClosed, "AnsweringChannel", "closed"};
    if (lane == UpLane::kSide) return {};
    Result<FrameReader> reader = FrameReader::Open(frame);
    Require(reader.ok(), "the client sends frames");
    for (Result<RecordView> record = reader->Next(); record.ok(); record = reader->Next()) Answer(*record);
    return {};
  }
  Status SendBulk(std::uint64_t, ByteView body, Deadline /*deadline*/) override {
    Touch(body);
    return {};
  }
  Status ExpectBulk(std::uint64_t, MutableByteView) override { return {}; }
  bool BulkLanded(std::uint64_t) override { return false; }
  void CancelBulk(std::uint64_t) override {}
  Status Pump(FrameSink& sink, Deadline /*deadline*/) override {
    std::deque<Bytes> frames;
    {
      const std::lock_guard lock(mutex_);
      frames.swap(frames_);
      if (frames.empty() && (closed_ || input_.empty())) return {Code::kClosed, "AnsweringChannel", "gone"};
    }
    for (const Bytes& frame : frames) sink.OnFrame(frame);
    return {};
  }
  const ProgressPage& progress() const override { return page_; }
  Status ShareMemory(std::uint32_t, int, std::size_t) override { return {Code::kUnsupported, "ShareMemory", "no"}; }
  void Interrupt() override {}
  void Close() override {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }

 private:
  void Answer(const RecordView& record) {
    const auto id = static_cast<CommandId>(record.command);
    constexpr CommandId kAnswered[] = {CommandId::kOpenSession, CommandId::kModuleLoad,   CommandId::kEventElapsed,
                                       CommandId::kLibraryOpen, CommandId::kLibraryQuery, CommandId::kLibraryAsk};
    if (std::find(std::begin(kAnswered), std::end(kAnswered), id) == std::end(kAnswered)) return;
    while (!input_.empty() && input_.Number<std::uint8_t>() % 2 == 1) {
      const ByteView frame = input_.Counted();
      frames_.emplace_back(frame.begin(), frame.end());
    }
    if (input_.empty()) {
      closed_ = true;
      return;
    }
    const std::uint8_t status = input_.Number<std::uint8_t>();
    const ByteView body = input_.Counted();
    flatbuffers::FlatBufferBuilder builder;
    const auto text = builder.CreateString("text");
    builder.Finish(wire::CreateDown(builder, wire::DownKind::Reply, record.sequence, status, 0, text,
                                    builder.CreateVector(body.data(), body.size())));
    frames_.emplace_back(builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize());
  }

  const ChannelTraits traits_{"answering", true, limits::kBulkBytesMax, true};
  std::mutex mutex_;
  Input input_;
  bool closed_ = false;
  std::deque<Bytes> frames_;
  ProgressPage page_;
};

void UseModule(ClientSession& session, const LoadedModule& module) {
  Bytes argument(limits::kKernelArgumentBytesMax, 1);
  for (const auto& [name, kernel] : module.kernels) {
    Touch(AsBytes(std::string_view(name)));
    Require(kernel.argument_bytes <= limits::kKernelArgumentBytesMax, "an argument block is bounded");
    Require(kernel.parameters.size() <= limits::kKernelParametersMax, "parameters are bounded");
    std::vector<void*> arguments(kernel.parameters.size() + 1, argument.data());
    const LaunchGeometry geometry{{1, 1, 1}, {1, 1, 1}};
    (void)session.Launch(session.Legacy(0), kernel, geometry, arguments.data());
  }
  for (const auto& [name, variable] : module.globals) {
    AddressSpace::Range range;
    std::uint32_t device = 0;
    (void)session.FindDeviceRange(variable.address, &range, &device);
  }
}

void UseLibrary(ClientSession& session) {
  std::shared_ptr<const Bytes> functions;
  if (session.OpenLibrary(kLibraryBlas, 0, &functions) != 0) return;
  Touch(*functions);
  const Bytes arguments(64);
  std::uint32_t status = 0;
  Bytes results;
  if (session.QueryLibrary(session.Legacy(0), kLibraryBlas, 1, 0, arguments, &status, &results) == 0) Touch(results);
  // Of another library nothing is remembered.
  for (const std::uint32_t library : {kLibraryBlas, kLibraryBlasLt}) {
    if (session.AskLibrary(library, 1, 0, arguments, &status, &results) == 0) Touch(results);
  }
}

void Drop(log::Level /*level*/, std::string_view /*line*/) {}

void Run(Input input) {
  static const bool quiet = [] {
    log::SetSink(&Drop);
    return true;
  }();
  (void)quiet;
  auto opened = ClientSession::Open(std::make_unique<AnsweringChannel>(input),
                                    [](std::string_view text) { Touch(AsBytes(text)); });
  if (!opened.ok()) return;
  ClientSession& session = **opened;
  Require(!session.devices().empty() && session.devices().size() <= limits::kDevicesMax, "devices are bounded");
  for (std::uint32_t device = 0; device < session.devices().size(); ++device) {
    std::uint64_t address = 0;
    if (session.Malloc(device, 4096, &address) == 0) {
      Require(session.IsDeviceAddress(reinterpret_cast<void*>(address + 4095)), "memory lies in the window");
    }
  }
  const auto module = session.LoadModule(0, AsBytes("an image"));
  UseModule(session, *module);
  Event* event = nullptr;
  if (session.CreateEvent(0, true, &event) == 0) {
    float milliseconds = 0;
    (void)session.EventElapsed(*event, *event, &milliseconds);
  }
  UseLibrary(session);
}

}  // namespace
}  // namespace accelmesh::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  accelmesh::fuzz::Run({data, size});
  return 0;
}
