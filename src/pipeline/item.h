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

namespace pixmill::pipeline {

enum class Stage : std::uint8_t { kFetch, kTransform, kStore };
[[nodiscard]] std::string_view stage_name(Stage stage);

// What all pictures of a job share.
struct JobPlan {
  std::string job_id;
  std::string blob_prefix;  // keys of the job begin with it; ends with '/'
  image::Recipe recipe;
  std::vector<fetch::HostHeader> headers;
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
};

struct StageTimes {
  std::chrono::milliseconds fetch{0};
  std::chrono::milliseconds transform{0};
  std::chrono::milliseconds store{0};
};

struct Succeeded {
  std::uint64_t bytes_in = 0;
  std::vector<StoredOutput> outputs;
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
