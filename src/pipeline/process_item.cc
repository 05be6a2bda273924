#include "pipeline/process_item.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/crypto.h"
#include "storage/object_name.h"

namespace pixmill::pipeline {

namespace {

// Memory is taken before a fetch, when nobody knows how large the picture is; it grows while the bytes come in, and is
// made true when they are there. The guess follows what came, so that few transfers have to rest for want of memory.
constexpr double kFirstGuessBytes = 4 << 20;
constexpr double kGuessMargin = 1.5;
constexpr double kLearningRate = 0.05;
constexpr std::uint64_t kGuessBytesMin = 64u << 10;

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

  const auto source_begin = Clock::now() - marks_took;
  auto source = co_await parts_.fetcher.get(task.url, task.plan->headers, &*memory);
  outcome.times.fetch = timed(fetch_seconds_, source_begin);
  if (!source) co_return failed(outcome, Stage::kFetch, std::move(source.error()));
  memory->resize(source->bytes.size());
  learn_size(source->bytes.size());

  const auto transform_begin = Clock::now();
  const engine::RenderExtras extras{.marks = &*marks};
  auto rendered = co_await parts_.engines.render(source->bytes, recipe, extras);
  outcome.times.transform = timed(transform_seconds_, transform_begin);
  if (!rendered) {
    auto mark = unusable_mark(task, *marks);
    if (mark) co_return failed(outcome, mark->stage, std::move(mark->error));
    co_return failed(outcome, Stage::kTransform, std::move(rendered.error()));
  }
  marks->clear();

  const std::uint64_t bytes_in = source->bytes.size();
  std::string().swap(source->bytes);
  memory->resize(total_bytes(*rendered));

  const auto store_begin = Clock::now();
  auto stored = co_await store_all(task, *rendered);
  outcome.times.store = timed(store_seconds_, store_begin);
  if (!stored) co_return failed(outcome, Stage::kStore, std::move(stored.error()));

  outcome.result = Succeeded{.bytes_in = bytes_in, .outputs = std::move(*stored)};
  co_return outcome;
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
