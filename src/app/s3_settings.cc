#include "app/s3_settings.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "storage/object_key.h"

namespace pixmill::app {

namespace {

constexpr std::int64_t kHourMs = 3'600'000;

Result<storage::S3Style> style_of(const std::string& text) {
  if (text == "auto") return storage::S3Style::kAuto;
  if (text == "path") return storage::S3Style::kPath;
  if (text == "virtual") return storage::S3Style::kVirtualHost;
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("AWS_S3_ADDRESSING_STYLE is '{}'; it must be auto, path or virtual", text));
}

Result<S3Links> links_of(const std::string& text) {
  if (text == "public") return S3Links::kPublic;
  if (text == "presigned") return S3Links::kPresigned;
  if (text == "server") return S3Links::kServer;
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("S3_LINKS is '{}'; it must be public, presigned or server", text));
}

std::string without_slashes(std::string text) {
  while (text.ends_with('/')) text.pop_back();
  return text;
}

Result<std::string> prefix_of(const std::string& text) {
  const std::string trimmed = without_slashes(text);
  if (trimmed.empty()) return std::string();
  if (storage::check_key(trimmed)) return trimmed + "/";
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("S3_PREFIX is '{}'; it must be like results/today, without a slash in front", text));
}

Result<std::vector<std::string>> buckets_of(const std::string& text) {
  std::vector<std::string> buckets;
  for (const auto part : split(text, ',')) {
    const auto name = trim(part);
    if (name.empty() || equals_ignoring_case(name, "none")) continue;
    if (!storage::is_bucket_name(name)) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("S3_SOURCES: '{}' is no bucket's name; name buckets, separated by commas", name));
    }
    buckets.emplace_back(name);
  }
  return buckets;
}

Result<void> load_numbers(const Env& env, S3Settings& settings) {
  PIXMILL_TRY(const auto valid,
              env.integer("S3_LINK_SECONDS", settings.link_valid_for.count(), 1, storage::kPresignedMax.count()));
  settings.link_valid_for = std::chrono::seconds(valid);
  PIXMILL_TRY(const auto timeout, env.integer("S3_TIMEOUT_MS", settings.timeout.count(), 1, kHourMs));
  settings.timeout = milliseconds(timeout);
  PIXMILL_TRY(const auto connections, env.integer("S3_CONNECTIONS", settings.connections, 1, 1'024));
  settings.connections = static_cast<std::uint32_t>(connections);
  return {};
}

}  // namespace

Result<S3Settings> load_s3_settings(const Env& env) {
  S3Settings settings;
  settings.credentials = {.access_key_id = env.get_or("AWS_ACCESS_KEY_ID", ""),
                          .secret_access_key = env.get_or("AWS_SECRET_ACCESS_KEY", ""),
                          .session_token = env.get_or("AWS_SESSION_TOKEN", "")};
  settings.bucket = env.get_or("AWS_STORAGE_BUCKET_NAME", "");
  for (const auto* name : {"AWS_DEFAULT_REGION", "AWS_S3_REGION_NAME", "AWS_REGION"}) {
    settings.region = env.get_or(name, settings.region);
  }
  settings.endpoint = env.get_or("AWS_ENDPOINT_URL", "");
  settings.ca_file = env.get_or("AWS_CA_BUNDLE", "");
  PIXMILL_TRY(settings.style, style_of(to_lower(env.get_or("AWS_S3_ADDRESSING_STYLE", "auto"))));
  PIXMILL_TRY(settings.key_prefix, prefix_of(env.get_or("S3_PREFIX", "")));
  PIXMILL_TRY(settings.links, links_of(to_lower(env.get_or("S3_LINKS", "public"))));
  settings.public_url = without_slashes(env.get_or("S3_PUBLIC_URL", ""));
  settings.cache_control = env.get_or("S3_CACHE_CONTROL", settings.cache_control);
  if (settings.cache_control.find_first_of("\r\n") != std::string::npos) {
    return fail(ErrorCode::kInvalidArgument, "S3_CACHE_CONTROL has a line break inside");
  }
  PIXMILL_RETURN_IF_ERROR(load_numbers(env, settings));
  if (const auto sources = env.get("S3_SOURCES")) {
    PIXMILL_TRY(settings.source_buckets, buckets_of(*sources));
  }
  return settings;
}

}  // namespace pixmill::app
