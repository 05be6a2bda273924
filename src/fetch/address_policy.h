// Which addresses may be connected to: only public ones, unless the operator opened a network (PROMISES section E).
// The rules never change after creation; this machine's addresses may. Any thread.
#pragma once

#include <array>
#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace pixmill::fetch {

using IpAddress = boost::asio::ip::address;

// Where this program itself is reached, which no picture and no webhook may be.
struct OwnEndpoints {
  using AddressReader = std::function<Result<std::vector<IpAddress>>()>;

  std::vector<std::uint16_t> ports;  // it listens on, on all of this machine's addresses
  struct Published {
    IpAddress address;
    std::uint16_t port = 0;
  };
  // Where others reach it, through a router of which this machine knows nothing.
  std::optional<Published> published = std::nullopt;
  AddressReader read = nullptr;  // this machine's addresses; null: as the kernel tells them
  // Addresses come and go (DHCP, IPv6's private ones), so a list that is older is read again when it is needed.
  std::chrono::milliseconds read_every = std::chrono::seconds(30);
};

class AddressPolicy {
 public:
  // `allow`: comma-separated CIDRs ("127.0.0.0/8,10.1.0.0/16,::1/128"; a bare address is /32 or /128); empty allows
  // nothing more. Errors: kInvalidArgument naming the entry; kIo when this machine's addresses cannot be read.
  [[nodiscard]] static Result<AddressPolicy> create(std::string_view allow, OwnEndpoints own = {});

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
  OwnEndpoints own_;
  struct OwnAddresses;
  std::shared_ptr<OwnAddresses> own_addresses_;  // shared by copies of the policy
};

}  // namespace pixmill::fetch
