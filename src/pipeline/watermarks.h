// The files of watermarks: fetched through the guarded fetcher, once per job and process, or uploaded and kept by their
// SHA-256. Nobody here looks into them further than their header; engines decode them. Lives on the loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_budget.h"
#include "base/error.h"
#include "base/task.h"
#include "base/wakeup.h"
#include "engine/pool.h"
#include "fetch/address_policy.h"
#include "fetch/fetcher.h"
#include "image/recipe.h"
#include "storage/blob_store.h"

namespace pixmill::pipeline {

inline constexpr std::uint64_t kMarkFileBytesMax = 10ULL << 20;

[[nodiscard]] bool has_watermark(const image::Recipe& recipe);
// Whether it says `upload`, without a digest.
[[nodiscard]] bool wants_upload(const image::Recipe& recipe);
// `upload` becomes `upload:` and the digest.
void name_upload(image::Recipe& recipe, const std::string& sha256);

// Before a job starts: the addresses of watermarks can be fetched as far as their spelling says (null policy: hosts are
// not looked at), and a file came with the recipe if and only if it says `upload`. Errors: kInvalidArgument.
[[nodiscard]] Result<void> check_watermarks(const image::Recipe& recipe, bool file_given,
                                            const fetch::AddressPolicy* policy);
// Whether a file can be a watermark, by its size and header. Errors: kTooLarge, those of image::read_header.
[[nodiscard]] Result<void> check_mark_file(std::string_view bytes);
// Errors: those of check_mark_file.
[[nodiscard]] Result<std::shared_ptr<const engine::MarkFile>> mark_file(std::string bytes);

// All must outlive it.
struct WatermarkParts {
  fetch::Fetcher& fetcher;
  storage::BlobStore& uploads;  // keys are digests
  ByteBudget& budget;
};

struct WatermarkOptions {
  std::uint64_t bytes_max = 64ULL << 20;  // held at once, besides those in use; the ones used longest ago go
  std::size_t files_max = 1'000;
  // How long a failure is an answer for others too, so that many items do not ask a host the same again and again.
  milliseconds permanent_error_for = std::chrono::seconds(30);
  milliseconds transient_error_for = std::chrono::seconds(2);
};

class Watermarks {
 public:
  Watermarks(Executor executor, WatermarkParts parts, WatermarkOptions options = {});
  ~Watermarks();
  Watermarks(const Watermarks&) = delete;
  Watermarks& operator=(const Watermarks&) = delete;

  // All files that a recipe names; `files` are those that are here already. Items of one job that ask at once cause one
  // request, and get the same bytes until files of other jobs have taken their room. `job` keeps jobs apart, for their
  // headers may differ; `headers` must outlive the task. Errors, each naming the watermark: those of Fetcher::get,
  // kNotFound for an upload that is gone, kInvalidArgument for one that never came, kTooLarge, kStoreFailed.
  [[nodiscard]] Task<Result<engine::MarkFiles>> files_for(const image::Recipe& recipe, std::string job,
                                                          const std::vector<fetch::HostHeader>& headers,
                                                          engine::MarkFiles files);

  // Stores an uploaded file and gives its digest; on the disk when this returns. Errors: those of check_mark_file,
  // kDiskFull, kStoreFailed.
  [[nodiscard]] Task<Result<std::string>> keep(std::string bytes);
  // Errors: kNotFound when a file that the recipe names by its digest was never uploaded; kStoreFailed.
  [[nodiscard]] Task<Result<void>> check_kept(const image::Recipe& recipe);

 private:
  using FilePtr = std::shared_ptr<const engine::MarkFile>;
  struct Entry;
  using EntryPtr = std::shared_ptr<Entry>;

  [[nodiscard]] Task<Result<FilePtr>> file(std::string image, std::string job,
                                           const std::vector<fetch::HostHeader>& headers);
  [[nodiscard]] Task<Result<FilePtr>> bring(const std::string& image, const std::vector<fetch::HostHeader>& headers);
  [[nodiscard]] EntryPtr entry_of(const std::string& key);
  void make_room();

  Executor executor_;
  WatermarkParts parts_;
  WatermarkOptions options_;
  std::map<std::string, EntryPtr, std::less<>> entries_;
  std::uint64_t uses_ = 0;
};

}  // namespace pixmill::pipeline
