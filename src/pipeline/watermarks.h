// The files of watermarks: fetched through the guarded fetcher, once per job and process, or uploaded and kept by their
// SHA-256. Nobody here looks into them further than their header; engines decode them. Their memory is bounded by
// itself: who waits for a part of it holds none of it, and nobody waits for it who holds memory for a picture. Lives on
// the loop.
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

// "the watermark … <verdict>: …", without the query of an address, which may carry a token.
[[nodiscard]] Error about_watermark(const std::string& image, std::string_view verdict, Error error);

// All must outlive it.
struct WatermarkParts {
  fetch::Fetcher& fetcher;
  storage::BlobStore& uploads;  // keys are digests
};

struct WatermarkOptions {
  // Held at once, in use or for those who come; of the latter the ones used longest ago go. Above item_bytes_max by at
  // least kMarkFileBytesMax.
  std::uint64_t bytes_max = 64ULL << 20;
  std::uint64_t item_bytes_max = 32ULL << 20;  // of one picture together
  std::size_t files_max = 1'000;
  // How long a failure is an answer for others too, so that many items do not ask a host the same again and again. One
  // that may pass is for longer each time, a minute at the most, and fails others only when it did not pass this often.
  milliseconds permanent_error_for = std::chrono::seconds(30);
  milliseconds transient_error_for = std::chrono::seconds(2);
  std::uint32_t transient_errors_max = 8;
  // Who may hold a place of the worker for a file that does not come: everyone for a moment, then a few. The others are
  // to come again.
  milliseconds patience = std::chrono::seconds(2);
  std::size_t waiters_max = 8;        // for one file
  std::size_t room_waiters_max = 32;  // for memory
};

class Watermarks {
 public:
  Watermarks(Executor executor, WatermarkParts parts, WatermarkOptions options = {});
  ~Watermarks();
  Watermarks(const Watermarks&) = delete;
  Watermarks& operator=(const Watermarks&) = delete;

  // All files that a recipe names; `files` are those that are here already. Items of one job that ask at once cause one
  // request, and get the same bytes until files of other jobs have taken their room. `job` keeps jobs apart, for their
  // headers may differ; `headers` must outlive the task. Waits for room; what it gives has its room until the last user
  // lets go of it. Errors, each naming the watermark: those of Fetcher::get and check_mark_file, kNotFound for an
  // upload that is gone, kInvalidArgument for one that never came, kTooLarge, kStoreFailed; kCancelled once stop() was
  // called.
  [[nodiscard]] Task<Result<engine::MarkFiles>> files_for(const image::Recipe& recipe, std::string job,
                                                          const std::vector<fetch::HostHeader>& headers,
                                                          engine::MarkFiles files);

  // An engine could not use the file of that digest. True when whoever asks again gets another one: what came from an
  // address may have been damaged on its way, and is fetched once more. False when it came like that twice, or was
  // uploaded.
  [[nodiscard]] bool fetch_again(const std::string& image, const std::string& job, const std::string& sha256);

  // Stores an uploaded file by its digest; on the disk when this returns, whatever was there before. Errors: kDiskFull,
  // kStoreFailed.
  [[nodiscard]] Task<Result<void>> keep(std::shared_ptr<const engine::MarkFile> file);
  // Errors: kNotFound when a file that the recipe names by its digest was never uploaded; kStoreFailed.
  [[nodiscard]] Task<Result<void>> check_kept(const image::Recipe& recipe);

  // Whoever waits for room, or asks for some later, gets kCancelled.
  void stop() { memory_->stop(); }
  [[nodiscard]] std::uint64_t bytes_in_use() const { return memory_->bytes_in_use(); }

 private:
  using FilePtr = std::shared_ptr<const engine::MarkFile>;
  struct Entry;
  using EntryPtr = std::shared_ptr<Entry>;
  class UnderWay;
  class Room;
  struct HeldFile;
  struct Wanted {
    std::string image;
    EntryPtr entry;
  };

  // False when one is not here.
  [[nodiscard]] bool collect(const std::vector<Wanted>& wanted, engine::MarkFiles& files);
  // Brings what nobody else is bringing, or waits for who does.
  [[nodiscard]] Task<Result<std::vector<FilePtr>>> bring_lacking(const std::vector<Wanted>& wanted,
                                                                 const std::vector<fetch::HostHeader>& headers,
                                                                 milliseconds wait_at_most);
  [[nodiscard]] Task<void> wait_for(EntryPtr entry, milliseconds at_most);
  [[nodiscard]] Task<Result<FilePtr>> bring(const Wanted& wanted, const std::vector<fetch::HostHeader>& headers,
                                            std::shared_ptr<Room> room);
  [[nodiscard]] Task<Result<std::string>> read(const std::string& image, const std::vector<fetch::HostHeader>& headers,
                                               Room& room);
  [[nodiscard]] Task<Result<std::shared_ptr<Room>>> take_room(std::uint64_t bytes);
  void remember(Entry& entry, const Result<FilePtr>& brought) const;
  // The failure of an earlier request as others get it, as long as it counts.
  [[nodiscard]] std::optional<Error> failure_of(const Entry& entry) const;
  [[nodiscard]] bool may_wait(const Entry& entry) const;
  [[nodiscard]] EntryPtr entry_of(const std::string& image, const std::string& job);
  void keep_at_hand(Entry& entry, const FilePtr& file);
  void make_room(std::uint64_t bytes);
  void forget_oldest();

  Executor executor_;
  WatermarkParts parts_;
  WatermarkOptions options_;
  std::shared_ptr<ByteBudget> memory_;  // shared with files, which may be the last to go
  std::map<std::string, EntryPtr, std::less<>> entries_;
  std::uint64_t uses_ = 0;
  std::uint32_t waiting_for_room_ = 0;
};

}  // namespace pixmill::pipeline
