#include "api/idempotency.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <utility>
#include <vector>

#include "base/crypto.h"
#include "base/text.h"

namespace pixmill::api {

namespace {

constexpr std::string_view kHeader = "Idempotency-Key";
constexpr std::size_t kPieceBytes = 256u << 10;
constexpr std::size_t kPiecesPerStep = 16;

bool is_printable(char c) { return c > ' ' && c <= '~'; }

Problem wrong_key(std::string_view key) {
  return wrong_parameter(std::string(kHeader), key,
                         fmt::format("one value of 1 to {} printable ASCII characters", kIdempotencyKeyBytesMax));
}

Problem under_way() {
  return {.status = 409,
          .code = "idempotency_key_in_use",
          .detail = "A request with this Idempotency-Key is still under way",
          .hint = "Wait for its answer, or send the same request again.",
          .retry_after = std::chrono::seconds(1)};
}

Problem said_something_else() {
  return {.status = 422,
          .code = "idempotency_key_reused",
          .detail = "This Idempotency-Key came with another request before",
          .hint = "Use a new key for every job; send the same file and fields to get the job of this one."};
}

// With its kind and its length, so that nothing can pass for something else.
void add(Sha256& digest, std::string_view kind, std::string_view text) {
  digest.update(fmt::format("{}:{}:", kind, text.size()));
  digest.update(text);
}

// A file while it goes into a digest.
struct FileDigest {
  Sha256 digest;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{nullptr, std::fclose};
  std::vector<char> piece = std::vector<char>(kPieceBytes);

  // Blocking, some megabytes at a time: others wait for the same thread. True at the end.
  Result<bool> step(const std::string& path) {
    if (!file) file.reset(std::fopen(path.c_str(), "rbe"));
    if (!file) return std::unexpected(errno_error(errno, "The upload cannot be read"));
    for (std::size_t pieces = 0; pieces < kPiecesPerStep; ++pieces) {
      const auto count = std::fread(piece.data(), 1, piece.size(), file.get());
      digest.update({piece.data(), count});
      if (std::ferror(file.get()) != 0) return fail(ErrorCode::kIo, "The upload cannot be read");
      if (count < piece.size()) return true;
    }
    return false;
  }
};

}  // namespace

Checked<std::optional<KeyedRequest>> IdempotencyKeys::begin(const http::Request& request) {
  std::optional<std::string_view> key;
  for (const auto& [name, value] : request.headers.all()) {
    if (!equals_ignoring_case(name, kHeader)) continue;
    if (key) return refuse(wrong_key(value));
    key = value;
  }
  if (!key) return std::nullopt;
  const bool readable =
      !key->empty() && key->size() <= kIdempotencyKeyBytesMax && std::ranges::all_of(*key, is_printable);
  if (!readable) return refuse(wrong_key(*key));
  const JobId id{Uuid::from_digest(hmac_sha256(secret_, fmt::format("job of {}", *key)))};
  if (!under_way_->insert(id).second) return refuse(under_way());
  const auto let_go = [all = under_way_, id](void*) { all->erase(id); };
  return KeyedRequest{.job = id, .hold = std::shared_ptr<void>(nullptr, let_go)};
}

Task<Result<std::string>> digest_of(const Upload& upload, BlockingThread& files) {
  const auto state = std::make_shared<FileDigest>();
  for (const auto& [name, value] : upload.fields) {
    add(state->digest, "field", name);
    add(state->digest, "value", value);
  }
  if (upload.watermark) add(state->digest, "watermark", upload.watermark->bytes);
  if (upload.file) {
    add(state->digest, "file", upload.file->name);
    bool at_end = false;
    while (!at_end) {
      auto step = [state, path = upload.file->spool.path()] { return state->step(path); };
      PIXMILL_CO_TRY(at_end, co_await files.run(std::move(step)));
    }
  }
  co_return to_hex(state->digest.finish());
}

Task<Checked<std::optional<jobs::Job>>> earlier_job(jobs::JobStore& store, JobId id, std::string digest) {
  auto job = co_await store.job(id);
  if (!job && job.error().code == ErrorCode::kNotFound) co_return std::nullopt;
  if (!job) co_return refuse(problem_of(job.error()));
  if (job->source_digest != digest) co_return refuse(said_something_else());
  co_return std::move(*job);
}

}  // namespace pixmill::api
