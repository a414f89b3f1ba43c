// The template of Session that its source files share; not for anybody else.
#pragma once

#include <utility>

#include "server/session/session.h"

namespace accelmesh {

template <typename Work>
Status Session::RunOrPark(std::uint32_t stream, std::uint64_t sequence, std::uint64_t token,
                          std::shared_ptr<EventState> wait_event, Work&& run) {
  const StreamState& state = streams_[stream];
  if (state.parked.empty() && MayRun(state, stream, sequence, token, wait_event.get())) return run();
  // std::function wants a copyable closure; a parked command is rare, so it pays for a shared one.
  auto shared = std::make_shared<std::decay_t<Work>>(std::forward<Work>(run));
  Park(stream, {sequence, token, std::move(wait_event), false, [shared] { return (*shared)(); }});
  return Status::Ok();
}

}  // namespace accelmesh
