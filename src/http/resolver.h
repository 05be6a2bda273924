// Host names to addresses, by c-ares on the loop: never a blocking getaddrinfo. Literal addresses are not accepted here.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/task.h"

namespace pixmill::http {

using IpAddress = asio::ip::address;

struct ResolverOptions {
  std::chrono::milliseconds deadline = std::chrono::seconds(5);
  std::size_t cache_entries_max = 4'096;
  std::chrono::milliseconds cache_time_max = std::chrono::seconds(60);  // and never longer than the record's TTL
  std::size_t queries_max = 256;  // under way at once; more wait
  std::string servers;  // "127.0.0.1:5353", comma-separated; empty: as /etc/resolv.conf says
};

class Resolver {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Resolver>> create(Executor executor, ResolverOptions options);
  virtual ~Resolver() = default;

  // All A and AAAA addresses, at least one; /etc/hosts counts. Concurrent calls for one name share a query.
  // Errors: kDnsNotFound (NXDOMAIN, no records), kDns (server failure), kTimeout at the deadline.
  [[nodiscard]] virtual Task<Result<std::vector<IpAddress>>> resolve(std::string host) = 0;
};

}  // namespace pixmill::http
