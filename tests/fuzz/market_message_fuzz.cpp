// Messages from slot-market, and records of its registry: whatever the bytes, they are refused with a reason, or read
// back as they are written. The first byte says which.
#include "market/client/messages.h"
#include "market/records/record_codec.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace accelmesh;
  using namespace accelmesh::market;
  if (size == 0) return 0;
  // Aligned as a message is.
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Bytes bytes(data + 1, data + size);
  if (data[0] < kFamilies) {
    const RecordKey key{static_cast<Family>(data[0]), "x"};
    const Result<Record> record = DecodeRecord(key, text);
    if (!record.ok()) {
      fuzz::Require(!record.status().text().empty(), "a refusal says why");
      return 0;
    }
    const std::string once = EncodeRecord(*record);
    const Result<Record> again = DecodeRecord(key, once);
    fuzz::Require(again.ok() && EncodeRecord(*again) == once, "what is written is read");
    return 0;
  }
  const Result<messages::FromMarketT> message = DecodeFromMarket(bytes);
  if (!message.ok()) {
    fuzz::Require(!message.status().text().empty(), "a refusal says why");
    return 0;
  }
  const Bytes once = message->reply != nullptr ? EncodeReply(*message->reply) : EncodePush(*message->push);
  fuzz::Require(DecodeFromMarket(once).ok(), "what is read can be written");
  return 0;
}
