#include "fetch/address_policy.h"

#include <fmt/format.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "base/text.h"

namespace pixmill::fetch {

namespace {

using Bytes = std::array<std::uint8_t, 16>;

// Every address as IPv6; IPv4 as ::ffff:a.b.c.d, which is how both families share one comparison.
Bytes as_bytes(const IpAddress& address) {
  if (address.is_v6()) return address.to_v6().to_bytes();
  Bytes bytes{};
  bytes[10] = bytes[11] = 0xff;
  const auto v4 = address.to_v4().to_bytes();
  std::copy(v4.begin(), v4.end(), bytes.begin() + 12);
  return bytes;
}

bool has_prefix(const Bytes& bytes, const Bytes& prefix, int bits) {
  const auto whole = static_cast<std::size_t>(bits / 8);
  if (!std::equal(prefix.begin(), prefix.begin() + static_cast<std::ptrdiff_t>(whole), bytes.begin())) return false;
  const int rest = bits % 8;
  return rest == 0 || ((bytes[whole] ^ prefix[whole]) >> (8 - rest)) == 0;
}

struct V4Network {
  std::uint32_t prefix;
  int bits;
  std::string_view why;
};

constexpr std::uint32_t v4(std::uint32_t a, std::uint32_t b, std::uint32_t c = 0) { return a << 24 | b << 16 | c << 8; }

// The IANA special-purpose registry (RFC 6890 and successors).
constexpr V4Network kForbiddenV4[] = {
    {v4(0, 0), 8, "this network"},
    {v4(10, 0), 8, "private network"},
    {v4(100, 64), 10, "carrier-grade NAT"},
    {v4(127, 0), 8, "loopback"},
    {v4(169, 254), 16, "link-local, where clouds keep their metadata"},
    {v4(172, 16), 12, "private network"},
    {v4(192, 0, 0), 24, "protocol assignments"},
    {v4(192, 0, 2), 24, "documentation"},
    {v4(192, 88, 99), 24, "6to4 relay"},
    {v4(192, 168), 16, "private network"},
    {v4(198, 18), 15, "benchmarking"},
    {v4(198, 51, 100), 24, "documentation"},
    {v4(203, 0, 113), 24, "documentation"},
    {v4(224, 0), 4, "multicast"},
    {v4(240, 0), 4, "reserved"},
};

struct V6Network {
  Bytes prefix;
  int bits;
  std::string_view why;
};

// The forms that carry an IPv4 address inside (mapped, compatible, NAT64, 6to4, Teredo) are refused as a whole: none of
// them is how a public server is named, and each is a way to spell a private one.
constexpr V6Network kForbiddenV6[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 128, "unspecified"},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, "loopback"},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, "IPv4-mapped"},
    {{}, 96, "IPv4-compatible"},
    {{0, 0x64, 0xff, 0x9b}, 96, "NAT64"},
    {{0, 0x64, 0xff, 0x9b, 0, 1}, 48, "local NAT64"},
    {{0x01, 0x00}, 64, "discard-only"},
    {{0x20, 0x01, 0, 0}, 32, "Teredo"},
    {{0x20, 0x01, 0x00}, 23, "protocol assignments"},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, "documentation"},
    {{0x3f, 0xff, 0x00}, 20, "documentation"},
    {{0x20, 0x02}, 16, "6to4"},
    {{0xfc}, 7, "private network"},
    {{0xfe, 0x80}, 10, "link-local"},
    {{0xfe, 0xc0}, 10, "site-local"},
    {{0xff}, 8, "multicast"},
};

// RFC 5214: the interface part is 00-00-5E-FE or 02-00-5E-FE and an IPv4 address, under any prefix.
bool is_isatap(const Bytes& bytes) {
  return (bytes[8] == 0x00 || bytes[8] == 0x02) && bytes[9] == 0x00 && bytes[10] == 0x5e && bytes[11] == 0xfe;
}

// Why an address is not public; nullopt when it is.
std::optional<std::string_view> forbidden_because(const IpAddress& address) {
  if (address.is_v4()) {
    const std::uint32_t number = address.to_v4().to_uint();
    for (const auto& network : kForbiddenV4) {
      if (((number ^ network.prefix) >> (32 - network.bits)) == 0) return network.why;
    }
    return std::nullopt;
  }
  const Bytes bytes = address.to_v6().to_bytes();
  if (address.to_v6().scope_id() != 0) return "it belongs to one link";
  for (const auto& network : kForbiddenV6) {
    if (has_prefix(bytes, network.prefix, network.bits)) return network.why;
  }
  if (is_isatap(bytes)) return "ISATAP";
  // RFC 4291 section 2.4: only 2000::/3 is given out as global unicast, whatever else is invented.
  if (bytes[0] >> 5 != 1) return "outside the global range";
  return std::nullopt;
}

// Docker, MySQL, PostgreSQL, Redis, Elasticsearch, memcached, MongoDB: what a request could talk to by accident or
// malice.
constexpr std::uint16_t kForbiddenPorts[] = {2375, 2379, 3306, 5432, 6379, 9200, 11211, 27017};

bool serves_pictures(std::uint16_t port) {
  if (port == 80 || port == 443) return true;
  return port >= 1024 && std::ranges::find(kForbiddenPorts, port) == std::end(kForbiddenPorts);
}

std::optional<IpAddress> from_sockaddr(const sockaddr* socket_address) {
  if (socket_address == nullptr) return std::nullopt;
  if (socket_address->sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, socket_address, sizeof(in));
    return IpAddress(boost::asio::ip::address_v4(ntohl(in.sin_addr.s_addr)));
  }
  if (socket_address->sa_family == AF_INET6) {
    sockaddr_in6 in6{};
    std::memcpy(&in6, socket_address, sizeof(in6));
    boost::asio::ip::address_v6::bytes_type bytes{};
    std::memcpy(bytes.data(), &in6.sin6_addr, bytes.size());
    return IpAddress(boost::asio::ip::address_v6(bytes));
  }
  return std::nullopt;
}

Result<std::vector<IpAddress>> read_own_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return std::unexpected(errno_error(errno, "Cannot read this machine's addresses"));
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, ::freeifaddrs);
  std::vector<IpAddress> own;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (auto address = from_sockaddr(entry->ifa_addr)) own.push_back(*address);
  }
  return own;
}

}  // namespace

struct AddressPolicy::OwnAddresses {
  std::mutex mutex;
  std::vector<IpAddress> addresses;
  std::chrono::steady_clock::time_point read_at;
};

Result<AddressPolicy> AddressPolicy::create(std::string_view allow, OwnEndpoints own) {
  AddressPolicy policy;
  for (const std::string_view part : split(allow, ',')) {
    const std::string_view entry = trim(part);
    if (entry.empty()) continue;
    const auto slash = entry.find('/');
    boost::system::error_code error;
    const auto address = boost::asio::ip::make_address(std::string(entry.substr(0, slash)), error);
    const bool is_address = !error && entry.find('%') == std::string_view::npos;
    const std::int64_t bits_max = is_address && address.is_v4() ? 32 : 128;
    const auto bits = slash == std::string_view::npos ? bits_max : parse_integer(entry.substr(slash + 1));
    if (!is_address || !bits || *bits < 0 || *bits > bits_max) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("'{}' is not a network such as 10.1.0.0/16 or ::1/128", entry));
    }
    policy.allowed_.push_back({.prefix = as_bytes(address), .bits = static_cast<int>(*bits + 128 - bits_max)});
  }
  policy.own_ = std::move(own);
  if (!policy.own_.read) policy.own_.read = read_own_addresses;
  policy.own_addresses_ = std::make_shared<OwnAddresses>();
  policy.own_addresses_->read_at = std::chrono::steady_clock::now();
  PIXMILL_TRY(policy.own_addresses_->addresses, policy.own_.read());
  return policy;
}

bool AddressPolicy::is_opened(const IpAddress& address) const {
  const Bytes bytes = as_bytes(address);
  return std::ranges::any_of(allowed_,
                             [&](const Network& network) { return has_prefix(bytes, network.prefix, network.bits); });
}

bool AddressPolicy::is_own(const IpAddress& address, std::uint16_t port) const {
  const bool is_own_port = std::ranges::find(own_.ports, port) != own_.ports.end();
  if (own_.published && own_.published->address == address && (is_own_port || own_.published->port == port))
    return true;
  if (!is_own_port) return false;
  const std::lock_guard lock(own_addresses_->mutex);
  if (const auto now = std::chrono::steady_clock::now(); now - own_addresses_->read_at >= own_.read_every) {
    own_addresses_->read_at = now;
    // What cannot be read is as it was.
    if (auto read = own_.read()) own_addresses_->addresses = std::move(*read);
  }
  return std::ranges::find(own_addresses_->addresses, address) != own_addresses_->addresses.end();
}

Result<void> AddressPolicy::check(const IpAddress& address, std::uint16_t port) const {
  if (is_opened(address)) return {};
  if (const auto why = forbidden_because(address)) {
    return fail(ErrorCode::kBlockedAddress, fmt::format("{} is not a public address: {}", address.to_string(), *why));
  }
  if (!serves_pictures(port)) {
    return fail(ErrorCode::kBlockedAddress,
                fmt::format("Port {} of {} is not one for web servers", port, address.to_string()));
  }
  if (is_own(address, port)) {
    return fail(ErrorCode::kBlockedAddress, fmt::format("{} port {} is Pixmill itself", address.to_string(), port));
  }
  return {};
}

bool AddressPolicy::allows(const IpAddress& address, std::uint16_t port) const {
  return check(address, port).has_value();
}

}  // namespace pixmill::fetch
