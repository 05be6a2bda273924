#include "worker/sweeper.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <memory>
#include <utility>

#include "base/log.h"
#include "base/wakeup.h"
#include "storage/object_name.h"

namespace pixmill::worker {

namespace {

constexpr std::size_t kPage = 1'000;
constexpr std::size_t kLanesMax = 16;
constexpr milliseconds kLanePatience = std::chrono::minutes(1);  // after which it only looks again

// Everything that `item` may have stored. Its keys begin with the stem's text before the first placeholder.
Task<std::vector<std::string>> candidates(storage::BlobStore& blobs, std::string stem) {
  const std::string prefix = stem.substr(0, stem.find('{'));
  std::vector<std::string> keys;
  std::string after;
  for (;;) {
    const auto page = co_await blobs.list(prefix, after, kPage);
    if (!page) {
      log::warning("sweep_failed", {{"code", code_text(page.error())}, {"detail", page.error().detail}});
      break;
    }
    for (const auto& blob : *page) {
      if (storage::may_come_from(blob.key, stem)) keys.push_back(blob.key);
    }
    if (page->size() < kPage) break;
    after = page->back().key;
  }
  co_return keys;
}

// What several lanes share while they sweep.
struct Sweep {
  jobs::JobStore& store;
  storage::BlobStore& blobs;
  std::vector<jobs::ClaimedItem> interrupted;
  Wakeup lane_ended;
  std::size_t next = 0;
  std::size_t lanes = 0;
  std::uint64_t removed = 0;
};

Task<void> sweep_item(Sweep& sweep, const jobs::ClaimedItem& item) {
  const auto job = co_await sweep.store.job(item.job);
  if (!job) co_return;
  auto keys = co_await candidates(sweep.blobs, job->blob_prefix + item.output_stem);
  if (keys.empty()) co_return;
  const auto orphans = co_await sweep.store.unreferenced(std::move(keys));
  if (!orphans) co_return;
  for (const auto& key : *orphans) {
    if (co_await sweep.blobs.remove(key)) ++sweep.removed;
  }
}

Task<void> sweep_lane(std::shared_ptr<Sweep> sweep) {
  while (sweep->next < sweep->interrupted.size()) {
    const auto& item = sweep->interrupted[sweep->next++];
    co_await sweep_item(*sweep, item);
  }
  --sweep->lanes;
  sweep->lane_ended.ring();
}

}  // namespace

Task<std::uint64_t> sweep_interrupted(jobs::JobStore& store, storage::BlobStore& blobs,
                                      std::vector<jobs::ClaimedItem> interrupted) {
  const auto executor = co_await asio::this_coro::executor;
  const auto sweep = std::make_shared<Sweep>(
      Sweep{.store = store, .blobs = blobs, .interrupted = std::move(interrupted), .lane_ended = Wakeup(executor)});
  // A listing takes as long as its way to the bucket and back, and nothing else starts before the last one.
  sweep->lanes = std::min(kLanesMax, sweep->interrupted.size());
  for (std::size_t lane = sweep->lanes; lane > 0; --lane) {
    asio::co_spawn(executor, sweep_lane(sweep),
                   [](const std::exception_ptr& error) { PIXMILL_CHECK(error == nullptr); });
  }
  while (sweep->lanes > 0) co_await sweep->lane_ended.wait(kLanePatience);
  co_return sweep->removed;
}

}  // namespace pixmill::worker
