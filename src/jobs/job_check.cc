#include "jobs/job_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

namespace pixmill::jobs {

namespace {

constexpr std::size_t kExamplesMax = 5;
constexpr std::size_t kCountedMax = 100'000;  // of one invariant in one range
constexpr int kSumTries = 3;

// What tells one violation from another, whatever a repair has changed about it.
using Subject = std::tuple<std::int64_t, std::uint64_t, std::string>;

Subject subject_of(const Violation& violation) {
  const auto scope = info_of(violation.invariant).scope;
  const auto invariant = violation.invariant;
  const bool by_number = scope == CheckScope::kItems || scope == CheckScope::kRows ||
                         invariant == Invariant::kLeasesOfEndedJobs || invariant == Invariant::kOverdueLeases;
  const bool by_event = invariant == Invariant::kOverdueDeliveries || invariant == Invariant::kEventsWithoutDelivery;
  return {violation.job_no, by_number ? violation.number : 0, by_event ? violation.detail : std::string()};
}

std::string example_of(const Violation& violation) {
  const std::string_view unit = info_of(violation.invariant).scope == CheckScope::kRows ? "row " : "";
  std::string text = violation.job.empty() ? fmt::format("{}{}", unit, violation.number)
                                           : fmt::format("job {}: {}{}", violation.job, unit, violation.number);
  if (!violation.detail.empty()) text += fmt::format(" ({})", violation.detail);
  return text;
}

void add_example(Finding& finding, std::string example) {
  if (finding.examples.size() < kExamplesMax) finding.examples.push_back(std::move(example));
}

// The findings of all slices, one per invariant.
class Findings {
 public:
  void add(Finding found) {
    if (found.count == 0) return;
    const auto known = std::ranges::find(findings_, found.invariant, &Finding::invariant);
    if (known == findings_.end()) {
      findings_.push_back(std::move(found));
      return;
    }
    known->count += found.count;
    known->repaired += found.repaired;
    known->open = known->open || found.open;
    for (auto& example : found.examples) add_example(*known, std::move(example));
  }
  std::vector<Finding> take() { return std::move(findings_); }

 private:
  std::vector<Finding> findings_;
};

void add(JobTotals& sum, const JobTotals& slice) {
  sum.rows += slice.rows;
  sum.invalid += slice.invalid;
  sum.total += slice.total;
  sum.remaining += slice.remaining;
  sum.succeeded += slice.succeeded;
  sum.failed += slice.failed;
  sum.cancelled += slice.cancelled;
  sum.bytes_in += slice.bytes_in;
  sum.bytes_out += slice.bytes_out;
  sum.unchanged += slice.unchanged;
  sum.changed += slice.changed;
  for (const auto& [code, count] : slice.failures) sum.failures[code] += count;
}

JobTotals counted(const Job& job) {
  return {.rows = job.rows,
          .invalid = job.invalid,
          .total = job.total,
          .remaining = job.remaining,
          .succeeded = job.succeeded,
          .failed = job.failed,
          .cancelled = job.cancelled,
          .bytes_in = job.bytes_in,
          .bytes_out = job.bytes_out,
          .unchanged = job.unchanged,
          .changed = job.changed,
          .failures = {}};
}

bool same_moment(const JobRecord& before, const JobRecord& after) {
  return before.job.state == after.job.state && before.job.generation == after.job.generation &&
         counted(before.job) == counted(after.job);
}

Finding compare_counters(const JobTotals& says, const JobTotals& truth) {
  Finding finding{.invariant = Invariant::kJobCounters};
  const auto compare = [&](std::string_view what, std::uint64_t said, std::uint64_t has) {
    if (said == has) return;
    ++finding.count;
    finding.open = true;
    add_example(finding, fmt::format("{} {}, has {}", what, said, has));
  };
  compare("rows", says.rows, truth.rows);
  compare("invalid rows", says.invalid, truth.invalid);
  compare("images", says.total, truth.total);
  compare("remaining", says.remaining, truth.remaining);
  compare("succeeded", says.succeeded, truth.succeeded);
  compare("failed", says.failed, truth.failed);
  compare("cancelled", says.cancelled, truth.cancelled);
  compare("bytes in", says.bytes_in, truth.bytes_in);
  compare("bytes out", says.bytes_out, truth.bytes_out);
  compare("unchanged", says.unchanged, truth.unchanged);
  compare("changed", says.changed, truth.changed);
  return finding;
}

Finding compare_failures(const JobTotals& says, const JobTotals& truth) {
  Finding finding{.invariant = Invariant::kFailureCounts};
  std::set<std::string> codes;
  for (const auto& [code, count] : says.failures) codes.insert(code);
  for (const auto& [code, count] : truth.failures) codes.insert(code);
  const auto of = [](const JobTotals& totals, const std::string& code) {
    const auto found = totals.failures.find(code);
    return found == totals.failures.end() ? std::uint64_t{0} : found->second;
  };
  for (const auto& code : codes) {
    if (of(says, code) == of(truth, code)) continue;
    ++finding.count;
    finding.open = true;
    add_example(finding, fmt::format("{} {}, has {}", code, of(says, code), of(truth, code)));
  }
  return finding;
}

// One check from its beginning to its end.
class Check {
 public:
  Check(Upkeep& upkeep, JobId job, CheckOptions options) : upkeep_(upkeep), job_(job), options_(std::move(options)) {}

  Task<Result<JobCheck>> run();

 private:
  Task<Result<void>> look(CheckScope scope, CheckRange range);
  Task<Result<void>> slices(CheckScope scope, std::uint64_t last, std::uint32_t per_slice);
  Task<Result<JobTotals>> sum();
  Task<Result<void>> compare_sums();
  Task<Result<bool>> compare_once();
  Task<Result<void>> correct(Finding& counters, Finding& failures, const JobTotals& truth);
  [[nodiscard]] bool is_stopping() const { return options_.is_stopping && options_.is_stopping(); }
  static std::unexpected<Error> stopped() { return fail(ErrorCode::kCancelled, "The process is stopping."); }

  Upkeep& upkeep_;
  JobId job_;
  CheckOptions options_;
  JobRecord record_;
  Findings findings_;
  bool sums_compared_ = false;
};

Task<Result<void>> Check::look(CheckScope scope, CheckRange range) {
  for (const auto& info : invariants()) {
    if (info.scope != scope) continue;
    PIXMILL_CO_TRY(auto found, co_await check_invariant(upkeep_, info.id, range, options_.repair));
    findings_.add(std::move(found));
  }
  co_return Result<void>();
}

Task<Result<void>> Check::slices(CheckScope scope, std::uint64_t last, std::uint32_t per_slice) {
  for (std::uint64_t first = 1; first <= last; first += per_slice) {
    if (is_stopping()) co_return stopped();
    const CheckRange slice{.first_job = record_.job_no,
                           .last_job = record_.job_no,
                           .first = first,
                           .last = std::min(last, first + per_slice - 1)};
    PIXMILL_CO_RETURN_IF_ERROR(co_await look(scope, slice));
  }
  co_return Result<void>();
}

// To the end of what is counted, and one slice beyond, in which there should be nothing.
Task<Result<JobTotals>> Check::sum() {
  JobTotals totals;
  const auto job_no = record_.job_no;
  const auto items = record_.job.total + options_.items_per_slice;
  for (std::uint64_t first = 1; first <= items; first += options_.items_per_slice) {
    if (is_stopping()) co_return stopped();
    const CheckRange slice{
        .first_job = job_no, .last_job = job_no, .first = first, .last = first + options_.items_per_slice - 1};
    PIXMILL_CO_TRY(const auto some, co_await upkeep_.item_totals(slice));
    add(totals, some);
  }
  const auto rows = record_.job.rows + options_.rows_per_slice;
  for (std::uint64_t first = 1; first <= rows; first += options_.rows_per_slice) {
    if (is_stopping()) co_return stopped();
    const CheckRange slice{
        .first_job = job_no, .last_job = job_no, .first = first, .last = first + options_.rows_per_slice - 1};
    PIXMILL_CO_TRY(const auto some, co_await upkeep_.row_totals(slice));
    add(totals, some);
  }
  co_return totals;
}

Task<Result<void>> Check::correct(Finding& counters, Finding& failures, const JobTotals& truth) {
  PIXMILL_CO_TRY(const bool corrected, co_await upkeep_.correct(record_, truth));
  if (!corrected) co_return Result<void>();
  for (auto* finding : {&counters, &failures}) {
    finding->repaired = finding->count;
    finding->open = false;
  }
  co_return Result<void>();
}

// False when the job changed meanwhile.
Task<Result<bool>> Check::compare_once() {
  PIXMILL_CO_TRY(record_, co_await upkeep_.record(job_));
  auto says = counted(record_.job);
  PIXMILL_CO_TRY(says.failures, co_await upkeep_.failure_counts(record_.job_no));
  PIXMILL_CO_TRY(const auto truth, co_await sum());
  PIXMILL_CO_TRY(const auto after, co_await upkeep_.record(job_));
  if (!same_moment(record_, after)) co_return false;
  auto counters = compare_counters(says, truth);
  auto failures = compare_failures(says, truth);
  const bool wrong = counters.count > 0 || failures.count > 0;
  // A retry that is carried through in steps changes nothing that the job's row shows between two of them.
  if (wrong && !is_terminal(record_.job.state)) {
    PIXMILL_CO_TRY(const auto again, co_await sum());
    if (again != truth) co_return false;
  }
  if (wrong && options_.repair && is_terminal(record_.job.state)) {
    PIXMILL_CO_RETURN_IF_ERROR(co_await correct(counters, failures, truth));
  }
  findings_.add(std::move(counters));
  findings_.add(std::move(failures));
  co_return true;
}

Task<Result<void>> Check::compare_sums() {
  for (int i = 0; i < kSumTries && !sums_compared_; ++i) {
    PIXMILL_CO_TRY(sums_compared_, co_await compare_once());
  }
  co_return Result<void>();
}

Task<Result<JobCheck>> Check::run() {
  PIXMILL_CO_TRY(record_, co_await upkeep_.record(job_));
  const CheckRange whole{.first_job = record_.job_no, .last_job = record_.job_no};
  PIXMILL_CO_RETURN_IF_ERROR(co_await look(CheckScope::kRound, whole));
  PIXMILL_CO_RETURN_IF_ERROR(co_await look(CheckScope::kJobs, whole));
  PIXMILL_CO_RETURN_IF_ERROR(co_await slices(CheckScope::kRows, record_.job.rows, options_.rows_per_slice));
  const auto items = record_.job.total + options_.items_per_slice;
  PIXMILL_CO_RETURN_IF_ERROR(co_await slices(CheckScope::kItems, items, options_.items_per_slice));
  PIXMILL_CO_RETURN_IF_ERROR(co_await compare_sums());
  co_return JobCheck{.record = record_, .findings = findings_.take(), .sums_compared = sums_compared_};
}

}  // namespace

Task<Result<Finding>> check_invariant(Upkeep& upkeep, Invariant invariant, CheckRange range, bool repair) {
  Finding finding{.invariant = invariant};
  std::set<Subject> seen;
  const bool mend = repair && info_of(invariant).repaired;
  for (bool more = true; more;) {
    PIXMILL_CO_TRY(const auto found, co_await upkeep.violations(invariant, range));
    finding.open = !found.empty();
    more = false;
    for (const auto& violation : found) {
      if (seen.size() < kCountedMax && seen.insert(subject_of(violation)).second) {
        add_example(finding, example_of(violation));
      }
      if (!mend) continue;
      PIXMILL_CO_TRY(const bool repaired, co_await upkeep.repair(violation));
      finding.repaired += repaired ? 1 : 0;
      more = more || repaired;
    }
  }
  finding.count = seen.size();
  co_return finding;
}

Task<Result<JobCheck>> check_job(Upkeep& upkeep, JobId job, CheckOptions options) {
  Check check(upkeep, job, std::move(options));
  co_return co_await check.run();
}

}  // namespace pixmill::jobs
