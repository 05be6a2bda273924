// Where a bucket is reached: scheme, host, port, and the path of a key, in both styles of addressing. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace pixmill::storage {

enum class S3Style : std::uint8_t {
  kAuto,         // AWS by virtual host, unless the bucket's name has a dot, which no certificate covers; others by path
  kPath,         // https://host/bucket/key
  kVirtualHost,  // https://bucket.host/key
};

struct S3AddressOptions {
  std::string bucket;
  std::string region = "us-east-1";
  std::string endpoint = {};  // "https://host[:port]"; "": AWS in that region
  S3Style style = S3Style::kAuto;
};

class S3Address {
 public:
  // Errors: kInvalidArgument, naming what cannot be.
  [[nodiscard]] static Result<S3Address> create(const S3AddressOptions& options);

  std::string bucket;
  std::string region;
  std::string scheme;  // "http" or "https"
  std::string host;    // a name, or a literal address without brackets
  std::uint16_t port = 0;
  bool is_path_style = false;

  [[nodiscard]] std::string host_header() const;
  // Not percent-encoded; "" is the bucket itself.
  [[nodiscard]] std::string path(std::string_view key) const;
  // The public address of a key.
  [[nodiscard]] std::string url(std::string_view key) const;
};

// What can be a bucket's name, with every server: letters, digits, '.', '-', '_', not beginning with a mark.
[[nodiscard]] bool is_bucket_name(std::string_view name);

struct S3Location {
  std::string bucket;
  std::string key;  // "" or the rest, as it is: nothing is percent-decoded
};
// "s3://bucket/key". Errors: kInvalidUrl.
[[nodiscard]] Result<S3Location> parse_s3_location(std::string_view text);

}  // namespace pixmill::storage
