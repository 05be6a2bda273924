// What a pool tries before it says that its engines are safe to use.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/task.h"
#include "engine/pool.h"
#include "engine/protocol.h"

namespace pixmill::engine {

struct SelfTestSteps {
  std::function<Task<Result<image::Rendered>>(std::string_view source, const image::Recipe& recipe)> render;
  std::function<Task<Result<ProbedAnswer>>()> probe;
};

// A real picture must come out, in every format that is written; files of formats that are refused must be refused;
// what the sandbox denies must be denied. Sets the report's fields, and `problem` to the first thing that does not
// hold.
[[nodiscard]] Task<void> run_self_test(const SelfTestSteps& steps, SandboxReport& report);

}  // namespace pixmill::engine
