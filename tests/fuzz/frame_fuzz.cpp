// A frame as the executor takes it apart: FrameReader and the generated dispatch, with a handler that reads everything
// it is given.
#include "protocol/gen_commands.h"
#include "tests/fuzz/input.h"

namespace accelmesh::fuzz {
namespace {

struct Handler {
  std::uint64_t first_sequence;
  std::uint64_t handled = 0;

  template <typename Command>
  Status On(const Command& command, const RecordView& record) {
    Require(record.command == static_cast<std::uint16_t>(CommandTraits<Command>::kId), "dispatched by its id");
    Require(record.sequence == first_sequence + handled, "records are numbered without gaps");
    ++handled;
    Touch(record.payload);
    if constexpr (CommandTraits<Command>::kIsTable) {
      Touch(record.body);
    } else {
      Touch(AsBytes(command));
    }
    return Status::Ok();
  }
};

void Run(Input input) {
  const auto lane = input.Number<std::uint8_t>() % 2 == 0 ? CommandLane::kCommand : CommandLane::kSide;
  // Channels hand over frames at addresses that are multiples of 8.
  const ByteView rest = input.Rest();
  const Bytes frame(rest.begin(), rest.end());
  Result<FrameReader> reader = FrameReader::Open(frame);
  if (!reader.ok()) return;
  Handler handler{reader->first_sequence()};
  while (true) {
    const Result<RecordView> record = reader->Next();
    if (!record.ok()) {
      Require(record.code() == Code::kNotFound || record.code() == Code::kBadFrame, "a frame ends or is bad");
      return;
    }
    if (!GenDispatch(*record, lane, handler).ok()) return;
  }
}

}  // namespace
}  // namespace accelmesh::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  accelmesh::fuzz::Run({data, size});
  return 0;
}
