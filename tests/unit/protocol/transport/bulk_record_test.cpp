#include "protocol/transport/bulk_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "protocol/base/limits.h"

namespace accelmesh {
namespace {

using ::testing::HasSubstr;

class PieceSource final : public BulkSource {
 public:
  PieceSource(ByteView bytes, std::function<std::size_t()> step) : rest_(bytes), step_(std::move(step)) {}
  Result<std::size_t> Read(MutableByteView to) override {
    if (rest_.empty()) return Status(Code::kClosed, "PieceSource", "at its end");
    const std::size_t size = std::min({to.size(), rest_.size(), step_()});
    std::memcpy(to.data(), rest_.data(), size);
    rest_ = rest_.subspan(size);
    return size;
  }

 private:
  ByteView rest_;
  const std::function<std::size_t()> step_;
};

struct Taken {
  BulkHeader header;
  Bytes body;
};
class KeepingSink final : public BulkSink {
 public:
  Status Begin(const BulkHeader& header) override {
    now_ = {header, Bytes(header.bytes)};
    return {};
  }
  MutableByteView Enter(std::size_t done) override { return MutableByteView(now_.body).subspan(done); }
  void Leave() override {}
  Status End() override {
    taken.push_back(now_);
    return {};
  }
  std::vector<Taken> taken;

 private:
  Taken now_;
};

Bytes Stream(const std::vector<Taken>& records, Sealer* sealer) {
  Bytes stream;
  for (const Taken& record : records) {
    const auto header = WriteBulkHeader(record.header);
    stream.insert(stream.end(), header.begin(), header.end());
    const std::size_t at = stream.size();
    stream.insert(stream.end(), record.body.begin(), record.body.end());
    if (sealer == nullptr) continue;
    SealTag tag;
    EXPECT_TRUE(sealer->Begin(header).ok());
    EXPECT_TRUE(sealer->Add(record.body, stream.data() + at).ok());
    EXPECT_TRUE(sealer->End(tag).ok());
    stream.insert(stream.end(), tag.begin(), tag.end());
  }
  return stream;
}

class BulkRecordTest : public ::testing::TestWithParam<bool> {
 protected:
  std::unique_ptr<Opener> MakeOpener() const { return GetParam() ? Opener::Make(key_).value() : nullptr; }
  std::unique_ptr<Sealer> MakeSealer() const { return GetParam() ? Sealer::Make(key_).value() : nullptr; }
  // Everything that the stream has; the status is its end's.
  Status ReadAll(ByteView stream, KeepingSink& sink, std::function<std::size_t()> step) const {
    BulkReader reader(MakeOpener());
    PieceSource source(stream, std::move(step));
    std::size_t ended = 0;
    for (;;) {
      const Result<std::size_t> read = reader.Read(source, sink, 2);
      if (!read.ok()) {
        EXPECT_EQ(ended, sink.taken.size());
        return read.status();
      }
      EXPECT_LE(*read, 2u);
      ended += *read;
    }
  }
  const SealKey key_ = KeysOfSecret(Bytes(32, 1))->up;
};

TEST_P(BulkRecordTest, RecordsComeOutHoweverTheyArrive) {
  std::mt19937 random(1);
  std::vector<Taken> records;
  for (int i = 0; i < 60; ++i) {
    const std::size_t size = i == 7 ? limits::kBulkBytesMax : i % 5 == 0 ? 0 : random() % 3000;
    Bytes body(size);
    for (std::uint8_t& byte : body) byte = static_cast<std::uint8_t>(random());
    records.push_back({{random(), random(), static_cast<std::uint32_t>(size)}, body});
  }
  const Bytes stream = Stream(records, MakeSealer().get());
  for (const std::size_t most : {1u, 7u, 4096u, 1u << 22}) {
    KeepingSink sink;
    // Now and then nothing is there.
    const Status end = ReadAll(stream, sink, [&] { return random() % 4 == 0 ? 0 : 1 + random() % most; });
    EXPECT_EQ(end.code(), Code::kClosed) << end.ToString();
    ASSERT_EQ(sink.taken.size(), records.size());
    for (std::size_t i = 0; i < records.size(); ++i) {
      EXPECT_EQ(sink.taken[i].header.token, records[i].header.token);
      EXPECT_EQ(sink.taken[i].header.offset, records[i].header.offset);
      ASSERT_EQ(sink.taken[i].body, records[i].body) << i;
    }
  }
}

TEST_P(BulkRecordTest, WhatIsNoRecordIsBad) {
  const std::vector<Taken> one = {{{1, 2, 100}, Bytes(100, 7)}};
  const Bytes good = Stream(one, MakeSealer().get());
  const auto all = [] { return std::size_t{1000}; };
  Bytes magic = good;
  magic[0] ^= 1;
  KeepingSink sink;
  EXPECT_THAT(ReadAll(magic, sink, all).text(), HasSubstr("is no body"));
  Bytes large = good;
  const std::uint32_t size = limits::kBulkBytesMax + 1;
  std::memcpy(large.data() + 4, &size, 4);
  EXPECT_THAT(ReadAll(large, sink, all).text(), HasSubstr("a body of 1048577 bytes"));
  EXPECT_TRUE(sink.taken.empty());
  // Cut anywhere, nothing comes out; changed anywhere, a sealed record does not.
  for (std::size_t cut = 0; cut < good.size(); ++cut) {
    EXPECT_EQ(ReadAll(ByteView(good).first(cut), sink, all).code(), Code::kClosed);
    Bytes changed = good;
    changed[cut] ^= 0x10;
    if (GetParam() && (cut < 4 || cut >= 8)) {
      EXPECT_EQ(ReadAll(changed, sink, all).code(), Code::kBadFrame) << cut;
    }
  }
  EXPECT_TRUE(sink.taken.empty());
}

INSTANTIATE_TEST_SUITE_P(All, BulkRecordTest, ::testing::Bool(),
                         [](const auto& which) { return which.param ? "sealed" : "plain"; });

}  // namespace
}  // namespace accelmesh
