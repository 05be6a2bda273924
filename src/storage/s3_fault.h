// The one funnel from what an S3 server answers, and from what the way to it does, to what is to be done about it.
// Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/time.h"
#include "http/client.h"

namespace pixmill::storage {

enum class S3Fault : std::uint8_t {
  kAgain,          // it may go well in a moment: SlowDown, 5xx, resets, timeouts, bytes that changed on the way
  kClockWrong,     // our clock is too far from the server's, whose time came with the answer
  kRefused,        // credentials, bucket or region are wrong: an operator has to act
  kNotFound,       // there is no such object
  kNoSuchUpload,   // the multipart upload is not there (any more)
  kNotUnderstood,  // the server does not know something that was asked for
  kFailed,         // this request cannot succeed, others may
};

// `error.code` is kUnavailable where nothing can be stored at all, until time or an operator mends it, so that work
// waits; kStoreFailed where this object is the trouble; kNotFound, kTooLarge.
struct S3Failure {
  S3Fault fault = S3Fault::kFailed;
  Error error;
  std::optional<TimePoint> server_time = std::nullopt;  // with kClockWrong
};

struct S3Asked {
  std::string bucket;
  std::string region;
  bool has_xml_answer = false;  // of which a status of 200 says nothing yet: it may hold an error
};

// nullopt: the answer is good.
[[nodiscard]] std::optional<S3Failure> failure_of(const http::ClientResponse& response, const S3Asked& asked);
// The request did not come to an answer. kCancelled stays what it is.
[[nodiscard]] S3Failure failure_of(Error error);

}  // namespace pixmill::storage
