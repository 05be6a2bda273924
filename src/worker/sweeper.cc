#include "worker/sweeper.h"

#include <utility>

#include "base/log.h"
#include "storage/object_name.h"

namespace pixmill::worker {

namespace {

constexpr std::size_t kPage = 1'000;

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

}  // namespace

Task<std::uint64_t> sweep_interrupted(jobs::JobStore& store, storage::BlobStore& blobs,
                                      std::vector<jobs::ClaimedItem> interrupted) {
  std::uint64_t removed = 0;
  for (const auto& item : interrupted) {
    const auto job = co_await store.job(item.job);
    if (!job) continue;
    auto keys = co_await candidates(blobs, job->blob_prefix + item.output_stem);
    if (keys.empty()) continue;
    const auto orphans = co_await store.unreferenced(std::move(keys));
    if (!orphans) continue;
    for (const auto& key : *orphans) {
      if (co_await blobs.remove(key)) ++removed;
    }
  }
  co_return removed;
}

}  // namespace pixmill::worker
