// A name server for tests: UDP on a free loopback port, on a thread of its own, answering from a table that the test
// fills. Thread-safe; header-only, so that every module's tests can have it.
#pragma once

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/ip/address.hpp>
#include <cctype>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"

namespace pixmill::testing {

struct DnsReply {
  enum class Kind : std::uint8_t { kRecords, kNxdomain, kServfail, kSilent };
  Kind kind = Kind::kRecords;
  std::vector<std::string> addresses;  // IPv4 and IPv6 literals; none: the name exists and has no address
  std::uint32_t ttl_seconds = 60;
  bool silent_about_ipv6 = false;  // AAAA questions get no answer, as from some broken servers
};

class DnsServer {
 public:
  DnsServer() : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), stop_(::eventfd(0, EFD_CLOEXEC)) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof(in);
    PIXMILL_CHECK(::bind(socket_, as_sockaddr(in), bytes) == 0);
    PIXMILL_CHECK(::getsockname(socket_, as_sockaddr(in), &bytes) == 0);
    port_ = ntohs(in.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~DnsServer() {
    const std::uint64_t one = 1;
    PIXMILL_CHECK(::write(stop_, &one, sizeof(one)) == sizeof(one));
    thread_.join();
    ::close(socket_);
    ::close(stop_);
  }
  DnsServer(const DnsServer&) = delete;
  DnsServer& operator=(const DnsServer&) = delete;

  // As ResolverOptions::servers takes it.
  [[nodiscard]] std::string address() const { return fmt::format("127.0.0.1:{}", port_); }

  // Names without an entry do not exist.
  void add(std::string name, DnsReply reply) { add_in_turn(std::move(name), {std::move(reply)}); }
  void add(std::string name, std::vector<std::string> addresses, std::uint32_t ttl_seconds = 60) {
    add(std::move(name), DnsReply{.addresses = std::move(addresses), .ttl_seconds = ttl_seconds});
  }
  // Each A question gets the next reply, and after the last the first again.
  void add_in_turn(std::string name, std::vector<DnsReply> replies) {
    const std::scoped_lock lock(mutex_);
    replies_[std::move(name)] = std::move(replies);
  }
  // How often the name's A records were asked for.
  [[nodiscard]] std::size_t questions(const std::string& name) const {
    const std::scoped_lock lock(mutex_);
    const auto found = questions_.find(name);
    return found == questions_.end() ? 0 : found->second;
  }

 private:
  static constexpr std::uint16_t kTypeA = 1;
  static constexpr std::uint16_t kTypeAaaa = 28;

  static sockaddr* as_sockaddr(sockaddr_in& in) { return static_cast<sockaddr*>(static_cast<void*>(&in)); }
  static void put16(std::string& to, std::uint32_t value) {
    to += static_cast<char>(value >> 8 & 0xff);
    to += static_cast<char>(value & 0xff);
  }

  void serve() {
    std::array<char, 1024> packet{};
    std::array<pollfd, 2> waits{pollfd{.fd = socket_, .events = POLLIN, .revents = 0},
                                pollfd{.fd = stop_, .events = POLLIN, .revents = 0}};
    while (::poll(waits.data(), waits.size(), -1) >= 0 && waits[1].revents == 0) {
      sockaddr_in from{};
      socklen_t from_bytes = sizeof(from);
      const auto bytes = ::recvfrom(socket_, packet.data(), packet.size(), 0, as_sockaddr(from), &from_bytes);
      if (bytes < 17) continue;
      const std::string answer = answer_to({packet.data(), static_cast<std::size_t>(bytes)});
      if (!answer.empty()) ::sendto(socket_, answer.data(), answer.size(), 0, as_sockaddr(from), from_bytes);
    }
  }

  // RFC 1035 section 4: the header, the one question, and the records that point back to its name. Empty: no answer.
  std::string answer_to(std::string_view query) {
    std::string name;
    std::size_t at = 12;
    while (at < query.size() && query[at] != 0) {
      const auto label_bytes = static_cast<unsigned char>(query[at]);
      if (!name.empty()) name += '.';
      for (const char c : query.substr(at + 1, label_bytes)) name += static_cast<char>(std::tolower(c));
      at += label_bytes + 1U;
    }
    const std::string_view question = query.substr(12, at + 5 - 12);
    const auto type = static_cast<std::uint16_t>(static_cast<unsigned char>(query[at + 1]) << 8 |
                                                 static_cast<unsigned char>(query[at + 2]));
    const DnsReply reply = next_reply(name, type);
    if (reply.kind == DnsReply::Kind::kSilent || (type == kTypeAaaa && reply.silent_about_ipv6)) return {};
    std::string records;
    std::uint32_t count = 0;
    for (const std::string& text : reply.addresses) {
      const auto address = boost::asio::ip::make_address(text);
      if (address.is_v4() != (type == kTypeA)) continue;
      ++count;
      put16(records, 0xc00c);
      put16(records, type);
      put16(records, 1);
      put16(records, reply.ttl_seconds >> 16);
      put16(records, reply.ttl_seconds & 0xffff);
      put16(records, address.is_v4() ? 4 : 16);
      if (address.is_v4()) {
        for (const auto byte : address.to_v4().to_bytes()) records += static_cast<char>(byte);
      } else {
        for (const auto byte : address.to_v6().to_bytes()) records += static_cast<char>(byte);
      }
    }
    std::string answer(query.substr(0, 2));
    const std::uint32_t code = reply.kind == DnsReply::Kind::kNxdomain   ? 3
                               : reply.kind == DnsReply::Kind::kServfail ? 2
                                                                         : 0;
    put16(answer, 0x8180 | code);
    put16(answer, 1);
    put16(answer, count);
    put16(answer, 0);
    put16(answer, 0);
    return answer.append(question).append(records);
  }

  DnsReply next_reply(const std::string& name, std::uint16_t type) {
    const std::scoped_lock lock(mutex_);
    std::size_t& asked = questions_[name];
    const auto found = replies_.find(name);
    if (type == kTypeA) ++asked;
    if (found == replies_.end()) return {.kind = DnsReply::Kind::kNxdomain, .addresses = {}};
    return found->second[(asked == 0 ? 0 : asked - 1) % found->second.size()];
  }

  int socket_;
  int stop_;
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::map<std::string, std::vector<DnsReply>> replies_;
  std::map<std::string, std::size_t> questions_;
  std::thread thread_;
};

}  // namespace pixmill::testing
