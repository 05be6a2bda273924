#include "app/server_address.h"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <exception>
#include <optional>
#include <utility>

#include "app/small_file.h"
#include "base/task.h"
#include "base/text.h"
#include "http/client.h"

namespace pixmill::app {

namespace {

constexpr std::size_t kFileBytesMax = 4'096;

std::string path_in(const std::string& folder) { return folder + "/address"; }

Task<Result<http::ClientResponse>> send(http::ClientRequest request) {
  const auto executor = co_await asio::this_coro::executor;
  http::ClientOptions options;
  PIXMILL_CO_TRY(const auto client, http::Client::create(executor, std::move(options)));
  co_return co_await client->send(std::move(request));
}

}  // namespace

ServerAddress local_address(const std::string& listen_host, std::uint16_t port,
                            const std::vector<std::string>& allowed_hosts) {
  boost::system::error_code error;
  auto address = asio::ip::make_address(listen_host, error);
  if (!error && address.is_unspecified()) {
    // Every address of this machine, so also the one that nobody else reaches.
    address = address.is_v6() ? asio::ip::address(asio::ip::address_v6::loopback())
                              : asio::ip::address(asio::ip::address_v4::loopback());
  }
  ServerAddress result{.ip = error ? listen_host : address.to_string(), .port = port, .host = "localhost"};
  if (allowed_hosts.empty() || allowed_hosts.front() == "*") return result;
  const std::string& name = allowed_hosts.front();
  result.host = name.starts_with('.') ? name.substr(1) : name;
  return result;
}

Result<void> write_server_address(const std::string& folder, const ServerAddress& address) {
  return write_file(path_in(folder), fmt::format("{} {} {}\n", address.ip, address.port, address.host), 0600);
}

void remove_server_address(const std::string& folder) { ::unlink(path_in(folder).c_str()); }

Result<ServerAddress> read_server_address(const std::string& folder) {
  PIXMILL_TRY(const auto text, read_file(path_in(folder), kFileBytesMax));
  const auto words = split(trim(text), ' ');
  const auto port = words.size() == 3 ? parse_integer(words[1]) : std::nullopt;
  boost::system::error_code error;
  if (port) asio::ip::make_address(std::string(words[0]), error);
  if (!port || *port < 1 || *port > 65'535 || error || words[2].empty()) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("{} is no address of a server", path_in(folder)));
  }
  return ServerAddress{
      .ip = std::string(words[0]), .port = static_cast<std::uint16_t>(*port), .host = std::string(words[2])};
}

Result<ServerAnswer> ask_server(const ServerAddress& address, const std::string& method, const std::string& target,
                                const std::string& json_body, std::chrono::milliseconds patience) {
  http::ClientRequest request;
  request.method = method;
  request.scheme = "http";
  request.host = address.host;
  request.port = address.port;
  request.target = target;
  request.addresses.push_back(asio::ip::make_address(address.ip));
  request.headers.set("Content-Type", "application/json");
  request.body = json_body;
  request.total_timeout = patience;
  // It may think as long as it is given.
  request.low_speed_bytes_per_second = 0;
  asio::io_context io(1);
  std::optional<Result<http::ClientResponse>> answer;
  asio::co_spawn(io, send(std::move(request)),
                 [&answer](const std::exception_ptr& error, Result<http::ClientResponse> response) {
                   PIXMILL_CHECK(error == nullptr);
                   answer.emplace(std::move(response));
                 });
  io.run();
  PIXMILL_CHECK(answer.has_value());
  if (!*answer) return std::unexpected(std::move(answer->error()));
  return ServerAnswer{.status = (*answer)->status, .body = std::move((*answer)->body)};
}

}  // namespace pixmill::app
