#include "market/registry/watch_hub.h"

namespace accelmesh::registry {

bool WatchHub::Deliver(const Watcher& watcher, const Change& change) {
  if (change.revision < watcher.from) return watcher.gate->open();
  Change wanted{change.revision, {}};
  for (const Event& event : change.events) {
    if (event.entry.key.starts_with(watcher.prefix)) wanted.events.push_back(event);
  }
  if (wanted.events.empty()) return watcher.gate->open();
  return watcher.gate->Call(std::move(wanted));
}

void WatchHub::Add(std::string prefix, Revision from, std::shared_ptr<SinkGate> gate) {
  Watcher watcher{std::move(prefix), from == 0 ? last_ + 1 : from, std::move(gate)};
  if (watcher.from <= compacted_) {
    watcher.gate->Call(Status(Code::kLimitExceeded, "Registry::Watch.from",
                              "changes up to revision " + std::to_string(compacted_) + " are not kept, and " +
                                  std::to_string(watcher.from) +
                                  " was asked for; take a snapshot and watch from the revision behind it"));
    return;
  }
  for (const Change& change : history_) {
    if (!Deliver(watcher, change)) return;
  }
  watchers_.push_back(std::move(watcher));
}

void WatchHub::Publish(Revision revision, std::vector<Event> events) {
  Change change{revision, std::move(events)};
  last_ = revision;
  // A sink may call the registry but not the hub, so nothing is added meanwhile.
  std::erase_if(watchers_, [&](const Watcher& watcher) { return !Deliver(watcher, change); });
  kept_ += change.events.size();
  history_.push_back(std::move(change));
  while (kept_ > max_) {
    compacted_ = history_.front().revision;
    kept_ -= history_.front().events.size();
    history_.pop_front();
  }
}

void WatchHub::End(const Status& status) {
  for (const Watcher& watcher : watchers_) watcher.gate->Call(status);
  watchers_.clear();
}

}  // namespace accelmesh::registry
