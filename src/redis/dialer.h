// Byte streams to a Redis over TCP or TLS: finds the address, connects, verifies the certificate. Lives on the loop.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/task.h"
#include "redis/endpoint.h"

namespace pixmill::redis {

// One connection's bytes. One read and one write at a time.
class Link {
 public:
  virtual ~Link() = default;
  // At least one byte. Errors: kConnect when the other side ended it, kCancelled after close().
  [[nodiscard]] virtual Task<Result<std::size_t>> read_some(std::span<char> into) = 0;
  // All of `bytes`, which must live until then. Errors: as above.
  [[nodiscard]] virtual Task<Result<void>> write(std::string_view bytes) = 0;
  virtual void close() = 0;  // what is under way ends with kCancelled
};

// Names to addresses, as http::Resolver does it.
using Resolve = std::function<Task<Result<std::vector<asio::ip::address>>>(std::string host)>;

class Dialer {
 public:
  // `ca_file`: more trusted roots in PEM besides the system's. Errors: kInvalidArgument when it cannot be read.
  [[nodiscard]] static Result<std::unique_ptr<Dialer>> create(Executor executor, Endpoint endpoint,
                                                              const std::string& ca_file, Resolve resolve);
  virtual ~Dialer() = default;

  // Connects, with TLS if the endpoint says so, to the first address that answers. Errors: kConnect, kTls (also a
  // certificate that is not valid for the host), kTimeout, and those of the resolver.
  [[nodiscard]] virtual Task<Result<std::shared_ptr<Link>>> dial(milliseconds within) = 0;
  // Ends a dial() under way with kCancelled, except while it waits for the resolver.
  virtual void cancel() = 0;
};

}  // namespace pixmill::redis
