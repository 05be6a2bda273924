// Everything that happens to one image, in order. Lives on the loop; any number of items at once, bounded by the byte
// budget.
#pragma once

#include <chrono>
#include <expected>
#include <optional>
#include <vector>

#include "base/byte_budget.h"
#include "base/metrics.h"
#include "base/task.h"
#include "engine/pool.h"
#include "fetch/fetcher.h"
#include "pipeline/item.h"
#include "pipeline/watermarks.h"
#include "storage/blob_store.h"

namespace pixmill::pipeline {

// All must outlive the pipeline.
struct PipelineParts {
  fetch::Fetcher& fetcher;
  engine::Pool& engines;
  storage::BlobStore& blobs;
  ByteBudget& budget;
  Watermarks& watermarks;
  Metrics& metrics;
};

class Pipeline {
 public:
  explicit Pipeline(PipelineParts parts);

  // Never throws; every error is an outcome.
  [[nodiscard]] Task<Outcome> process(ItemTask task);

 private:
  // What the recipe needs besides the picture.
  [[nodiscard]] Task<std::expected<engine::MarkFiles, Failed>> marks_for(const ItemTask& task,
                                                                         const image::Recipe& recipe);
  // Why the item fails with these, as far as engines have found out; nullopt: it does not.
  [[nodiscard]] std::optional<Failed> unusable_mark(const ItemTask& task, const engine::MarkFiles& marks);
  [[nodiscard]] Task<Result<std::vector<StoredOutput>>> store_all(const ItemTask& task,
                                                                  const image::Rendered& rendered);
  [[nodiscard]] Task<Result<std::vector<StoredOutput>>> copy_all(const ItemTask& task);

  // The source, or what is known of it when it has not changed.
  struct Source {
    fetch::Fetched fetched;
    SourceFacts facts;
    std::uint64_t bytes_in = 0;
    std::optional<std::vector<StoredOutput>> reused;  // nothing is left to do
  };
  [[nodiscard]] Task<std::expected<Source, Failed>> get_source(const ItemTask& task, std::string made_with,
                                                               ByteBudget::Grant& memory, StageTimes& times);
  [[nodiscard]] Task<Result<fetch::Fetched>> ask(const ItemTask& task, const fetch::SourceVersion* known,
                                                 ByteBudget::Grant& memory, StageTimes& times);
  // The earlier outputs as this item's own; nullopt when one of them is not there as it was stored.
  [[nodiscard]] Task<Result<std::optional<std::vector<StoredOutput>>>> reuse(const ItemTask& task);

  [[nodiscard]] static Outcome failed(Outcome outcome, Stage stage, Error error);
  [[nodiscard]] static milliseconds timed(const Histogram& histogram, std::chrono::steady_clock::time_point begin);

  // How much memory to set aside for a picture whose size nobody knows yet.
  [[nodiscard]] std::uint64_t expected_bytes() const;
  void learn_size(std::uint64_t bytes);

  PipelineParts parts_;
  double mean_bytes_;  // of sources, the latest weighing most
  Histogram fetch_seconds_;
  Histogram transform_seconds_;
  Histogram store_seconds_;
};

}  // namespace pixmill::pipeline
