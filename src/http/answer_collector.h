// Puts one answer together from the pieces that the client's transport hands over, within the request's bounds. Pure.
// Used by client.cc alone.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "http/client.h"

namespace pixmill::http {

class AnswerCollector {
 public:
  // `request` must outlive the collecting.
  void start(const ClientRequest& request);

  // One line of a head or a trailer, with its line end; the blank line ends a head. False: stop the transfer.
  [[nodiscard]] bool take_line(std::string_view line);
  enum class Taken : std::uint8_t {
    kAll,
    kStop,   // the transfer
    kLater,  // there is no memory for it; once there is, `when_room` is called, and the same bytes are offered again
  };
  // The next bytes of the body.
  [[nodiscard]] Taken take_body(std::string_view piece, const std::function<void()>& when_room);

  // The bound that was broken, when one was.
  [[nodiscard]] const std::optional<Error>& broken() const { return broken_; }
  // True when the body was cut on purpose: the answer is good as it is.
  [[nodiscard]] bool is_cut() const { return is_cut_; }
  [[nodiscard]] bool has_head() const { return has_head_; }
  [[nodiscard]] bool has_any_byte() const { return header_bytes_ > 0; }
  // The answer, moved out.
  [[nodiscard]] ClientResponse take() { return std::move(response_); }

 private:
  bool end_of_head();
  [[nodiscard]] bool has_room_for(std::uint64_t body_bytes, const std::function<void()>& when_room);
  bool stop(ErrorCode code, std::string message);
  [[nodiscard]] bool is_success() const { return response_.status >= 200 && response_.status <= 299; }
  [[nodiscard]] bool may_cut() const { return request_->truncate_body || !is_success(); }
  [[nodiscard]] std::uint64_t body_bytes_max() const;

  const ClientRequest* request_ = nullptr;
  ClientResponse response_;
  std::uint64_t header_bytes_ = 0;
  std::uint64_t announced_bytes_ = 0;  // by Content-Length, within the bounds; 0: not known
  bool has_head_ = false;
  bool is_cut_ = false;
  std::optional<Error> broken_;
};

}  // namespace pixmill::http
