// The settings of S3: the names that AWS's own tools and the original platform have for them, and ours for the rest.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/error.h"
#include "base/time.h"
#include "storage/s3_address.h"
#include "storage/sigv4.h"

namespace pixmill::app {

enum class S3Links : std::uint8_t {
  kPublic,     // the bucket's own address, as the original platform has it, or S3_PUBLIC_URL
  kPresigned,  // readable by whoever has the link, for a while
  kServer,     // /files/… of this server, which leads on to a presigned address
};

struct S3Settings {
  storage::AwsCredentials credentials;
  std::string bucket;  // AWS_STORAGE_BUCKET_NAME; "": results lie on this machine's disk
  std::string region = "us-east-1";
  std::string endpoint;  // AWS_ENDPOINT_URL; "": AWS
  storage::S3Style style = storage::S3Style::kAuto;
  std::string ca_file;     // AWS_CA_BUNDLE
  std::string key_prefix;  // S3_PREFIX: "" or ends with '/'
  S3Links links = S3Links::kPublic;
  std::string public_url;  // S3_PUBLIC_URL, without a final slash
  std::chrono::seconds link_valid_for = std::chrono::days(7);
  std::string cache_control = "max-age=86400";
  milliseconds timeout = std::chrono::seconds(60);
  std::uint32_t connections = 64;
  std::optional<std::vector<std::string>> source_buckets;  // S3_SOURCES; nullopt: it is not set
};

// Errors: kInvalidArgument, naming the variable and what is allowed.
[[nodiscard]] Result<S3Settings> load_s3_settings(const Env& env);

}  // namespace pixmill::app
