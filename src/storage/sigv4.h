// AWS Signature Version 4 for S3, in its two forms: headers and presigned addresses. Pure functions; any thread.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"

namespace pixmill::storage {

using NameValues = std::vector<std::pair<std::string, std::string>>;

struct AwsCredentials {
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token = {};  // "" for lasting credentials
};

struct SigningScope {
  std::string region;
  std::string service = "s3";
};

// Everything as it is meant, nothing percent-encoded: what is signed and what is sent are made from this one value.
struct RequestToSign {
  std::string method;
  std::string host;     // as the Host header says it: with its port unless that is the scheme's own
  std::string path;     // begins with '/'; S3 does not normalise it, so "a//b" and "a/../b" are keys of their own
  NameValues query;     // a parameter without a value has an empty one
  NameValues headers;   // that are sent besides Host; all of them are signed
  std::string payload;  // SHA-256 of the body in hexadecimal, or kUnsignedPayload
};

inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";
inline constexpr std::string_view kEmptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
inline constexpr std::chrono::seconds kPresignedMax = std::chrono::days(7);  // what S3 accepts

// "20130524T000000Z".
[[nodiscard]] std::string amz_date(TimePoint at);

// Percent-encoded and in the order that is signed; this very text has to be sent.
[[nodiscard]] std::string canonical_query(const NameValues& query);
[[nodiscard]] std::string canonical_request(const RequestToSign& request);

// The headers to send besides Host: those of the request, x-amz-date, x-amz-security-token with temporary credentials,
// and Authorization. S3 also wants x-amz-content-sha256 among the request's own.
[[nodiscard]] NameValues signed_headers(RequestToSign request, const AwsCredentials& credentials,
                                        const SigningScope& scope, TimePoint at);

// The query (without '?') of an address that needs no headers; `request.payload` does not matter, nobody can know it.
// `valid_for` is held to [1 s, kPresignedMax]; temporary credentials end it earlier.
[[nodiscard]] std::string presigned_query(RequestToSign request, const AwsCredentials& credentials,
                                          const SigningScope& scope, std::chrono::seconds valid_for, TimePoint at);

}  // namespace pixmill::storage
