#include "storage/s3_fault.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/http_time.h"
#include "storage/s3_xml.h"

namespace pixmill::storage {

namespace {

constexpr std::chrono::seconds kRetryAfterMax{60};

struct KnownCode {
  std::string_view code;
  S3Fault fault;
  ErrorCode error;
};

// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html and what MinIO, Ceph and Swift add.
constexpr KnownCode kKnownCodes[] = {
    {"AccessDenied", S3Fault::kRefused, ErrorCode::kUnavailable},
    {"AccountProblem", S3Fault::kRefused, ErrorCode::kUnavailable},
    {"AllAccessDisabled", S3Fault::kRefused, ErrorCode::kUnavailable},
    {"AuthorizationHeaderMalformed", S3Fault::kRefused, ErrorCode::kUnavailable},
    {"BadDigest", S3Fault::kAgain, ErrorCode::kStoreFailed},
    {"ExpiredToken", S3Fault::kRefused, ErrorCode::kUnavailable},
    {"IllegalLocationConstraintException", S3Fault::kRefused, ErrorCode::kUnavailable},
    {"IncompleteBody", S3Fault::kAgain, ErrorCode::kStoreFailed},
    {"InternalError", S3Fault::kAgain, ErrorCode::kStoreFailed},
    {"InvalidAccessKeyId", S3Fault::kRefused, ErrorCode::kUnavailable},
    {"InvalidRegion", S3Fault::kRefused, ErrorCode::kUnavailable},
    {"InvalidToken", S3Fault::kRefused, ErrorCode::kUnavailable},
    {"NoSuchBucket", S3Fault::kRefused, ErrorCode::kUnavailable},
    {"NoSuchKey", S3Fault::kNotFound, ErrorCode::kNotFound},
    {"NoSuchUpload", S3Fault::kNoSuchUpload, ErrorCode::kStoreFailed},
    {"NotImplemented", S3Fault::kNotUnderstood, ErrorCode::kStoreFailed},
    {"OperationAborted", S3Fault::kAgain, ErrorCode::kStoreFailed},
    {"PermanentRedirect", S3Fault::kRefused, ErrorCode::kUnavailable},
    {"QuotaExceeded", S3Fault::kRefused, ErrorCode::kUnavailable},
    {"RequestTimeTooSkewed", S3Fault::kClockWrong, ErrorCode::kUnavailable},
    {"RequestTimeout", S3Fault::kAgain, ErrorCode::kUnavailable},
    {"ServiceUnavailable", S3Fault::kAgain, ErrorCode::kUnavailable},
    {"SignatureDoesNotMatch", S3Fault::kRefused, ErrorCode::kUnavailable},
    {"SlowDown", S3Fault::kAgain, ErrorCode::kUnavailable},
    {"TemporaryRedirect", S3Fault::kAgain, ErrorCode::kUnavailable},
    {"TokenRefreshRequired", S3Fault::kRefused, ErrorCode::kUnavailable},
    {"XAmzContentSHA256Mismatch", S3Fault::kAgain, ErrorCode::kStoreFailed},
    {"XMinioStorageFull", S3Fault::kRefused, ErrorCode::kUnavailable},
};

KnownCode by_status(int status) {
  switch (status) {
    case 301:
    case 401:
    case 403:
    case 507:
      return {"", S3Fault::kRefused, ErrorCode::kUnavailable};
    case 404:
      return {"", S3Fault::kNotFound, ErrorCode::kNotFound};
    case 501:
      return {"", S3Fault::kNotUnderstood, ErrorCode::kStoreFailed};
    case 307:
    case 408:
    case 425:
    case 429:
    case 502:
    case 503:
    case 504:
      return {"", S3Fault::kAgain, ErrorCode::kUnavailable};
    default:
      // What is neither good nor an S3 server's error is no S3 server's answer, a captive portal's perhaps.
      return {"", status >= 500 || status < 400 ? S3Fault::kAgain : S3Fault::kFailed, ErrorCode::kStoreFailed};
  }
}

// What the operator can do about a refusal.
std::string advice(std::string_view code, int status, const S3Asked& asked, std::string_view region) {
  if (code == "NoSuchBucket") {
    return fmt::format("there is no bucket '{}': create it, or correct AWS_STORAGE_BUCKET_NAME", asked.bucket);
  }
  if (!region.empty() && region != asked.region) {
    return fmt::format("the bucket '{0}' lies in the region {1}, not in {2}: set AWS_REGION={1}", asked.bucket, region,
                       asked.region);
  }
  if (code == "PermanentRedirect" || status == 301) {
    return fmt::format("the bucket '{}' lies in another region than {}: correct AWS_REGION", asked.bucket,
                       asked.region);
  }
  if (code == "InvalidAccessKeyId") return "it does not know AWS_ACCESS_KEY_ID: correct it";
  if (code == "SignatureDoesNotMatch") return "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID: correct it";
  if (code == "ExpiredToken" || code == "InvalidToken" || code == "TokenRefreshRequired") {
    return "AWS_SESSION_TOKEN has expired: get new credentials";
  }
  if (code == "QuotaExceeded" || code == "XMinioStorageFull" || status == 507) {
    return "there is no room left for the bucket: make some, or raise its quota";
  }
  return fmt::format(
      "these credentials may not do that in the bucket '{}': allow it in the bucket's or the key's policy",
      asked.bucket);
}

std::string message_of(const KnownCode& known, std::string_view code, int status, const S3Asked& asked,
                       std::string_view region) {
  switch (known.fault) {
    case S3Fault::kRefused:
      return "The S3 server refuses: " + advice(code, status, asked, region);
    case S3Fault::kClockWrong:
      return "This machine's clock is too far from the S3 server's: set it right";
    case S3Fault::kNotFound:
      return "The stored file is not there.";
    default:
      return fmt::format("The S3 server answered {}{}{}", status, code.empty() ? "" : " ", code);
  }
}

}  // namespace

std::optional<S3Failure> failure_of(const http::ClientResponse& response, const S3Asked& asked) {
  const bool is_good = response.status >= 200 && response.status <= 299;
  if (is_good && !asked.has_xml_answer) return std::nullopt;
  const auto said = parse_s3_error(response.body);
  if (is_good && !said) return std::nullopt;
  const std::string code = said ? said->code : std::string();
  const auto* found = std::ranges::find(kKnownCodes, code, &KnownCode::code);
  KnownCode known = found != std::end(kKnownCodes) ? *found : by_status(is_good ? 500 : response.status);
  const std::string region(said && !said->region.empty() ? std::string_view(said->region)
                                                         : response.headers.get("x-amz-bucket-region").value_or(""));
  S3Failure failure{.fault = known.fault, .error = {}};
  failure.error.code = known.error;
  failure.error.message = message_of(known, code, response.status, asked, region);
  failure.error.detail = fmt::format("status {} {} {} request {}", response.status, code, said ? said->message : "",
                                     response.headers.get("x-amz-request-id").value_or("-"));
  failure.server_time = parse_http_date(response.headers.get("Date").value_or(""));
  if (const auto wait = response.headers.get("Retry-After")) {
    failure.error.retry_after =
        parse_retry_after(*wait, failure.server_time.value_or(SystemClock().now()), kRetryAfterMax);
  }
  return failure;
}

S3Failure failure_of(Error error) {
  S3Failure failure{.fault = S3Fault::kAgain, .error = std::move(error)};
  Error& ours = failure.error;
  switch (ours.code) {
    case ErrorCode::kCancelled:
    case ErrorCode::kTooLarge:
    case ErrorCode::kInvalidArgument:
      failure.fault = S3Fault::kFailed;
      return failure;
    case ErrorCode::kDnsNotFound:
      ours.message += ": correct AWS_ENDPOINT_URL or AWS_REGION";
      failure.fault = S3Fault::kRefused;
      break;
    case ErrorCode::kTls:
      ours.message += ": name its certificate authority in AWS_CA_BUNDLE, or correct AWS_ENDPOINT_URL";
      failure.fault = S3Fault::kRefused;
      break;
    default:
      break;
  }
  ours.code = ErrorCode::kUnavailable;
  ours.message = "The S3 server cannot be reached: " + ours.message;
  return failure;
}

}  // namespace pixmill::storage
