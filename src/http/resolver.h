// Host names to addresses, by c-ares on the loop: never a blocking getaddrinfo. Literal addresses are not accepted
// here.
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
  std::size_t queries_max = 256;                                        // names being asked for at once; more wait
  std::string servers;  // "127.0.0.1:5353", comma-separated; empty: servers and search domains as /etc/resolv.conf says
  std::string hosts_file = "/etc/hosts";  // read again when it has changed
};

class Resolver {
 public:
  // Errors: kInvalidArgument for `servers` that cannot be read, kUnavailable when c-ares cannot start.
  [[nodiscard]] static Result<std::unique_ptr<Resolver>> create(Executor executor, ResolverOptions options);
  virtual ~Resolver() = default;

  // All A and AAAA addresses, at least one, IPv4 first; /etc/hosts counts and "localhost" is this machine. Concurrent
  // calls for one name share a query and its deadline. When only one family has answered, the other is waited for a
  // moment and then left out. Errors: kDnsNotFound (NXDOMAIN, no records, remembered for up to 5 s), kDns (server
  // failure), kTimeout at the deadline, kInvalidArgument for a literal address, kUnavailable when 65,536 names wait
  // already, kCancelled for those who wait when the resolver is destroyed.
  [[nodiscard]] virtual Task<Result<std::vector<IpAddress>>> resolve(std::string host) = 0;
};

}  // namespace pixmill::http
