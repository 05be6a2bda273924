// The head of a request, from bytes to a Request: our own checks (request_head), then Beast, which must agree. The one
// place where Beast is seen. Pure; any thread.
#pragma once

#include <string_view>

#include "http/message.h"
#include "http/request_head.h"

namespace pixmill::http {

struct ParsedRequest {
  Request request;  // without peer_address, request_id and body
  Framing framing;
  int minor_version = 1;
};

// `head`: what find_head_end measured.
[[nodiscard]] Accepted<ParsedRequest> parse_request(std::string_view head);

}  // namespace pixmill::http
