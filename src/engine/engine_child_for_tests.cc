// The engine that tests start: the product's, which also misbehaves when a picture's bytes say so ("evil:crash") or
// when it is started with --evil=….
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "engine/child_main.h"
#include "engine/protocol.h"

namespace {

using pixmill::engine::Answer;
using pixmill::engine::encode;
using pixmill::engine::RenderedAnswer;
using pixmill::engine::RenditionHead;

bool has(const std::vector<std::string>& arguments, const std::string& argument) {
  return std::find(arguments.begin(), arguments.end(), argument) != arguments.end();
}

void at_start(const std::vector<std::string>& arguments) {
  if (has(arguments, "--evil=dead")) {
    constexpr char kWords[] = "cannot go on\n";
    static_cast<void>(!write(STDERR_FILENO, kWords, sizeof(kWords) - 1));
    _exit(1);
  }
  if (has(arguments, "--evil=silent")) {
    while (true) pause();
  }
}

std::string claim(RenditionHead head) {
  return encode(Answer(RenderedAnswer{.source = {.width_px = 9, .height_px = 9}, .renditions = {head}}));
}

std::optional<std::string> on_picture(std::string_view source) {
  if (!source.starts_with("evil:")) return std::nullopt;
  const std::string_view deed = source.substr(5);
  if (deed == "crash") std::abort();
  if (deed == "exit") _exit(3);
  if (deed == "hang") {
    while (true) pause();
  }
  if (deed == "spin") {
    volatile bool for_ever = true;
    while (for_ever) {
    }
  }
  if (deed == "garbage") return "this is no packet";
  if (deed == "no-picture") return claim({.width_px = 9, .height_px = 9, .bytes = 100});
  if (deed == "too-much") return claim({.width_px = 9, .height_px = 9, .bytes = ~std::uint64_t{0}});
  if (deed == "wants-marks") return encode(Answer(pixmill::engine::MarksWantedAnswer{}));
  if (deed == "other-answer") return encode(Answer(pixmill::engine::ReadyAnswer{}));
  if (deed == "eat-memory") {
    std::vector<std::string> eaten;
    while (true) eaten.emplace_back(1 << 20, 'x');  // until std::bad_alloc ends the process
  }
  if (deed == "eat-shared-memory") {
    constexpr std::size_t kBytes = 1 << 20;
    int eaten = 0;
    while (eaten < 1024) {
      void* const mapped = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
      if (mapped == MAP_FAILED) break;
      std::fill_n(static_cast<char*>(mapped), kBytes, 'x');
      ++eaten;
    }
    _exit(eaten == 0 ? 7 : 8);
  }
  return std::nullopt;
}

// Evil marks say it behind a picture, for the parent looks at their header.
void on_mark(std::string_view file) {
  if (file.ends_with("evil:crash")) std::abort();
  while (file.ends_with("evil:hang")) pause();
}

// Fills most of the area for results, and then fails for want of room.
std::optional<pixmill::image::Rendered> stand_in(std::string_view source) {
  if (source != "evil:fill-and-fail") return std::nullopt;
  pixmill::image::Rendered rendered;
  for (int i = 0; i < 2; ++i) {
    rendered.renditions.emplace_back();
    rendered.renditions.back().bytes.assign(24 << 20, 'x');
  }
  return rendered;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + std::min(argc, 2), argv + argc);
  return pixmill::engine::run_child_with_hooks(
      arguments, {.at_start = at_start, .on_picture = on_picture, .on_mark = on_mark, .stand_in = stand_in});
}
