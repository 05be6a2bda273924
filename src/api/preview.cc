#include "api/preview.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "api/checked_handler.h"
#include "api/intake.h"
#include "base/ids.h"
#include "base/text.h"
#include "engine/pool.h"
#include "http/multipart.h"
#include "image/recipe.h"
#include "image/render.h"
#include "pipeline/watermarks.h"

namespace pixmill::api {

namespace {

using Steady = std::chrono::steady_clock;

constexpr std::size_t kPartsMax = 16;
constexpr std::size_t kFieldBytesMax = 16u << 10;

// What a client sent, wherever it put it.
struct Wish {
  std::string picture;
  std::optional<std::string> watermark;
  std::map<std::string, std::string> fields;
};

// Gathers a form's parts. Lives while its parser does.
class Form {
 public:
  explicit Form(std::string boundary)
      : parser_(std::move(boundary),
                {.on_part = [this](const http::PartHeader& part) { return begin(part); },
                 .on_data = [this](std::string_view bytes) { return take(bytes); },
                 .on_part_end = []() -> Result<void> { return {}; }},
                {.parts_max = kPartsMax}) {}
  Form(const Form&) = delete;
  Form& operator=(const Form&) = delete;

  Task<Result<Wish>> read(http::BodyReader& body) {
    for (;;) {
      PIXMILL_CO_TRY(const std::string_view piece, co_await body.next());
      if (piece.empty()) break;
      PIXMILL_CO_RETURN_IF_ERROR(parser_.feed(piece));
    }
    PIXMILL_CO_RETURN_IF_ERROR(parser_.finish());
    co_return std::move(wish_);
  }

 private:
  Result<void> begin(const http::PartHeader& part) {
    if (part.name == "file") {
      into_ = &wish_.picture;
      bytes_max_ = kPreviewBytesMax;
    } else if (part.name == "watermark") {
      // An input of a form that was left empty has no name.
      const bool is_empty = part.filename && part.filename->empty();
      if (!is_empty) wish_.watermark.emplace();
      into_ = is_empty ? &wish_.fields[part.name] : &*wish_.watermark;
      bytes_max_ = pipeline::kMarkFileBytesMax;
    } else {
      into_ = &wish_.fields[part.name];
      bytes_max_ = kFieldBytesMax;
    }
    return {};
  }

  Result<void> take(std::string_view bytes) {
    if (bytes.size() > bytes_max_ - into_->size()) {
      return fail(ErrorCode::kTooLarge, fmt::format("A part is above {}", format_bytes(bytes_max_)));
    }
    into_->append(bytes);
    return {};
  }

  Wish wish_;
  std::string* into_ = nullptr;
  std::size_t bytes_max_ = 0;
  http::MultipartParser parser_;
};

Task<Checked<Wish>> read_wish(http::Request& request) {
  auto boundary = http::multipart_boundary(request.headers.get("Content-Type").value_or(""));
  Wish wish;
  if (boundary) {
    Form form(std::move(*boundary));
    auto read = co_await form.read(*request.body);
    if (!read) co_return refuse(problem_of(read.error()));
    wish = std::move(*read);
  } else {
    auto read = co_await http::read_all(*request.body, kPreviewBytesMax);
    if (!read) co_return refuse(problem_of(read.error()));
    wish.picture = std::move(*read);
  }
  for (const auto& [name, value] : request.query) wish.fields.emplace(name, value);
  if (wish.picture.empty()) {
    co_return refuse(Problem{.status = 400,
                             .code = "missing_file",
                             .detail = "There is no picture in the request",
                             .hint = "Send it as the body (curl --data-binary @photo.jpg) or as the part 'file'"});
  }
  co_return wish;
}

// The recipe with the one output that is asked for.
Checked<image::Recipe> recipe_of(const Wish& wish, const std::string& fallback, const jobs::RecipeBook& book) {
  const auto given = wish.fields.find("recipe");
  const std::string text(given == wish.fields.end() ? fallback : given->second);
  PIXMILL_TRY(const auto choice, check_recipe(text, book));
  auto recipe = image::parse_recipe(choice.text);
  if (!recipe) return refuse(problem_of(recipe.error()));
  if (recipe->outputs.size() == 1) return std::move(*recipe);
  const auto asked = wish.fields.find("output");
  const std::string name = asked == wish.fields.end() ? "" : asked->second;
  std::string names;
  for (auto& output : recipe->outputs) {
    if (output.name == name) {
      output.name.clear();
      return image::Recipe{.outputs = {std::move(output)}};
    }
    names += (names.empty() ? "" : ", ") + output.name;
  }
  return refuse(wrong_parameter("output", name, "one of the recipe's outputs: " + names));
}

// Whatever an engine says is about the picture that came with the request: the client's to change, not ours.
Problem picture_problem(const Error& error) {
  Problem problem = problem_of(error);
  switch (error.code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kNotAnImage:
    case ErrorCode::kUnsupportedFormat:
    case ErrorCode::kTruncated:
    case ErrorCode::kDecodeFailed:
    case ErrorCode::kEngineCrash:
    case ErrorCode::kEngineTimeout:
      problem.status = 422;
      break;
    default:
      break;
  }
  return problem;
}

std::string note_of(const image::Rendition& rendition) {
  std::string note;
  const auto add = [&note](bool holds, std::string_view word) {
    if (holds) note += fmt::format("{}{}", note.empty() ? "" : ", ", word);
  };
  add(rendition.source_kept, "source_kept");
  add(rendition.fitted, "fitted");
  add(rendition.first_frame, "first_frame");
  return note;
}

std::string score_text(const image::Rendition& rendition) {
  switch (rendition.scored) {
    case image::Scored::kYes:
      return fmt::format("{:.2f}", rendition.score);
    case image::Scored::kAnimated:
      return "none; reason=animated";
    case image::Scored::kTooSmall:
      return "none; reason=too_small";
    case image::Scored::kTooLarge:
      return "none; reason=too_large";
    case image::Scored::kNotAsked:
    case image::Scored::kFailed:
      break;
  }
  return "none; reason=failed";
}

double milliseconds_between(Steady::time_point from, Steady::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

std::string stages_text(const image::StageTimes& times) {
  const auto dur = [](std::chrono::microseconds time) { return static_cast<double>(time.count()) / 1e3; };
  return fmt::format(", decode;dur={:.1f}, transform;dur={:.1f}, encode;dur={:.1f}", dur(times.decode),
                     dur(times.transform), dur(times.encode));
}

// What the recipe names is the client's to change, as long as it is not this server that fails.
Problem fetched_problem(const Error& error) {
  Problem problem = problem_of(error);
  if (error.code != ErrorCode::kUnavailable && error.code != ErrorCode::kStoreFailed) problem.status = 422;
  return problem;
}

http::Response picture_response(std::uint64_t bytes_in, image::Rendered rendered) {
  auto& rendition = rendered.renditions.front();
  http::Response response{.status = 200, .headers = {}, .body = {}};
  auto& headers = response.headers;
  headers.set("Content-Type", std::string(image::media_type(rendition.format)));
  headers.set("Cache-Control", "no-store");
  // The picture's bytes came from elsewhere: nothing in it may run on this origin.
  headers.set("Content-Security-Policy", "sandbox");
  const auto& source = rendered.source;
  headers.set("Pixmill-Source",
              fmt::format("format={} width={} height={} frames={} bytes={}", image::format_name(source.format),
                          source.width_px, source.height_px, source.frames, bytes_in));
  headers.set("Pixmill-Output",
              fmt::format("format={} width={} height={} bytes={}", image::format_name(rendition.format),
                          rendition.width_px, rendition.height_px, rendition.bytes.size()) +
                  (rendition.quality > 0 ? fmt::format(" quality={}", rendition.quality) : ""));
  headers.set("Pixmill-Score", score_text(rendition));
  const std::string note = note_of(rendition);
  if (!note.empty()) headers.set("Pixmill-Note", note);
  response.body = std::move(rendition.bytes);
  return response;
}

}  // namespace

void Preview::add_routes(http::Router& router) { router.add("POST", "/v1/preview", checked(this, &Preview::create)); }

// What an address gives now, not what it gave another preview before.
Task<Checked<engine::MarkFiles>> Preview::marks_for(const image::Recipe& recipe, std::optional<std::string> uploaded) {
  const auto usable = pipeline::check_watermarks(recipe, uploaded.has_value(), &context_.parts.policy);
  if (!usable) {
    Problem problem = wrong_parameter("recipe", image::canonical_text(recipe),
                                      "as image of a watermark: an address, or upload with the part 'watermark'");
    problem.detail = usable.error().message;
    co_return refuse(std::move(problem));
  }
  engine::MarkFiles files;
  if (uploaded) {
    auto file = pipeline::mark_file(std::move(*uploaded));
    if (!file) co_return refuse(watermark_problem(file.error()));
    files.emplace(image::kUploadedWatermark, std::move(*file));
  }
  const std::vector<fetch::HostHeader> no_headers;
  auto all = co_await context_.parts.watermarks.files_for(recipe, Uuid::random().text(), no_headers, std::move(files));
  if (!all) co_return refuse(fetched_problem(all.error()));
  co_return std::move(*all);
}

Task<Checked<http::Response>> Preview::create(http::Request& request) {
  if (context_.parts.engines == nullptr || under_way_ >= kPreviewsMax) {
    co_return refuse(problem_of(Error{.code = ErrorCode::kUnavailable,
                                      .message = "Too many previews are under way; try again in a moment",
                                      .detail = {}}));
  }
  // Given back however this coroutine ends.
  struct Place {
    std::uint32_t& taken;
    explicit Place(std::uint32_t& count) : taken(count) { ++taken; }
    ~Place() { --taken; }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
  } const place(under_way_);

  const auto begun = Steady::now();
  PIXMILL_API_TRY(Wish wish, co_await read_wish(request));
  PIXMILL_API_TRY(const auto book, co_await recipe_book(context_));
  PIXMILL_API_TRY(const image::Recipe recipe, recipe_of(wish, context_.options.default_recipe, *book));
  const auto received = Steady::now();
  PIXMILL_API_TRY(const engine::MarkFiles marks, co_await marks_for(recipe, std::move(wish.watermark)));
  const auto marked = Steady::now();
  const engine::RenderExtras extras{.marks = &marks, .measure = image::Measure::kYes};
  auto rendered = co_await context_.parts.engines->render(wish.picture, recipe, extras);
  if (!rendered) co_return refuse(picture_problem(rendered.error()));
  std::string timing = fmt::format("receive;dur={:.1f}", milliseconds_between(begun, received));
  if (!marks.empty()) timing += fmt::format(", watermark;dur={:.1f}", milliseconds_between(received, marked));
  if (rendered->times) timing += stages_text(*rendered->times);
  timing += fmt::format(", render;dur={:.1f}, total;dur={:.1f}", milliseconds_between(marked, Steady::now()),
                        milliseconds_between(begun, Steady::now()));
  auto response = picture_response(wish.picture.size(), std::move(*rendered));
  response.headers.set("Server-Timing", std::move(timing));
  co_return response;
}

}  // namespace pixmill::api
