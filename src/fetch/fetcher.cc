#include "fetch/fetcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/http_time.h"
#include "base/text.h"
#include "base/version.h"
#include "fetch/robots_cache.h"
#include "fetch/robots_txt.h"

namespace pixmill::fetch {

namespace {

using std::chrono::steady_clock;

constexpr int kRedirectsMax = 5;
constexpr seconds kRetryAfterMax = std::chrono::hours(1);
constexpr milliseconds kRobotsTimeout{30'000};
constexpr int kNotModified = 304;

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool is_worth_asking_again(int status) { return status == 408 || status == 425 || status == 429 || status >= 500; }

Error status_error(ErrorCode code, int status, std::string message) {
  return Error{.code = code, .message = std::move(message), .detail = {}, .http_status = status};
}

// The whole answer of one request, or what is wrong with it. Redirects are answers here.
Result<void> check_status(const SourceUrl& url, const http::ClientResponse& response) {
  const int status = response.status;
  if (status == 200 || status == 203 || is_redirect(status)) return {};
  const bool is_transient = is_worth_asking_again(status);
  Error error = status_error(is_transient ? ErrorCode::kHttpTransient : ErrorCode::kHttpPermanent, status,
                             fmt::format("{} answered with status {}", url.host, status));
  if (const auto retry_after = response.headers.get("Retry-After"); retry_after && is_transient) {
    // A date is compared with the server's own clock when it tells it, so that ours may be wrong.
    const auto server_now = parse_http_date(response.headers.get("Date").value_or(""));
    error.retry_after = parse_retry_after(*retry_after, server_now.value_or(SystemClock().now()), kRetryAfterMax);
  }
  return std::unexpected(std::move(error));
}

// An entity tag as RFC 9110 section 8.8.3 writes it. Anything else must not be sent back: "*" would match everything.
bool is_entity_tag(std::string_view text) {
  if (text.starts_with("W/")) text.remove_prefix(2);
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') return false;
  text = text.substr(1, text.size() - 2);
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f && c != '"'; });
}

// What the answer says its bytes are a version of. An entity tag says more than a date, which has whole seconds.
SourceVersion version_of(const SourceUrl& url, bool is_redirected, const http::ClientResponse& response) {
  SourceVersion version;
  const auto tag = response.headers.get("ETag");
  const auto date = response.headers.get("Last-Modified");
  if (tag && is_entity_tag(*tag)) {
    version.validator = *tag;
  } else if (date && parse_http_date(*date)) {
    version.validator = *date;
  }
  if (is_redirected) version.url = url.text();
  const bool is_kept = !version.validator.empty() && version.validator.size() <= kValidatorBytesMax &&
                       version.url.size() <= kVersionUrlBytesMax;
  return is_kept ? version : SourceVersion();
}

// Asks for another version than `known`, where it is the version of what is at `url`. False when it is not.
bool ask_for_another(const SourceVersion* known, const SourceUrl& url, bool is_redirected,
                     http::ClientRequest& request) {
  if (known == nullptr || known->validator.empty()) return false;
  if (is_redirected ? known->url != url.text() : !known->url.empty()) return false;
  request.headers.set(is_entity_tag(known->validator) ? "If-None-Match" : "If-Modified-Since", known->validator);
  return true;
}

// No coding was offered. What is coded all the same is refused, not decoded: a decoder here would be a bomb's first
// target.
Result<void> check_coding(const SourceUrl& url, const http::ClientResponse& response) {
  for (const auto& [name, value] : response.headers.all()) {
    const bool is_content = equals_ignoring_case(name, "Content-Encoding");
    const bool is_transfer = equals_ignoring_case(name, "Transfer-Encoding");
    const bool is_plain = value.empty() || equals_ignoring_case(value, "identity") ||
                          (is_transfer && equals_ignoring_case(value, "chunked"));
    if ((is_content || is_transfer) && !is_plain) {
      return fail(ErrorCode::kProtocol, fmt::format("{} compressed a picture although it was not asked to", url.host));
    }
  }
  return {};
}

// The URL that a redirect leads to, when it may be followed.
Result<SourceUrl> next_url(const SourceUrl& from, const http::ClientResponse& response) {
  const auto location = response.headers.get("Location");
  if (!location || location->empty()) {
    return std::unexpected(status_error(ErrorCode::kHttpPermanent, response.status,
                                        fmt::format("{} redirects without saying where to", from.host)));
  }
  auto to = resolve_location(from, *location);
  if (!to)
    return fail(to.error().code, fmt::format("{} redirects to a bad address: {}", from.host, to.error().message));
  if (from.scheme == "https" && to->scheme == "http") {
    return std::unexpected(
        status_error(ErrorCode::kHttpPermanent, response.status,
                     fmt::format("{} redirects from https to http, which is not followed", from.host)));
  }
  return to;
}

Result<void> check_robots_tag(const SourceUrl& url, const http::ClientResponse& response, std::string_view product) {
  for (const auto& [name, value] : response.headers.all()) {
    if (equals_ignoring_case(name, "X-Robots-Tag") && forbids_use(value, product)) {
      return fail(ErrorCode::kRobotsDenied, fmt::format("{} asks programs not to use this picture", url.host), value);
    }
  }
  return {};
}

bool is_for(const HostHeader& header, const SourceUrl& url) {
  const bool is_bracketed = url.literal && url.literal->is_v6();
  const std::string host = is_bracketed ? fmt::format("[{}]", url.host) : url.host;
  return equals_ignoring_case(header.host, fmt::format("{}:{}", host, url.port)) ||
         (url.port_is_default && equals_ignoring_case(header.host, host));
}

struct Counters {
  explicit Counters(Metrics& metrics)
      : seconds_taken(metrics.histogram("pixmill_fetch_seconds", "Time of one whole fetch, waiting for a turn left out",
                                        {0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60})),
        bytes(metrics.counter("pixmill_fetch_bytes_total", "Bytes of pictures downloaded")) {
    const auto of = [&](std::string_view result) {
      return metrics.counter("pixmill_fetch_total", "Fetches by result", {{"result", std::string(result)}});
    };
    ok = of("ok");
    for (std::size_t i = 0; i < by_code.size(); ++i) by_code[i] = of(code_name(static_cast<ErrorCode>(i)));
  }

  Counter ok;
  std::array<Counter, static_cast<std::size_t>(ErrorCode::kStoreFailed) + 1> by_code;
  Histogram seconds_taken;
  Counter bytes;
};

class HttpFetcher final : public Fetcher {
 public:
  HttpFetcher(FetcherParts parts, FetchOptions options)
      : parts_(parts), options_(std::move(options)), counters_(parts.metrics) {
    if (options_.user_agent.empty()) {
      options_.user_agent = fmt::format("Pixmill/{} (+https://github.com/pixmill/pixmill)", kVersion);
    }
    if (!options_.respect_robots) return;
    RobotsCacheOptions robots;
    robots.product = std::string(product_token(options_.user_agent));
    robots_ = std::make_unique<RobotsCache>(std::move(robots),
                                            [this](std::string origin) { return load_robots(std::move(origin)); });
  }

  Task<Result<Fetched>> get(std::string url, const std::vector<HostHeader>& headers, ByteBudget::Grant* memory,
                            const SourceVersion* known) override {
    Spent spent{.time = {}, .memory = memory, .known = known};
    auto fetched = co_await follow(std::move(url), headers, spent);
    counters_.seconds_taken.observe(std::chrono::duration<double>(spent.time).count());
    if (fetched) {
      counters_.ok.add();
      counters_.bytes.add(static_cast<double>(fetched->bytes.size()));
    } else {
      counters_.by_code[static_cast<std::size_t>(fetched.error().code)].add();
    }
    co_return fetched;
  }

 private:
  struct Spent {
    steady_clock::duration time{};  // on the network
    ByteBudget::Grant* memory = nullptr;
    const SourceVersion* known = nullptr;
  };
  // The origin whose turn is held, so that a redirect within it does not queue again.
  struct Place {
    std::string origin;
    HostLimits::Turn turn;
  };

  Task<Result<Fetched>> follow(std::string text, const std::vector<HostHeader>& headers, Spent& spent) {
    PIXMILL_CO_TRY(SourceUrl url, parse_source_url(text));
    const std::string first_origin = url.origin();
    bool left_first_origin = false;
    Place place;
    for (int redirects = 0;; ++redirects) {
      left_first_origin = left_first_origin || url.origin() != first_origin;
      if (robots_) PIXMILL_CO_RETURN_IF_ERROR(co_await ask_robots(url, place));
      PIXMILL_CO_RETURN_IF_ERROR(co_await take_place(url, place));
      http::ClientRequest request = request_for(url, left_first_origin ? nullptr : &headers);
      request.memory = spent.memory;
      const bool is_conditional = ask_for_another(spent.known, url, redirects > 0, request);
      const auto began = steady_clock::now();
      auto response = co_await send(url, std::move(request), options_.total_timeout - rounded(spent.time));
      spent.time += steady_clock::now() - began;
      settle(url, place, response);
      if (!response) co_return std::unexpected(std::move(response).error());
      const bool is_same = is_conditional && response->status == kNotModified;
      if (!is_same) PIXMILL_CO_RETURN_IF_ERROR(check_status(url, *response));
      if (!is_redirect(response->status)) co_return taken(url, std::move(*response), spent, redirects > 0);
      if (redirects == kRedirectsMax) {
        co_return fail(ErrorCode::kTooManyRedirects, fmt::format("More than {} redirects", kRedirectsMax));
      }
      PIXMILL_CO_TRY(url, next_url(url, *response));
    }
  }

  // The answer that is no redirect.
  Result<Fetched> taken(const SourceUrl& url, http::ClientResponse response, const Spent& spent,
                        bool is_redirected) const {
    const bool is_same = response.status == kNotModified;
    if (!is_same) PIXMILL_RETURN_IF_ERROR(check_coding(url, response));
    if (robots_) PIXMILL_RETURN_IF_ERROR(check_robots_tag(url, response, product_token(options_.user_agent)));
    Fetched fetched{.bytes = {},
                    .final_url = url.text(),
                    .version = version_of(url, is_redirected, response),
                    .not_modified = is_same};
    if (!is_same) fetched.bytes = std::move(response.body);
    if (is_same && fetched.version.validator.empty()) fetched.version = *spent.known;
    return fetched;
  }

  Task<Result<void>> ask_robots(const SourceUrl& url, Place& place) {
    // The file has a turn of its own, and nobody holds two.
    if (!robots_->knows(url.origin())) place = Place();
    co_return co_await robots_->check(url);
  }

  // By the same rules as a picture: turns, addresses, redirects (at least five, RFC 9309 section 2.3.1.2).
  Task<Result<RobotsCache::Answer>> load_robots(std::string origin) {
    PIXMILL_CO_TRY(SourceUrl url, parse_source_url(origin + "/robots.txt"));
    Place place;
    const auto began = steady_clock::now();
    for (int redirects = 0; redirects <= kRedirectsMax; ++redirects) {
      PIXMILL_CO_RETURN_IF_ERROR(co_await take_place(url, place));
      http::ClientRequest request = request_for(url, nullptr);
      request.headers.set("Accept", "text/plain,*/*;q=0.8");
      request.body_bytes_max = RobotsTxt::kBytesMax;
      request.truncate_body = true;
      const auto left = std::min(options_.total_timeout, kRobotsTimeout) - rounded(steady_clock::now() - began);
      auto response = co_await send(url, std::move(request), std::max(left, milliseconds(1)));
      settle(url, place, response);
      if (!response) co_return std::unexpected(std::move(response).error());
      if (!is_redirect(response->status)) {
        co_return RobotsCache::Answer{.status = response->status, .body = std::move(response->body)};
      }
      PIXMILL_CO_TRY(url, next_url(url, *response));
    }
    co_return fail(ErrorCode::kTooManyRedirects, "robots.txt redirects too often");
  }

  static milliseconds rounded(steady_clock::duration time) { return std::chrono::duration_cast<milliseconds>(time); }

  Task<Result<void>> take_place(const SourceUrl& url, Place& place) {
    // A literal address needs no resolver to be refused, and a refused one must not wait for a turn.
    if (url.literal) PIXMILL_CO_RETURN_IF_ERROR(parts_.policy.check(*url.literal, url.port));
    std::string origin = url.origin();
    if (origin == place.origin) co_return Result<void>();
    place = Place();  // never two turns at once: two fetches that redirect to each other's hosts would wait for ever
    auto turn = co_await parts_.limits.take(origin, options_.turn_patience);
    if (!turn) {
      Error error = std::move(turn).error();
      if (error.code == ErrorCode::kTimeout) error.code = ErrorCode::kUnavailable;
      co_return std::unexpected(std::move(error));
    }
    place.turn = std::move(*turn);
    place.origin = std::move(origin);
    co_return Result<void>();
  }

  // `headers` is null once the first origin was left.
  http::ClientRequest request_for(const SourceUrl& url, const std::vector<HostHeader>* headers) const {
    http::ClientRequest request;
    request.scheme = url.scheme;
    request.host = url.host;
    request.port = url.port;
    request.target = url.target;
    request.headers.add("User-Agent", options_.user_agent);
    request.headers.add("Accept", "image/*,*/*;q=0.8");
    if (headers != nullptr) {
      for (const HostHeader& header : *headers) {
        if (is_for(header, url)) request.headers.set(header.name, header.value);
      }
    }
    request.body_bytes_max = options_.body_bytes_max;
    request.connect_timeout = options_.connect_timeout;
    request.low_speed_bytes_per_second = options_.low_speed_bytes_per_second;
    request.low_speed_time = options_.low_speed_time;
    return request;
  }

  Task<Result<http::ClientResponse>> send(const SourceUrl& url, http::ClientRequest request, milliseconds time_left) {
    const auto began = steady_clock::now();
    PIXMILL_CO_TRY(request.addresses, co_await resolve_checked(parts_.resolver, parts_.policy, url));
    request.total_timeout = time_left - rounded(steady_clock::now() - began);
    if (request.total_timeout <= milliseconds(0)) {
      co_return fail(ErrorCode::kTimeout, fmt::format("{}: no time left to ask it", url.host));
    }
    co_return co_await parts_.client.send(std::move(request));
  }

  // Tells the host's limits how it went.
  void settle(const SourceUrl& url, Place& place, const Result<http::ClientResponse>& response) {
    if (!response) {
      const ErrorCode code = response.error().code;
      if (code == ErrorCode::kConnect || code == ErrorCode::kTimeout || code == ErrorCode::kProtocol)
        place.turn.failed();
      return;
    }
    if (response->status != 429 && response->status != 503) {
      place.turn.answered(response->first_byte);
      return;
    }
    const auto refused = check_status(url, *response);
    const HostLimits::Refusal refusal{.http_status = response->status, .pause = refused.error().retry_after};
    parts_.limits.back_off(place.origin, refusal);
  }

  FetcherParts parts_;
  FetchOptions options_;
  Counters counters_;
  std::unique_ptr<RobotsCache> robots_;  // null: they are not asked
};

bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

constexpr std::string_view kOurHeaders[] = {
    "Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade",
    "TE",   "Trailer",        "Accept-Encoding",   "Range",      "Expect"};

}  // namespace

std::unique_ptr<Fetcher> make_http_fetcher(FetcherParts parts, FetchOptions options) {
  return std::make_unique<HttpFetcher>(parts, std::move(options));
}

Result<HostHeader> parse_host_header(std::string_view text) {
  const auto refused = [](std::string_view why) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("A header is written 'Host: Name: value'; {}", why));
  };
  const auto host_end = text.find(": ");
  if (host_end == std::string_view::npos) return refused("there is no ': ' after the host");
  const std::string_view host = trim(text.substr(0, host_end));
  const std::string_view rest = text.substr(host_end + 2);
  const auto name_end = rest.find(':');
  if (name_end == std::string_view::npos) return refused("there is no ':' after the name");
  const std::string_view name = trim(rest.substr(0, name_end));
  const std::string_view value = trim(rest.substr(name_end + 1));
  // The parser of addresses decides what a host is; scheme and path are lent to it.
  const auto url = parse_source_url(fmt::format("http://{}/", host));
  if (!url || url->target != "/") return refused("the host is not one");
  if (!is_token(name)) return refused("the name is not a header's");
  const auto is_control = [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; };
  if (value.empty() || std::ranges::any_of(value, is_control))
    return refused("the value is empty or has control characters");
  // Jobs keep their headers as JSON.
  if (!is_valid_utf8(value)) return refused("the value is not UTF-8");
  const bool is_ours =
      std::ranges::any_of(kOurHeaders, [&](std::string_view ours) { return equals_ignoring_case(ours, name); });
  if (is_ours) return fail(ErrorCode::kInvalidArgument, fmt::format("The header {} cannot be set", name));
  const std::string plain_host = url->origin().substr(std::string_view("http://").size());
  const bool says_80 = host.ends_with(":80");  // left out of an http origin, and yet not the same as saying nothing
  return HostHeader{
      .host = says_80 ? plain_host + ":80" : plain_host, .name = std::string(name), .value = std::string(value)};
}

Task<Result<std::vector<IpAddress>>> resolve_checked(http::Resolver& resolver, const AddressPolicy& policy,
                                                     SourceUrl url) {
  std::vector<IpAddress> addresses;
  if (url.literal) {
    addresses.push_back(*url.literal);
  } else {
    PIXMILL_CO_TRY(addresses, co_await resolver.resolve(url.host));
  }
  for (const IpAddress& address : addresses) {
    if (const auto checked = policy.check(address, url.port); !checked) {
      co_return fail(ErrorCode::kBlockedAddress,
                     url.literal ? checked.error().message : fmt::format("{}: {}", url.host, checked.error().message));
    }
  }
  co_return addresses;
}

}  // namespace pixmill::fetch
