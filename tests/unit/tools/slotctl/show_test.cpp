#include "tools/slotctl/show.h"

#include <gtest/gtest.h>

namespace accelmesh::slotctl {
namespace {

bool Has(const Report& report, const std::string& text) { return report.text.find(text) != std::string::npos; }

messages::SlotsT OneSlot() {
  auto slot = std::make_unique<messages::SlotT>();
  slot->id = "ab12/0";
  slot->server_name = "left\x1b[2J";
  slot->device_name = "AccelMesh Software GPU";
  slot->zone = "eu-1";
  slot->share_milli = 300;
  slot->share_milli_free = 125;
  slot->memory_bytes = 8ULL << 30;
  slot->memory_bytes_free = 6ULL << 30;
  slot->price_microcredits_per_hour = 2'500'000;
  slot->is_reachable = true;
  slot->tags = std::make_unique<messages::TagsT>();
  auto matmul = std::make_unique<messages::ThroughputT>();
  matmul->operation = 0;
  matmul->type = 3;
  matmul->via = "library";
  matmul->operations_per_s = std::make_unique<messages::Measured>(60e9, 50e9, 70e9);
  slot->tags->throughput.push_back(std::move(matmul));
  slot->tags->launch_us = std::make_unique<messages::Measured>(10, 8, 20);
  slot->tags->round_trip_us = std::make_unique<messages::Measured>(400, 300, 480);
  messages::SlotsT slots;
  slots.slots.push_back(std::move(slot));
  return slots;
}

TEST(ShowTest, ASlotSaysWhatIsFreeHowFastAndForHowMuch) {
  auto slots = OneSlot();
  const Report report = ReportOf(slots);
  for (const char* part :
       {"ab12/0", "left?[2J", "12.5 % of 30 %", "6 GiB of 8 GiB", "50 GOPS", "500 us", "2.5", "partly let"}) {
    EXPECT_TRUE(Has(report, part)) << part << "\n" << report.text;
  }
  const Json& json = report.json["slots"][0];
  EXPECT_EQ(json["throughput"][0]["operations_per_s"]["low"], 50e9);
  EXPECT_EQ(json["throughput"][0]["type"], "fp32");
  EXPECT_EQ(json["state"], "partly let");
  EXPECT_TRUE(json["memory_bytes_per_s"].is_null());
  const auto state = [&slots] { return ReportOf(slots).json["slots"][0]["state"].get<std::string>(); };
  slots.slots[0]->share_milli_free = 0;
  EXPECT_EQ(state(), "let");
  slots.slots[0]->share_milli_free = 300;
  EXPECT_EQ(state(), "free");
  slots.slots[0]->is_draining = true;
  EXPECT_EQ(state(), "drained");
  slots.slots[0]->is_reachable = false;
  EXPECT_EQ(state(), "unreachable");
  slots.slots[0]->tags = nullptr;
  EXPECT_TRUE(Has(ReportOf(slots), "-"));
  EXPECT_TRUE(Has(ReportOf(messages::SlotsT{}), "gpu-server offers its own with --market"));
}

TEST(ShowTest, LeasesEndInTime) {
  messages::LeasesT leases;
  leases.leases.push_back(std::make_unique<messages::LeaseT>());
  auto& lease = *leases.leases[0];
  lease.id = "l-1";
  lease.slot = "ab12/0";
  lease.tenant_name = "anna";
  lease.share_milli = 250;
  lease.state = "active";
  lease.not_after_ms = 70'000;
  lease.request = "0.05 TOPS fp32, 1GiB";
  EXPECT_TRUE(Has(ReportOf(leases, 10'000, true), "1 m")) << ReportOf(leases, 10'000, true).text;
  EXPECT_TRUE(Has(ReportOf(leases, 10'000, true), "25 %"));
  EXPECT_EQ(ReportOf(leases, 0, true).json["leases"][0]["not_after_ms"], 70'000);
  EXPECT_EQ(ReportOf(messages::LeasesT{}, 0, true).text, "no leases\n");
  EXPECT_TRUE(Has(ReportOf(messages::LeasesT{}, 0, false), "--all"));
}

TEST(ShowTest, AWaitingRequestSaysWhatEachSlotLacksAndWhatHelps) {
  messages::RequestsT requests;
  requests.requests.push_back(std::make_unique<messages::WaitingRequestT>());
  auto& request = *requests.requests[0];
  request.tenant_name = "anna";
  request.request = "8GiB";
  request.since_ms = 1000;
  request.until_ms = 31'000;
  request.rejections.push_back(std::make_unique<messages::RejectionT>());
  request.rejections[0]->slot = "ab12/0";
  request.rejections[0]->gaps.push_back(std::make_unique<messages::GapT>());
  *request.rejections[0]->gaps[0] = {};
  request.rejections[0]->gaps[0]->dimension = "memory";
  request.rejections[0]->gaps[0]->text = "memory 6 GiB of 8 GiB";
  request.rejections[0]->gaps[0]->remedy = "ask for 6 GiB or less";
  const Report report = ReportOf(requests, 11'000, true);
  for (const char* part :
       {"anna waits since 10 s for 8GiB", "ab12/0", "memory 6 GiB of 8 GiB", "ask for 6 GiB or less"}) {
    EXPECT_TRUE(Has(report, part)) << report.text;
  }
  EXPECT_EQ(report.json["requests"][0]["why"][0]["dimension"], "memory");
}

TEST(ShowTest, PricesHaveTheirCourse) {
  messages::PricesT prices;
  EXPECT_TRUE(Has(ReportOf(prices, true), "no class"));
  prices.prices.push_back(std::make_unique<messages::ClassPriceT>());
  auto& price = *prices.prices[0];
  price.class_name = "cpu/AccelMesh Software GPU";
  price.price_microcredits_per_hour = 3'000'000;
  price.utilisation_milli = 700;
  for (int i = 0; i < 10; ++i) {
    price.history.push_back(std::make_unique<messages::PricePointT>());
    price.history[static_cast<std::size_t>(i)]->time_ms = 60'000 * i;
    price.history[static_cast<std::size_t>(i)]->price_microcredits_per_hour = 300'000 * (i + 1);
    price.history[static_cast<std::size_t>(i)]->utilisation_milli = static_cast<std::uint32_t>(100 * i);
  }
  EXPECT_TRUE(Has(ReportOf(prices, false), "▁"));
  EXPECT_FALSE(Has(ReportOf(prices, false), "┤"));
  EXPECT_TRUE(Has(ReportOf(prices, true), "100 % ┤"));
  const std::string svg = SvgOf(prices);
  EXPECT_EQ(svg.compare(0, 4, "<svg"), 0);
  EXPECT_NE(svg.find("</svg>"), std::string::npos);
  EXPECT_NE(svg.find("polyline"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(SvgOf(messages::PricesT{}).find("nan"), std::string::npos);
  // Each has an axis of its own, with the unit that it is in.
  EXPECT_NE(svg.find("credits an hour"), std::string::npos);
  EXPECT_NE(svg.find("percent of what is sold that is let"), std::string::npos);
}

TEST(ShowTest, AccountsThatDoNotAddUpSaySo) {
  messages::AccountsT accounts;
  for (const std::int64_t balance : {5'000'000, 2'000'000}) {
    accounts.accounts.push_back(std::make_unique<messages::AccountT>());
    accounts.accounts.back()->balance_microcredits = balance;
    accounts.accounts.back()->held_microcredits = 500'000;
    accounts.accounts.back()->name = "a";
  }
  accounts.deposits_microcredits = 8'000'000;
  EXPECT_TRUE(Has(ReportOf(accounts), "together 8 credits, deposited 8\n"));
  EXPECT_EQ(ReportOf(accounts).json["is_balanced"], true);
  accounts.deposits_microcredits = 9'000'000;
  EXPECT_TRUE(Has(ReportOf(accounts), "must be equal"));
  EXPECT_EQ(ReportOf(accounts).json["is_balanced"], false);
}

}  // namespace
}  // namespace accelmesh::slotctl
