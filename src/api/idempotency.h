// POST /v1/jobs with an Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07): one key, one job, however often
// the request comes.
//
// The job's id is made from the key, so that the store's own uniqueness decides, on however many servers, and a kill
// forgets nothing. What came with the key is remembered by its digest (Job::source_digest). A key is free again when
// its job was removed, or when nothing came of its request.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>

#include "api/context.h"
#include "api/upload.h"
#include "base/ids.h"

namespace pixmill::api {

inline constexpr std::size_t kIdempotencyKeyBytesMax = 255;

// A request that has a key, while it is under way.
struct KeyedRequest {
  JobId job;
  std::shared_ptr<void> hold;  // until it goes, others with the same key are refused
};

// Lives on the loop.
class IdempotencyKeys {
 public:
  // `secret`: without it nobody can tell a job's id from its key.
  explicit IdempotencyKeys(std::string secret) : secret_(std::move(secret)) {}

  // nullopt for a request without a key. Problems: 400 for one that is not 1 to kIdempotencyKeyBytesMax printable ASCII
  // characters, or comes twice, 409 while another request with it is under way here.
  [[nodiscard]] Checked<std::optional<KeyedRequest>> begin(const http::Request& request);

 private:
  std::string secret_;
  std::shared_ptr<std::set<JobId>> under_way_ = std::make_shared<std::set<JobId>>();
};

// Hex SHA-256 of everything the form says. Errors: kIo.
[[nodiscard]] Task<Result<std::string>> digest_of(const Upload& upload, BlockingThread& files);

// The job that an earlier request with the key has made; nullopt when there is none. Problem: 422 when that request
// said something else; the store's.
[[nodiscard]] Task<Checked<std::optional<jobs::Job>>> earlier_job(jobs::JobStore& store, JobId id, std::string digest);

}  // namespace pixmill::api
