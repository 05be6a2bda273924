// What an engine and its parent say to each other. Whatever decodes keeps to its bounds and encodes to the same packet.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "engine/protocol.h"

using namespace pixmill;
using namespace pixmill::engine;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t kAreaBytes = 1'000'000;
  const std::string packet(reinterpret_cast<const char*>(data), size);
  if (const auto request = decode_request(packet, kAreaBytes)) {
    PIXMILL_CHECK(encode(*request) == packet);
    if (const auto* render = std::get_if<RenderRequest>(&*request)) {
      PIXMILL_CHECK(render->source_bytes <= kAreaBytes && render->marks.size() <= kMarksMax);
    }
    if (const auto* mark = std::get_if<MarkRequest>(&*request)) PIXMILL_CHECK(mark->bytes <= kAreaBytes);
  }
  const auto answer = decode_answer(packet, kAreaBytes);
  if (!answer) return 0;
  PIXMILL_CHECK(encode(*answer) == packet);
  if (const auto* rendered = std::get_if<RenderedAnswer>(&*answer)) {
    std::uint64_t sum = 0;
    for (const auto& head : rendered->renditions) sum += head.bytes;
    PIXMILL_CHECK(sum <= kAreaBytes && rendered->renditions.size() <= kRenditionsMax);
  }
  return 0;
}
