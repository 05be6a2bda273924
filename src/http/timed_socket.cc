#include "http/timed_socket.h"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>

namespace pixmill::http {

TimedSocket::TimedSocket(asio::ip::tcp::socket socket) : socket_(std::move(socket)), timer_(socket_.get_executor()) {
  boost::system::error_code ignored;
  // Answers are written whole or in large pieces; waiting for more to send would only delay them.
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
}

Task<Result<std::size_t>> TimedSocket::read_some(std::span<char> into, milliseconds within) {
  arm(within);
  boost::system::error_code error;
  const std::size_t bytes = co_await socket_.async_read_some(asio::buffer(into.data(), into.size()),
                                                             asio::redirect_error(asio::use_awaitable, error));
  armed_ = false;
  if (error == asio::error::eof) co_return 0;
  if (error) co_return std::unexpected(error_of(error));
  co_return bytes;
}

Task<Result<void>> TimedSocket::write(std::string_view first, std::string_view second, milliseconds within) {
  arm(within);
  boost::system::error_code error;
  const std::array<asio::const_buffer, 2> buffers = {asio::buffer(first), asio::buffer(second)};
  co_await asio::async_write(socket_, buffers, asio::redirect_error(asio::use_awaitable, error));
  armed_ = false;
  if (error) co_return std::unexpected(error_of(error));
  co_return Result<void>();
}

void TimedSocket::shutdown_send() {
  boost::system::error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}

void TimedSocket::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
  timer_.cancel();
}

void TimedSocket::reset() {
  boost::system::error_code ignored;
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  close();
}

std::string TimedSocket::peer_address() const {
  boost::system::error_code error;
  const auto endpoint = socket_.remote_endpoint(error);
  return error ? std::string() : endpoint.address().to_string();
}

void TimedSocket::arm(milliseconds within) {
  deadline_ = std::chrono::steady_clock::now() + within;
  armed_ = true;
  timed_out_ = false;
  if (!watching_ || timer_.expiry() > deadline_) watch();
}

void TimedSocket::watch() {
  watching_ = true;
  timer_.expires_at(deadline_);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    if (error) return;
    if (const auto self = weak.lock()) self->on_timer();
  });
}

void TimedSocket::on_timer() {
  watching_ = false;
  if (!armed_) return;
  if (std::chrono::steady_clock::now() < deadline_) return watch();
  timed_out_ = true;
  boost::system::error_code ignored;
  socket_.cancel(ignored);
}

Error TimedSocket::error_of(const boost::system::error_code& error) const {
  if (timed_out_) return Error{.code = ErrorCode::kTimeout, .message = "The client was too slow", .detail = {}};
  if (error == asio::error::operation_aborted || error == asio::error::bad_descriptor) {
    return Error{.code = ErrorCode::kCancelled, .message = "The connection was closed", .detail = {}};
  }
  return Error{
      .code = ErrorCode::kTruncated, .message = "The client broke the connection off", .detail = error.message()};
}

}  // namespace pixmill::http
