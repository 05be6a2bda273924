// How a job's progress looks: a bar for people at a terminal, plain lines for logs, JSON lines for programs. The
// rendering is pure; the Reporter writes it to standard error.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "jobs/model.h"

namespace pixmill::app {

enum class ProgressMode : std::uint8_t { kAuto, kBar, kPlain, kJson, kNone };
[[nodiscard]] std::optional<ProgressMode> parse_progress_mode(std::string_view text);

struct ProgressView {
  std::string job_name;
  bool ingesting = false;  // the total still grows
  std::uint64_t total = 0;
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t unchanged = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  double images_per_second = 0;
  std::optional<std::int64_t> eta_seconds;
  std::vector<jobs::FailureGroup> failures;  // most frequent first
  std::string limited_by;                    // "cdn.example.com (16 at once)": the host limit holds the job back
  std::optional<Error> trouble;              // why nothing goes on at the moment
};

// Two lines, the first with a bar of at most `columns` characters in all; "\n" between them, none at the end.
[[nodiscard]] std::string render_bar(const ProgressView& view, std::size_t columns, bool colour);
[[nodiscard]] std::string render_plain(const ProgressView& view);
[[nodiscard]] std::string render_json(const ProgressView& view);

// "saved 63.1 %  312.4 GB → 115.3 GB", or "" before anything is done.
[[nodiscard]] std::string savings_text(std::uint64_t bytes_in, std::uint64_t bytes_out);
// "failed 312 (http_404 201, timeout 88, +3 more)", or "".
[[nodiscard]] std::string failures_text(std::uint64_t failed, const std::vector<jobs::FailureGroup>& failures);

// "3 new, 12 changed, 985 unchanged, 4 gone": how a job that is compared with an earlier one came out.
[[nodiscard]] std::string since_text(const jobs::Job& job);

// Images per second over about the last 15 seconds, and what that means for the rest.
class RateMeter {
 public:
  using Instant = std::chrono::steady_clock::time_point;
  void add(Instant at, std::uint64_t done);
  [[nodiscard]] double per_second() const;
  [[nodiscard]] std::optional<std::int64_t> eta_seconds(std::uint64_t remaining) const;

 private:
  struct Sample {
    Instant at;
    std::uint64_t done;
  };
  std::deque<Sample> samples_;
};

class Reporter {
 public:
  // kAuto becomes kBar on a terminal and kPlain elsewhere.
  explicit Reporter(ProgressMode mode);
  ~Reporter();
  Reporter(const Reporter&) = delete;
  Reporter& operator=(const Reporter&) = delete;

  // Called a few times a second; plain and JSON lines come at their own, slower pace.
  void show(const ProgressView& view);
  // Before the first progress: a table is being read through.
  void checking(const std::string& name, std::uint64_t rows);
  // The last state, always written; then the bar's lines stay where they are.
  void finish(const ProgressView& view);
  // A line above the bar.
  void note(const std::string& text);

 private:
  void draw(const ProgressView& view);
  void erase();
  // True when a line of a plain or JSON log is due.
  [[nodiscard]] bool is_due();

  ProgressMode mode_;
  bool colour_ = false;
  int lines_drawn_ = 0;
  std::chrono::steady_clock::time_point last_line_;
};

}  // namespace pixmill::app
