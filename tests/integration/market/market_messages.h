// Requests as tests make them.
#pragma once

#include <string>

#include "market/client/messages.h"

namespace accelmesh::market {

// A server's slots: `count` whole devices that give `tops` of fp32.
inline messages::RegisterServerT ServerWith(const std::string& name, int count, double tops,
                                            std::uint32_t step = 1000) {
  messages::RegisterServerT server;
  server.name = name;
  server.endpoints = {"tcp://127.0.0.1:7700"};
  for (int i = 0; i < count; ++i) {
    auto slot = std::make_unique<messages::SlotT>();
    slot->id = name + "/" + std::to_string(i);
    slot->device = static_cast<std::uint32_t>(i);
    slot->device_name = "Device";
    slot->backend = "cpu";
    scheduler::Tags tags;
    tags.Throughput(scheduler::Operation::kMatmul, scheduler::NumberType::kFp32) = {tops * 1.1e12, tops * 1e12,
                                                                                    tops * 1.2e12};
    tags.memory_bytes_per_s = {1.1e10, 1e10, 1.2e10};
    tags.launch_us = {10, 9, 11};
    tags.round_trip_us = {50, 40, 60};
    slot->tags = std::make_unique<messages::TagsT>(ToMessageTags(tags));
    slot->share_milli = 1000;
    slot->share_milli_step = step;
    slot->memory_bytes = 8ULL << 30;
    slot->notice_us = 10'000'000;
    slot->reserve_price_microcredits_per_hour = 1'000'000;
    server.slots.push_back(std::move(slot));
  }
  return server;
}

inline messages::RequestLeaseT AskFor(const std::string& request, std::int64_t lease_ms = 60'000,
                                      std::int64_t wait_ms = 0) {
  messages::RequestLeaseT ask;
  ask.operation_id = MakeOperationId();
  ask.request = request;
  ask.lease_us = lease_ms * 1000;
  ask.wait_us = wait_ms * 1000;
  ask.holder_key.assign(32, 7);
  return ask;
}

}  // namespace accelmesh::market
