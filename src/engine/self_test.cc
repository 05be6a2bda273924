#include "engine/self_test.h"

#include <fmt/format.h>

#include <array>

#include "engine/probe.h"
#include "image/tiny_pictures.h"

namespace pixmill::engine {

using namespace std::string_view_literals;

namespace {

struct Lie {
  std::string_view kind;
  std::string_view bytes;
};

// What is sent under a picture's name when somebody looks for a way in: formats whose decoders are large, run scripts
// or open files.
constexpr std::array kLies = {
    Lie{"MAT", "MATLAB 5.0 MAT-file, Platform: GLNXA64, Created on: Thu Jan  1 00:00:00 1970"sv},
    Lie{"PDF", "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"sv},
    Lie{"SVG", "<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"/>"sv},
    Lie{"MSL", "<?xml version=\"1.0\"?><msl><image><read filename=\"/etc/passwd\"/></image></msl>"sv},
    Lie{"PPM", "P6\n1 1\n255\n\0\0\0"sv},
};

Task<std::string> test_picture(const SelfTestSteps& steps, const image::TinyPicture& picture, image::Format target) {
  image::Recipe recipe;
  recipe.outputs.front().format = target;
  const auto rendered = co_await steps.render(picture.bytes, recipe);
  if (rendered) co_return "";
  co_return fmt::format("a {} picture cannot be made into {}: {}", image::format_name(picture.format),
                        image::format_name(target), rendered.error().message);
}

// What libvips compiles for itself at run time, where it may.
Task<std::string> test_resize(const SelfTestSteps& steps) {
  image::Recipe recipe;
  auto& output = recipe.outputs.front();
  output.format = image::Format::kPng;
  output.resize =
      image::Resize{.width_px = 12, .height_px = 9, .fit = image::Fit::kFill, .enlarge = image::Enlarge::kAllowed};
  const auto rendered = co_await steps.render(image::tiny_pictures().back().bytes, recipe);
  if (rendered) co_return "";
  co_return fmt::format("a picture cannot be resized: {}", rendered.error().message);
}

// Every format that is read, and every format that is written.
Task<std::string> test_pictures(const SelfTestSteps& steps) {
  std::string problem;
  for (const auto& picture : image::tiny_pictures()) {
    if (problem.empty()) problem = co_await test_picture(steps, picture, image::Format::kJpeg);
  }
  for (const auto target :
       {image::Format::kPng, image::Format::kWebp, image::Format::kAvif, image::Format::kGif, image::Format::kTiff}) {
    if (problem.empty()) problem = co_await test_picture(steps, image::tiny_pictures().front(), target);
  }
  if (problem.empty()) problem = co_await test_resize(steps);
  co_return problem;
}

Task<std::string> test_lies(const SelfTestSteps& steps) {
  const image::Recipe recipe;
  for (const auto& lie : kLies) {
    const auto rendered = co_await steps.render(lie.bytes, recipe);
    const bool refused = !rendered && (rendered.error().code == ErrorCode::kUnsupportedFormat ||
                                       rendered.error().code == ErrorCode::kNotAnImage);
    if (!refused) co_return fmt::format("a {} file is not refused", lie.kind);
  }
  co_return "";
}

std::string describe(const ProbedAnswer& probed) {
  if (!probed.unexpected_loaders.empty()) {
    return fmt::format("libvips would load {}", fmt::join(probed.unexpected_loaders, ", "));
  }
  for (const auto& attempt : probed.attempts) {
    if (attempt.errno_value == 0) return fmt::format("{} is allowed on the {} thread", attempt.name, attempt.thread);
  }
  for (const auto& attempt : probed.attempts) {
    const ProbedAnswer one{.attempts = {attempt}, .unexpected_loaders = {}};
    if (!all_denied(one)) {
      return fmt::format("{} reaches the kernel on the {} thread (errno {})", attempt.name, attempt.thread,
                         attempt.errno_value);
    }
  }
  return "nothing was tried";
}

}  // namespace

Task<void> run_self_test(const SelfTestSteps& steps, SandboxReport& report) {
  const auto probed = co_await steps.probe();
  if (!probed) {
    report.problem = fmt::format("the engine did not survive its self-test: {}", probed.error().message);
    co_return;
  }
  report.untrusted_loaders_blocked = probed->unexpected_loaders.empty();
  if (!all_denied(*probed)) {
    report.problem = fmt::format("the sandbox has a hole: {}", describe(*probed));
    co_return;
  }
  report.problem = co_await test_pictures(steps);
  if (report.problem.empty()) report.problem = co_await test_lies(steps);
}

}  // namespace pixmill::engine
