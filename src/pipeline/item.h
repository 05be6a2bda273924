// One picture to do, and what became of it. Plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "fetch/fetcher.h"
#include "image/recipe.h"
#include "image/render.h"
#include "storage/blob_store.h"

namespace pixmill::pipeline {

enum class Stage : std::uint8_t { kFetch, kTransform, kStore };
[[nodiscard]] std::string_view stage_name(Stage stage);

// What all pictures of a job share.
struct JobPlan {
  std::string job_id;
  std::string blob_prefix;  // keys of the job begin with it; ends with '/'
  image::Recipe recipe;
  std::vector<fetch::HostHeader> headers;
  // Where the results of the job lie that this one is compared with; null: with this one's.
  std::shared_ptr<storage::BlobStore> earlier_blobs = nullptr;
  bool earlier_is_away = false;  // they cannot be reached: everything is made anew
};

// An output that exists already: for a duplicate of an earlier picture of the same job.
struct StoredOutput {
  std::string rendition;  // "" for the only one
  std::string key;
  std::uint64_t bytes = 0;
  std::uint32_t width_px = 0;
  std::uint32_t height_px = 0;
  image::Format format = image::Format::kJpeg;
  int quality = 0;
  std::string sha256;  // 64 hexadecimal digits
  std::string note;    // "source kept", "first frame of an animation" or empty
};

// What a result was made from, and how: kept with it, so that a later job can tell whether it would come out the same.
struct SourceFacts {
  fetch::SourceVersion version;
  std::string sha256;     // of the source's bytes, 64 hexadecimal digits
  std::string made_with;  // everything but source and recipe that a result depends on
};

// What an earlier job made of the same address by the same recipe.
struct EarlierResult {
  SourceFacts source;
  std::uint64_t bytes_in = 0;
  std::vector<StoredOutput> outputs;
};

struct ItemTask {
  std::shared_ptr<const JobPlan> plan;
  std::uint64_t row = 0;    // from 1, as the user counts
  std::uint32_t index = 0;  // of the URL in its row, from 1
  std::string url;
  std::string output_stem;  // storage/object_name; below the job's folder
  // Set when another item of the job fetched the same address: its outputs are copied instead.
  std::vector<StoredOutput> same_as;
  std::uint64_t same_as_bytes_in = 0;
  // Made true before anything is stored: from then on an item that is aborted may leave a file behind.
  std::shared_ptr<bool> may_have_stored;
  std::shared_ptr<const image::Recipe> recipe = nullptr;  // the row's own; null: the plan's
  // Used when the source has not changed since, and what is stored is still what was stored.
  std::optional<EarlierResult> earlier = std::nullopt;
};

struct StageTimes {
  std::chrono::milliseconds fetch{0};
  std::chrono::milliseconds transform{0};
  std::chrono::milliseconds store{0};
};

struct Succeeded {
  std::uint64_t bytes_in = 0;
  std::vector<StoredOutput> outputs;
  SourceFacts source = {};  // nothing in it for a duplicate
  bool unchanged = false;   // the outputs are those of ItemTask::earlier, under names of their own
};

struct Failed {
  Stage stage = Stage::kFetch;
  Error error;
};

struct Outcome {
  std::variant<Succeeded, Failed> result;
  StageTimes times;
};

}  // namespace pixmill::pipeline
