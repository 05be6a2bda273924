// Everything a fetch needs, on loopback: a name server, a policy, a client that reports where it connects, and the
// fetcher.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/metrics.h"
#include "fetch/fetcher.h"
#include "tests/support/dns_server.h"
#include "tests/support/origin_server.h"
#include "tests/support/run_task.h"

namespace pixmill::testing {

struct FetchWorldOptions {
  std::string allow;  // as FETCH_ALLOW
  fetch::FetchOptions fetch = {};
  fetch::HostLimitOptions limits = {};
  std::string ca_file = {};
  std::chrono::milliseconds dns_deadline = std::chrono::seconds(5);
  std::vector<std::uint16_t> own_ports = {};
};

class FetchWorld {
 public:
  using Headers = std::vector<fetch::HostHeader>;

  explicit FetchWorld(FetchWorldOptions options)
      : policy(fetch::AddressPolicy::create(options.allow, {.ports = options.own_ports}).value()),
        limits(io.get_executor(), options.limits) {
    http::ResolverOptions names;
    names.servers = dns.address();
    names.hosts_file = "/nonexistent";
    names.deadline = options.dns_deadline;
    resolver = http::Resolver::create(io.get_executor(), names).value();
    http::ClientOptions transport;
    transport.ca_file = options.ca_file;
    transport.may_connect = [this](const asio::ip::address& address, std::uint16_t port) {
      asked_to_connect.emplace_back(address, port);
      return policy.allows(address, port);
    };
    client = http::Client::create(io.get_executor(), std::move(transport)).value();
    const fetch::FetcherParts parts{
        .client = *client, .resolver = *resolver, .policy = policy, .limits = limits, .metrics = metrics};
    fetcher = fetch::make_http_fetcher(parts, std::move(options.fetch));
  }

  Result<fetch::Fetched> get(const std::string& url, const Headers& headers = {}) {
    return run_task(io, fetcher->get(url, headers));
  }
  // nullopt when the fetch succeeds.
  std::optional<ErrorCode> error_of(const std::string& url, const Headers& headers = {}) {
    const auto fetched = get(url, headers);
    return fetched ? std::nullopt : std::optional(fetched.error().code);
  }
  // All at once; the results in the order of `urls`.
  std::vector<Result<fetch::Fetched>> get_all(const std::vector<std::string>& urls) {
    std::vector<std::optional<Result<fetch::Fetched>>> results(urls.size());
    std::size_t done = 0;
    const Headers none;
    for (std::size_t i = 0; i < urls.size(); ++i) {
      asio::co_spawn(io, fetcher->get(urls[i], none),
                     [&, i](const std::exception_ptr&, Result<fetch::Fetched> fetched) {
                       results[i] = std::move(fetched);
                       ++done;
                     });
    }
    io.restart();
    while (done < urls.size() && io.run_one() > 0) {
    }
    std::vector<Result<fetch::Fetched>> values;
    for (auto& result : results) values.push_back(std::move(result).value());
    return values;
  }

  asio::io_context io;
  DnsServer dns;
  Metrics metrics;
  fetch::AddressPolicy policy;
  fetch::HostLimits limits;
  std::unique_ptr<http::Resolver> resolver;
  std::unique_ptr<http::Client> client;
  std::unique_ptr<fetch::Fetcher> fetcher;
  std::vector<std::pair<asio::ip::address, std::uint16_t>> asked_to_connect;  // by the client, right before connect(2)
};

}  // namespace pixmill::testing
