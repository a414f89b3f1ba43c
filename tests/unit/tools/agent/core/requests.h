// Requests, profiles and slots by chance, for the property tests of the agent's core.
#pragma once

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "scheduler/core/request_text.h"
#include "tests/unit/scheduler/core/slots.h"
#include "tools/agent/core/predict.h"

namespace accelmesh::agent::testing {

inline scheduler::FunctionalRequest Asked(const std::string& text) {
  if (text.empty()) return {};
  auto request = scheduler::ParseRequest(text);
  EXPECT_TRUE(request.ok()) << request.status().ToString();
  return std::move(request).value();
}

// A run of `lasted_ms`, `waited_ms` of it for the device, which did `gigaops` of fp32 matmul.
inline Run OneRun(std::int64_t lasted_ms, std::int64_t waited_ms, std::uint64_t gigaops, std::uint64_t memory_mib) {
  Run run;
  run.ended_ms = 1'000'000;
  run.lasted_us = lasted_ms * 1000;
  run.waited_us = waited_ms * 1000;
  run.operations[0][3] = gigaops * 1'000'000'000;
  run.memory_bytes_high = memory_mib << 20;
  return run;
}

inline Profile SomeProfile(std::mt19937_64& random) {
  Profile profile;
  for (std::size_t i = random() % 8; i > 0; --i) {
    const auto lasted = static_cast<std::int64_t>(1 + random() % 100'000);
    AddRun(profile, OneRun(lasted, static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(lasted + 1)),
                           random() % 2 == 0 ? random() % 10'000 : 0, random() % 9000));
  }
  return profile;
}

inline scheduler::FunctionalRequest SomeRequest(std::mt19937_64& random, bool may_be_gang = true) {
  scheduler::FunctionalRequest request;
  const auto is = [&random](unsigned of) { return random() % of == 0; };
  if (is(2))
    request.throughput.push_back(
        {scheduler::Operation::kMatmul, scheduler::NumberType::kFp32, 1e9 * static_cast<double>(1 + random() % 300)});
  if (is(4))
    request.throughput.push_back({scheduler::Operation::kConvolution, scheduler::NumberType::kFp32,
                                  1e9 * static_cast<double>(1 + random() % 100)});
  if (is(2)) request.memory_bytes = (1 + random() % 9000) << 20;
  if (is(4)) request.memory_bytes_per_s = 1e9 * static_cast<double>(1 + random() % 12);
  if (is(4)) request.latency_us = static_cast<std::int64_t>(1 + random() % 2000);
  if (is(3)) request.price_microcredits_per_hour = static_cast<std::int64_t>(1 + random() % 3'000'000);
  if (is(3)) request.duration_us = static_cast<std::int64_t>(1 + random() % 7'200'000'000ULL);
  if (is(3)) request.deadline_us = request.duration_us + static_cast<std::int64_t>(1 + random() % 7'200'000'000ULL);
  if (request.duration_us != 0 && is(2))
    request.budget_microcredits = static_cast<std::int64_t>(1 + random() % 5'000'000);
  if (may_be_gang && is(3)) request.count = 1 + static_cast<std::uint32_t>(random() % 4);
  if (request.count > 1) request.topology = static_cast<scheduler::Topology>(random() % 4);
  return request;
}

inline std::vector<scheduler::Slot> SomeSlots(std::mt19937_64& random) {
  std::vector<scheduler::Slot> slots;
  for (std::size_t i = random() % 12; i > 0; --i) {
    scheduler::Slot slot =
        scheduler::testing::OneGpu("gpu-" + std::to_string(i), "server-" + std::to_string(random() % 4));
    slot.share_milli_free = static_cast<std::uint32_t>(random() % 1001);
    slot.memory_bytes_free = (random() % 8193) << 20;
    slot.price_microcredits_per_hour = static_cast<std::int64_t>(random() % 3'000'000);
    slot.zone = random() % 2 == 0 ? "eu-1" : "us-2";
    slot.is_draining = random() % 8 == 0;
    const double speed = 1e9 * static_cast<double>(1 + random() % 400);
    slot.tags.Throughput(scheduler::Operation::kMatmul, scheduler::NumberType::kFp32) = {speed * 1.1, speed,
                                                                                         speed * 1.2};
    if (random() % 5 == 0) slot.tags.round_trip_us = {};
    slots.push_back(std::move(slot));
  }
  return slots;
}

}  // namespace accelmesh::agent::testing
