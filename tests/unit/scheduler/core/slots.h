// Slots to ask for, with names: an idle software GPU and a few that differ from it.
#pragma once

#include <string>

#include "scheduler/core/slot.h"

namespace accelmesh::scheduler::testing {

// 0.2 TOPS fp32 matmul at least, 8 GiB, 0.5 ms to it and back, 1 credit an hour.
inline Slot OneGpu(std::string id = "gpu", std::string server = "server-1") {
  Slot slot;
  slot.id = std::move(id);
  slot.server = std::move(server);
  slot.zone = "eu-1";
  slot.labels = {"software"};
  slot.tags.Throughput(Operation::kMatmul, NumberType::kFp32) = {0.22e12, 0.2e12, 0.24e12};
  slot.tags.Throughput(Operation::kConvolution, NumberType::kFp32) = {0.11e12, 0.1e12, 0.12e12};
  slot.tags.memory_bytes_per_s = {11e9, 10e9, 12e9};
  slot.tags.launch_us = {10, 8, 20};
  slot.tags.round_trip_us = {400, 300, 480};
  slot.share_milli = slot.share_milli_free = kWholeMilli;
  slot.memory_bytes = slot.memory_bytes_free = 8ULL << 30;
  slot.notice_us = 60'000'000;
  slot.price_microcredits_per_hour = 1'000'000;
  return slot;
}

}  // namespace accelmesh::scheduler::testing
