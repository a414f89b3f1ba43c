#include "tools/slotctl/doctor.h"

#include <gtest/gtest.h>

namespace accelmesh::slotctl {
namespace {

using Level = Finding::Level;

TEST(DoctorTest, AClockIsJudgedByWhatIsCertain) {
  // Asked at 1000, answered at 1200: any time between is fine.
  EXPECT_EQ(JudgeClock(1100, 1000, 1200).level, Level::kFine);
  EXPECT_EQ(JudgeClock(1200, 1000, 1200).level, Level::kFine);
  EXPECT_EQ(JudgeClock(1900, 1000, 1200).level, Level::kFine) << "0.7 s";
  EXPECT_EQ(JudgeClock(4000, 1000, 1200).level, Level::kWarning);
  EXPECT_EQ(JudgeClock(300'000, 1000, 1200).level, Level::kFault);
  EXPECT_EQ(JudgeClock(1000, 300'000, 300'200).level, Level::kFault);
  EXPECT_NE(JudgeClock(1000, 300'000, 300'200).remedy, "");
}

TEST(DoctorTest, SlotsThatCannotBeLetSayWhy) {
  EXPECT_EQ(JudgeSlots({}).at(0).level, Level::kFault);
  EXPECT_NE(JudgeSlots({}).at(0).remedy.find("gpu-server --market"), std::string::npos);
  messages::SlotsT slots;
  for (const char* id : {"fine", "gone", "draining", "unmeasured"}) {
    slots.slots.push_back(std::make_unique<messages::SlotT>());
    auto& slot = *slots.slots.back();
    slot.id = id;
    slot.is_reachable = slot.id != "gone";
    slot.is_draining = slot.id == "draining";
    slot.tags = std::make_unique<messages::TagsT>();
    if (slot.id != "unmeasured") slot.tags->throughput.push_back(std::make_unique<messages::ThroughputT>());
  }
  const auto findings = JudgeSlots(slots);
  ASSERT_EQ(findings.size(), 4U);
  EXPECT_EQ(findings[0].level, Level::kFault);
  EXPECT_NE(findings[0].text.find("gone"), std::string::npos);
  EXPECT_EQ(findings[1].remedy, "slotctl undrain draining");
  EXPECT_EQ(findings[2].level, Level::kWarning);
  EXPECT_EQ(findings[3].text, "1 of 4 can be let");
}

TEST(DoctorTest, EveryFaultHasARemedyAndIsCounted) {
  messages::StatusReportT status;
  status.store = "etcd 3.4.23";
  status.store_warning = "older than 3.6.9";
  messages::GreetingT greeting;
  greeting.role = "tenant";
  const std::vector<Finding> findings = {JudgeStore(status), JudgeRole(greeting, "beef"), JudgeClock(1 << 30, 0, 1)};
  for (const Finding& finding : findings) EXPECT_NE(finding.remedy, "") << finding.what;
  EXPECT_EQ(FaultsOf(findings), 1);
  const Report report = ReportOf(findings);
  EXPECT_NE(report.text.find("FAULT"), std::string::npos);
  EXPECT_NE(report.text.find("remedy: set both by NTP"), std::string::npos);
  EXPECT_NE(report.text.find("1 fault\n"), std::string::npos);
  EXPECT_EQ(report.json["faults"], 1);
  status.store_warning.clear();
  EXPECT_EQ(JudgeStore(status).level, Level::kFault) << "no leader";
  status.is_leader = true;
  EXPECT_EQ(JudgeStore(status).level, Level::kFine);
}

// What it cannot do just now is no warning: nobody gets a lease.
TEST(DoctorTest, WhatKeepsTheMarketFromWritingIsAFault) {
  messages::StatusReportT status;
  status.store = "sqlite";
  status.is_leader = true;
  status.trouble = "writing market.sqlite: the disk is full; make room and try again";
  const Finding finding = JudgeStore(status);
  EXPECT_EQ(finding.level, Level::kFault);
  EXPECT_NE(finding.text.find("make room"), std::string::npos);
  EXPECT_NE(finding.remedy.find("programs run until their leases end"), std::string::npos);
}

TEST(DoctorTest, AnEmptyAccountIsToldWithTheCommandThatHelps) {
  messages::AccountT account;
  account.identity = "beef";
  EXPECT_EQ(JudgeAccount(account).level, Level::kFault);
  EXPECT_NE(JudgeAccount(account).remedy.find("slotctl deposit beef"), std::string::npos);
  account.balance_microcredits = 1;
  EXPECT_EQ(JudgeAccount(account).level, Level::kFine);
}

TEST(DoctorTest, WhoWaitsIsToldOf) {
  messages::RequestsT requests;
  EXPECT_EQ(JudgeRequests(requests).level, Level::kFine);
  for (const char* text : {"one waits", "2 wait"}) {
    requests.requests.push_back(std::make_unique<messages::WaitingRequestT>());
    EXPECT_EQ(JudgeRequests(requests).level, Level::kWarning);
    EXPECT_EQ(JudgeRequests(requests).text, text);
  }
}

}  // namespace
}  // namespace accelmesh::slotctl
