// Asks an S3 server until it gives an answer that holds or the time is over: full jitter between the tries, the clock
// set right when the server says that it is wrong. Lives on the loop.
#pragma once

#include <array>
#include <chrono>
#include <expected>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "base/metrics.h"
#include "base/task.h"
#include "http/client.h"
#include "http/resolver.h"
#include "storage/s3_bucket.h"
#include "storage/s3_fault.h"

namespace pixmill::storage {

// All must outlive it. The client connects to wherever the operator's endpoint is: it must not be the one that fetches
// what users name.
struct S3Parts {
  http::Client& client;
  http::Resolver& resolver;
  Metrics& metrics;
};

struct S3Patience {
  milliseconds attempt = std::chrono::seconds(30);   // one request, besides what its bytes take
  milliseconds deadline = std::chrono::seconds(60);  // all of them together, likewise
  milliseconds connect = std::chrono::seconds(5);
  milliseconds backoff_base{50};
  milliseconds backoff_ceiling{5'000};
};

class S3Client {
 public:
  S3Client(S3Parts parts, std::shared_ptr<S3Bucket> bucket, S3Patience patience);

  using Answer = std::expected<http::ClientResponse, S3Failure>;
  // A good answer, or why there is none.
  [[nodiscard]] Task<Answer> call(S3Call call);

  [[nodiscard]] const S3Bucket& bucket() const { return *bucket_; }

 private:
  [[nodiscard]] Task<Answer> try_once(const S3Call& call, milliseconds time_left);
  [[nodiscard]] Task<Result<http::ClientResponse>> send(http::ClientRequest request);
  [[nodiscard]] bool set_clock(const S3Failure& failure);
  [[nodiscard]] milliseconds pause_after(int attempt, const S3Failure& failure);
  void count(const S3Call& call, std::string_view result, std::chrono::steady_clock::time_point began);

  S3Parts parts_;
  std::shared_ptr<S3Bucket> bucket_;
  S3Patience patience_;
  std::mt19937_64 random_{std::random_device{}()};
  Gauge clock_offset_;
  std::map<std::string, Counter> counters_;   // by operation and result
  std::map<std::string, Histogram> seconds_;  // by operation
};

}  // namespace pixmill::storage
