// Any bytes, fed in any pieces, give the multipart parser the same events as in one piece, within its bounds.
// Input: one byte that sizes the pieces, then the body.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "http/multipart.h"

namespace {

using pixmill::Result;

struct Seen {
  std::string events;
  bool good = true;
};

Seen parse(std::string_view body, std::size_t piece_bytes) {
  Seen seen;
  std::size_t given = 0;
  pixmill::http::MultipartParser parser("b",
                                        {.on_part = [&](const pixmill::http::PartHeader& part) -> Result<void> {
                                           PIXMILL_CHECK(part.filename.value_or("").find('/') == std::string::npos);
                                           seen.events += "<" + part.name + "|" + part.filename.value_or("-") + "|";
                                           return {};
                                         },
                                         .on_data = [&](std::string_view bytes) -> Result<void> {
                                           PIXMILL_CHECK(!bytes.empty());
                                           given += bytes.size();
                                           seen.events += bytes;
                                           return {};
                                         },
                                         .on_part_end = [&]() -> Result<void> {
                                           seen.events += ">";
                                           return {};
                                         }},
                                        {.parts_max = 20, .header_bytes_max = 256});
  while (seen.good && !body.empty()) {
    seen.good = parser.feed(body.substr(0, piece_bytes)).has_value();
    body.remove_prefix(std::min(piece_bytes, body.size()));
  }
  seen.good = seen.good && parser.finish().has_value();
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data + 1), size - 1);
  const Seen whole = parse(body, body.size() + 1);
  const Seen split = parse(body, 1U + data[0]);
  PIXMILL_CHECK(whole.good == split.good);
  // A refused body may have given more or less of itself before the refusal, depending on the pieces.
  if (whole.good) PIXMILL_CHECK(whole.events == split.events);
  static_cast<void>(pixmill::http::multipart_boundary(body));
  return 0;
}
