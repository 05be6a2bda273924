// /etc/hosts, kept in memory and read again when it has changed. Used by resolver.cc alone. Lives on the loop.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pixmill::http {

using HostsTable = std::unordered_map<std::string, std::vector<boost::asio::ip::address>>;

// Lines "address name…", '#' begins a comment; malformed lines and addresses with a zone are skipped. Names in lower
// case.
[[nodiscard]] HostsTable parse_hosts(std::string_view text);

class HostsFile {
 public:
  explicit HostsFile(std::string path) : path_(std::move(path)) {}

  // Empty when the file does not have `lower_case_name` or cannot be read. Looks at the file's time at most once a
  // second.
  [[nodiscard]] const std::vector<boost::asio::ip::address>& find(const std::string& lower_case_name);

 private:
  void refresh();

  std::string path_;
  HostsTable table_;
  std::chrono::steady_clock::time_point next_look_{};
  std::int64_t modified_ns_ = -1;
  std::int64_t bytes_ = -1;
};

}  // namespace pixmill::http
