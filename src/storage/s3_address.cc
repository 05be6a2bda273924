#include "storage/s3_address.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>

#include "base/text.h"
#include "storage/object_key.h"

namespace pixmill::storage {

namespace {

constexpr std::size_t kNameBytesMax = 255;  // AWS: 63
constexpr std::size_t kLabelBytesMax = 63;
constexpr std::string_view kScheme = "s3://";

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool consists_of(std::string_view text, std::string_view marks) {
  return std::ranges::all_of(text,
                             [&](char c) { return is_alphanumeric(c) || marks.find(c) != std::string_view::npos; });
}

// As a part of a host name: AWS allows no other since 2018.
bool is_dns_name(std::string_view bucket) {
  const bool plain = std::ranges::none_of(bucket, [](char c) { return (c >= 'A' && c <= 'Z') || c == '_'; });
  return plain && bucket.size() <= kLabelBytesMax && is_alphanumeric(bucket.back());
}

bool is_literal(const std::string& host) {
  boost::system::error_code error;
  boost::asio::ip::make_address(host, error);
  return !error;
}

std::unexpected<Error> wrong_endpoint(std::string_view endpoint) {
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("'{}' is no endpoint; write https://host or http://host:port, without a path", endpoint));
}

Result<void> read_endpoint(std::string_view endpoint, S3Address& address) {
  const auto scheme_end = endpoint.find("://");
  if (scheme_end == std::string_view::npos) return wrong_endpoint(endpoint);
  address.scheme = to_lower(endpoint.substr(0, scheme_end));
  std::string_view rest = endpoint.substr(scheme_end + 3);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const bool is_tls = address.scheme == "https";
  if (!is_tls && address.scheme != "http") return wrong_endpoint(endpoint);
  address.port = is_tls ? 443 : 80;
  const auto bracket = rest.find(']');
  const auto colon = rest.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon != std::string_view::npos) {
    const auto port = parse_integer(rest.substr(colon + 1));
    if (!port || *port < 1 || *port > 65'535) return wrong_endpoint(endpoint);
    address.port = static_cast<std::uint16_t>(*port);
    rest = rest.substr(0, colon);
  }
  if (rest.starts_with('[') && rest.ends_with(']')) {
    address.host = std::string(rest.substr(1, rest.size() - 2));
    if (!is_literal(address.host)) return wrong_endpoint(endpoint);
    return {};
  }
  address.host = to_lower(rest);
  if (address.host.empty() || !consists_of(address.host, ".-_")) return wrong_endpoint(endpoint);
  return {};
}

}  // namespace

bool is_bucket_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax && is_alphanumeric(name.front()) && consists_of(name, ".-_") &&
         name.find("..") == std::string_view::npos;
}

Result<S3Address> S3Address::create(const S3AddressOptions& options) {
  if (!is_bucket_name(options.bucket)) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("'{}' is no bucket's name", options.bucket));
  }
  if (options.region.empty() || options.region.size() > kLabelBytesMax || !consists_of(options.region, "-_")) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("'{}' is no region; AWS's are like eu-west-1", options.region));
  }
  S3Address address;
  address.bucket = options.bucket;
  address.region = options.region;
  const bool is_aws = options.endpoint.empty();
  const std::string_view china = options.region.starts_with("cn-") ? ".cn" : "";
  const std::string endpoint =
      is_aws ? fmt::format("https://s3.{}.amazonaws.com{}", options.region, china) : options.endpoint;
  PIXMILL_RETURN_IF_ERROR(read_endpoint(endpoint, address));
  const bool may_be_host = is_dns_name(options.bucket) && !is_literal(address.host);
  const bool has_dot = options.bucket.find('.') != std::string::npos;
  address.is_path_style =
      options.style == S3Style::kPath || (options.style == S3Style::kAuto && (!is_aws || has_dot || !may_be_host));
  if (address.is_path_style) return address;
  if (!may_be_host) {
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("the bucket {} cannot be reached by a host name of its own; use the path style", options.bucket));
  }
  address.host = fmt::format("{}.{}", options.bucket, address.host);
  return address;
}

std::string S3Address::host_header() const {
  const std::string name = host.find(':') == std::string::npos ? host : fmt::format("[{}]", host);
  const bool is_default = port == (scheme == "https" ? 443 : 80);
  return is_default ? name : fmt::format("{}:{}", name, port);
}

std::string S3Address::path(std::string_view key) const {
  if (!is_path_style) return fmt::format("/{}", key);
  return key.empty() ? fmt::format("/{}", bucket) : fmt::format("/{}/{}", bucket, key);
}

std::string S3Address::url(std::string_view key) const {
  return fmt::format("{}://{}{}", scheme, host_header(), percent_encode_path(path(key)));
}

Result<S3Location> parse_s3_location(std::string_view text) {
  const auto refused = [](std::string_view why) {
    return fail(ErrorCode::kInvalidUrl, fmt::format("An object is written s3://bucket/key; {}", why));
  };
  if (!text.starts_with(kScheme)) return refused("this begins otherwise");
  text.remove_prefix(kScheme.size());
  const auto slash = text.find('/');
  const std::string_view bucket = text.substr(0, slash);
  if (!is_bucket_name(bucket)) return refused("this names no bucket");
  const std::string_view key = slash == std::string_view::npos ? std::string_view() : text.substr(slash + 1);
  if (key.size() > kKeyBytesMax) return refused("this key is longer than 1,024 bytes");
  if (key.find('\0') != std::string_view::npos || !is_valid_utf8(key)) return refused("this key is not UTF-8");
  return S3Location{.bucket = std::string(bucket), .key = std::string(key)};
}

}  // namespace pixmill::storage
