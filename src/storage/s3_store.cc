#include "storage/s3_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/crypto.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/text.h"
#include "base/wakeup.h"
#include "storage/object_key.h"
#include "storage/s3_xml.h"
#include "storage/take_over.h"

namespace pixmill::storage {

namespace {

constexpr std::size_t kPageMax = 1'000;
constexpr int kEmptyPagesMax = 100;  // of a listing that goes on without saying anything
constexpr int kPutsMax = 4;          // of one blob, because the answers to the earlier ones confirmed nothing
constexpr int kUploadsMax = 3;       // begun for one blob, because an earlier one is not there any more
constexpr std::size_t kRemovalLanes = 16;
constexpr milliseconds kLanePatience = std::chrono::minutes(1);  // after which it only looks again
constexpr std::uint64_t kPageBytesMax = 8u << 20;                // 1,000 keys of 1,024 bytes, percent-encoded

std::string checksum_of(std::string_view bytes) {
  const auto digest = sha256(bytes);
  return to_base64(std::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

bool has_etag(const http::ClientResponse& response) { return !response.headers.get("ETag").value_or("").empty(); }

// The server says that it has other bytes than those it was sent.
bool contradicts(const http::ClientResponse& response, const std::string& checksum) {
  const auto theirs = response.headers.get("x-amz-checksum-sha256");
  return theirs && *theirs != checksum;
}

std::unexpected<Error> unconfirmed() {
  return fail(ErrorCode::kStoreFailed, "The S3 server did not confirm what it was given to store");
}

// What several lanes share while they remove.
struct Removals {
  std::vector<BlobInfo> blobs;
  Wakeup lane_ended;
  std::size_t next = 0;
  std::size_t lanes = 0;
  Result<void> result = {};  // the first error ends them all
};

Task<void> remove_lane(BlobStore& store, std::shared_ptr<Removals> removals) {
  while (removals->result && removals->next < removals->blobs.size()) {
    const std::string key = removals->blobs[removals->next++].key;
    auto removed = co_await store.remove(key);
    if (!removed && removals->result) removals->result = std::move(removed);
  }
  --removals->lanes;
  removals->lane_ended.ring();
}

class S3Store final : public BlobStore {
 public:
  S3Store(S3Parts parts, std::shared_ptr<S3Bucket> bucket, S3StoreOptions options)
      : client_(parts, std::move(bucket), options.patience), options_(std::move(options)) {}

  Task<Result<void>> put(std::string key, std::string_view bytes, std::string media_type) override {
    PIXMILL_CO_TRY(const std::string whole, whole_key(key));
    if (bytes.size() > options_.multipart_above_bytes) {
      co_return co_await put_parts(whole, bytes, std::move(media_type));
    }
    co_return co_await put_whole(whole, bytes, std::move(media_type));
  }

  Task<Result<std::string>> get(std::string key, std::uint64_t bytes_max) override {
    PIXMILL_CO_TRY(const std::string whole, whole_key(key));
    S3Call call{.key = whole, .answer_bytes_max = bytes_max};
    if (options_.checksums) call.headers.emplace_back("x-amz-checksum-mode", "ENABLED");
    PIXMILL_CO_TRY(auto response, co_await ask(std::move(call)));
    const auto theirs = response.headers.get("x-amz-checksum-sha256");
    // "…-3" is a checksum of the checksums of three parts.
    if (theirs && theirs->find('-') == std::string_view::npos && *theirs != checksum_of(response.body)) {
      co_return fail(ErrorCode::kStoreFailed, "A stored file came with other bytes than it was stored with");
    }
    co_return std::move(response.body);
  }

  Task<Result<void>> copy(std::string from, std::string to) override {
    PIXMILL_CO_TRY(const std::string source, whole_key(from));
    PIXMILL_CO_TRY(const std::string target, whole_key(to));
    PIXMILL_CO_TRY(const bool confirmed, co_await copy_object(client_.bucket().address().bucket, source, target, ""));
    if (confirmed) co_return Result<void>();
    co_return co_await confirm_copy(source, target);
  }

  // The server copies, from any bucket that it has.
  Task<Result<bool>> adopt(BlobStore& from, std::string from_key, std::string key, BlobContent content) override {
    auto* const source = dynamic_cast<S3Store*>(&from);
    if (source == nullptr || !source->is_same_server(*this)) co_return false;
    PIXMILL_CO_TRY(const std::string source_key, source->whole_key(from_key));
    PIXMILL_CO_TRY(const std::string target, whole_key(key));
    PIXMILL_CO_TRY(const std::string etag, co_await source->etag_of(from_key, content));
    const std::string& bucket = source->client_.bucket().address().bucket;
    if (bucket == client_.bucket().address().bucket && source_key == target) co_return true;
    PIXMILL_CO_TRY(const bool confirmed, co_await copy_object(bucket, source_key, target, etag));
    if (!confirmed) PIXMILL_CO_RETURN_IF_ERROR(co_await confirm_size(target, content.bytes));
    co_return true;
  }

  Task<Result<BlobInfo>> head(std::string key) override {
    PIXMILL_CO_TRY(const std::string whole, whole_key(key));
    PIXMILL_CO_TRY(const auto bytes, co_await size_of(whole));
    co_return BlobInfo{.key = std::move(key), .bytes = bytes};
  }

  Task<Result<void>> remove(std::string key) override {
    PIXMILL_CO_TRY(const std::string whole, whole_key(key));
    S3Call call{.method = "DELETE", .key = whole, .what = "delete"};
    const auto response = co_await ask(std::move(call));
    if (response || response.error().code == ErrorCode::kNotFound) co_return Result<void>();
    co_return std::unexpected(response.error());
  }

  Task<Result<std::vector<BlobInfo>>> list(std::string prefix, std::string after, std::size_t limit) override {
    std::vector<BlobInfo> found;
    std::string token;
    for (int empty_pages = 0; found.size() < limit && empty_pages < kEmptyPagesMax;) {
      PIXMILL_CO_TRY(auto page, co_await list_page(prefix, after, token, std::min(kPageMax, limit - found.size())));
      empty_pages = page.blobs.empty() ? empty_pages + 1 : 0;
      for (auto& blob : page.blobs) {
        if (!blob.key.starts_with(options_.key_prefix)) co_return outside_listing();
        blob.key.erase(0, options_.key_prefix.size());
        // Whoever asks for the next page by the last key of this one relies on both.
        if (blob.key.starts_with(prefix) && blob.key > after && found.size() < limit) found.push_back(std::move(blob));
      }
      token = std::move(page.continuation_token);
      if (token.empty()) break;
    }
    co_return found;
  }

  // One request for each, several at a time: a request for many at once is not known by every server.
  Task<Result<std::uint64_t>> remove_below(std::string prefix, std::size_t limit) override {
    PIXMILL_CO_RETURN_IF_ERROR(check_folder_key(prefix));
    PIXMILL_CO_TRY(auto found, co_await list(std::move(prefix), "", limit));
    const auto executor = co_await asio::this_coro::executor;
    const auto removals =
        std::make_shared<Removals>(Removals{.blobs = std::move(found), .lane_ended = Wakeup(executor)});
    removals->lanes = std::min(kRemovalLanes, removals->blobs.size());
    for (std::size_t lane = removals->lanes; lane > 0; --lane) {
      asio::co_spawn(executor, remove_lane(*this, removals),
                     [](const std::exception_ptr& error) { PIXMILL_CHECK(error == nullptr); });
    }
    while (removals->lanes > 0) co_await removals->lane_ended.wait(kLanePatience);
    if (!removals->result) co_return std::unexpected(removals->result.error());
    co_return removals->blobs.size();
  }

  std::optional<std::string> local_path(std::string_view /*key*/) const override { return std::nullopt; }

  std::optional<std::string> link(std::string_view key) const override {
    const auto whole = whole_key(std::string(key));
    if (!whole) return std::nullopt;
    return client_.bucket().presigned_url(*whole, options_.link_valid_for);
  }

 private:
  Result<std::string> whole_key(const std::string& key) const {
    PIXMILL_RETURN_IF_ERROR(check_key(key));
    std::string whole = options_.key_prefix + key;
    if (whole.size() > kKeyBytesMax) return refused_key("is longer than 1,024 bytes with the bucket's prefix");
    return whole;
  }

  static std::unexpected<Error> outside_listing() {
    return fail(ErrorCode::kStoreFailed, "The S3 server lists files that were not asked for");
  }

  [[nodiscard]] bool is_same_server(const S3Store& other) const {
    const auto& ours = client_.bucket().address();
    const auto& theirs = other.client_.bucket().address();
    return ours.host_header() == theirs.host_header() && ours.scheme == theirs.scheme;
  }

  // The entity tag of an object that is `content`. Errors: kNotFound when there is none or another.
  Task<Result<std::string>> etag_of(const std::string& key, const BlobContent& content) {
    PIXMILL_CO_TRY(const std::string whole, whole_key(key));
    S3Call call{.method = "HEAD", .key = whole, .what = "head"};
    if (options_.checksums) call.headers.emplace_back("x-amz-checksum-mode", "ENABLED");
    PIXMILL_CO_TRY(const auto head, co_await ask(std::move(call)));
    if (parse_integer(head.headers.get("Content-Length").value_or("")) != static_cast<std::int64_t>(content.bytes)) {
      co_return is_another_blob();
    }
    const std::string_view digest(reinterpret_cast<const char*>(content.sha256.data()), content.sha256.size());
    const auto theirs = head.headers.get("x-amz-checksum-sha256");
    if (theirs && theirs->find('-') == std::string_view::npos) {
      if (*theirs != to_base64(digest)) co_return is_another_blob();
    } else {
      // The server kept no checksum: the bytes have to be looked at.
      const auto bytes = co_await get(key, content.bytes);
      if (!bytes) co_return std::unexpected(bytes.error());
      if (sha256(*bytes) != content.sha256) co_return is_another_blob();
    }
    co_return std::string(head.headers.get("ETag").value_or(""));
  }

  // `if_match`: only while the source has that entity tag; "" for any. False: the answer confirms nothing.
  Task<Result<bool>> copy_object(const std::string& bucket, const std::string& source, const std::string& target,
                                 const std::string& if_match) {
    S3Call call{.method = "PUT", .key = target, .has_xml_answer = true, .what = "copy"};
    call.headers.emplace_back("x-amz-copy-source", fmt::format("/{}/{}", bucket, percent_encode_path(source)));
    if (!if_match.empty()) call.headers.emplace_back("x-amz-copy-source-if-match", if_match);
    PIXMILL_CO_TRY(const auto response, co_await ask(std::move(call)));
    co_return parse_result_etag(response.body).has_value();
  }

  Task<Result<http::ClientResponse>> ask(S3Call call) {
    auto answer = co_await client_.call(std::move(call));
    if (!answer) co_return std::unexpected(std::move(answer).error().error);
    co_return std::move(*answer);
  }

  Task<Result<std::uint64_t>> size_of(const std::string& whole) {
    S3Call call{.method = "HEAD", .key = whole, .what = "head"};
    PIXMILL_CO_TRY(const auto response, co_await ask(std::move(call)));
    const auto bytes = parse_integer(response.headers.get("Content-Length").value_or(""));
    if (!bytes || *bytes < 0) co_return fail(ErrorCode::kStoreFailed, "The S3 server does not tell a file's size");
    co_return static_cast<std::uint64_t>(*bytes);
  }

  Task<Result<S3ListPage>> list_page(const std::string& prefix, const std::string& after, const std::string& token,
                                     std::size_t keys_max) {
    S3Call call{.answer_bytes_max = kPageBytesMax, .has_xml_answer = true, .what = "list"};
    call.query = {{"list-type", "2"}, {"encoding-type", "url"}, {"max-keys", std::to_string(keys_max)}};
    const std::string whole_prefix = options_.key_prefix + prefix;
    if (!whole_prefix.empty()) call.query.emplace_back("prefix", whole_prefix);
    if (!token.empty()) {
      call.query.emplace_back("continuation-token", token);
    } else if (!after.empty()) {
      call.query.emplace_back("start-after", options_.key_prefix + after);
    }
    PIXMILL_CO_TRY(const auto response, co_await ask(std::move(call)));
    auto page = parse_list_page(response.body);
    if (page) co_return std::move(*page);
    co_return fail(ErrorCode::kStoreFailed, page.error().message);
  }

  NameValues headers_for(std::string media_type) const {
    NameValues headers;
    // Pictures are shown, everything else is somebody's data and nothing to be shown from the bucket's origin.
    if (!media_type.starts_with("image/")) headers.emplace_back("Content-Disposition", "attachment");
    headers.emplace_back("Content-Type", std::move(media_type));
    if (!options_.cache_control.empty()) headers.emplace_back("Cache-Control", options_.cache_control);
    return headers;
  }

  // PUT, with the checksum where the server knows what that is.
  Task<S3Client::Answer> put_bytes(S3Call call, std::string checksum) {
    call.method = "PUT";
    if (!options_.checksums) co_return co_await client_.call(std::move(call));
    S3Call with_checksum = call;
    with_checksum.headers.emplace_back("x-amz-checksum-sha256", std::move(checksum));
    auto answer = co_await client_.call(std::move(with_checksum));
    const bool may_be_the_checksum =
        !answer && (answer.error().fault == S3Fault::kNotUnderstood || answer.error().fault == S3Fault::kFailed) &&
        answer.error().error.code == ErrorCode::kStoreFailed;
    if (!may_be_the_checksum) co_return answer;
    auto without = co_await client_.call(std::move(call));
    if (without) {
      options_.checksums = false;
      log::info("s3_without_checksums", {{"detail", answer.error().error.detail}});
    }
    co_return without;
  }

  Task<Result<void>> put_whole(const std::string& whole, std::string_view bytes, std::string media_type) {
    const S3Call call{.key = whole, .headers = headers_for(std::move(media_type)), .body = bytes, .what = "put"};
    const std::string checksum = checksum_of(bytes);
    Result<void> stored = unconfirmed();
    // Swift answers so when another writer of the same key was a moment earlier: then nothing of ours was kept.
    for (int put = 0; put < kPutsMax && !stored && stored.error().code == ErrorCode::kStoreFailed; ++put) {
      auto answer = co_await put_bytes(call, checksum);
      if (!answer) co_return std::unexpected(std::move(answer).error().error);
      if (contradicts(*answer, checksum)) continue;
      if (has_etag(*answer)) co_return Result<void>();
      stored = co_await confirm_size(whole, bytes.size());
    }
    co_return stored;
  }

  // For an answer that says nothing about what was stored, a proxy's perhaps.
  Task<Result<void>> confirm_size(const std::string& whole, std::uint64_t bytes) {
    const auto stored = co_await size_of(whole);
    if (stored && *stored == bytes) co_return Result<void>();
    if (!stored && stored.error().code != ErrorCode::kNotFound) co_return std::unexpected(stored.error());
    co_return unconfirmed();
  }

  Task<Result<void>> confirm_copy(const std::string& source, const std::string& target) {
    PIXMILL_CO_TRY(const auto bytes, co_await size_of(source));
    co_return co_await confirm_size(target, bytes);
  }

  Task<Result<void>> put_parts(const std::string& whole, std::string_view bytes, std::string media_type) {
    for (int upload = 1;; ++upload) {
      auto failure = co_await upload_once(whole, bytes, media_type);
      if (!failure) break;
      if (failure->fault != S3Fault::kNoSuchUpload || upload == kUploadsMax) {
        co_return std::unexpected(std::move(failure->error));
      }
    }
    co_return co_await confirm_size(whole, bytes.size());
  }

  // nullopt when it was completed.
  Task<std::optional<S3Failure>> upload_once(const std::string& whole, std::string_view bytes,
                                             const std::string& media_type) {
    S3Call begin{.method = "POST",
                 .key = whole,
                 .query = {{"uploads", ""}},
                 .headers = headers_for(media_type),
                 .has_xml_answer = true,
                 .what = "multipart_create"};
    const auto begun = co_await client_.call(std::move(begin));
    if (!begun) co_return begun.error();
    const auto id = parse_upload_id(begun->body);
    if (!id)
      co_return S3Failure{.error = {.code = ErrorCode::kStoreFailed, .message = id.error().message, .detail = {}}};
    auto failure = co_await send_parts(whole, bytes, *id);
    if (failure) co_await abort_upload(whole, *id);
    co_return failure;
  }

  Task<std::optional<S3Failure>> send_parts(const std::string& whole, std::string_view bytes, const std::string& id) {
    std::vector<UploadedPart> parts;
    for (std::uint64_t at = 0; at < bytes.size(); at += options_.part_bytes) {
      const int number = static_cast<int>(parts.size()) + 1;
      const auto piece = bytes.substr(at, options_.part_bytes);
      S3Call call{.method = "PUT",
                  .key = whole,
                  .query = {{"partNumber", std::to_string(number)}, {"uploadId", id}},
                  .body = piece,
                  .what = "multipart_part"};
      auto answer = co_await client_.call(std::move(call));
      if (!answer) co_return std::move(answer).error();
      std::string etag(answer->headers.get("ETag").value_or(""));
      if (etag.empty()) co_return S3Failure{.error = unconfirmed().error()};
      parts.push_back({.number = number, .etag = std::move(etag)});
    }
    const std::string list = complete_upload_xml(parts);
    S3Call complete{.method = "POST",
                    .key = whole,
                    .query = {{"uploadId", id}},
                    .headers = {{"Content-Type", "application/xml"}},
                    .body = list,
                    .has_xml_answer = true,
                    .what = "multipart_complete"};
    auto answer = co_await client_.call(std::move(complete));
    if (!answer) co_return std::move(answer).error();
    if (!parse_result_etag(answer->body)) co_return S3Failure{.error = unconfirmed().error()};
    co_return std::nullopt;
  }

  // What cannot be given up now is given up by the bucket's lifecycle rule.
  Task<void> abort_upload(const std::string& whole, const std::string& id) {
    S3Call call{.method = "DELETE", .key = whole, .query = {{"uploadId", id}}, .what = "multipart_abort"};
    const auto answer = co_await client_.call(std::move(call));
    if (!answer && answer.error().fault != S3Fault::kNoSuchUpload) {
      log::warning("s3_upload_left", {{"detail", answer.error().error.detail}});
    }
  }

  S3Client client_;
  S3StoreOptions options_;
};

}  // namespace

std::unique_ptr<BlobStore> make_s3_store(S3Parts parts, std::shared_ptr<S3Bucket> bucket, S3StoreOptions options) {
  return std::make_unique<S3Store>(parts, std::move(bucket), std::move(options));
}

Task<Result<void>> check_bucket(S3Parts parts, std::shared_ptr<S3Bucket> bucket, std::string key_prefix,
                                S3Patience patience) {
  S3Client client(parts, std::move(bucket), patience);
  const std::string key = fmt::format("{}check-{}", key_prefix, Uuid::random().text());
  for (const std::string_view method : {"PUT", "GET", "DELETE"}) {
    S3Call call{.method = std::string(method), .key = key, .body = method == "PUT" ? "pixmill" : "", .what = "check"};
    auto answer = co_await client.call(std::move(call));
    if (answer) continue;
    Error error = std::move(answer.error().error);
    const bool may_pass = answer.error().fault == S3Fault::kAgain;
    error.code = may_pass ? ErrorCode::kUnavailable : ErrorCode::kInvalidArgument;
    co_return std::unexpected(std::move(error));
  }
  co_return Result<void>();
}

}  // namespace pixmill::storage
