// A watch at one member of etcd: a stream, whose changes go to the gate by way of the dispatcher. It ends with the
// member; the client then takes a snapshot and watches anew, at the next member.
#pragma once

#include "market/registry/etcd/calls.h"
#include "market/registry/watch_hub.h"

namespace accelmesh::registry {

// `prefix`: what stands before the keys in etcd. Destroying the handle cancels the stream. `calls` outlives it.
std::unique_ptr<WatchHandle> StartWatch(EtcdCalls& calls, etcdserverpb::WatchRequest request, std::string prefix,
                                        std::shared_ptr<SinkGate> gate);

}  // namespace accelmesh::registry
