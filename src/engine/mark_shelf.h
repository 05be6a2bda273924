// The watermarks that an engine has decoded and keeps between pictures, by the digest of their files. In the engine
// alone.
#pragma once

#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/protocol.h"
#include "image/render.h"
#include "image/watermark.h"

namespace pixmill::engine {

class MarkShelf {
 public:
  // A mark above this is decoded for every picture: the memory of an engine is meant for pictures.
  static constexpr std::size_t kBytesMax = 16U << 20;

  // The marks of one request, by what its recipe calls them; valid until tidy(). `sent` is what lies behind the source,
  // long enough for all that `heads` say. nullopt: one was not sent and is not here. Errors: those of
  // image::Mark::decode.
  [[nodiscard]] Result<std::optional<image::Marks>> marks_for(const std::vector<MarkHead>& heads, std::string_view sent,
                                                              const image::Limits& limits);
  // After each request: lets go of those used longest ago until the others are within kBytesMax.
  void tidy();

 private:
  struct Entry {
    std::string sha256;
    image::Mark mark;
  };
  [[nodiscard]] image::Mark* find(const std::string& sha256);

  std::list<Entry> entries_;  // the last used one first; a list, so that pointers to marks stay good
};

}  // namespace pixmill::engine
