// The stream of a bulk lane, plain and sealed, in pieces of any size: bodies stay within what the sink gave, no record
// is larger than it may be, and what is sealed by nobody is not taken.
#include "protocol/base/limits.h"
#include "protocol/transport/bulk_record.h"
#include "tests/fuzz/input.h"

namespace accelmesh {
namespace {

// Gives the bytes in pieces of `step`; now and then nothing.
class PieceSource final : public BulkSource {
 public:
  PieceSource(ByteView bytes, std::size_t step) : rest_(bytes), step_(step) {}
  Result<std::size_t> Read(MutableByteView to) override {
    if (rest_.empty()) return Status(Code::kClosed, "PieceSource", "at its end");
    if ((pause_ = !pause_)) return std::size_t{0};
    const std::size_t size = std::min({to.size(), rest_.size(), step_});
    fuzz::Require(size != 0, "asks for something");
    std::memcpy(to.data(), rest_.data(), size);
    rest_ = rest_.subspan(size);
    return size;
  }

 private:
  ByteView rest_;
  const std::size_t step_;
  bool pause_ = false;
};

// Memory of exactly the record's size.
class ExactSink final : public BulkSink {
 public:
  Status Begin(const BulkHeader& header) override {
    fuzz::Require(header.bytes <= limits::kBulkBytesMax, "a record within the limit");
    fuzz::Require(!inside_, "begins outside of a piece");
    memory_.assign(header.bytes, 0);
    memory_.shrink_to_fit();
    return {};
  }
  MutableByteView Enter(std::size_t done) override {
    fuzz::Require(!inside_ && done < memory_.size(), "a piece within the record");
    inside_ = true;
    return MutableByteView(memory_).subspan(done);
  }
  void Leave() override {
    fuzz::Require(inside_, "leaves what it entered");
    inside_ = false;
  }
  Status End() override {
    fuzz::Require(!inside_, "ends outside of a piece");
    fuzz::Touch(memory_);
    ++records;
    return {};
  }
  int records = 0;

 private:
  Bytes memory_;
  bool inside_ = false;
};

void Feed(ByteView bytes, std::size_t step, std::unique_ptr<Opener> opener) {
  BulkReader reader(std::move(opener));
  PieceSource source(bytes, step);
  ExactSink sink;
  for (;;) {
    const Result<std::size_t> read = reader.Read(source, sink, 3);
    if (read.ok()) {
      fuzz::Require(*read <= 3, "no more records than asked for");
      continue;
    }
    fuzz::Require(read.code() == Code::kClosed || read.code() == Code::kBadFrame, "ends, or is bad");
    break;
  }
}

}  // namespace
}  // namespace accelmesh

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace accelmesh;
  fuzz::Input input(data, size);
  const std::size_t step = 1 + input.Number<std::uint8_t>();
  const ByteView bytes = input.Rest();
  Feed(bytes, step, nullptr);
  for (const GcmLibrary library : {GcmLibrary::kOpenSsl, GcmLibrary::kIpsecMb}) {
    if (HasGcm(library)) Feed(bytes, step, Opener::Make(SealKey{}, library).value());
  }
  return 0;
}
