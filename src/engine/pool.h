// A pool of sandboxed decoder processes (`pixmill engine`): bytes in, bytes out, one picture at a time each. Lives on
// the loop.
//
// Each engine is fork+exec'd with an empty environment and no inherited descriptors but its socket, locks itself down
// (engine/child.h), and is killed at the deadline, after a crash, or after pictures_per_engine; a warm spare takes its
// place.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/metrics.h"
#include "base/task.h"
#include "image/recipe.h"
#include "image/render.h"

namespace pixmill::engine {

struct PoolOptions {
  std::string executable;     // path of the pixmill binary: /proc/self/exe
  std::uint32_t engines = 0;  // 0: one per core
  std::chrono::milliseconds picture_deadline = std::chrono::seconds(20);
  std::uint64_t memory_bytes_max = 512ULL << 20;  // RLIMIT_DATA of one engine
  std::uint32_t pictures_per_engine = 10'000;     // then it is recycled
  std::uint64_t source_bytes_max = 64ULL << 20;   // larger sources are kTooLarge; memory is taken as it is used
  std::uint64_t mark_bytes_max = 32ULL << 20;     // of all watermarks of a picture together
  std::uint64_t output_bytes_max = 128ULL << 20;  // of all renditions of a picture together
  image::Limits limits;
  std::vector<std::string> extra_arguments;  // tests: "--evil=open" …
};

// A watermark's file as somebody gave it: untrusted, looked at by engines alone.
struct MarkFile {
  std::string bytes;
  std::string sha256;  // in hexadecimal digits
};
// By what a recipe calls their image.
using MarkFiles = std::map<std::string, std::shared_ptr<const MarkFile>, std::less<>>;

struct RenderExtras {
  const MarkFiles* marks = nullptr;  // outlives the task; holds all that the recipe names
  image::Measure measure = image::Measure::kNo;
};

// What the start-up self-test found; /readyz reports it.
struct SandboxReport {
  bool seccomp = false;
  bool landlock = false;  // false on kernels without it; seccomp alone still denies open and connect
  int landlock_abi = 0;
  bool untrusted_loaders_blocked = false;
  std::string problem;  // empty when everything that must hold holds
};

class Pool {
 public:
  // Starts the engines and runs the self-test (a real picture; MAT, PDF, SVG, MSL and PPM under lying names must be
  // refused; open, socket and execve must be denied). Errors: kInternal, naming what does not hold.
  [[nodiscard]] static Task<Result<std::unique_ptr<Pool>>> create(Executor executor, PoolOptions options,
                                                                  Metrics& metrics);
  virtual ~Pool() = default;

  // `source` must stay alive until the task ends. Waits for a free engine, first come, first served; the deadline
  // counts from when one was found. The result's formats and sizes have been read again from the bytes in this process.
  // Errors: those of image::render, kEngineCrash, kEngineTimeout, kUnavailable once stop() was called; kInvalidArgument
  // when a watermark is not among the extras; those of image::Mark::decode, the message naming the watermark.
  [[nodiscard]] virtual Task<Result<image::Rendered>> render(std::string_view source, const image::Recipe& recipe,
                                                             RenderExtras extras) = 0;
  [[nodiscard]] Task<Result<image::Rendered>> render(std::string_view source, const image::Recipe& recipe) {
    return render(source, recipe, RenderExtras());
  }

  // Why engines cannot use a watermark's file, once one has found out, or two were lost on it: it is not tried again,
  // and the code is no transient one but kTruncated. nullopt: nothing is known against it.
  [[nodiscard]] virtual std::optional<Error> bad_mark(const std::string& sha256) const = 0;

  // Kills and reaps all engines; renders under way end with kUnavailable.
  virtual void stop() = 0;

  [[nodiscard]] virtual const SandboxReport& sandbox() const = 0;
  [[nodiscard]] virtual std::vector<int> pids()
      const = 0;  // of the engines that may be working; for tests and /v1/system
  [[nodiscard]] virtual std::uint32_t engines() const = 0;
};

}  // namespace pixmill::engine
