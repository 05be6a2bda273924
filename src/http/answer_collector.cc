#include "http/answer_collector.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/text.h"

namespace pixmill::http {

namespace {

constexpr std::uint64_t kStepBytesMin = 256u << 10;

// "HTTP/1.1 200 OK" and "HTTP/2 200"; 0 for anything else, which the transport refuses by itself.
int status_of(std::string_view line) {
  const auto blank = line.find(' ');
  if (blank == std::string_view::npos) return 0;
  return static_cast<int>(parse_integer(line.substr(blank + 1, 3)).value_or(0));
}

}  // namespace

void AnswerCollector::start(const ClientRequest& request) {
  request_ = &request;
  response_ = ClientResponse();
  header_bytes_ = 0;
  announced_bytes_ = 0;
  has_head_ = false;
  is_cut_ = false;
  broken_.reset();
}

bool AnswerCollector::stop(ErrorCode code, std::string message) {
  broken_ = Error{.code = code, .message = std::move(message), .detail = {}};
  return false;
}

std::uint64_t AnswerCollector::body_bytes_max() const {
  return is_success() ? request_->body_bytes_max : std::min(request_->body_bytes_max, request_->other_body_bytes_max);
}

bool AnswerCollector::take_line(std::string_view line) {
  header_bytes_ += line.size();
  if (header_bytes_ > request_->header_bytes_max) {
    return stop(ErrorCode::kProtocol,
                fmt::format("The answer has more than {} bytes of headers", request_->header_bytes_max));
  }
  if (has_head_) return true;  // a trailer
  const bool continues = line.starts_with(' ') || line.starts_with('\t');
  const std::string_view text = trim(line);
  if (text.empty()) return end_of_head();
  if (response_.status == 0) {
    response_.status = status_of(text);
    return true;
  }
  const auto colon = text.find(':');
  if (continues || colon == std::string_view::npos) return true;  // folded lines and garbage are nobody's header
  response_.headers.add(std::string(text.substr(0, colon)), std::string(trim(text.substr(colon + 1))));
  return true;
}

bool AnswerCollector::end_of_head() {
  if (response_.status < 200) {  // informational: the real answer follows
    response_ = ClientResponse();
    return true;
  }
  has_head_ = true;
  const auto length = parse_integer(response_.headers.get("Content-Length").value_or(""));
  if (!length || *length < 0 || request_->method == "HEAD") return true;
  const auto announced = static_cast<std::uint64_t>(*length);
  if (announced > body_bytes_max() && !may_cut()) {
    return stop(ErrorCode::kTooLarge, fmt::format("The file has {}, more than the {} allowed", format_bytes(announced),
                                                  format_bytes(body_bytes_max())));
  }
  announced_bytes_ = std::min(announced, body_bytes_max());
  return true;
}

// The string grows to exactly what was granted.
bool AnswerCollector::has_room_for(std::uint64_t body_bytes, const std::function<void()>& when_room) {
  const std::uint64_t held = response_.body.capacity();
  if (body_bytes <= held) return true;
  const std::uint64_t step = std::clamp(2 * held, kStepBytesMin, body_bytes_max());
  const std::uint64_t wanted = std::max(body_bytes, announced_bytes_ > 0 ? announced_bytes_ : step);
  if (request_->memory != nullptr && is_success()) {
    const ByteBudget::Grant::Growth growth{.held_bytes = response_.body.size(), .wanted_bytes = wanted};
    if (!request_->memory->grow(growth, when_room)) return false;
  }
  response_.body.reserve(wanted);
  return true;
}

AnswerCollector::Taken AnswerCollector::take_body(std::string_view piece, const std::function<void()>& when_room) {
  const std::uint64_t room = body_bytes_max() - response_.body.size();
  if (piece.size() > room && !may_cut()) {
    stop(ErrorCode::kTooLarge, fmt::format("The file has more than the {} allowed", format_bytes(body_bytes_max())));
    return Taken::kStop;
  }
  const std::string_view kept = piece.substr(0, room);
  if (!has_room_for(response_.body.size() + kept.size(), when_room)) return Taken::kLater;
  response_.body.append(kept);
  is_cut_ = kept.size() < piece.size();
  return is_cut_ ? Taken::kStop : Taken::kAll;
}

}  // namespace pixmill::http
