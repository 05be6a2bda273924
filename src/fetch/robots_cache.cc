#include "fetch/robots_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <utility>

namespace pixmill::fetch {

namespace {

constexpr milliseconds kLoadPatience = std::chrono::minutes(2);

// Nothing was learnt about the file.
bool says_nothing(ErrorCode code) { return code == ErrorCode::kUnavailable || code == ErrorCode::kCancelled; }

}  // namespace

// Others wait until the file is there; also when the one who loads it is cancelled, and one of them goes on.
class RobotsCache::Loading {
 public:
  Loading(RobotsCache& cache, const std::string& origin) : cache_(cache), origin_(origin) {
    cache_.loading_.try_emplace(origin_);
  }
  ~Loading() {
    const auto done = cache_.loading_.extract(origin_);
    if (done.empty()) return;
    for (const auto& waiter : done.mapped()) waiter->ring();
  }
  Loading(const Loading&) = delete;
  Loading& operator=(const Loading&) = delete;

 private:
  RobotsCache& cache_;
  std::string origin_;
};

RobotsCache::RobotsCache(RobotsCacheOptions options, Load load)
    : options_(std::move(options)), load_(std::move(load)) {}

bool RobotsCache::knows(const std::string& origin) { return find(origin) != nullptr; }

const RobotsCache::Entry* RobotsCache::find(const std::string& origin) {
  const auto found = entries_.find(origin);
  return found == entries_.end() || found->second.ends <= now() ? nullptr : &found->second;
}

Task<Result<void>> RobotsCache::check(SourceUrl url) {
  const std::string origin = url.origin();
  while (true) {
    if (const Entry* entry = find(origin)) co_return verdict(*entry, url);
    if (const auto loading = loading_.find(origin); loading != loading_.end()) {
      const auto done = std::make_shared<Wakeup>(co_await asio::this_coro::executor);
      loading->second.push_back(done);
      co_await done->wait(kLoadPatience);
      continue;
    }
    const Loading loading(*this, origin);
    auto answer = co_await load_(origin);
    if (!answer && says_nothing(answer.error().code)) co_return std::unexpected(std::move(answer).error());
    keep(origin, rules_in(origin, std::move(answer)));
  }
}

Result<RobotsTxt> RobotsCache::rules_in(const std::string& origin, Result<Answer> answer) const {
  if (!answer) {
    Error error = std::move(answer).error();
    if (error.code == ErrorCode::kTooManyRedirects || error.code == ErrorCode::kHttpPermanent) return RobotsTxt();
    return std::unexpected(std::move(error));
  }
  if (answer->status >= 200 && answer->status < 300) return RobotsTxt::parse(answer->body, options_.product);
  if (answer->status != 429 && answer->status < 500) return RobotsTxt();
  return std::unexpected(Error{.code = ErrorCode::kHttpTransient,
                               .message = fmt::format("{}/robots.txt answered with status {}, and whether the picture "
                                                      "may be fetched stands there",
                                                      origin, answer->status),
                               .detail = {},
                               .http_status = answer->status});
}

void RobotsCache::keep(const std::string& origin, Result<RobotsTxt> rules) {
  if (const auto found = entries_.find(origin); found != entries_.end()) {
    bytes_ -= found->second.bytes;
    ages_.erase(found->second.age);
    entries_.erase(found);
  }
  const auto lasts = rules ? options_.kept : options_.unreachable_kept;
  const std::size_t bytes = origin.size() + sizeof(Entry) + (rules ? rules->bytes() : 0);
  while (!entries_.empty() && (entries_.size() >= options_.entries_max || bytes_ + bytes > options_.bytes_max)) {
    drop_oldest();
  }
  const auto age = ages_.insert(ages_.end(), origin);
  entries_.emplace(origin, Entry{.rules = std::move(rules), .ends = now() + lasts, .bytes = bytes, .age = age});
  bytes_ += bytes;
}

void RobotsCache::drop_oldest() {
  const auto oldest = entries_.find(ages_.front());
  bytes_ -= oldest->second.bytes;
  entries_.erase(oldest);
  ages_.pop_front();
}

Result<void> RobotsCache::verdict(const Entry& entry, const SourceUrl& url) const {
  if (!entry.rules) {
    Error error = entry.rules.error();
    const auto left = std::chrono::ceil<std::chrono::seconds>(entry.ends - now());
    if (is_transient(error.code)) error.retry_after = std::max(left, std::chrono::seconds(1));
    return std::unexpected(std::move(error));
  }
  if (entry.rules->allows(url.target)) return {};
  return fail(ErrorCode::kRobotsDenied,
              fmt::format("{}/robots.txt asks programs not to fetch this address", url.origin()));
}

}  // namespace pixmill::fetch
