// What is true of a store between any two transactions. Each invariant has one query per database (sqlite_checks.h,
// postgres_checks.h), one value of the metric pixmill_invariant_violations, and one test that breaks it by hand
// (tests/conformance/upkeep_suite.h). Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace pixmill::jobs {

enum class Invariant : std::uint8_t {
  kStalledJobs,
  kLeasedCounts,
  kPendingCounts,
  kLeasesOfEndedJobs,
  kOverdueLeases,
  kHungJobs,
  kStrayReopenings,
  kOverdueDeliveries,
  kOpenItemsOfEndedJobs,
  kEndsWithoutEvent,
  kEventsWithoutDelivery,
  kEarlyEvents,
  kMissingOutputs,
  kStrayOutputs,
  kItemRecords,
  kStuckFollowers,
  kItemsWithoutRow,
  kRowsWithoutItems,
  kSharedKeys,
  kJobCounters,
  kFailureCounts,
};

// How its query is cut, so that none takes long however many pictures there are.
enum class CheckScope : std::uint8_t {
  kRound,   // by an index over what is under way: the whole store at once
  kJobs,    // a window of jobs by number
  kItems,   // a window of one job's items by number
  kRows,    // a window of one job's rows by number
  kTotals,  // sums over windows of one job's items, compared with what its row says (jobs/job_check.h)
};

// What a violation is to whoever owns the pictures.
enum class Harm : std::uint8_t {
  kLost,      // a picture without its one result, or a job that tells nobody
  kDoubled,   // two results where there should be one
  kDangling,  // a result that names nothing, or is named by nothing
  kWaits,     // something that will not go on by itself
  kCounts,    // a number that is wrong
};

struct InvariantInfo {
  Invariant id;
  std::string_view name;  // of the metric's label
  std::string_view says;  // "a job that is running has an image left"
  CheckScope scope;
  Harm harm;
  bool repaired;  // whether the reconciler puts it right, or only tells
};

// In the order of the enumeration.
[[nodiscard]] std::span<const InvariantInfo> invariants();
[[nodiscard]] const InvariantInfo& info_of(Invariant invariant);
[[nodiscard]] std::string_view to_text(Harm harm);

}  // namespace pixmill::jobs
