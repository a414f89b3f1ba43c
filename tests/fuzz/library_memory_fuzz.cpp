// The file of what libraries answered, as a crash, a disk or a person may have left it.
#include "server/session/library_memory_file.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace accelmesh;
  using File = LibraryMemoryFile;
  const ByteView bytes(data, size);
  const File::Parsed parsed = File::Parse(bytes);
  fuzz::Require(parsed.whole_bytes <= size, "what is whole is not longer than the file");
  Bytes again;
  for (const File::Record& record : parsed.records) {
    fuzz::Require(record.key.size() <= File::kKeyBytesMax && record.results.size() <= File::kResultBytesMax,
                  "a record is bounded");
    const Bytes written = File::Write(record);
    again.insert(again.end(), written.begin(), written.end());
  }
  fuzz::Require(again.size() == parsed.whole_bytes && std::equal(again.begin(), again.end(), data),
                "what was read is written so");
  const std::size_t room = size / 2;
  const Bytes last = File::LastOf(bytes, room);
  fuzz::Require(last.size() <= room, "what is kept fits");
  fuzz::Require(File::Parse(last).whole_bytes == last.size(), "what is kept is whole");
  fuzz::Require(File::LastOf(bytes, size).size() <= parsed.whole_bytes, "nothing comes from nowhere");
  return 0;
}
