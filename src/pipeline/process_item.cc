#include "pipeline/process_item.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/crypto.h"
#include "base/log.h"
#include "storage/object_name.h"
#include "storage/take_over.h"

namespace pixmill::pipeline {

namespace {

// Memory is taken before a fetch, when nobody knows how large the picture is; it grows while the bytes come in, and is
// made true when they are there. The guess follows what came, so that few transfers have to rest for want of memory.
constexpr double kFirstGuessBytes = 4 << 20;
constexpr double kGuessMargin = 1.5;
constexpr double kLearningRate = 0.05;
constexpr std::uint64_t kGuessBytesMin = 64u << 10;

// Raised when this program makes other results than before of the same source and recipe, so different that those which
// are stored should be made anew (docs/decisions/0008).
constexpr int kResultsVersion = 1;
constexpr std::size_t kMarksDigestBytes = 8;

using Clock = std::chrono::steady_clock;

milliseconds since(Clock::time_point begin) { return std::chrono::duration_cast<milliseconds>(Clock::now() - begin); }

const std::vector<double> kStageBounds = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60};

// What the {uuid} of a name stands for: this output of this item of this job. Lengths come first, so that no two inputs
// read alike.
Sha256Digest identity_of(const ItemTask& task, const std::string& rendition, const Sha256Digest& content) {
  return sha256(fmt::format("{}:{}|{}|{}|{}:{}|{}", task.plan->job_id.size(), task.plan->job_id, task.row, task.index,
                            rendition.size(), rendition, to_hex(content)));
}

const image::Recipe& recipe_of(const ItemTask& task) { return task.recipe ? *task.recipe : task.plan->recipe; }

// Watermarks that are named by an address may be other pictures by now.
std::string made_with_now(const engine::MarkFiles& marks) {
  if (marks.empty()) return std::to_string(kResultsVersion);
  std::string text;
  for (const auto& [image, file] : marks) text += fmt::format("{} {}\n", image, file->sha256);
  const auto digest = sha256(text);
  return fmt::format("{}+{}", kResultsVersion, to_hex(std::span(digest).first<kMarksDigestBytes>()));
}

std::uint64_t total_bytes(const image::Rendered& rendered) {
  std::uint64_t total = 0;
  for (const auto& rendition : rendered.renditions) total += rendition.bytes.size();
  return total;
}

std::string note_of(const image::Rendition& rendition) {
  if (rendition.source_kept) return "source kept: the result would not have been smaller";
  std::string note = rendition.first_frame ? "first frame of an animation" : "";
  if (rendition.fitted) note += note.empty() ? "reduced to fit max_bytes" : "; reduced to fit max_bytes";
  return note;
}

std::string key_of(const ItemTask& task, const std::string& rendition, const Sha256Digest& content,
                   image::Format format) {
  const storage::FinalName values{.content = content,
                                  .identity = identity_of(task, rendition, content),
                                  .rendition = rendition,
                                  .extension = std::string(image::extension(format))};
  return task.plan->blob_prefix + storage::finish_name(task.output_stem, values);
}

std::optional<Sha256Digest> digest_from_hex(const std::string& hex) {
  Sha256Digest digest{};
  if (hex.size() != digest.size() * 2) return std::nullopt;
  const auto nibble = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (std::size_t i = 0; i < digest.size(); ++i) {
    digest[i] = static_cast<std::uint8_t>(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
  }
  return digest;
}

}  // namespace

std::string_view stage_name(Stage stage) {
  switch (stage) {
    case Stage::kFetch:
      return "fetch";
    case Stage::kTransform:
      return "transform";
    case Stage::kStore:
      return "store";
  }
  return "fetch";
}

Pipeline::Pipeline(PipelineParts parts) : parts_(parts), mean_bytes_(kFirstGuessBytes / kGuessMargin) {
  const auto stage = [&parts](const char* name) {
    return parts.metrics.histogram("pixmill_stage_seconds", "Time of one picture in one stage.", kStageBounds,
                                   {{"stage", name}});
  };
  fetch_seconds_ = stage("fetch");
  transform_seconds_ = stage("transform");
  store_seconds_ = stage("store");
}

Task<Outcome> Pipeline::process(ItemTask task) {
  Outcome outcome{.result = Failed{}, .times = {}};
  if (!task.same_as.empty()) {
    auto copied = co_await copy_all(task);
    if (copied) {
      outcome.result = Succeeded{.bytes_in = task.same_as_bytes_in, .outputs = std::move(*copied)};
      co_return outcome;
    }
    // What was there is gone: do the work again.
    if (copied.error().code != ErrorCode::kNotFound)
      co_return failed(outcome, Stage::kStore, std::move(copied.error()));
  }

  const image::Recipe& recipe = recipe_of(task);
  // Before memory is taken for the picture: nobody waits for a watermark while holding some.
  const auto fetch_begin = Clock::now();
  auto marks = co_await marks_for(task, recipe);
  if (!marks) co_return failed(outcome, marks.error().stage, std::move(marks.error().error));
  const auto marks_took = Clock::now() - fetch_begin;
  auto memory = co_await parts_.budget.take(expected_bytes());
  if (!memory) co_return failed(outcome, Stage::kFetch, std::move(memory.error()));

  outcome.times.fetch = std::chrono::duration_cast<milliseconds>(marks_took);
  auto source = co_await get_source(task, made_with_now(*marks), *memory, outcome.times);
  if (!source) co_return failed(outcome, source.error().stage, std::move(source.error().error));
  if (source->reused) {
    outcome.result = Succeeded{.bytes_in = source->bytes_in,
                               .outputs = std::move(*source->reused),
                               .source = std::move(source->facts),
                               .unchanged = true};
    co_return outcome;
  }

  const auto transform_begin = Clock::now();
  const engine::RenderExtras extras{.marks = &*marks};
  auto rendered = co_await parts_.engines.render(source->fetched.bytes, recipe, extras);
  outcome.times.transform = timed(transform_seconds_, transform_begin);
  if (!rendered) {
    auto mark = unusable_mark(task, *marks);
    if (mark) co_return failed(outcome, mark->stage, std::move(mark->error));
    co_return failed(outcome, Stage::kTransform, std::move(rendered.error()));
  }
  marks->clear();

  std::string().swap(source->fetched.bytes);
  memory->resize(total_bytes(*rendered));

  const auto store_begin = Clock::now();
  auto stored = co_await store_all(task, *rendered);
  outcome.times.store = timed(store_seconds_, store_begin);
  if (!stored) co_return failed(outcome, Stage::kStore, std::move(stored.error()));

  outcome.result =
      Succeeded{.bytes_in = source->bytes_in, .outputs = std::move(*stored), .source = std::move(source->facts)};
  co_return outcome;
}

// Asked with what is known of the source when an earlier result may still serve; without when it turns out not to.
Task<std::expected<Pipeline::Source, Failed>> Pipeline::get_source(const ItemTask& task, std::string made_with,
                                                                   ByteBudget::Grant& memory, StageTimes& times) {
  const EarlierResult* earlier = task.earlier ? &*task.earlier : nullptr;
  if (earlier != nullptr && earlier->source.made_with != made_with) earlier = nullptr;
  auto fetched = co_await ask(task, earlier != nullptr ? &earlier->source.version : nullptr, memory, times);
  for (;;) {
    if (!fetched) co_return std::unexpected(Failed{.stage = Stage::kFetch, .error = std::move(fetched).error()});
    Source source{.fetched = std::move(*fetched),
                  .facts = {.version = {}, .sha256 = {}, .made_with = made_with},
                  .bytes_in = 0,
                  .reused = std::nullopt};
    const bool is_known = source.fetched.not_modified && earlier != nullptr;
    source.facts.version = source.fetched.version;
    source.facts.sha256 = is_known ? earlier->source.sha256 : to_hex(sha256(source.fetched.bytes));
    source.bytes_in = is_known ? earlier->bytes_in : source.fetched.bytes.size();
    if (earlier != nullptr && source.facts.sha256 == earlier->source.sha256) {
      const auto begin = Clock::now();
      auto reused = co_await reuse(task);
      times.store += timed(store_seconds_, begin);
      if (!reused) co_return std::unexpected(Failed{.stage = Stage::kStore, .error = std::move(reused).error()});
      source.reused = std::move(*reused);
    }
    const bool is_asked_again = earlier != nullptr && source.fetched.not_modified && !source.reused;
    if (!is_asked_again) co_return source;
    earlier = nullptr;
    fetched = co_await ask(task, nullptr, memory, times);
  }
}

Task<Result<fetch::Fetched>> Pipeline::ask(const ItemTask& task, const fetch::SourceVersion* known,
                                           ByteBudget::Grant& memory, StageTimes& times) {
  const auto begin = Clock::now();
  auto fetched = co_await parts_.fetcher.get(task.url, task.plan->headers, &memory, known);
  times.fetch += timed(fetch_seconds_, begin);
  if (!fetched || fetched->not_modified) co_return fetched;
  memory.resize(fetched->bytes.size());
  learn_size(fetched->bytes.size());
  co_return fetched;
}

Task<Result<std::optional<std::vector<StoredOutput>>>> Pipeline::reuse(const ItemTask& task) {
  auto& earlier_blobs = task.plan->earlier_blobs ? *task.plan->earlier_blobs : parts_.blobs;
  std::vector<StoredOutput> outputs;
  if (task.may_have_stored) *task.may_have_stored = true;
  for (StoredOutput output : task.earlier->outputs) {
    const auto digest = digest_from_hex(output.sha256);
    if (!digest) co_return std::nullopt;
    const storage::BlobContent content{
        .bytes = output.bytes, .sha256 = *digest, .media_type = std::string(image::media_type(output.format))};
    const storage::BlobPlace from{
        .store = earlier_blobs,
        .key = std::exchange(output.key, key_of(task, output.rendition, *digest, output.format))};
    const storage::BlobPlace to{.store = parts_.blobs, .key = output.key};
    const auto taken = co_await storage::take_over(from, to, content);
    const bool is_lost =
        !taken && (taken.error().code == ErrorCode::kNotFound || taken.error().code == ErrorCode::kStoreFailed ||
                   taken.error().code == ErrorCode::kInvalidArgument);
    if (is_lost) {
      log::debug("earlier_result_lost",
                 {{"job", task.plan->job_id}, {"key", from.key}, {"code", code_text(taken.error())}});
      // What was taken over already is left to the sweep: another attempt, with a newer lease, writes the same keys.
      co_return std::nullopt;
    }
    if (!taken) co_return std::unexpected(taken.error());
    outputs.push_back(std::move(output));
  }
  if (outputs.empty()) co_return std::nullopt;
  co_return outputs;
}

Task<std::expected<engine::MarkFiles, Failed>> Pipeline::marks_for(const ItemTask& task, const image::Recipe& recipe) {
  engine::MarkFiles none;
  if (!has_watermark(recipe)) co_return none;
  auto files = co_await parts_.watermarks.files_for(recipe, task.plan->job_id, task.plan->headers, std::move(none));
  if (!files) co_return std::unexpected(Failed{.stage = Stage::kFetch, .error = std::move(files.error())});
  auto bad = unusable_mark(task, *files);
  if (bad) co_return std::unexpected(std::move(*bad));
  co_return std::move(*files);
}

std::optional<Failed> Pipeline::unusable_mark(const ItemTask& task, const engine::MarkFiles& marks) {
  for (const auto& [image, file] : marks) {
    auto why = parts_.engines.bad_mark(file->sha256);
    if (!why) continue;
    Error error = about_watermark(image, "cannot be used", std::move(*why));
    const bool may_be_damaged = error.code == ErrorCode::kTruncated || error.code == ErrorCode::kDecodeFailed;
    if (!may_be_damaged || !parts_.watermarks.fetch_again(image, task.plan->job_id, file->sha256)) {
      return Failed{.stage = Stage::kTransform, .error = std::move(error)};
    }
    error.code = ErrorCode::kTruncated;
    return Failed{.stage = Stage::kFetch, .error = std::move(error)};
  }
  return std::nullopt;
}

std::uint64_t Pipeline::expected_bytes() const {
  return std::max(kGuessBytesMin, static_cast<std::uint64_t>(mean_bytes_ * kGuessMargin));
}

void Pipeline::learn_size(std::uint64_t bytes) {
  mean_bytes_ += kLearningRate * (static_cast<double>(bytes) - mean_bytes_);
}

Outcome Pipeline::failed(Outcome outcome, Stage stage, Error error) {
  outcome.result = Failed{.stage = stage, .error = std::move(error)};
  return outcome;
}

milliseconds Pipeline::timed(const Histogram& histogram, Clock::time_point begin) {
  histogram.observe(std::chrono::duration<double>(Clock::now() - begin).count());
  return since(begin);
}

Task<Result<std::vector<StoredOutput>>> Pipeline::store_all(const ItemTask& task, const image::Rendered& rendered) {
  std::vector<StoredOutput> outputs;
  if (task.may_have_stored) *task.may_have_stored = true;
  for (const auto& rendition : rendered.renditions) {
    const auto content = sha256(rendition.bytes);
    StoredOutput output{.rendition = rendition.name,
                        .key = key_of(task, rendition.name, content, rendition.format),
                        .bytes = rendition.bytes.size(),
                        .width_px = rendition.width_px,
                        .height_px = rendition.height_px,
                        .format = rendition.format,
                        .quality = rendition.quality,
                        .sha256 = to_hex(content),
                        .note = note_of(rendition)};
    PIXMILL_CO_RETURN_IF_ERROR(
        co_await parts_.blobs.put(output.key, rendition.bytes, std::string(image::media_type(rendition.format))));
    outputs.push_back(std::move(output));
  }
  co_return outputs;
}

Task<Result<std::vector<StoredOutput>>> Pipeline::copy_all(const ItemTask& task) {
  std::vector<StoredOutput> outputs;
  if (task.may_have_stored) *task.may_have_stored = true;
  for (StoredOutput output : task.same_as) {
    const auto content = digest_from_hex(output.sha256);
    if (!content) co_return fail(ErrorCode::kNotFound, "the earlier result has no digest");
    const std::string from = std::exchange(output.key, key_of(task, output.rendition, *content, output.format));
    PIXMILL_CO_RETURN_IF_ERROR(co_await parts_.blobs.copy(from, output.key));
    outputs.push_back(std::move(output));
  }
  co_return outputs;
}

}  // namespace pixmill::pipeline
