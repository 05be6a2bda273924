// One bucket as one identity sees it: makes signed requests and the addresses of its objects. Thread-safe; nothing here
// is ever logged, for it holds the secret.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/byte_budget.h"
#include "base/error.h"
#include "base/time.h"
#include "http/client.h"
#include "storage/s3_address.h"
#include "storage/sigv4.h"

namespace pixmill::storage {

// What is asked of an object, or of the bucket.
struct S3Call {
  std::string method = "GET";
  std::string key = {};  // "": the bucket
  NameValues query = {};
  NameValues headers = {};
  std::string_view body = {};  // must outlive the call
  std::uint64_t answer_bytes_max = 256u << 10;
  ByteBudget::Grant* memory = nullptr;  // for the answer's body; must outlive the call
  bool has_xml_answer = false;
  std::string_view what = "get";  // for metrics
};

class S3Bucket {
 public:
  // `clock` must outlive it. Errors: those of S3Address::create.
  [[nodiscard]] static Result<std::shared_ptr<S3Bucket>> create(const S3AddressOptions& address,
                                                                AwsCredentials credentials, const Clock& clock);
  S3Bucket(S3Address address, AwsCredentials credentials, const Clock& clock)
      : address_(std::move(address)), credentials_(std::move(credentials)), clock_(clock) {}

  [[nodiscard]] const S3Address& address() const { return address_; }
  // Signed as of now; without the addresses to connect to. Its body is the call's, not a copy.
  [[nodiscard]] http::ClientRequest request(const S3Call& call) const;
  [[nodiscard]] std::string presigned_url(std::string_view key, std::chrono::seconds valid_for) const;

  // From now on signatures carry the server's time. Returns how much it differs from ours.
  milliseconds set_clock(TimePoint server_now);
  [[nodiscard]] milliseconds clock_offset() const { return milliseconds(clock_offset_ms_.load()); }

 private:
  [[nodiscard]] TimePoint now() const { return clock_.now() + clock_offset(); }

  const S3Address address_;
  const AwsCredentials credentials_;
  const Clock& clock_;
  std::atomic<std::int64_t> clock_offset_ms_ = 0;
};

}  // namespace pixmill::storage
