#include "http/request_body.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace pixmill::http {

namespace {

constexpr std::size_t kPieceBytesMax = 64u << 10;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace

RequestBody::RequestBody(TimedSocket& socket, InputBuffer& buffer, const Framing& framing, BodyLimits limits)
    : socket_(socket),
      buffer_(buffer),
      limits_(limits),
      chunked_(framing.chunked),
      remaining_(framing.content_bytes),
      owes_continue_(framing.expects_continue),
      finished_(!framing.chunked && framing.content_bytes == 0) {
  if (finished_) owes_continue_ = false;
}

std::unexpected<Error> RequestBody::fail_with(Error error) {
  failure_ = error;
  return std::unexpected(std::move(error));
}

Task<Result<std::string_view>> RequestBody::next() {
  buffer_.consume(std::exchange(given_, 0));
  while (true) {
    if (failure_) co_return std::unexpected(*failure_);
    if (finished_) co_return std::string_view();
    if (received_ + remaining_ > limits_.bytes_max) {
      co_return fail_with(Error{.code = ErrorCode::kTooLarge,
                                .message = fmt::format("The body is larger than {} bytes", limits_.bytes_max),
                                .detail = {}});
    }
    if (buffer_.empty()) {
      PIXMILL_CO_RETURN_IF_ERROR(co_await read_more());
      continue;
    }
    Result<std::string_view> piece = chunked_ ? take_chunked() : take_counted();
    if (!piece) co_return std::unexpected(piece.error());
    received_ += piece->size();
    given_ = piece->size();
    // A chunked body's length shows only as it comes.
    if (!piece->empty() && received_ <= limits_.bytes_max) co_return piece;
  }
}

std::string_view RequestBody::take_counted() {
  const std::string_view piece = buffer_.view().substr(0, remaining_);
  remaining_ -= piece.size();
  finished_ = remaining_ == 0;
  return piece;
}

Result<std::string_view> RequestBody::take_chunked() {
  const auto step = decoder_.step(buffer_.view());
  if (!step) {
    refusal_ = step.error();
    return fail_with(Error{.code = ErrorCode::kProtocol, .message = std::string(step.error().why), .detail = {}});
  }
  buffer_.consume(step->consumed - step->data.size());
  finished_ = decoder_.over();
  return step->data;
}

bool RequestBody::too_slow() {
  if (waited_ < limits_.rate_window) return false;
  const auto expected = static_cast<std::uint64_t>(limits_.rate_window.count()) * limits_.bytes_per_second_min / 1000;
  const bool slow = window_bytes_ < expected;
  waited_ = {};
  window_bytes_ = 0;
  return slow;
}

Task<Result<void>> RequestBody::read_more() {
  if (std::exchange(owes_continue_, false)) {
    auto asked = co_await socket_.write(kContinue, std::string_view(), limits_.rate_window);
    if (!asked) co_return fail_with(asked.error());
  }
  const auto room = buffer_.room(kPieceBytesMax);
  while (true) {
    const auto started = std::chrono::steady_clock::now();
    const auto left = std::chrono::ceil<milliseconds>(limits_.rate_window - waited_);
    const auto bytes = co_await socket_.read_some(room, left);
    waited_ += std::chrono::steady_clock::now() - started;
    if (bytes) window_bytes_ += *bytes;
    if (!bytes && bytes.error().code != ErrorCode::kTimeout) co_return fail_with(bytes.error());
    if (too_slow()) {
      co_return fail_with(Error{.code = ErrorCode::kTimeout, .message = "The body came too slowly", .detail = {}});
    }
    if (!bytes) continue;
    if (*bytes == 0) {
      co_return fail_with(
          Error{.code = ErrorCode::kTruncated, .message = "The client left before its body ended", .detail = {}});
    }
    buffer_.added(*bytes);
    co_return Result<void>();
  }
}

bool RequestBody::drainable(std::uint64_t bytes_max) const {
  return finished_ || (!failure_ && !owes_continue_ && remaining_ <= bytes_max);
}

Task<bool> RequestBody::drain(std::uint64_t bytes_max) {
  if (!drainable(bytes_max)) co_return false;
  limits_.bytes_max = std::min(limits_.bytes_max, received_ + bytes_max);
  while (!finished_) {
    const auto piece = co_await next();
    if (!piece) co_return false;
  }
  // The last piece is given until the next call, which a finished request does not make.
  buffer_.consume(std::exchange(given_, 0));
  co_return true;
}

}  // namespace pixmill::http
