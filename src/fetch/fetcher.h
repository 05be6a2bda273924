// One picture's bytes from its address: parse, take the host's turn, resolve, check, connect, follow at most five
// redirects, each checked like the first. One attempt; retries belong to the item's row (jobs/retry_policy). Lives on
// the loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/byte_budget.h"
#include "base/error.h"
#include "base/metrics.h"
#include "base/task.h"
#include "fetch/address_policy.h"
#include "fetch/host_limits.h"
#include "fetch/source_url.h"
#include "http/client.h"
#include "http/resolver.h"

namespace pixmill::fetch {

// A header for one host alone: never sent to another, never across a redirect to another origin (nor after coming
// back), never logged.
struct HostHeader {
  std::string host;  // "example.com" for its default ports, or "example.com:8443"; compared without case
  std::string name;
  std::string value;
};

struct FetchOptions {
  std::uint64_t body_bytes_max = 50ULL << 20;
  std::chrono::milliseconds connect_timeout = std::chrono::seconds(10);
  // One whole fetch, names and redirects included; waiting for a turn is not.
  std::chrono::milliseconds total_timeout = std::chrono::seconds(60);
  std::chrono::milliseconds turn_patience = std::chrono::seconds(20);
  std::uint32_t low_speed_bytes_per_second = 1'000;
  std::chrono::seconds low_speed_time = std::chrono::seconds(15);
  // RFC 9309 and X-Robots-Tag: what a site asks programs not to fetch or use is kRobotsDenied.
  bool respect_robots = false;
  std::string user_agent;  // empty: "Pixmill/<version> (+https://github.com/pixmill/pixmill)"
};

// How a server names the version of what it sends, in order to ask later whether there is another one.
struct SourceVersion {
  std::string validator;  // an entity tag as it was spelt, else the date of Last-Modified; "" when there is neither
  std::string url;        // that it belongs to, when a redirect led there; "": the one that was asked for
  bool operator==(const SourceVersion&) const = default;
};
// Longer ones are not kept: what they name is told from something else by its bytes.
inline constexpr std::size_t kValidatorBytesMax = 256;
inline constexpr std::size_t kVersionUrlBytesMax = 2'048;

struct Fetched {
  std::string bytes;
  std::string final_url;
  SourceVersion version = {};
  bool not_modified = false;  // what was known is still what there is: no bytes came
};

// The seam that the pipeline sees; tests put a fake behind it.
class Fetcher {
 public:
  virtual ~Fetcher() = default;
  // A picture is what comes with 200 or 203. 408, 425, 429 and 5xx are kHttpTransient, with Retry-After in
  // Error::retry_after; 429 and 503 also close the host for everyone, for a minute at the most, and once a host refuses
  // everyone, those without a turn get the same error (see HostLimits). Every other status
  // is kHttpPermanent, also a redirect that cannot be followed: without a Location, or from https to http. `headers`
  // must outlive the task, and so must `memory`, from which the room for the bytes comes as they do (null: not
  // counted); what it holds in the end is an upper bound. With `known` (null: nothing is) the server is asked for
  // something else than that version (RFC 9110 section 13.1); the condition goes to the address that the version
  // belongs to and to no other, and 304 is an answer there. Errors: kInvalidUrl, kBlockedAddress, kDns, kDnsNotFound,
  // kConnect, kTls, kTimeout, kHttpPermanent, kHttpTransient, kTooManyRedirects, kRobotsDenied, kTooLarge, kTruncated,
  // kProtocol (also a content coding that nobody asked for), kUnavailable (no turn or no memory in time: try again,
  // after retry_after if given, without counting an attempt), kCancelled.
  [[nodiscard]] virtual Task<Result<Fetched>> get(std::string url, const std::vector<HostHeader>& headers,
                                                  ByteBudget::Grant* memory = nullptr,
                                                  const SourceVersion* known = nullptr) = 0;
};

// All must outlive it. The client's may_connect must ask the same policy.
struct FetcherParts {
  http::Client& client;
  http::Resolver& resolver;
  const AddressPolicy& policy;
  HostLimits& limits;
  Metrics& metrics;
};
[[nodiscard]] std::unique_ptr<Fetcher> make_http_fetcher(FetcherParts parts, FetchOptions options);

// "Host: Name: value" as --header takes it; Host may carry a port, IPv6 in brackets. Errors: kInvalidArgument, also for
// names that decide how the request itself is written (Host, Content-Length, Connection …) or what comes back (Range,
// Accept-Encoding).
[[nodiscard]] Result<HostHeader> parse_host_header(std::string_view text);

// Resolves and checks one URL's host: the addresses that may be connected to. Webhooks use it too.
// Errors: kBlockedAddress when any address of the name is forbidden, and those of Resolver.
[[nodiscard]] Task<Result<std::vector<IpAddress>>> resolve_checked(http::Resolver& resolver,
                                                                   const AddressPolicy& policy, SourceUrl url);

}  // namespace pixmill::fetch
