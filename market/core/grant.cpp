#include "market/core/grant.h"

#include <algorithm>

#include "market/core/accounts.h"
#include "scheduler/core/quantity.h"

namespace accelmesh::market {
namespace {

constexpr char kWhere[] = "market::Grant";
// So many slots are weighed against one another when one is asked for and many would do.
constexpr std::size_t kWeighedMax = 64;

// What needs no scheduler to say that nothing of the slot can be had now.
bool MayServe(const scheduler::Slot& slot, const scheduler::FunctionalRequest& request) {
  return !slot.is_draining && slot.share_milli_free >= std::max(1U, slot.share_milli_step) &&
         slot.memory_bytes_free >= request.memory_bytes;
}

using Slots = std::span<const scheduler::Slot* const>;

Chosen ToChosen(Slots slots, scheduler::Candidate candidate) {
  return {slots[candidate.slot]->id, std::move(candidate)};
}

// Why these slots would not do; of one whose server is gone, that alone.
void Explain(const Book& book, Slots slots, std::vector<scheduler::Rejection> rejections, Choice& choice) {
  for (scheduler::Rejection& rejection : rejections) {
    if (choice.rejections.size() >= kRejectionsMax) return;
    const scheduler::Slot& slot = *slots[rejection.slot];
    if (!book.IsReachable(slot)) {
      rejection.gaps = {{scheduler::Dimension::kShare, "share none: its server does not answer",
                         "wait until it is back, or take another slot"}};
    }
    choice.rejections.push_back({slot.id, std::move(rejection.gaps)});
  }
}

// What all plans of one choice have in common.
struct Planning {
  const Book& book;
  const scheduler::FunctionalRequest& request;
  const scheduler::Fragmentation& workload;
  std::size_t others_max;
};

Result<bool> PlanOn(const Planning& planning, Slots slots, Choice& choice) {
  ACCELMESH_ASSIGN_OR_RETURN(scheduler::Plan plan,
                             scheduler::MakePlan(planning.request, slots, planning.workload,
                                                 scheduler::Preference::kFragmentation, planning.others_max));
  for (scheduler::Candidate& candidate : plan.assignments) {
    choice.chosen.push_back(ToChosen(slots, std::move(candidate)));
  }
  for (scheduler::Candidate& candidate : plan.others) {
    if (choice.others.size() >= planning.others_max) break;
    choice.others.push_back(ToChosen(slots, std::move(candidate)));
  }
  Explain(planning.book, slots, std::move(plan.rejections), choice);
  choice.gaps = std::move(plan.gaps);
  return !choice.chosen.empty();
}

Result<Choice> ChooseAmong(const Planning& planning, const std::vector<std::string>& named) {
  Choice choice;
  std::vector<const scheduler::Slot*> slots;
  for (const std::string& id : named) {
    const scheduler::Slot* slot = planning.book.View(id);
    if (slot == nullptr) {
      choice.rejections.push_back(
          {id, {{scheduler::Dimension::kShare, "share none: no slot has this name", "see slotctl slots"}}});
      continue;
    }
    if (planning.request.count == 1) {
      ACCELMESH_ASSIGN_OR_RETURN(const bool found, PlanOn(planning, std::span(&slot, 1), choice));
      if (found) return choice;
      continue;
    }
    if (std::find(slots.begin(), slots.end(), slot) == slots.end()) slots.push_back(slot);
  }
  if (planning.request.count > 1) {
    ACCELMESH_ASSIGN_OR_RETURN([[maybe_unused]] const bool found, PlanOn(planning, slots, choice));
  }
  return choice;
}

}  // namespace

std::string LeaseIdOf(const std::string& tenant, const std::string& operation, std::size_t index) {
  std::string id = tenant.substr(0, 8) + "-" + operation;
  if (index != 0) id += "-" + std::to_string(index);
  return id;
}

Result<Choice> Choose(const Book& book, const GrantRequest& grant, const scheduler::Fragmentation& workload,
                      std::uint64_t draw, std::size_t others_max) {
  scheduler::FunctionalRequest request = grant.request;
  if (grant.price_max > 0 &&
      (request.price_microcredits_per_hour == 0 || grant.price_max < request.price_microcredits_per_hour)) {
    request.price_microcredits_per_hour = grant.price_max;
  }
  ACCELMESH_RETURN_IF_ERROR(scheduler::Validate(request));
  const Planning planning{book, request, workload, others_max};
  if (!grant.slots.empty()) return ChooseAmong(planning, grant.slots);

  const std::span<const scheduler::Slot> all = book.slots();
  const std::size_t weighed_max = request.count == 1 ? kWeighedMax : all.size();
  std::vector<const scheduler::Slot*> weighed;
  const std::size_t start = all.empty() ? 0 : static_cast<std::size_t>(draw % all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    const scheduler::Slot& slot = all[(start + i) % all.size()];
    if (!MayServe(slot, request)) continue;
    weighed.push_back(&slot);
    if (weighed.size() < weighed_max) continue;
    Choice choice;
    ACCELMESH_ASSIGN_OR_RETURN(const bool found, PlanOn(planning, weighed, choice));
    if (found) return choice;
    weighed.clear();
  }
  // The rest; and when that will not do, what stands in the way at each slot.
  Choice choice;
  if (!weighed.empty()) {
    ACCELMESH_ASSIGN_OR_RETURN(const bool found, PlanOn(planning, weighed, choice));
    if (found) return choice;
  }
  Choice none;
  weighed.clear();
  for (const scheduler::Slot& slot : all.first(std::min(all.size(), kRejectionsMax))) weighed.push_back(&slot);
  ACCELMESH_ASSIGN_OR_RETURN([[maybe_unused]] const bool found, PlanOn(planning, weighed, none));
  if (all.empty()) {
    none.gaps = {{scheduler::Dimension::kCount,
                  "slots 0 of " + std::to_string(request.count) + ": no server has registered any",
                  "start a gpu-server with --market, or wait until one is back"}};
  }
  return none;
}

Result<GrantOutcome> DecideGrant(const Book& book, const GrantRequest& request,
                                 const scheduler::Fragmentation& workload, const Moment& moment, std::uint64_t draw) {
  GrantOutcome outcome;
  for (std::size_t i = 0;; ++i) {
    std::string id = LeaseIdOf(request.tenant, request.operation, i);
    const LeaseRecord* lease = book.Lease(id);
    if (lease == nullptr) break;
    if (lease->tenant != request.tenant) {
      return Status(Code::kInvalidArgument, kWhere, "the operation id is somebody else's; make a random one");
    }
    outcome.leases.push_back(std::move(id));
    outcome.is_repeated = true;
  }
  if (outcome.is_repeated) return outcome;
  if (const IdentityRecord* identity = book.Identity(request.tenant); identity != nullptr && identity->is_banned) {
    return Status(Code::kPermissionDenied, kWhere, "this identity is banned; ask an admin (slotctl keys trust)");
  }
  if (request.lease_ms < 0 || request.lease_ms > kLeaseLifeMsMax) {
    return Status(Code::kInvalidArgument, kWhere, "a lease lasts at most 15 minutes; ask for less and renew it");
  }
  if (book.LeasesOfTenant(request.tenant).size() + request.request.count > kLeasesPerTenantMax) {
    return Status(Code::kLimitExceeded, kWhere,
                  "more than " + std::to_string(kLeasesPerTenantMax) + " leases at a time; give some back first");
  }
  ACCELMESH_ASSIGN_OR_RETURN(Choice choice, Choose(book, request, workload, draw, 0));
  outcome.rejections = std::move(choice.rejections);
  outcome.gaps = std::move(choice.gaps);
  if (choice.chosen.empty()) return outcome;

  Edit edit(book);
  const std::int64_t lease_ms = request.lease_ms > 0 ? request.lease_ms : kLeaseLifeMsMax;
  for (std::size_t i = 0; i < choice.chosen.size(); ++i) {
    const Chosen& chosen = choice.chosen[i];
    const SlotRecord* slot = book.Slot(chosen.slot);
    std::string id = LeaseIdOf(request.tenant, request.operation, i);
    LeaseRecord& lease = edit.Lease(id);
    lease.slot = chosen.slot;
    lease.server = slot->slot.server;
    lease.tenant = request.tenant;
    ACCELMESH_ASSIGN_OR_RETURN(lease.epoch, edit.NextEpoch(chosen.slot));
    lease.share_milli = chosen.candidate.share_milli;
    lease.memory_bytes = chosen.candidate.memory_bytes;
    lease.price_per_hour = chosen.candidate.price_microcredits_per_hour;
    lease.not_before_ms = lease.began_ms = moment.now_ms;
    lease.not_after_ms = moment.now_ms + lease_ms;
    lease.paid_until_ms = moment.now_ms;
    lease.holder_key = request.holder_key;
    lease.next_key = request.next_key;
    lease.request = request.request_text;
    lease.why = chosen.candidate.why;
    lease.last_operation = request.operation;
    ACCELMESH_RETURN_IF_ERROR(Hold(edit.Account(request.tenant), lease));
    edit.Require(Family::kSlot, chosen.slot);
    edit.Require(Family::kServer, slot->slot.server);
    outcome.leases.push_back(std::move(id));
  }
  outcome.decision = edit.Finish();
  return outcome;
}

}  // namespace accelmesh::market
