// A blocking socket that speaks HTTP/1.1 as badly as a test wants. Every wait ends after 20 s at the latest.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/text.h"

namespace pixmill::testing {

struct RawResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // chunks joined
  bool complete = false;                       // as long as Content-Length or the last chunk said

  [[nodiscard]] std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string() : found->second;
  }
};

class RawHttpClient {
 public:
  explicit RawHttpClient(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    PIXMILL_CHECK(fd_ >= 0);
    const timeval patience{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    PIXMILL_CHECK(::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  ~RawHttpClient() { close(); }
  RawHttpClient(RawHttpClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), pending_(std::move(other.pending_)) {}
  RawHttpClient(const RawHttpClient&) = delete;
  RawHttpClient& operator=(const RawHttpClient&) = delete;

  // False when the server has closed the connection.
  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  void finish_sending() const { ::shutdown(fd_, SHUT_WR); }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

  // Status 0 when the connection ends before a header.
  RawResponse read_response(bool head_only = false) {
    RawResponse response;
    std::size_t end = 0;
    while ((end = pending_.find("\r\n\r\n")) == std::string::npos) {
      if (!read_more()) return response;
    }
    parse_head(std::string_view(pending_).substr(0, end), response);
    pending_.erase(0, end + 4);
    const bool bodiless = head_only || response.status < 200 || response.status == 204 || response.status == 304;
    if (bodiless) {
      response.complete = true;
    } else if (response.header("transfer-encoding") == "chunked") {
      read_chunks(response);
    } else if (response.headers.contains("content-length")) {
      const auto bytes = static_cast<std::size_t>(parse_integer(response.header("content-length")).value_or(0));
      response.complete = read_exactly(bytes, response.body);
    } else {
      while (read_more()) {
      }
      response.body = std::exchange(pending_, {});
      response.complete = !broken_;
    }
    return response;
  }

  RawResponse request(std::string_view bytes, bool head_only = false) {
    send(bytes);
    return read_response(head_only);
  }

  // Everything up to and with `text`, or to the end of the connection.
  std::string read_until(std::string_view text) {
    while (pending_.find(text) == std::string::npos) {
      if (!read_more()) return std::exchange(pending_, {});
    }
    const auto end = pending_.find(text) + text.size();
    std::string found = pending_.substr(0, end);
    pending_.erase(0, end);
    return found;
  }
  // Everything up to the end of the connection.
  std::string read_to_end() {
    while (read_more()) {
    }
    return std::exchange(pending_, {});
  }
  // True when the server ends the connection without another byte.
  bool ends() { return read_to_end().empty() && !timed_out_; }

 private:
  bool read_more() {
    char bytes[16384];
    ssize_t count = 0;
    do {
      count = ::recv(fd_, bytes, sizeof bytes, 0);
    } while (count < 0 && errno == EINTR);
    if (count < 0) broken_ = true;
    if (count < 0 && errno == EAGAIN) timed_out_ = true;
    if (count <= 0) return false;
    pending_.append(bytes, static_cast<std::size_t>(count));
    return true;
  }

  bool read_exactly(std::size_t bytes, std::string& into) {
    while (pending_.size() < bytes) {
      if (!read_more()) break;
    }
    into += pending_.substr(0, bytes);
    const bool whole = pending_.size() >= bytes;
    pending_.erase(0, bytes);
    return whole;
  }

  void read_chunks(RawResponse& response) {
    while (true) {
      std::size_t end = 0;
      while ((end = pending_.find("\r\n")) == std::string::npos) {
        if (!read_more()) return;
      }
      const std::size_t bytes = std::stoul(pending_.substr(0, end), nullptr, 16);
      pending_.erase(0, end + 2);
      std::string line_end;
      if (!read_exactly(bytes, response.body) || !read_exactly(2, line_end)) return;
      if (bytes == 0) break;
    }
    response.complete = true;
  }

  static void parse_head(std::string_view head, RawResponse& response) {
    bool first = true;
    for (auto line : split(head, '\n')) {
      line = trim(line);
      if (first) response.status = static_cast<int>(parse_integer(line.substr(9, 3)).value_or(0));
      const auto colon = line.find(':');
      if (!first && colon != std::string_view::npos) {
        response.headers[to_lower(line.substr(0, colon))] = std::string(trim(line.substr(colon + 1)));
      }
      first = false;
    }
  }

  int fd_;
  std::string pending_;
  bool broken_ = false;
  bool timed_out_ = false;
};

}  // namespace pixmill::testing
