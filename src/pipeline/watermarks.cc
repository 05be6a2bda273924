#include "pipeline/watermarks.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>
#include <utility>

#include "base/crypto.h"
#include "base/text.h"
#include "fetch/source_url.h"
#include "image/format.h"

namespace pixmill::pipeline {

namespace {

using Clock = std::chrono::steady_clock;

constexpr milliseconds kWaitAtMost{120'000};  // longer than a fetch and the wait for its turn may take
constexpr milliseconds kComeAgainIn{2'000};
constexpr milliseconds kTransientErrorMost{60'000};

milliseconds left_until(Clock::time_point when) {
  return std::chrono::duration_cast<milliseconds>(when - Clock::now());
}

// Nothing was learnt about the item that asks.
std::unexpected<Error> come_again(std::string message, milliseconds in) {
  Error error{.code = ErrorCode::kUnavailable, .message = std::move(message), .detail = {}};
  error.retry_after = std::chrono::ceil<std::chrono::seconds>(in);
  return std::unexpected(std::move(error));
}

// Its outcome says nothing about the watermark: whoever comes next tries anew.
bool is_about_this_process(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kCancelled;
}

// The digest of "upload:<digest>"; empty for anything else.
std::string_view digest_of(std::string_view image) {
  if (!image.starts_with(image::kUploadedWatermark)) return {};
  return image.size() > image::kUploadedWatermark.size() ? image.substr(image::kUploadedWatermark.size() + 1)
                                                         : std::string_view();
}

bool is_uploaded(std::string_view image) { return image.starts_with(image::kUploadedWatermark); }

std::string shown_name(const std::string& image) {
  const auto url = fetch::parse_source_url(image);
  return url ? fetch::loggable(*url) : image;
}

std::unexpected<Error> unusable(std::string message) {
  return fail(ErrorCode::kInvalidArgument, fmt::format("recipe field \"watermark\": {}", message));
}

std::unexpected<Error> too_large(std::uint64_t bytes, std::uint64_t allowed_bytes) {
  return fail(ErrorCode::kTooLarge, fmt::format("the watermarks have {}; at most {} are allowed", format_bytes(bytes),
                                                format_bytes(allowed_bytes)));
}

}  // namespace

Error about_watermark(const std::string& image, std::string_view verdict, Error error) {
  error.message = fmt::format("the watermark {} {}: {}", shown_name(image), verdict, error.message);
  return error;
}

bool has_watermark(const image::Recipe& recipe) {
  return std::ranges::any_of(recipe.outputs, [](const auto& output) { return output.watermark.has_value(); });
}

bool wants_upload(const image::Recipe& recipe) {
  return std::ranges::any_of(recipe.outputs, [](const auto& output) {
    return output.watermark && output.watermark->image == image::kUploadedWatermark;
  });
}

void name_upload(image::Recipe& recipe, const std::string& sha256) {
  for (auto& output : recipe.outputs) {
    if (!output.watermark || output.watermark->image != image::kUploadedWatermark) continue;
    output.watermark->image += ":" + sha256;
  }
}

Result<void> check_watermarks(const image::Recipe& recipe, bool file_given, const fetch::AddressPolicy* policy) {
  const bool wanted = wants_upload(recipe);
  if (wanted && !file_given) return unusable("it says upload, and no file came with the recipe");
  if (file_given && !wanted)
    return unusable("a file came with the recipe, which does not use it; say watermark=upload");
  for (const auto& output : recipe.outputs) {
    if (!output.watermark || output.watermark->image.starts_with(image::kUploadedWatermark)) continue;
    const auto url = fetch::parse_source_url(output.watermark->image);
    if (!url) return unusable(url.error().message);
    if (!url->literal || policy == nullptr) continue;
    const auto allowed = policy->check(*url->literal, url->port);
    if (!allowed) return unusable(allowed.error().message);
  }
  return {};
}

Result<std::shared_ptr<const engine::MarkFile>> mark_file(std::string bytes) {
  PIXMILL_RETURN_IF_ERROR(check_mark_file(bytes));
  auto file = std::make_shared<engine::MarkFile>();
  file->sha256 = to_hex(sha256(bytes));
  file->bytes = std::move(bytes);
  return file;
}

Result<void> check_mark_file(std::string_view bytes) {
  if (bytes.size() > kMarkFileBytesMax) {
    return fail(ErrorCode::kTooLarge, fmt::format("a watermark may have {}; this one has {}",
                                                  format_bytes(kMarkFileBytesMax), format_bytes(bytes.size())));
  }
  const auto header = image::read_header(bytes);
  if (!header) return std::unexpected(header.error());
  return {};
}

// One file and who waits for it.
struct Watermarks::Entry {
  std::weak_ptr<const engine::MarkFile> file;
  FilePtr kept;  // the same, for those who come, while nobody waits for room
  std::optional<Error> error;
  Clock::time_point error_until;
  std::uint32_t transient_errors = 0;  // in a row
  std::string doubted;                 // digest of a file that could not be used
  bool under_way = false;
  Clock::time_point begun_at;  // when it is under way
  std::uint64_t used_at = 0;
  std::list<asio::steady_timer*> waiters;  // cancelled to wake
};

// Ends when the entry is no longer under way, or after `at_most`.
Task<void> Watermarks::wait_for(EntryPtr entry, milliseconds at_most) {
  asio::steady_timer timer(executor_, at_most);
  struct Place {
    std::list<asio::steady_timer*>& waiters;
    std::list<asio::steady_timer*>::iterator at;
    Place(Entry& which, asio::steady_timer& timer)
        : waiters(which.waiters), at(waiters.insert(waiters.end(), &timer)) {}
    ~Place() { waiters.erase(at); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
  } const place(*entry, timer);
  boost::system::error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

// However it ends, by an error or because its item was cancelled, those who wait look again, and one of them takes
// over.
class Watermarks::UnderWay {
 public:
  explicit UnderWay(EntryPtr entry) : entry_(std::move(entry)) {
    entry_->under_way = true;
    entry_->begun_at = Clock::now();
  }
  ~UnderWay() {
    entry_->under_way = false;
    for (auto* waiter : entry_->waiters) waiter->cancel();
  }
  UnderWay(const UnderWay&) = delete;
  UnderWay& operator=(const UnderWay&) = delete;

 private:
  EntryPtr entry_;
};

// The memory of files that are brought together: first of as many bytes as there may come, then of those that are
// there.
class Watermarks::Room {
 public:
  Room(std::shared_ptr<ByteBudget> memory, ByteBudget::Grant grant)
      : memory_(std::move(memory)), grant_(std::move(grant)) {}
  [[nodiscard]] ByteBudget::Grant& grant() { return grant_; }
  [[nodiscard]] std::uint64_t used_bytes() const { return used_bytes_; }
  void use(std::uint64_t bytes) { used_bytes_ += bytes; }
  void give_back(std::uint64_t bytes) {
    used_bytes_ -= bytes;
    if (complete_) grant_.resize(used_bytes_);
  }
  void complete() {
    complete_ = true;
    grant_.resize(used_bytes_);
  }

 private:
  std::shared_ptr<ByteBudget> memory_;
  ByteBudget::Grant grant_;
  std::uint64_t used_bytes_ = 0;
  bool complete_ = false;
};

struct Watermarks::HeldFile {
  HeldFile(std::shared_ptr<Room> its_room, std::string bytes) : room(std::move(its_room)) {
    file.sha256 = to_hex(sha256(bytes));
    file.bytes = std::move(bytes);
    room->use(file.bytes.size());
  }
  ~HeldFile() { room->give_back(file.bytes.size()); }
  HeldFile(const HeldFile&) = delete;
  HeldFile& operator=(const HeldFile&) = delete;

  std::shared_ptr<Room> room;
  engine::MarkFile file;
};

Watermarks::Watermarks(Executor executor, WatermarkParts parts, WatermarkOptions options)
    : executor_(std::move(executor)),
      parts_(parts),
      options_(options),
      memory_(std::make_shared<ByteBudget>(executor_, options_.bytes_max)) {}

Watermarks::~Watermarks() = default;

Watermarks::EntryPtr Watermarks::entry_of(const std::string& image, const std::string& job) {
  // Uploads are the same for every job.
  const std::string key = digest_of(image).empty() ? job + "\n" + image : image;
  auto& entry = entries_[key];
  if (!entry) entry = std::make_shared<Entry>();
  entry->used_at = ++uses_;
  const EntryPtr found = entry;
  if (entries_.size() > options_.files_max) forget_oldest();
  return found;
}

// One that nobody works with.
void Watermarks::forget_oldest() {
  auto oldest = entries_.end();
  for (auto at = entries_.begin(); at != entries_.end(); ++at) {
    const bool idle = at->second.use_count() == 1 && at->second->file.use_count() <= (at->second->kept ? 1 : 0);
    if (idle && (oldest == entries_.end() || at->second->used_at < oldest->second->used_at)) oldest = at;
  }
  if (oldest != entries_.end()) entries_.erase(oldest);
}

void Watermarks::keep_at_hand(Entry& entry, const FilePtr& file) {
  if (waiting_for_room_ == 0) entry.kept = file;
}

// Lets go of files that nobody uses until there are `bytes` more. Where that is not enough, or others wait already, all
// go with their last user.
void Watermarks::make_room(std::uint64_t bytes) {
  const auto fits = [&] { return memory_->bytes_in_use() + bytes <= options_.bytes_max; };
  while (waiting_for_room_ == 0 && !fits()) {
    Entry* oldest = nullptr;
    for (const auto& [key, entry] : entries_) {
      const bool idle = entry->kept && entry->kept.use_count() == 1;
      if (idle && (oldest == nullptr || entry->used_at < oldest->used_at)) oldest = entry.get();
    }
    if (oldest == nullptr) break;
    oldest->kept.reset();
  }
  if (waiting_for_room_ == 0 && fits()) return;
  for (const auto& [key, entry] : entries_) entry->kept.reset();
}

Task<Result<engine::MarkFiles>> Watermarks::files_for(const image::Recipe& recipe, std::string job,
                                                      const std::vector<fetch::HostHeader>& headers,
                                                      engine::MarkFiles files) {
  std::vector<Wanted> wanted;
  for (const auto& output : recipe.outputs) {
    if (!output.watermark || files.contains(output.watermark->image)) continue;
    const std::string& image = output.watermark->image;
    if (std::ranges::find(wanted, image, &Wanted::image) != wanted.end()) continue;
    wanted.push_back({.image = image, .entry = entry_of(image, job)});
  }
  const auto give_up_at = Clock::now() + kWaitAtMost;
  std::vector<FilePtr> brought;
  while (!collect(wanted, files)) {
    brought.clear();  // nobody waits who holds some
    const milliseconds left = left_until(give_up_at);
    if (left <= milliseconds(0)) co_return come_again("the watermarks do not come", kComeAgainIn);
    PIXMILL_CO_TRY(brought, co_await bring_lacking(wanted, headers, left));
  }
  std::uint64_t bytes = 0;
  for (const auto& [image, file] : files) bytes += file->bytes.size();
  if (bytes > options_.item_bytes_max) co_return too_large(bytes, options_.item_bytes_max);
  co_return files;
}

bool Watermarks::collect(const std::vector<Wanted>& wanted, engine::MarkFiles& files) {
  engine::MarkFiles found = files;
  for (const auto& [image, entry] : wanted) {
    const FilePtr file = entry->file.lock();
    if (!file) return false;
    keep_at_hand(*entry, file);
    found.insert_or_assign(image, file);
  }
  files = std::move(found);
  return true;
}

Task<Result<std::vector<Watermarks::FilePtr>>> Watermarks::bring_lacking(const std::vector<Wanted>& wanted,
                                                                         const std::vector<fetch::HostHeader>& headers,
                                                                         milliseconds wait_at_most) {
  std::vector<FilePtr> brought;
  std::vector<Wanted> lacking;
  std::uint64_t bytes_here = 0;
  for (const auto& one : wanted) {
    if (one.entry->under_way) {
      if (!may_wait(*one.entry)) {
        co_return come_again(fmt::format("the watermark {} is still under way", shown_name(one.image)), kComeAgainIn);
      }
      const milliseconds patience = left_until(one.entry->begun_at + options_.patience);
      co_await wait_for(one.entry, patience > milliseconds(0) ? patience : wait_at_most);
      co_return brought;
    }
    if (const FilePtr file = one.entry->file.lock()) {
      bytes_here += file->bytes.size();
      continue;
    }
    if (auto failure = failure_of(*one.entry)) co_return std::unexpected(std::move(*failure));
    lacking.push_back(one);
  }
  std::list<UnderWay> under_way;
  for (const auto& one : lacking) under_way.emplace_back(one.entry);
  // One more file than there may be, for its size is known when it is there.
  const std::uint64_t bytes = std::min(lacking.size() * kMarkFileBytesMax, options_.item_bytes_max + kMarkFileBytesMax);
  PIXMILL_CO_TRY(const auto room, co_await take_room(bytes));
  const std::unique_ptr<Room, void (*)(Room*)> complete(room.get(), [](Room* done) { done->complete(); });
  for (const auto& one : lacking) {
    const std::uint64_t together = bytes_here + room->used_bytes();
    if (together > options_.item_bytes_max) co_return too_large(together, options_.item_bytes_max);
    auto file = co_await bring(one, headers, room);
    remember(*one.entry, file);
    if (!file) co_return std::unexpected(std::move(file.error()));
    keep_at_hand(*one.entry, *file);
    brought.push_back(std::move(*file));
    under_way.pop_front();
  }
  co_return brought;
}

Task<Result<std::shared_ptr<Watermarks::Room>>> Watermarks::take_room(std::uint64_t bytes) {
  make_room(bytes);
  if (waiting_for_room_ >= options_.room_waiters_max) {
    co_return come_again("there is no memory for the watermark at the moment", kComeAgainIn);
  }
  struct Waiting {
    std::uint32_t& count;
    explicit Waiting(std::uint32_t& waiting) : count(waiting) { ++count; }
    ~Waiting() { --count; }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
  } const waiting(waiting_for_room_);
  PIXMILL_CO_TRY(auto grant, co_await memory_->take(bytes));
  co_return std::make_shared<Room>(memory_, std::move(grant));
}

Task<Result<Watermarks::FilePtr>> Watermarks::bring(const Wanted& wanted, const std::vector<fetch::HostHeader>& headers,
                                                    std::shared_ptr<Room> room) {
  const auto& [image, entry] = wanted;
  auto bytes = co_await read(image, headers, *room);
  if (!bytes) co_return std::unexpected(about_watermark(image, "cannot be had", std::move(bytes.error())));
  if (auto good = check_mark_file(*bytes); !good) {
    Error error = about_watermark(image, "cannot be used", std::move(good.error()));
    std::string digest = to_hex(sha256(*bytes));
    // A transfer may end early without a word, but hardly twice at the same byte.
    const bool is_lasting = is_uploaded(image) || entry->doubted == digest;
    if (error.code == ErrorCode::kTruncated && is_lasting) error.code = ErrorCode::kDecodeFailed;
    entry->doubted = std::move(digest);
    co_return std::unexpected(std::move(error));
  }
  const auto held = std::make_shared<HeldFile>(std::move(room), std::move(*bytes));
  FilePtr file(held, &held->file);
  if (is_uploaded(image) && file->sha256 != digest_of(image)) {
    Error error{.code = ErrorCode::kStoreFailed, .message = "the stored file is not what was uploaded", .detail = {}};
    co_return std::unexpected(about_watermark(image, "cannot be had", std::move(error)));
  }
  co_return file;
}

Task<Result<std::string>> Watermarks::read(const std::string& image, const std::vector<fetch::HostHeader>& headers,
                                           Room& room) {
  if (image == image::kUploadedWatermark) {
    co_return fail(ErrorCode::kInvalidArgument, "it was to be uploaded with the job, and was not");
  }
  if (is_uploaded(image)) co_return co_await parts_.uploads.get(std::string(digest_of(image)), kMarkFileBytesMax);
  PIXMILL_CO_TRY(auto fetched, co_await parts_.fetcher.get(image, headers, &room.grant()));
  co_return std::move(fetched.bytes);
}

void Watermarks::remember(Entry& entry, const Result<FilePtr>& brought) const {
  if (brought) {
    entry.file = *brought;
    entry.error.reset();
    entry.transient_errors = 0;
    return;
  }
  const Error& error = brought.error();
  if (is_about_this_process(error)) return;
  entry.error = error;
  milliseconds counts_for = options_.permanent_error_for;
  if (is_transient(error.code) && ++entry.transient_errors < options_.transient_errors_max) {
    const std::uint32_t doublings = std::min<std::uint32_t>(entry.transient_errors - 1, 10);
    counts_for = std::min(options_.transient_error_for * (1U << doublings), kTransientErrorMost);
    if (error.retry_after)
      counts_for = std::max(counts_for, std::min<milliseconds>(*error.retry_after, kTransientErrorMost));
  }
  entry.error_until = Clock::now() + counts_for;
}

std::optional<Error> Watermarks::failure_of(const Entry& entry) const {
  const milliseconds left = left_until(entry.error_until);
  if (!entry.error || left <= milliseconds(0)) return std::nullopt;
  const bool may_pass = is_transient(entry.error->code) && entry.transient_errors < options_.transient_errors_max;
  return may_pass ? come_again(entry.error->message, left).error() : *entry.error;
}

bool Watermarks::may_wait(const Entry& entry) const {
  return entry.waiters.size() < options_.waiters_max ||
         left_until(entry.begun_at + options_.patience) > milliseconds(0);
}

bool Watermarks::fetch_again(const std::string& image, const std::string& job, const std::string& sha256) {
  if (is_uploaded(image)) return false;
  const EntryPtr entry = entry_of(image, job);
  const FilePtr file = entry->file.lock();
  const bool is_here = file && file->sha256 == sha256;
  if (entry->doubted == sha256) return !is_here;
  entry->doubted = sha256;
  if (is_here) {
    entry->file.reset();
    entry->kept.reset();
  }
  return true;
}

Task<Result<void>> Watermarks::keep(std::shared_ptr<const engine::MarkFile> file) {
  // Also over what is there, which may be damaged.
  PIXMILL_CO_RETURN_IF_ERROR(co_await parts_.uploads.put(file->sha256, file->bytes, "application/octet-stream"));
  // That it was not there is no answer any more.
  entries_.erase(fmt::format("{}:{}", image::kUploadedWatermark, file->sha256));
  co_return Result<void>();
}
Task<Result<void>> Watermarks::check_kept(const image::Recipe& recipe) {
  for (const auto& output : recipe.outputs) {
    const std::string digest(output.watermark ? digest_of(output.watermark->image) : "");
    if (digest.empty()) continue;
    const auto there = co_await parts_.uploads.head(digest);
    if (there) continue;
    if (there.error().code != ErrorCode::kNotFound) co_return std::unexpected(there.error());
    co_return fail(ErrorCode::kNotFound, fmt::format("no watermark {} was uploaded here; send the file", digest));
  }
  co_return Result<void>();
}

}  // namespace pixmill::pipeline
