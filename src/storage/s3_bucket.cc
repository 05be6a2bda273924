#include "storage/s3_bucket.h"

#include <fmt/format.h>

#include "base/crypto.h"
#include "base/text.h"
#include "base/version.h"

namespace pixmill::storage {

Result<std::shared_ptr<S3Bucket>> S3Bucket::create(const S3AddressOptions& address, AwsCredentials credentials,
                                                   const Clock& clock) {
  PIXMILL_TRY(auto where, S3Address::create(address));
  return std::make_shared<S3Bucket>(std::move(where), std::move(credentials), clock);
}

http::ClientRequest S3Bucket::request(const S3Call& call) const {
  RequestToSign to_sign{.method = call.method,
                        .host = address_.host_header(),
                        .path = address_.path(call.key),
                        .query = call.query,
                        .headers = call.headers,
                        .payload = call.body.empty() ? std::string(kEmptyPayload) : to_hex(sha256(call.body))};
  to_sign.headers.emplace_back("x-amz-content-sha256", to_sign.payload);
  http::ClientRequest request;
  request.method = call.method;
  request.scheme = address_.scheme;
  request.host = address_.host;
  request.port = address_.port;
  request.target = percent_encode_path(to_sign.path);
  if (!call.query.empty()) request.target += "?" + canonical_query(call.query);
  const SigningScope scope{.region = address_.region};
  for (auto& [name, value] : signed_headers(std::move(to_sign), credentials_, scope, now())) {
    request.headers.add(std::move(name), std::move(value));
  }
  request.headers.add("User-Agent", fmt::format("Pixmill/{}", kVersion));
  request.body_view = call.body;
  request.body_bytes_max = call.answer_bytes_max;
  request.memory = call.memory;
  return request;
}

std::string S3Bucket::presigned_url(std::string_view key, std::chrono::seconds valid_for) const {
  RequestToSign to_sign{.method = "GET",
                        .host = address_.host_header(),
                        .path = address_.path(key),
                        .query = {},
                        .headers = {},
                        .payload = {}};
  const SigningScope scope{.region = address_.region};
  return fmt::format("{}?{}", address_.url(key),
                     presigned_query(std::move(to_sign), credentials_, scope, valid_for, now()));
}

milliseconds S3Bucket::set_clock(TimePoint server_now) {
  const milliseconds offset = server_now - clock_.now();
  clock_offset_ms_ = offset.count();
  return offset;
}

}  // namespace pixmill::storage
