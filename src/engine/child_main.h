// The main function of an engine with hooks for tests: a test's own engine program misbehaves through them, so that the
// product holds no code that misbehaves.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "image/render.h"

namespace pixmill::engine {

struct ChildHooks {
  // Called before anything else, with the arguments.
  std::function<void(const std::vector<std::string>& arguments)> at_start = {};
  // Called with each picture's bytes; a packet it returns is sent instead of the answer.
  std::function<std::optional<std::string>(std::string_view source)> on_picture = {};
  // Called with each watermark's file before it is decoded.
  std::function<void(std::string_view file)> on_mark = {};
  // What it returns is handed over instead of image::render's result, to measure what the way there and back costs.
  std::function<std::optional<image::Rendered>(std::string_view source)> stand_in = {};
};

// As run_child (engine/child.h). Arguments: --parent=PID and --memory=BYTES; others are left to the hooks.
[[nodiscard]] int run_child_with_hooks(const std::vector<std::string>& arguments, const ChildHooks& hooks);

// The descriptors an engine is born with, besides the usual three. They belong to the contract between pool and engine.
inline constexpr int kSocketDescriptor = 3;
inline constexpr int kInputDescriptor = 4;
inline constexpr int kOutputDescriptor = 5;
inline constexpr int kFirstUnusedDescriptor = 6;

}  // namespace pixmill::engine
