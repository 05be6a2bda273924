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
#include "image/render.h"
#include "image/watermark.h"

namespace pixmill::engine {

class MarkShelf {
 public:
  // A mark above this is decoded for every picture: the memory of an engine is meant for pictures.
  static constexpr std::size_t kBytesMax = 16U << 20;

  // Decodes a file and keeps it. Errors: those of image::Mark::decode.
  [[nodiscard]] Result<void> add(const std::string& sha256, std::string_view file, const image::Limits& limits);
  // By what a recipe calls them; valid until tidy(). nullopt: one is not here.
  [[nodiscard]] std::optional<image::Marks> marks_for(const std::vector<std::string>& digests);
  // After each picture, or where none follows: lets go of those used longest ago until the others are within kBytesMax.
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
