#include "app/preview.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "app/network.h"
#include "app/run_plan.h"
#include "app/small_file.h"
#include "base/metrics.h"
#include "base/task.h"
#include "base/text.h"
#include "engine/pool.h"
#include "pipeline/watermarks.h"

namespace pixmill::app {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStandardStream = "-";
constexpr std::string_view kRendition = "{rendition}";
constexpr std::string_view kExtension = "{ext}";

std::string replace_all(std::string text, std::string_view what, std::string_view with) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
  return text;
}

bool is_folder(const std::string& output) {
  std::error_code error;
  return output.ends_with('/') || fs::is_directory(output, error);
}

struct Made {
  image::Rendered rendered;
  milliseconds took{0};
};

// The files of all watermarks: `uploaded`, and what their addresses give.
Task<Result<engine::MarkFiles>> bring_marks(const image::Recipe& recipe, const Settings& settings, Metrics& metrics,
                                            std::shared_ptr<const engine::MarkFile> uploaded) {
  constexpr std::uint32_t kConnectionsMax = 8;
  engine::MarkFiles files;
  if (uploaded) files.emplace(image::kUploadedWatermark, std::move(uploaded));
  const auto executor = co_await asio::this_coro::executor;
  PIXMILL_CO_TRY(const auto network, make_network(executor, settings, fetch::OwnEndpoints(), kConnectionsMax, metrics));
  const std::vector<fetch::HostHeader> no_headers;
  for (const auto& output : recipe.outputs) {
    if (!output.watermark || files.contains(output.watermark->image)) continue;
    const std::string& address = output.watermark->image;
    if (address.starts_with(image::kUploadedWatermark)) {
      co_return fail(ErrorCode::kInvalidArgument,
                     "a preview knows no watermarks that were uploaded before; say watermark=upload and --watermark");
    }
    auto fetched = co_await network.fetcher->get(address, no_headers);
    if (!fetched) {
      fetched.error().message = fmt::format("the watermark {} cannot be had: {}", address, fetched.error().message);
      co_return std::unexpected(std::move(fetched.error()));
    }
    PIXMILL_CO_TRY(auto file, pipeline::mark_file(std::move(fetched->bytes)));
    files.emplace(address, std::move(file));
  }
  co_return files;
}

struct Wanted {
  const std::string& source;
  const image::Recipe& recipe;
  std::shared_ptr<const engine::MarkFile> watermark;
};

Task<Result<Made>> render(const Wanted& wanted, const Settings& settings) {
  Metrics metrics;
  engine::MarkFiles marks;
  if (pipeline::has_watermark(wanted.recipe)) {
    PIXMILL_CO_TRY(marks, co_await bring_marks(wanted.recipe, settings, metrics, wanted.watermark));
  }
  engine::PoolOptions engines = settings.engines;
  engines.executable = "/proc/self/exe";
  engines.engines = 1;
  const auto executor = co_await asio::this_coro::executor;
  PIXMILL_CO_TRY(const auto pool, co_await engine::Pool::create(executor, std::move(engines), metrics));
  const auto begin = std::chrono::steady_clock::now();
  const engine::RenderExtras extras{.marks = &marks, .measure = image::Measure::kYes};
  auto rendered = co_await pool->render(wanted.source, wanted.recipe, extras);
  const auto took = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin);
  pool->stop();
  if (!rendered) co_return std::unexpected(std::move(rendered.error()));
  co_return Made{.rendered = std::move(*rendered), .took = took};
}

Result<Made> render_here(const Wanted& wanted, const Settings& settings) {
  asio::io_context io(1);
  std::optional<Result<Made>> made;
  asio::co_spawn(io, render(wanted, settings), [&made](const std::exception_ptr& error, Result<Made> result) {
    PIXMILL_CHECK(error == nullptr);
    made.emplace(std::move(result));
  });
  io.run();
  PIXMILL_CHECK(made.has_value());
  return std::move(*made);
}

Result<std::string> read_source(const PreviewOptions& options, std::uint64_t bytes_max) {
  if (options.input == kStandardStream) return read_file("/dev/stdin", bytes_max);
  std::error_code error;
  if (fs::is_directory(options.input, error)) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("{} is a folder; `pixmill run` does folders, `preview` one picture", options.input));
  }
  return read_file(options.input, bytes_max);
}

// A pipe or a device is written to, never replaced.
Result<void> write_stream(int descriptor, std::string_view bytes, const std::string& name) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return std::unexpected(errno_error(errno, "cannot write " + name));
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> write_output(const PreviewOptions& options, const std::string& path, const std::string& bytes) {
  if (path == kStandardStream) return write_stream(STDOUT_FILENO, bytes, "standard output");
  std::error_code error;
  const auto status = fs::status(path, error);
  if (fs::exists(status) && !fs::is_regular_file(status) && !fs::is_directory(status)) {
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor < 0) return std::unexpected(errno_error(errno, "cannot write " + path));
    const auto written = write_stream(descriptor, bytes, path);
    ::close(descriptor);
    return written;
  }
  if (fs::equivalent(path, options.input, error)) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("{} is the picture itself; choose another output", path));
  }
  const auto folder = fs::path(path).parent_path();
  if (!folder.empty()) fs::create_directories(folder, error);
  return write_file(path, bytes, 0644);
}

std::string note_of(const image::Rendition& rendition) {
  std::string note;
  const auto add = [&note](bool holds, std::string_view text) {
    if (holds) note += fmt::format("{}{}", note.empty() ? "" : "; ", text);
  };
  add(rendition.source_kept, "source kept: the result would not have been smaller");
  add(rendition.fitted, "reduced to fit max_bytes");
  add(rendition.first_frame, "first frame of an animation");
  return note;
}

std::string change_text(std::uint64_t bytes_in, std::uint64_t bytes_out) {
  const double share = 100.0 * static_cast<double>(bytes_out) / static_cast<double>(bytes_in);
  return share <= 100 ? fmt::format("{:.1f} % smaller", 100 - share) : fmt::format("{:.1f} % larger", share - 100);
}

// Empty where there is a score.
std::string_view why_no_score(image::Scored scored) {
  switch (scored) {
    case image::Scored::kYes:
      return "";
    case image::Scored::kAnimated:
      return "animated";
    case image::Scored::kTooSmall:
      return "too small";
    case image::Scored::kTooLarge:
      return "too large";
    case image::Scored::kNotAsked:
    case image::Scored::kFailed:
      break;
  }
  return "failed";
}

std::string score_text(const image::Rendition& rendition) {
  if (rendition.scored == image::Scored::kYes) return fmt::format("score {:.2f}", rendition.score);
  return fmt::format("no score: {}", why_no_score(rendition.scored));
}

double milliseconds_of(std::chrono::microseconds time) { return static_cast<double>(time.count()) / 1e3; }

std::string times_text(const Made& made) {
  const auto& times = made.rendered.times;
  if (!times) return fmt::format("in {} ms\n", made.took.count());
  return fmt::format("in {} ms, scoring included: decode {:.1f} ms, transform {:.1f} ms, encode {:.1f} ms\n",
                     made.took.count(), milliseconds_of(times->decode), milliseconds_of(times->transform),
                     milliseconds_of(times->encode));
}

boost::json::value times_document(const Made& made) {
  const auto& times = made.rendered.times;
  if (!times) return nullptr;
  return boost::json::object{{"decode_ms", milliseconds_of(times->decode)},
                             {"transform_ms", milliseconds_of(times->transform)},
                             {"encode_ms", milliseconds_of(times->encode)}};
}

using Paths = std::vector<std::string>;

std::string describe(const PreviewOptions& options, std::uint64_t bytes_in, const Made& made, const Paths& paths) {
  const auto& header = made.rendered.source;
  const auto line = [](const std::string& name, image::Format format, std::uint32_t width_px, std::uint32_t height_px,
                       std::uint64_t bytes) {
    return fmt::format("{}  {} {}×{}  {}", name, image::format_name(format), width_px, height_px, format_bytes(bytes));
  };
  std::string text = line(options.input, header.format, header.width_px, header.height_px, bytes_in);
  if (header.frames > 1) text += fmt::format("  {} frames", header.frames);
  text += '\n';
  for (std::size_t i = 0; i < paths.size(); ++i) {
    const auto& rendition = made.rendered.renditions[i];
    text += line(paths[i], rendition.format, rendition.width_px, rendition.height_px, rendition.bytes.size());
    text += "  " + change_text(bytes_in, rendition.bytes.size());
    if (rendition.quality > 0) text += fmt::format("  quality {}", rendition.quality);
    text += "  " + score_text(rendition);
    const std::string note = note_of(rendition);
    if (!note.empty()) text += "  (" + note + ")";
    text += '\n';
  }
  return text + times_text(made);
}

std::string document(const PreviewOptions& options, std::uint64_t bytes_in, const Made& made, const Paths& paths) {
  const auto& header = made.rendered.source;
  boost::json::array outputs;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    const auto& rendition = made.rendered.renditions[i];
    boost::json::object output{{"rendition", rendition.name},
                               {"output", paths[i]},
                               {"bytes", rendition.bytes.size()},
                               {"width", rendition.width_px},
                               {"height", rendition.height_px},
                               {"format", image::format_name(rendition.format)},
                               {"quality", nullptr},
                               {"source_kept", rendition.source_kept},
                               {"fitted", rendition.fitted},
                               {"first_frame", rendition.first_frame}};
    if (rendition.quality > 0) output["quality"] = rendition.quality;
    const auto no_score = why_no_score(rendition.scored);
    output["score"] = nullptr;
    if (no_score.empty()) output["score"] = std::round(rendition.score * 100) / 100;
    if (!no_score.empty()) output["no_score"] = no_score;
    outputs.push_back(std::move(output));
  }
  const boost::json::object whole{{"source",
                                   {{"input", options.input},
                                    {"bytes", bytes_in},
                                    {"width", header.width_px},
                                    {"height", header.height_px},
                                    {"format", image::format_name(header.format)},
                                    {"frames", header.frames}}},
                                  {"outputs", std::move(outputs)},
                                  {"stages", times_document(made)},
                                  {"milliseconds", made.took.count()}};
  return boost::json::serialize(whole) + "\n";
}

ExitCode say_no(const PreviewOptions& options, const Error& error) {
  const auto hint = advice(code_text(error));
  if (options.json && options.output != kStandardStream) {
    const boost::json::object why{{"code", code_text(error)}, {"message", error.message}, {"hint", hint}};
    std::printf("%s\n", boost::json::serialize(boost::json::object{{"error", why}}).c_str());
  }
  std::fprintf(stderr, "pixmill: %s\n", error.message.c_str());
  if (!hint.empty()) std::fprintf(stderr, "         %.*s\n", static_cast<int>(hint.size()), hint.data());
  return preview_exit_code(error.code);
}

// A file whose name promises another format than its bytes have is written as asked, and said.
void warn_of_name(const std::string& path, const image::Rendition& rendition) {
  const std::string ending = fs::path(path).extension().string();
  const auto named = ending.empty() ? std::nullopt : image::parse_format(to_lower(ending.substr(1)));
  if (!named || *named == rendition.format) return;
  const std::string format(image::format_name(rendition.format));
  const std::string wanted(image::format_name(*named));
  std::fprintf(stderr, "pixmill: %s holds %s; for %s say format=%s in the recipe\n", path.c_str(), format.c_str(),
               wanted.c_str(), wanted.c_str());
}

}  // namespace

Result<void> check_preview_output(const PreviewOptions& options, const image::Recipe& recipe) {
  if (recipe.outputs.size() < 2) return {};
  if (options.output != kStandardStream &&
      (options.output.find(kRendition) != std::string::npos || is_folder(options.output))) {
    return {};
  }
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("the recipe makes {} outputs and '{}' takes one; name a folder, or write {} in its name",
                          recipe.outputs.size(), options.output, kRendition));
}

std::string preview_path(const PreviewOptions& options, const image::Rendition& rendition, bool folder) {
  if (options.output == kStandardStream) return options.output;
  if (folder) {
    const bool nameless = options.input == kStandardStream;
    const std::string stem = nameless ? "preview" : fs::path(options.input).stem().string();
    const std::string name = rendition.name.empty() ? stem : stem + "-" + rendition.name;
    return (fs::path(options.output) / (name + "." + std::string(image::extension(rendition.format)))).string();
  }
  return replace_all(replace_all(options.output, kRendition, rendition.name), kExtension,
                     image::extension(rendition.format));
}

ExitCode preview_exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kNotAnImage:
    case ErrorCode::kUnsupportedFormat:
    case ErrorCode::kTooLarge:
    case ErrorCode::kTruncated:
    case ErrorCode::kDecodeFailed:
      return ExitCode::kInputRejected;
    case ErrorCode::kEngineCrash:
    case ErrorCode::kEngineTimeout:
      return ExitCode::kJobFailed;
    default:
      return exit_code_for(code);
  }
}

ExitCode preview_here(Settings settings, const PreviewOptions& options) {
  const auto choice = options.recipes->resolve(options.recipe);
  if (!choice) return say_no(options, choice.error());
  const auto recipe = image::parse_recipe(choice->text);
  if (!recipe) return say_no(options, recipe.error());
  const auto fits = check_preview_output(options, *recipe);
  if (!fits) return say_no(options, fits.error());
  const auto source = read_source(options, std::min(settings.fetch.body_bytes_max, settings.engines.source_bytes_max));
  if (!source) return say_no(options, source.error());
  const auto watermark = read_watermark(options.watermark, *recipe);
  if (!watermark) return say_no(options, watermark.error());
  const auto made = render_here({.source = *source, .recipe = *recipe, .watermark = *watermark}, settings);
  if (!made) {
    const ExitCode code = say_no(options, made.error());
    // The recipe can be read, so it is this picture that it does not fit.
    return made.error().code == ErrorCode::kInvalidArgument ? ExitCode::kInputRejected : code;
  }
  Paths paths;
  const bool folder = is_folder(options.output);
  for (const auto& rendition : made->rendered.renditions) {
    paths.push_back(preview_path(options, rendition, folder));
    const auto written = write_output(options, paths.back(), rendition.bytes);
    if (!written) {
      const ExitCode code = say_no(options, written.error());
      return paths.size() > 1 ? ExitCode::kSomeFailed : code;
    }
    warn_of_name(paths.back(), rendition);
  }
  // Standard output is the picture's when it goes there.
  const std::string said =
      options.json ? document(options, source->size(), *made, paths) : describe(options, source->size(), *made, paths);
  std::fputs(said.c_str(), options.output == kStandardStream ? stderr : stdout);
  return ExitCode::kOk;
}

}  // namespace pixmill::app
