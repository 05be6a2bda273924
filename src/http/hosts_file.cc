#include "http/hosts_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "base/text.h"

namespace pixmill::http {

namespace {

// A real file has a few hundred bytes, a blocklist a few megabytes; what is beyond is not read.
constexpr std::size_t kFileBytesMax = 8u << 20;

std::string read_prefix(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::string piece(64u << 10, '\0');
  while (text.size() < kFileBytesMax &&
         file.read(piece.data(), static_cast<std::streamsize>(piece.size())).gcount() > 0) {
    text.append(piece.data(), static_cast<std::size_t>(file.gcount()));
  }
  return text;
}

}  // namespace

HostsTable parse_hosts(std::string_view text) {
  HostsTable table;
  for (const std::string_view line : split(text, '\n')) {
    std::string_view rest = trim(line.substr(0, line.find('#')));
    const auto take_word = [&rest]() {
      const auto end = std::min(rest.find_first_of(" \t"), rest.size());
      const std::string_view word = rest.substr(0, end);
      rest = trim(rest.substr(end));
      return word;
    };
    const std::string_view address_text = take_word();
    if (address_text.find('%') != std::string_view::npos) continue;
    boost::system::error_code error;
    const auto address = boost::asio::ip::make_address(std::string(address_text), error);
    if (error) continue;
    while (!rest.empty()) {
      auto& addresses = table[to_lower(take_word())];
      // IPv4 first, as the resolver orders its answers.
      const auto at =
          address.is_v4() ? std::ranges::find_if(addresses, [](const auto& a) { return a.is_v6(); }) : addresses.end();
      if (std::ranges::find(addresses, address) == addresses.end()) addresses.insert(at, address);
    }
  }
  return table;
}

const std::vector<boost::asio::ip::address>& HostsFile::find(const std::string& lower_case_name) {
  static const std::vector<boost::asio::ip::address> kNone;
  refresh();
  const auto found = table_.find(lower_case_name);
  return found == table_.end() ? kNone : found->second;
}

void HostsFile::refresh() {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_look_) return;
  next_look_ = now + std::chrono::seconds(1);
  struct stat status {};
  if (::stat(path_.c_str(), &status) != 0) {
    table_.clear();
    bytes_ = -1;
    return;
  }
  const std::int64_t modified_ns = std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
  if (modified_ns == modified_ns_ && status.st_size == bytes_) return;
  modified_ns_ = modified_ns;
  bytes_ = status.st_size;
  table_ = parse_hosts(read_prefix(path_));
}

}  // namespace pixmill::http
