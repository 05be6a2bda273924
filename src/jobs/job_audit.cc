#include "jobs/job_audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "base/crypto.h"
#include "base/wakeup.h"

namespace pixmill::jobs {

namespace {

namespace json = boost::json;

constexpr std::uint32_t kItemsPerPage = 1'000;
constexpr std::size_t kLanes = 16;
constexpr std::size_t kDeepLanes = 4;  // each holds a file
constexpr std::size_t kExamplesMax = 5;
constexpr milliseconds kLanePatience = std::chrono::minutes(1);  // after which it only looks again

// What the lanes share that look at the files of one page.
struct Page {
  storage::BlobStore& blobs;
  bool deep;
  std::function<bool()> is_stopping;
  std::vector<Output> outputs;
  Wakeup lane_ended;
  std::size_t next = 0;
  std::size_t lanes = 0;
  FilesCheck check;
  std::optional<Error> failure;
};

void note(FilesCheck& check, std::uint64_t& count, const Output& output, std::string_view what) {
  ++count;
  if (check.examples.size() < kExamplesMax) check.examples.push_back(fmt::format("{} {}", output.key, what));
}

Task<Result<void>> check_size(Page& page, const Output& output) {
  const auto blob = co_await page.blobs.head(output.key);
  if (!blob && blob.error().code != ErrorCode::kNotFound) co_return std::unexpected(blob.error());
  if (!blob) {
    note(page.check, page.check.missing, output, "is missing");
  } else if (blob->bytes != output.bytes) {
    note(page.check, page.check.wrong_size, output, fmt::format("has {} bytes, not {}", blob->bytes, output.bytes));
  }
  co_return Result<void>();
}

Task<Result<void>> check_bytes(Page& page, const Output& output) {
  const auto bytes = co_await page.blobs.get(output.key, output.bytes);
  if (!bytes && bytes.error().code == ErrorCode::kNotFound) {
    note(page.check, page.check.missing, output, "is missing");
  } else if (!bytes && bytes.error().code == ErrorCode::kTooLarge) {
    note(page.check, page.check.wrong_size, output, fmt::format("has more than {} bytes", output.bytes));
  } else if (!bytes) {
    co_return std::unexpected(bytes.error());
  } else if (bytes->size() != output.bytes) {
    note(page.check, page.check.wrong_size, output, fmt::format("has {} bytes, not {}", bytes->size(), output.bytes));
  } else if (to_hex(sha256(*bytes)) != output.sha256) {
    note(page.check, page.check.wrong_bytes, output, "has other bytes");
  }
  co_return Result<void>();
}

Task<void> file_lane(std::shared_ptr<Page> page) {
  const auto may_go_on = [&] { return !page->failure && !(page->is_stopping && page->is_stopping()); };
  while (page->next < page->outputs.size() && may_go_on()) {
    const auto& output = page->outputs[page->next++];
    ++page->check.results;
    auto looked = page->deep ? check_bytes(*page, output) : check_size(*page, output);
    const auto done = co_await std::move(looked);
    if (!done) page->failure = done.error();
  }
  --page->lanes;
  page->lane_ended.ring();
}

Task<Result<FilesCheck>> check_page(storage::BlobStore& blobs, AuditOptions options, std::vector<Output> outputs) {
  const auto executor = co_await asio::this_coro::executor;
  const auto page = std::make_shared<Page>(Page{.blobs = blobs,
                                                .deep = options.deep,
                                                .is_stopping = options.is_stopping,
                                                .outputs = std::move(outputs),
                                                .lane_ended = Wakeup(executor),
                                                .check = {},
                                                .failure = {}});
  page->lanes = std::min(options.deep ? kDeepLanes : kLanes, page->outputs.size());
  for (std::size_t lane = page->lanes; lane > 0; --lane) {
    asio::co_spawn(executor, file_lane(page), [](const std::exception_ptr& error) { PIXMILL_CHECK(error == nullptr); });
  }
  while (page->lanes > 0) co_await page->lane_ended.wait(kLanePatience);
  if (page->failure) co_return std::unexpected(*page->failure);
  co_return std::move(page->check);
}

void add(FilesCheck& sum, FilesCheck page) {
  sum.results += page.results;
  sum.missing += page.missing;
  sum.wrong_size += page.wrong_size;
  sum.wrong_bytes += page.wrong_bytes;
  for (auto& example : page.examples) {
    if (sum.examples.size() < kExamplesMax) sum.examples.push_back(std::move(example));
  }
}

Task<Result<FilesCheck>> check_files(SweepParts parts, JobId job, AuditOptions options) {
  FilesCheck sum;
  std::uint64_t after = 0;
  while (true) {
    if (options.is_stopping && options.is_stopping()) co_return fail(ErrorCode::kCancelled, "The process is stopping.");
    ItemQuery query;
    query.after = after;
    query.limit = kItemsPerPage;
    PIXMILL_CO_TRY(auto items, co_await parts.store.items(job, std::move(query)));
    if (items.items.empty()) co_return sum;
    after = items.items.back().item;
    std::vector<Output> outputs;
    for (auto& item : items.items) {
      for (auto& output : item.outputs) outputs.push_back(std::move(output));
    }
    PIXMILL_CO_TRY(auto page, co_await check_page(parts.blobs, options, std::move(outputs)));
    add(sum, std::move(page));
  }
}

json::array texts_json(const std::vector<std::string>& texts) {
  json::array array;
  for (const auto& text : texts) array.emplace_back(text);
  return array;
}

json::array findings_json(const std::vector<Finding>& findings) {
  json::array array;
  for (const auto& finding : findings) {
    const auto& info = info_of(finding.invariant);
    array.push_back(json::object{{"invariant", std::string(info.name)},
                                 {"says", std::string(info.says)},
                                 {"harm", std::string(to_text(info.harm))},
                                 {"violations", finding.count},
                                 {"repairs", finding.repaired},
                                 {"open", finding.open},
                                 {"examples", texts_json(finding.examples)}});
  }
  return array;
}

std::uint64_t left(const Swept& swept) { return swept.unnamed - std::min(swept.unnamed, swept.removed); }

}  // namespace

AuditCounts counts_of(const AuditReport& report) {
  AuditCounts counts;
  for (const auto& finding : report.check.findings) {
    if (!finding.open) continue;
    switch (info_of(finding.invariant).harm) {
      case Harm::kLost:
        counts.lost += finding.count;
        break;
      case Harm::kDoubled:
        counts.doubled += finding.count;
        break;
      case Harm::kDangling:
        counts.dangling += finding.count;
        break;
      case Harm::kWaits:
      case Harm::kCounts:
        counts.other += finding.count;
        break;
    }
  }
  counts.dangling += report.files.missing + report.files.wrong_size + report.files.wrong_bytes;
  counts.orphan = left(report.orphans);
  return counts;
}

Task<Result<AuditReport>> audit_job(SweepParts parts, JobId job, AuditOptions options) {
  AuditReport report{.check = {}, .files = {}, .orphans = {}, .deep = options.deep, .repair = options.repair};
  const CheckOptions check{.repair = options.repair, .is_stopping = options.is_stopping};
  PIXMILL_CO_TRY(report.check, co_await check_job(parts.upkeep, job, check));
  PIXMILL_CO_TRY(report.files, co_await check_files(parts, job, options));
  auto orphans =
      options.repair ? sweep_job(parts, job, options.is_stopping) : find_orphans(parts, job, options.is_stopping);
  PIXMILL_CO_TRY(report.orphans, co_await std::move(orphans));
  co_return report;
}

std::string audit_document(const AuditReport& report) {
  const auto counts = counts_of(report);
  const auto& job = report.check.record.job;
  const json::object document{{"job", job.id.text()},
                              {"state", std::string(to_text(job.state))},
                              {"generation", job.generation},
                              {"clean", counts.clean()},
                              {"lost", counts.lost},
                              {"doubled", counts.doubled},
                              {"orphan", counts.orphan},
                              {"dangling", counts.dangling},
                              {"other", counts.other},
                              {"images", job.total},
                              {"sums_compared", report.check.sums_compared},
                              {"findings", findings_json(report.check.findings)},
                              {"files", json::object{{"results", report.files.results},
                                                     {"read", report.deep},
                                                     {"missing", report.files.missing},
                                                     {"wrong_size", report.files.wrong_size},
                                                     {"wrong_bytes", report.files.wrong_bytes},
                                                     {"examples", texts_json(report.files.examples)}}},
                              {"orphans", json::object{{"looked", report.orphans.looked},
                                                       {"files", report.orphans.files},
                                                       {"unnamed", report.orphans.unnamed},
                                                       {"removed", report.orphans.removed},
                                                       {"examples", texts_json(report.orphans.examples)}}},
                              {"repair", report.repair}};
  return json::serialize(document);
}

}  // namespace pixmill::jobs
