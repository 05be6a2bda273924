#include "base/error.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace pixmill {

bool is_transient(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUnavailable:
    case ErrorCode::kDiskFull:
    case ErrorCode::kDns:
    case ErrorCode::kConnect:
    case ErrorCode::kTimeout:
    case ErrorCode::kHttpTransient:
    case ErrorCode::kTruncated:
    case ErrorCode::kProtocol:
    case ErrorCode::kEngineCrash:
    case ErrorCode::kStoreFailed:
      return true;
    default:
      return false;
  }
}

std::string_view code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kConflict:
      return "conflict";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kDiskFull:
      return "disk_full";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kInternal:
      return "internal";
    case ErrorCode::kInvalidUrl:
      return "invalid_url";
    case ErrorCode::kBlockedAddress:
      return "blocked_address";
    case ErrorCode::kDns:
      return "dns";
    case ErrorCode::kDnsNotFound:
      return "dns_not_found";
    case ErrorCode::kConnect:
      return "connect";
    case ErrorCode::kTls:
      return "tls";
    case ErrorCode::kTimeout:
      return "timeout";
    case ErrorCode::kHttpPermanent:
    case ErrorCode::kHttpTransient:
      return "http";
    case ErrorCode::kTooManyRedirects:
      return "too_many_redirects";
    case ErrorCode::kRobotsDenied:
      return "robots_denied";
    case ErrorCode::kTooLarge:
      return "too_large";
    case ErrorCode::kTruncated:
      return "truncated";
    case ErrorCode::kProtocol:
      return "protocol";
    case ErrorCode::kNotAnImage:
      return "not_an_image";
    case ErrorCode::kUnsupportedFormat:
      return "unsupported_format";
    case ErrorCode::kDecodeFailed:
      return "decode_failed";
    case ErrorCode::kEngineCrash:
      return "engine_crash";
    case ErrorCode::kEngineTimeout:
      return "engine_timeout";
    case ErrorCode::kStoreFailed:
      return "store_failed";
  }
  return "internal";
}

std::string code_text(const Error& error) {
  if (error.http_status != 0) return fmt::format("http_{}", error.http_status);
  return std::string(code_name(error.code));
}

namespace {

struct Advice {
  std::string_view code;
  std::string_view text;
};

constexpr Advice kAdvice[] = {
    {"blocked_address", "The address is not public. To allow it, start Pixmill with --allow CIDR or FETCH_ALLOW."},
    {"connect", "Check that the server is up and reachable from this machine, then retry."},
    {"decode_failed", "Open the file in an image viewer; if it is damaged, upload it again at its source."},
    {"disk_full", "Free space on the disk; the job goes on by itself."},
    {"dns", "The name server did not answer; check this machine's DNS, then retry."},
    {"dns_not_found", "The host name does not exist; check the URL's spelling."},
    {"engine_crash", "The picture crashed its decoder twice; convert it with another tool and try again."},
    {"engine_timeout", "The picture takes too long to decode; make it smaller or simpler."},
    {"http_401", "The server wants credentials; pass them with --header 'Host: Name: value'."},
    {"http_403", "The server refuses the request; it may want credentials (--header) or an allowed User-Agent."},
    {"http_404", "The picture is gone from its server; correct the URL."},
    {"http_410", "The picture was removed for good; correct the URL."},
    {"http_429", "The server asks for fewer requests; lower --per-host or set --host-rate, then retry."},
    {"invalid_url", "Write a whole address that begins with http:// or https://."},
    {"job_unusable",
     "Start Pixmill with the master key the job was made with, or run it with --header and --retry-failed."},
    {"not_an_image", "The address answers with something that is not a picture, often an HTML page; correct the URL."},
    {"protocol", "The server broke off or did not speak HTTP; retry, or check the server."},
    {"robots_denied",
     "The site asks programs not to use this picture; ask its owner, then run without FETCH_RESPECT_ROBOTS."},
    {"store_failed", "The result could not be written; check the output's disk or bucket, then retry."},
    {"timeout", "The server was too slow; retry later, or raise the fetch timeout."},
    {"tls", "The server's certificate is not valid; correct it at the server."},
    {"too_large", "The picture is above the limits; see FETCH_MAX_BYTES and IMAGE_MAX_PIXELS."},
    {"too_many_redirects", "The address redirects more than five times; use the final address."},
    {"truncated", "The file ends too early; upload it again at its source."},
    {"unsupported_format", "Pixmill reads JPEG, PNG, WebP, GIF, TIFF, AVIF and HEIF; convert the picture first."},
};

}  // namespace

std::string_view advice(std::string_view text) {
  for (const auto& entry : kAdvice) {
    if (entry.code == text) return entry.text;
  }
  if (text.starts_with("http_5")) return "The server had a problem of its own; retry later.";
  if (text.starts_with("http_")) return "Open the URL in a browser to see what its server says.";
  return "";
}

Error errno_error(int errno_value, std::string_view what) {
  ErrorCode code = ErrorCode::kIo;
  if (errno_value == ENOSPC || errno_value == EDQUOT) code = ErrorCode::kDiskFull;
  if (errno_value == ENOENT) code = ErrorCode::kNotFound;
  return Error{.code = code, .message = fmt::format("{}: {}", what, std::strerror(errno_value)), .detail = {}};
}

void check_failed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace pixmill
