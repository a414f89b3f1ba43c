// The file of epochs, as a crash, a disk or a person may have left it.
#include "market/client/epoch_file.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace accelmesh;
  const ByteView bytes(data, size);
  const Result<market::EpochFile::Parsed> parsed = market::EpochFile::Parse(bytes);
  if (!parsed.ok()) {
    fuzz::Require(!parsed.status().text().empty(), "a refusal says why");
    return 0;
  }
  fuzz::Require(parsed->size <= size, "what is whole is not longer than the file");
  fuzz::Require(parsed->epochs.size() <= parsed->records, "a record names one slot");
  const Result<market::EpochFile::Parsed> again = market::EpochFile::Parse(bytes.first(parsed->size));
  fuzz::Require(again.ok() && again->epochs == parsed->epochs && again->size == parsed->size,
                "cut off, it says the same");
  for (const auto& [slot, epoch] : parsed->epochs) {
    fuzz::Require(!slot.empty() && slot.size() <= market::kSlotNameBytesMax && epoch > 0,
                  "a slot has a name and an epoch");
  }
  return 0;
}
