// Which addresses may be connected to: only public ones, unless the operator opened a network (PROMISES section E).
// Immutable after creation; any thread.
#pragma once

#include <array>
#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace pixmill::fetch {

using IpAddress = boost::asio::ip::address;

class AddressPolicy {
 public:
  // `allow`: comma-separated CIDRs ("127.0.0.0/8,10.1.0.0/16,::1/128"; a bare address is /32 or /128); empty allows
  // nothing more. `own_ports`: ports this program listens on; they are refused on all of this machine's own addresses,
  // which are read once here unless a test gives them. Errors: kInvalidArgument naming the entry; kIo when this
  // machine's addresses cannot be read.
  [[nodiscard]] static Result<AddressPolicy> create(std::string_view allow, std::vector<std::uint16_t> own_ports = {},
                                                    std::optional<std::vector<IpAddress>> own_addresses = std::nullopt);

  // In this order: an opened address may be connected to on any port; then the address must be public; then the port
  // must be one that pictures are served on (80, 443, 1024 to 65535 less those of well-known databases and caches) and
  // not our own here. Errors: kBlockedAddress; the message names the address and why ("private network").
  [[nodiscard]] Result<void> check(const IpAddress& address, std::uint16_t port) const;
  [[nodiscard]] bool allows(const IpAddress& address, std::uint16_t port) const;

 private:
  struct Network {
    std::array<std::uint8_t, 16> prefix{};  // IPv4 as ::ffff:a.b.c.d
    int bits = 128;
  };
  [[nodiscard]] bool is_opened(const IpAddress& address) const;
  [[nodiscard]] bool is_own(const IpAddress& address, std::uint16_t port) const;

  std::vector<Network> allowed_;
  std::vector<std::uint16_t> own_ports_;
  std::vector<IpAddress> own_addresses_;
};

}  // namespace pixmill::fetch
