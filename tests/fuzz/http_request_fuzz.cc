// Any bytes as a request: the head's checks, Beast behind them, the router, and the chunked coding. What the checks
// accept must be plain to read, and a chunked body must decode alike in any pieces.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "http/chunked.h"
#include "http/request_head.h"
#include "http/request_parser.h"
#include "http/response_head.h"
#include "http/router.h"

namespace {

using namespace pixmill::http;

const Router& router() {
  static const Router kRouter = [] {
    const auto nothing = [](Request&) -> pixmill::Task<Response> { co_return Response{}; };
    Router built;
    built.add("GET", "/", nothing);
    built.add("GET", "/v1/jobs/{id}", nothing);
    built.add("POST", "/v1/jobs/{id}/cancel", nothing);
    built.add("GET", "/files/{key...}", nothing);
    built.add("GET", "/imgproc/status/{id}/", nothing, true);
    return built;
  }();
  return kRouter;
}

void check_request(const ParsedRequest& parsed) {
  const Request& request = parsed.request;
  PIXMILL_CHECK(request.path.starts_with('/') || request.path == "*");
  PIXMILL_CHECK(request.path.find('\0') == std::string::npos);
  PIXMILL_CHECK(!(parsed.framing.chunked && request.headers.get("Content-Length")));
  PIXMILL_CHECK(request.headers.all().size() <= kFieldsMax + 1);
  for (const auto& [name, value] : request.headers.all()) {
    PIXMILL_CHECK(!name.empty() && name.find_first_of(" \t:") == std::string::npos);
    PIXMILL_CHECK(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
  }
  const auto match = router().match(request.method, request.path);
  PIXMILL_CHECK(match.handler == nullptr || !match.pattern.empty());
  if (const auto range = request.headers.get("Range")) {
    const auto choice = choose_range(*range, 1'000);
    if (choice.kind == RangeKind::kPart)
      PIXMILL_CHECK(choice.part.bytes > 0 && choice.part.first + choice.part.bytes <= 1'000);
  }
}

// nullopt when refused or not over.
std::optional<std::string> decode(std::string_view bytes, std::size_t piece_bytes) {
  ChunkedDecoder decoder;
  std::string body;
  std::string_view piece;
  while (!decoder.over()) {
    if (piece.empty()) {
      if (bytes.empty()) return std::nullopt;
      piece = bytes.substr(0, piece_bytes);
      bytes.remove_prefix(piece.size());
    }
    const auto step = decoder.step(piece);
    if (!step) return std::nullopt;
    PIXMILL_CHECK(step->consumed <= piece.size() && (step->consumed > 0 || decoder.over()));
    body += step->data;
    piece.remove_prefix(step->consumed);
  }
  return body;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::size_t scanned = 0;
  const auto end = find_head_end(bytes, scanned);
  std::string_view rest = bytes;
  if (end && *end) {
    const auto parsed = parse_request(bytes.substr(0, **end));
    if (parsed) check_request(*parsed);
    rest.remove_prefix(**end);
  }
  // What the scanner finds must not depend on how the bytes arrived.
  std::size_t scanned_slowly = 0;
  for (std::size_t i = 0; i <= bytes.size() && i <= 512; ++i) {
    const auto slowly = find_head_end(bytes.substr(0, i), scanned_slowly);
    if (slowly && !*slowly) continue;
    PIXMILL_CHECK(slowly.has_value() == end.has_value() || !end);
    if (slowly && end) PIXMILL_CHECK(**slowly == **end);
    break;
  }
  PIXMILL_CHECK(decode(rest, 1) == decode(rest, rest.size() + 1));
  return 0;
}
