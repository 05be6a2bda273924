// What the way to an engine and back costs: CPU of both processes for 330 kB in and 110 kB out, less the same work in
// one process. The work is a stand-in (the source is read once, an output of the right size is made), so that the
// difference is not lost in the noise of a codec. Build: `ninja engine_pipe`; run without arguments.
#include <fmt/format.h>
#include <time.h>

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "engine/child_main.h"
#include "engine/pool.h"
#include "image/tiny_pictures.h"
#include "tests/support/run_task.h"

namespace {

using namespace pixmill;

constexpr std::size_t kSourceBytes = 330'000;
constexpr std::size_t kOutputBytes = 110'000;
constexpr int kRounds = 5'000;

double seconds_of(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

// A tiny JPEG with a tail, so that the parent's check of the header passes.
image::Rendered stand_in(std::string_view source) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i + 8 <= source.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, source.data() + i, 8);
    sum += word;
  }
  const auto tiny = image::tiny_pictures().front();
  image::Rendition rendition;
  rendition.format = tiny.format;
  rendition.width_px = rendition.height_px = 1;
  rendition.bytes.assign(kOutputBytes, static_cast<char>(sum));
  std::memcpy(rendition.bytes.data(), tiny.bytes.data(), tiny.bytes.size());
  image::Rendered rendered;
  rendered.renditions.push_back(std::move(rendition));
  return rendered;
}

// The pool's self-test is rendered for real.
std::optional<image::Rendered> stand_in_for_source(std::string_view source) {
  return source.size() == kSourceBytes ? std::optional(stand_in(source)) : std::nullopt;
}

double cpu_of_children(const engine::Pool& pool) {
  double sum = 0;
  for (const int pid : pool.pids()) {
    clockid_t clock{};
    if (clock_getcpuclockid(pid, &clock) == 0) sum += seconds_of(clock);
  }
  return sum;
}

Task<double> render_many(engine::Pool& pool, std::string_view source) {
  const image::Recipe recipe = *image::parse_recipe("compress");
  std::size_t bytes = 0;
  for (int i = 0; i < kRounds; ++i) {
    const auto rendered = co_await pool.render(source, recipe);
    PIXMILL_CHECK(rendered.has_value());
    bytes += rendered->renditions.front().bytes.size();
  }
  co_return static_cast<double>(bytes);
}

int measure() {
  const std::string source(kSourceBytes, 'x');
  const double begin_alone = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  std::size_t bytes = 0;
  for (int i = 0; i < kRounds; ++i) bytes += stand_in(source).renditions.front().bytes.size();
  const double alone_ms = (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - begin_alone) * 1e3 / kRounds;
  PIXMILL_CHECK(bytes == kOutputBytes * kRounds);

  asio::io_context io;
  Metrics metrics;
  engine::PoolOptions options;
  options.executable = "/proc/self/exe";
  options.engines = 1;
  options.pictures_per_engine = 1'000'000;
  auto pool = testing::run_task(io, engine::Pool::create(io.get_executor(), options, metrics));
  if (!pool) {
    fmt::print(stderr, "{}\n", pool.error().message);
    return 1;
  }
  static_cast<void>(testing::run_task(io, render_many(**pool, source)));  // memory is taken, caches are warm
  const double begin_self = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  const double begin_child = cpu_of_children(**pool);
  static_cast<void>(testing::run_task(io, render_many(**pool, source)));
  const double self_ms = (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - begin_self) * 1e3 / kRounds;
  const double child_ms = (cpu_of_children(**pool) - begin_child) * 1e3 / kRounds;
  fmt::print(
      "in one process {:.4f} ms; through an engine {:.4f} ms (parent {:.4f}, engine {:.4f}); cost {:.4f} ms of CPU\n",
      alone_ms, self_ms + child_ms, self_ms, child_ms, self_ms + child_ms - alone_ms);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "engine") {
    return engine::run_child_with_hooks(std::vector<std::string>(argv + 2, argv + argc),
                                        {.stand_in = stand_in_for_source});
  }
  return measure();
}
