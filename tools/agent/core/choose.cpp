#include "tools/agent/core/choose.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "scheduler/core/plan.h"
#include "scheduler/core/quantity.h"

namespace accelmesh::agent {
namespace {

using scheduler::Candidate;
using scheduler::CreditsText;
using scheduler::Dimension;
using scheduler::FunctionalRequest;
using scheduler::Gap;
using scheduler::Slot;

// What a whole device does at least of what is asked for first; of a request without throughput, the best that it has.
double SpeedOf(const FunctionalRequest& request, const Slot& slot) {
  if (!request.throughput.empty()) {
    const scheduler::ThroughputDemand& demand = request.throughput.front();
    return slot.tags.Throughput(demand.operation, demand.type).low;
  }
  double best = 0;
  for (const auto& types : slot.tags.operations_per_s) {
    for (const scheduler::Measured& measured : types) best = std::max(best, measured.low);
  }
  return best;
}

double AnswerUs(const Slot& slot) {
  if (!slot.tags.launch_us.known() || !slot.tags.round_trip_us.known()) return std::numeric_limits<double>::infinity();
  return slot.tags.launch_us.high + slot.tags.round_trip_us.high;
}

// Smaller is better, one after the other; the index makes the order one.
struct Rank {
  double first = 0;
  double second = 0;
  double third = 0;
  std::size_t slot = 0;
  bool operator<(const Rank& other) const {
    return std::tie(first, second, third, slot) < std::tie(other.first, other.second, other.third, other.slot);
  }
};

Rank RankOf(const FunctionalRequest& request, const Slot& slot, const Candidate& candidate, Policy policy) {
  const auto price = static_cast<double>(candidate.price_microcredits_per_hour);
  const double slowness = -SpeedOf(request, slot);
  const double answer_us = AnswerUs(slot);
  // Everything that is a candidate gives what was asked for, and so is done in time if the prediction is.
  switch (policy) {
    case Policy::kLatency: return {answer_us, price, slowness, candidate.slot};
    case Policy::kThroughput: return {slowness, price, answer_us, candidate.slot};
    case Policy::kDeadline: return {price, slowness, answer_us, candidate.slot};
    case Policy::kCost: return {price, answer_us, slowness, candidate.slot};
  }
  return {price, answer_us, slowness, candidate.slot};
}

std::string WhyRanked(const FunctionalRequest& request, const Slot& slot, const Candidate& candidate, Policy policy) {
  const std::string price = CreditsText(candidate.price_microcredits_per_hour) + " credits an hour";
  const double answer_us = AnswerUs(slot);
  switch (policy) {
    case Policy::kLatency:
      return (answer_us < 1e12 ? "answers in " + scheduler::ReadableDuration(answer_us)
                               : std::string("latency not measured")) +
             ", " + price;
    case Policy::kThroughput: {
      const double speed = SpeedOf(request, slot);
      return (speed > 0 ? "the whole device does " + scheduler::ReadableOperations(speed)
                        : std::string("speed not measured")) +
             ", " + price;
    }
    case Policy::kDeadline:
    case Policy::kCost: break;
  }
  return price;
}

// The user's bounds of the price are for all slots together and for the bid to keep.
FunctionalRequest WithoutPrice(const FunctionalRequest& request) {
  FunctionalRequest free = request;
  free.budget_microcredits = 0;
  free.price_microcredits_per_hour = 0;
  return free;
}

std::int64_t Sum(const std::vector<Candidate>& candidates) {
  std::int64_t sum = 0;
  for (const Candidate& candidate : candidates) sum += candidate.price_microcredits_per_hour;
  return sum;
}

std::string Ordinal(std::size_t rank) { return rank == 1 ? "tried first" : "tried as number " + std::to_string(rank); }

// Tells each slot that is tried its place; one of several gangs has that of the first.
void MarkTries(Choice& choice) {
  for (std::size_t rank = choice.tries.size(); rank > 0; --rank) {
    const Try& one = choice.tries[rank - 1];
    for (const Candidate& candidate : one.slots) {
      Verdict& verdict = choice.verdicts[candidate.slot];
      verdict.rank = rank;
      verdict.text = Ordinal(rank) + ": " + one.why + "; " + candidate.why;
    }
  }
}

// Gangs: the plan, then the plans without the first slot of each before.
Status TryGangs(const FunctionalRequest& request, std::span<const Slot> slots, Policy policy, std::vector<bool> is_out,
                Choice& choice) {
  const auto workload = scheduler::Fragmentation::Make({});
  if (!workload.ok()) return workload.status();
  const bool by_price = policy == Policy::kCost || policy == Policy::kDeadline;
  while (choice.tries.size() < kTriesMax) {
    std::vector<Slot> left;
    std::vector<std::size_t> index;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (is_out[i]) continue;
      left.push_back(slots[i]);
      index.push_back(i);
    }
    ACCELMESH_ASSIGN_OR_RETURN(
        scheduler::Plan plan,
        scheduler::MakePlan(request, left, *workload,
                            by_price ? scheduler::Preference::kPrice : scheduler::Preference::kFragmentation));
    if (choice.tries.empty()) choice.gaps = plan.gaps;
    if (plan.assignments.empty()) break;
    for (Candidate& candidate : plan.assignments) candidate.slot = index[candidate.slot];
    is_out[plan.assignments.front().slot] = true;
    const std::int64_t price = Sum(plan.assignments);
    choice.tries.push_back({std::move(plan.assignments), price, "together " + CreditsText(price) + " credits an hour"});
  }
  return Status::Ok();
}

}  // namespace

Result<Choice> ChooseSlots(const Prediction& prediction, std::span<const Slot> slots, Policy policy,
                           const std::set<std::string>& excluded) {
  ACCELMESH_RETURN_IF_ERROR(Validate(prediction.request));
  const FunctionalRequest request = WithoutPrice(prediction.request);
  scheduler::Match match = scheduler::FindCandidates(request, slots);
  Choice choice;
  choice.verdicts.resize(slots.size());
  for (std::size_t i = 0; i < slots.size(); ++i) choice.verdicts[i].slot = i;
  for (scheduler::Rejection& rejection : match.rejections) {
    Verdict& verdict = choice.verdicts[rejection.slot];
    for (const Gap& gap : rejection.gaps) verdict.text += (verdict.text.empty() ? "" : "; ") + gap.text;
    verdict.gaps = std::move(rejection.gaps);
  }
  std::vector<bool> is_out(slots.size(), false);
  std::vector<std::pair<Rank, Candidate>> ranked;
  for (Candidate& candidate : match.candidates) {
    const Slot& slot = slots[candidate.slot];
    if (excluded.contains(slot.id)) {
      is_out[candidate.slot] = true;
      choice.verdicts[candidate.slot].text = "failed before";
      continue;
    }
    choice.verdicts[candidate.slot].text = "would do, but others are better";
    ranked.emplace_back(RankOf(request, slot, candidate, policy), std::move(candidate));
  }
  std::sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  if (request.count == 1) {
    for (std::size_t i = 0; i < std::min(ranked.size(), kTriesMax); ++i) {
      Candidate& candidate = ranked[i].second;
      const std::int64_t price = candidate.price_microcredits_per_hour;
      std::string why = WhyRanked(request, slots[candidate.slot], candidate, policy);
      choice.tries.push_back({{std::move(candidate)}, price, std::move(why)});
    }
  } else {
    ACCELMESH_RETURN_IF_ERROR(TryGangs(request, slots, policy, is_out, choice));
  }
  MarkTries(choice);
  for (const Try& one : choice.tries) {
    const std::int64_t price = std::max<std::int64_t>(1, one.price_microcredits_per_hour);
    if (choice.posted_microcredits_per_hour == 0 || price < choice.posted_microcredits_per_hour)
      choice.posted_microcredits_per_hour = price;
  }
  return choice;
}

void KeepWithin(Choice& choice, const Bid& bid) {
  std::vector<Try> kept;
  std::set<std::size_t> within;
  for (Try& one : choice.tries) {
    if (one.price_microcredits_per_hour > bid.price_max_microcredits_per_hour) continue;
    for (const Candidate& candidate : one.slots) within.insert(candidate.slot);
    kept.push_back(std::move(one));
  }
  choice.tries = std::move(kept);
  for (Verdict& verdict : choice.verdicts) {
    if (verdict.rank == 0) continue;
    verdict.rank = 0;
    if (within.contains(verdict.slot)) continue;
    verdict.gaps.push_back(
        {Dimension::kPrice,
         "price above the bid of " + CreditsText(bid.price_max_microcredits_per_hour) + " credits an hour",
         "raise max-price or the budget, ask for less throughput, or wait for a lower price"});
    verdict.text = verdict.gaps.back().text + ": " + verdict.text.substr(verdict.text.find(": ") + 2);
  }
  MarkTries(choice);
}

Explanation Explain(const Choice& choice, std::span<const Slot> slots) {
  Explanation steps;
  for (const Verdict& verdict : choice.verdicts) {
    Step step{"select", slots[verdict.slot].id + ": " + verdict.text, {}};
    step.facts = {{"slot", slots[verdict.slot].id}, {"rank", std::to_string(verdict.rank)}};
    for (const Gap& gap : verdict.gaps) {
      step.facts.emplace_back("lacks", std::string(Name(gap.dimension)));
      step.facts.emplace_back("remedy", gap.remedy);
    }
    steps.push_back(std::move(step));
  }
  for (const Gap& gap : choice.gaps) {
    steps.push_back({"select",
                     gap.text + "; " + gap.remedy,
                     {{"lacks", std::string(Name(gap.dimension))}, {"remedy", gap.remedy}}});
  }
  return steps;
}

}  // namespace accelmesh::agent
