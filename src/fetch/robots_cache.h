// The robots.txt of the origins that pictures are fetched from: each is loaded once for all who ask, and kept for a
// day. Lives on the loop.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/task.h"
#include "base/wakeup.h"
#include "fetch/robots_txt.h"
#include "fetch/source_url.h"

namespace pixmill::fetch {

struct RobotsCacheOptions {
  std::string product = {};                   // product_token() of our User-Agent
  std::chrono::seconds kept{24 * 3600};       // RFC 9309 section 2.4
  std::chrono::seconds unreachable_kept{30};  // that a file could not be had, and why
  std::size_t entries_max = 10'000;
  std::size_t bytes_max = 16u << 20;
  std::function<std::chrono::steady_clock::time_point()> now = nullptr;  // null: the steady clock
};

class RobotsCache {
 public:
  struct Answer {
    int status = 0;
    std::string body;
  };
  // Fetches <origin>/robots.txt, redirects followed: the last answer, whatever its status.
  using Load = std::function<Task<Result<Answer>>(std::string origin)>;

  // `load` must live as long as the tasks of check().
  RobotsCache(RobotsCacheOptions options, Load load);

  // Errors: kRobotsDenied when the file forbids it. A file that is not there (4xx, too many redirects) forbids nothing
  // (section 2.3.1.3). One that cannot be had forbids everything for now (section 2.3.1.4): kHttpTransient for 429 and
  // 5xx, else the error of loading it, both with the time when it is asked for again.
  [[nodiscard]] Task<Result<void>> check(SourceUrl url);
  // check() would not load anything.
  [[nodiscard]] bool knows(const std::string& origin);

 private:
  using Instant = std::chrono::steady_clock::time_point;
  struct Entry {
    Result<RobotsTxt> rules;
    Instant ends;
    std::size_t bytes = 0;
    std::list<std::string>::iterator age;
  };
  class Loading;

  [[nodiscard]] Instant now() const { return options_.now ? options_.now() : std::chrono::steady_clock::now(); }
  [[nodiscard]] const Entry* find(const std::string& origin);
  [[nodiscard]] Result<RobotsTxt> rules_in(const std::string& origin, Result<Answer> answer) const;
  void keep(const std::string& origin, Result<RobotsTxt> rules);
  void drop_oldest();
  [[nodiscard]] Result<void> verdict(const Entry& entry, const SourceUrl& url) const;

  RobotsCacheOptions options_;
  Load load_;
  std::unordered_map<std::string, Entry> entries_;
  std::list<std::string> ages_;  // the oldest in front
  std::size_t bytes_ = 0;
  std::unordered_map<std::string, std::vector<std::shared_ptr<Wakeup>>> loading_;  // and who waits for it
};

}  // namespace pixmill::fetch
