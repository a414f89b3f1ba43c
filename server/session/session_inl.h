// The template of Session that its source files share; not for anybody else.
#pragma once

#include <utility>

#include "server/session/session.h"

namespace accelmesh {

template <typename Work>
Status Session::RunOrPark(std::uint32_t stream, std::uint64_t sequence, std::uint64_t token,
                          std::shared_ptr<EventState> wait_event, Work&& run) {
  StreamState& state = streams_[stream];
  if (context_lost_.load(std::memory_order_relaxed)) {
    // The context is gone: nothing runs any more, and nothing may wait for it.
    Completed(stream, sequence);
    return Status::Ok();
  }
  if (state.parked.empty() && MayRun(state, stream, sequence, token, wait_event.get())) return run();
  // std::function wants a copyable closure; a parked command is rare, so it pays for a shared one.
  auto shared = std::make_shared<std::decay_t<Work>>(std::forward<Work>(run));
  state.parked.push_back({sequence, token, std::move(wait_event), [shared] { return (*shared)(); }});
  ++parked_commands_;
  anything_parked_.store(true, std::memory_order_seq_cst);
  // A completion between the look and the flag would not have woken us.
  channel_.Interrupt();
  return Status::Ok();
}

}  // namespace accelmesh
