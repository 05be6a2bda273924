#include "jobs/invariants.h"

#include "base/error.h"

namespace pixmill::jobs {

namespace {

constexpr InvariantInfo kInvariants[] = {
    {Invariant::kStalledJobs, "stalled_jobs", "A job that is running, or being cancelled, has an image left.",
     CheckScope::kRound, Harm::kWaits, true},
    {Invariant::kLeasedCounts, "leased_counts", "A job counts as many leased images as it has.", CheckScope::kRound,
     Harm::kCounts, true},
    {Invariant::kPendingCounts, "pending_counts",
     "A job counts pending images when, and only when, it has some: others would never be claimed.", CheckScope::kRound,
     Harm::kWaits, true},
    {Invariant::kLeasesOfEndedJobs, "leases_of_ended_jobs",
     "Nobody holds an image of a job that has ended, or of none.", CheckScope::kRound, Harm::kLost, true},
    {Invariant::kOverdueLeases, "overdue_leases", "A lease ends, and who let it run out loses it within minutes.",
     CheckScope::kRound, Harm::kWaits, true},
    {Invariant::kHungJobs, "hung_jobs", "A running job has something that is, or will be, claimable.",
     CheckScope::kRound, Harm::kWaits, true},
    {Invariant::kStrayReopenings, "stray_reopenings", "A retry under way belongs to a job that has not ended.",
     CheckScope::kRound, Harm::kWaits, true},
    {Invariant::kOverdueDeliveries, "overdue_deliveries", "An open webhook delivery has a time, and is not a day late.",
     CheckScope::kRound, Harm::kWaits, true},
    {Invariant::kOpenItemsOfEndedJobs, "open_items_of_ended_jobs", "A job that has ended has no open image.",
     CheckScope::kJobs, Harm::kLost, true},
    {Invariant::kEndsWithoutEvent, "ends_without_event",
     "A job that has ended has the terminal event of its generation.", CheckScope::kJobs, Harm::kLost, true},
    {Invariant::kEventsWithoutDelivery, "events_without_delivery",
     "The terminal event of a job with a webhook has a delivery.", CheckScope::kJobs, Harm::kLost, true},
    {Invariant::kEarlyEvents, "early_events", "A job that has not ended has no terminal event of its generation.",
     CheckScope::kJobs, Harm::kDoubled, false},
    {Invariant::kMissingOutputs, "missing_outputs", "An image that succeeded has an output.", CheckScope::kItems,
     Harm::kLost, false},
    {Invariant::kStrayOutputs, "stray_outputs", "An output belongs to an image that succeeded.", CheckScope::kItems,
     Harm::kDangling, true},
    {Invariant::kItemRecords, "item_records",
     "An image has a lease when it is leased, an end when it is final, and no generation that its job has not.",
     CheckScope::kItems, Harm::kCounts, false},
    {Invariant::kStuckFollowers, "stuck_followers",
     "An image waits for another with its address only while that one is open.", CheckScope::kItems, Harm::kWaits,
     true},
    {Invariant::kItemsWithoutRow, "items_without_row", "An image belongs to a row that counts it.", CheckScope::kItems,
     Harm::kDoubled, false},
    {Invariant::kRowsWithoutItems, "rows_without_items", "A row has the images that it counts.", CheckScope::kRows,
     Harm::kLost, false},
    {Invariant::kSharedKeys, "shared_keys", "Outputs with one key are the same bytes.", CheckScope::kItems,
     Harm::kDoubled, false},
    {Invariant::kJobCounters, "job_counters", "A job's counters are the true counts of its rows and images.",
     CheckScope::kTotals, Harm::kCounts, true},
    {Invariant::kFailureCounts, "failure_counts", "The counts of failures by reason are the true ones.",
     CheckScope::kTotals, Harm::kCounts, true},
};

}  // namespace

std::span<const InvariantInfo> invariants() { return kInvariants; }

const InvariantInfo& info_of(Invariant invariant) {
  const auto& info = kInvariants[static_cast<std::size_t>(invariant)];
  PIXMILL_CHECK(info.id == invariant);
  return info;
}

std::string_view to_text(Harm harm) {
  switch (harm) {
    case Harm::kLost:
      return "lost";
    case Harm::kDoubled:
      return "doubled";
    case Harm::kDangling:
      return "dangling";
    case Harm::kWaits:
      return "waits";
    case Harm::kCounts:
      return "counts";
  }
  return "counts";
}

}  // namespace pixmill::jobs
