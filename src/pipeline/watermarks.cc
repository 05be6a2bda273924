#include "pipeline/watermarks.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/crypto.h"
#include "base/text.h"
#include "fetch/source_url.h"
#include "image/format.h"

namespace pixmill::pipeline {

namespace {

using Clock = std::chrono::steady_clock;

constexpr milliseconds kWaitAtMost{120'000};  // longer than a fetch and the wait for its turn may take
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

// Without the query of an address, which may carry a token.
std::string shown_name(const std::string& image) {
  const auto url = fetch::parse_source_url(image);
  return url ? fetch::loggable(*url) : image;
}

std::unexpected<Error> named(const std::string& image, Error error) {
  error.message = fmt::format("the watermark {} cannot be had: {}", shown_name(image), error.message);
  return std::unexpected(std::move(error));
}

std::unexpected<Error> unusable(std::string message) {
  return fail(ErrorCode::kInvalidArgument, fmt::format("recipe field \"watermark\": {}", message));
}

}  // namespace

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
  explicit Entry(const Executor& executor) : bell(executor) {}

  FilePtr file;
  std::optional<Error> error;
  Clock::time_point error_until;
  bool under_way = false;
  std::uint64_t used_at = 0;
  Wakeup bell;
};

Watermarks::Watermarks(Executor executor, WatermarkParts parts, WatermarkOptions options)
    : executor_(std::move(executor)), parts_(parts), options_(options) {}

Watermarks::~Watermarks() = default;

Watermarks::EntryPtr Watermarks::entry_of(const std::string& key) {
  auto& entry = entries_[key];
  if (!entry) entry = std::make_shared<Entry>(executor_);
  entry->used_at = ++uses_;
  return entry;
}

void Watermarks::make_room() {
  std::uint64_t bytes = 0;
  for (const auto& [key, entry] : entries_) bytes += entry->file ? entry->file->bytes.size() : 0;
  while (bytes > options_.bytes_max || entries_.size() > options_.files_max) {
    auto oldest = entries_.end();
    for (auto at = entries_.begin(); at != entries_.end(); ++at) {
      const bool idle = !at->second->under_way;
      if (idle && (oldest == entries_.end() || at->second->used_at < oldest->second->used_at)) oldest = at;
    }
    if (oldest == entries_.end()) return;
    bytes -= oldest->second->file ? oldest->second->file->bytes.size() : 0;
    entries_.erase(oldest);
  }
}

Task<Result<engine::MarkFiles>> Watermarks::files_for(const image::Recipe& recipe, std::string job,
                                                      const std::vector<fetch::HostHeader>& headers,
                                                      engine::MarkFiles files) {
  for (const auto& output : recipe.outputs) {
    if (!output.watermark || files.contains(output.watermark->image)) continue;
    const std::string image = output.watermark->image;
    auto brought = co_await file(image, job, headers);
    if (!brought) co_return named(image, std::move(brought.error()));
    files.emplace(image, std::move(*brought));
  }
  co_return files;
}

// The first one brings the file, the others wait for it. Should the first one's coroutine end before, by an error or
// because its item was cancelled, the next one takes over.
Task<Result<Watermarks::FilePtr>> Watermarks::file(std::string image, std::string job,
                                                   const std::vector<fetch::HostHeader>& headers) {
  // Uploads are the same for every job.
  const std::string key = digest_of(image).empty() ? job + "\n" + image : image;
  const EntryPtr entry = entry_of(key);
  const auto give_up_at = Clock::now() + kWaitAtMost;
  while (entry->under_way) {
    const auto left = std::chrono::duration_cast<milliseconds>(give_up_at - Clock::now());
    if (left <= milliseconds(0)) co_return fail(ErrorCode::kTimeout, "it did not come in time");
    co_await entry->bell.wait(left);
  }
  if (entry->file) co_return entry->file;
  if (entry->error && Clock::now() < entry->error_until) co_return std::unexpected(*entry->error);

  struct UnderWay {
    Entry& entry;
    explicit UnderWay(Entry& which) : entry(which) { entry.under_way = true; }
    ~UnderWay() {
      entry.under_way = false;
      entry.bell.ring();
    }
    UnderWay(const UnderWay&) = delete;
    UnderWay& operator=(const UnderWay&) = delete;
  } const under_way(*entry);
  auto brought = co_await bring(image, headers);
  if (brought) {
    entry->file = *brought;
    entry->error.reset();
  } else if (!is_about_this_process(brought.error())) {
    const bool lasting = !is_transient(brought.error().code);
    entry->error = brought.error();
    entry->error_until = Clock::now() + (lasting ? options_.permanent_error_for : options_.transient_error_for);
  }
  make_room();
  co_return brought;
}

Task<Result<Watermarks::FilePtr>> Watermarks::bring(const std::string& image,
                                                    const std::vector<fetch::HostHeader>& headers) {
  auto file = std::make_shared<engine::MarkFile>();
  const std::string digest(digest_of(image));
  if (image == image::kUploadedWatermark) {
    co_return fail(ErrorCode::kInvalidArgument, "it was to be uploaded with the job, and was not");
  }
  if (!digest.empty()) {
    PIXMILL_CO_TRY(file->bytes, co_await parts_.uploads.get(digest, kMarkFileBytesMax));
    file->sha256 = to_hex(sha256(file->bytes));
    if (file->sha256 != digest) co_return fail(ErrorCode::kStoreFailed, "the stored file is not what was uploaded");
    co_return file;
  }
  // Given back when it is here: what is held then is bounded by itself.
  PIXMILL_CO_TRY(auto memory, co_await parts_.budget.take(kMarkFileBytesMax));
  PIXMILL_CO_TRY(auto fetched, co_await parts_.fetcher.get(image, headers, &memory));
  if (fetched.bytes.size() > kMarkFileBytesMax) {
    co_return fail(ErrorCode::kTooLarge,
                   fmt::format("the file has {}; at most {} are allowed", format_bytes(fetched.bytes.size()),
                               format_bytes(kMarkFileBytesMax)));
  }
  file->bytes = std::move(fetched.bytes);
  file->sha256 = to_hex(sha256(file->bytes));
  co_return file;
}

Task<Result<std::string>> Watermarks::keep(std::string bytes) {
  if (const auto good = check_mark_file(bytes); !good) co_return std::unexpected(good.error());
  std::string digest = to_hex(sha256(bytes));
  const auto there = co_await parts_.uploads.head(digest);
  if (there && there->bytes == bytes.size()) co_return digest;
  PIXMILL_CO_RETURN_IF_ERROR(co_await parts_.uploads.put(digest, bytes, "application/octet-stream"));
  co_return digest;
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
