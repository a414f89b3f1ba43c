#include "market/registry/watch_hub.h"

#include <gtest/gtest.h>

namespace accelmesh::registry {
namespace {

std::vector<Event> Put(const std::string& key, Revision revision) {
  return {{Event::Kind::kPut, {key, "v", revision, revision, 1, kNoLease}}};
}

struct Watcher {
  std::vector<Revision> revisions;
  Status end;
  std::shared_ptr<SinkGate> gate = std::make_shared<SinkGate>([this](Result<Change> change) {
    if (change.ok()) {
      revisions.push_back(change->revision);
    } else {
      end = change.status();
    }
  });
};

TEST(WatchHubTest, KeepsTheLastChangesOnly) {
  WatchHub hub(10, 3);
  for (Revision revision = 11; revision <= 20; ++revision) hub.Publish(revision, Put("/a", revision));
  Watcher late;
  hub.Add("/", 18, late.gate);
  EXPECT_EQ(late.revisions, (std::vector<Revision>{18, 19, 20}));
  Watcher too_late;
  hub.Add("/", 17, too_late.gate);
  EXPECT_EQ(too_late.end.code(), Code::kLimitExceeded);
  Watcher now;
  hub.Add("/", 0, now.gate);
  Watcher future;
  hub.Add("/", 22, future.gate);
  hub.Publish(21, Put("/a", 21));
  hub.Publish(22, Put("/b", 22));
  EXPECT_EQ(now.revisions, (std::vector<Revision>{21, 22}));
  EXPECT_EQ(future.revisions, (std::vector<Revision>{22}));
  EXPECT_TRUE(too_late.revisions.empty());
  hub.End(Status(Code::kClosed, "test", "over"));
  EXPECT_EQ(now.end.code(), Code::kClosed);
}

// What is kept is counted in events: one change may have many.
TEST(WatchHubTest, KeepsNoMoreOfLargeChanges) {
  WatchHub hub(0, 3);
  std::vector<Event> two = Put("/a", 1);
  two.push_back(Put("/b", 1).front());
  hub.Publish(1, two);
  hub.Publish(2, two);
  Watcher last;
  hub.Add("/", 2, last.gate);
  EXPECT_EQ(last.revisions, (std::vector<Revision>{2}));
  Watcher too_late;
  hub.Add("/", 1, too_late.gate);
  EXPECT_EQ(too_late.end.code(), Code::kLimitExceeded);
}

TEST(WatchHubTest, AClosedGateIsNotCalled) {
  WatchHub hub(0, 3);
  Watcher watcher;
  hub.Add("/", 0, watcher.gate);
  watcher.gate->Close();
  hub.Publish(1, Put("/a", 1));
  hub.End(Status(Code::kClosed, "test", "over"));
  EXPECT_TRUE(watcher.revisions.empty());
  EXPECT_TRUE(watcher.end.ok());
}

}  // namespace
}  // namespace accelmesh::registry
