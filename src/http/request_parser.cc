#include "http/request_parser.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

namespace pixmill::http {

namespace beast_http = boost::beast::http;

Accepted<ParsedRequest> parse_request(std::string_view head) {
  if (const auto checked = check_head(head); !checked) return std::unexpected(checked.error());

  beast_http::request_parser<beast_http::empty_body> parser;
  parser.header_limit(static_cast<std::uint32_t>(kHeadBytesMax));
  parser.body_limit(boost::none);  // the body is not Beast's: request_body bounds it
  boost::system::error_code error;
  const std::size_t used = parser.put(asio::buffer(head.data(), head.size()), error);
  // Beast has the last word on what we let through. It may stop in front of the body with need_more, which is no
  // refusal.
  if ((error && error != beast_http::error::need_more) || !parser.is_header_done() || used != head.size()) {
    return std::unexpected(Refusal{.status = 400, .why = "The header cannot be read"});
  }

  const auto& message = parser.get();
  ParsedRequest parsed;
  parsed.minor_version = message.version() == 10 ? 0 : 1;
  parsed.request.method = std::string(message.method_string());
  parsed.request.target = std::string(message.target());
  for (const auto& field : message) {
    parsed.request.headers.add(std::string(field.name_string()), std::string(field.value()));
  }
  auto framing = framing_of(parsed.request.headers, parsed.minor_version);
  if (!framing) return std::unexpected(framing.error());
  parsed.framing = *framing;

  auto target = parse_target(parsed.request.method, parsed.request.target);
  if (!target) return std::unexpected(target.error());
  parsed.request.path = std::move(target->path);
  parsed.request.query = std::move(target->query);
  if (!target->authority.empty()) parsed.request.headers.set("Host", target->authority);
  return parsed;
}

}  // namespace pixmill::http
