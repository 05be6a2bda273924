#include "base/log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <thread>
#include <vector>

#include "base/text.h"

namespace pixmill {
namespace {

constexpr std::int64_t kAt = 1'767'225'599'999;

std::string json(std::string_view event, std::initializer_list<log::Field> fields) {
  return log::render_line(log::Format::kJson, log::Level::kInfo, kAt, event, fields);
}
std::string text(std::string_view event, std::initializer_list<log::Field> fields) {
  return log::render_line(log::Format::kText, log::Level::kWarning, kAt, event, fields);
}

TEST(Log, JsonHasTimeLevelEventThenFieldsWithTheirTypes) {
  EXPECT_EQ(json("job_done",
                 {{"job", std::string("a")}, {"items", 12u}, {"ok", true}, {"ratio", 0.5}, {"bad", std::nan("")}}),
            R"({"ts":"2025-12-31T23:59:59.999Z","level":"info","event":"job_done","job":"a","items":12,"ok":true,)"
            R"("ratio":0.5,"bad":null})");
}

TEST(Log, JsonEscapesQuotesControlsAndBrokenUtf8) {
  EXPECT_EQ(json("e", {{"k\"", "a\"b\\c\n\r\t\x01\x7f\xff€"}}),
            "{\"ts\":\"2025-12-31T23:59:59.999Z\",\"level\":\"info\",\"event\":\"e\",\"k\\\"\":"
            "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u007f\xef\xbf\xbd€\"}");
}

TEST(Log, TextIsForPeople) {
  EXPECT_EQ(text("fetch_failed", {{"host", "example.com"}, {"why", "timed out"}, {"ms", 5}, {"none", ""}}),
            R"(2025-12-31T23:59:59.999Z warning fetch_failed host=example.com why="timed out" ms=5 none="")");
}

TEST(Log, TextCannotForgeALineOrSpeakToTheTerminal) {
  const auto line = text("e\nv", {{"k", "a\n2026 error \x1b[31m"}});
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(line.find('\x1b'), std::string::npos);
  EXPECT_NE(line.find("\\u001b[31m"), std::string::npos);
}

// Gives stderr a pipe for as long as it lives, and puts it back.
class CapturedStderr {
 public:
  CapturedStderr() : saved_(::dup(STDERR_FILENO)) {
    EXPECT_EQ(::pipe(pipe_), 0);
    ::dup2(pipe_[1], STDERR_FILENO);
    ::close(pipe_[1]);
  }
  // Everything written, once the writing end is closed.
  std::string finish() {
    ::dup2(saved_, STDERR_FILENO);
    ::close(saved_);
    std::string all;
    char buffer[4096];
    for (ssize_t got = 0; (got = ::read(pipe_[0], buffer, sizeof buffer)) > 0;)
      all.append(buffer, static_cast<std::size_t>(got));
    ::close(pipe_[0]);
    return all;
  }

 private:
  int saved_;
  int pipe_[2] = {-1, -1};
};

TEST(Log, LinesOfManyThreadsDoNotMixAndLevelsFilter) {
  CapturedStderr captured;
  log::configure(log::Level::kWarning, log::Format::kJson);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 20; ++i) {
        log::info("hidden");
        log::error("shown", {{"pad", std::string(500, 'x')}});
      }
    });
  }
  for (auto& thread : threads) thread.join();
  log::configure(log::Level::kInfo, log::Format::kText);
  const auto output = captured.finish();
  auto lines = split(output, '\n');
  ASSERT_EQ(lines.size(), 81u);
  EXPECT_EQ(lines.back(), "");
  lines.pop_back();
  for (const auto line : lines) {
    EXPECT_TRUE(line.starts_with("{\"ts\":") && line.ends_with("x\"}")) << line;
    EXPECT_EQ(line.size(), lines.front().size());
  }
}

}  // namespace
}  // namespace pixmill
