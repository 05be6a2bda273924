#include "image/icc.h"

#include <algorithm>
#include <string>

#include "image/byte_reader.h"

namespace pixmill::image {

namespace {

constexpr std::size_t kHeaderBytes = 128;
constexpr std::uint32_t kTagsMax = 100;

// The text of the description tag, ASCII alone: of UTF-16 every other byte is zero, and zeros are left out.
std::string description_of(std::string_view profile) {
  ByteReader reader(profile, kHeaderBytes);
  const std::uint32_t tags = std::min(reader.u32be(), kTagsMax);
  for (std::uint32_t i = 0; i < tags && !reader.ended(); ++i) {
    const std::string_view signature = reader.take(4);
    const std::size_t offset = reader.u32be();
    const std::size_t size = reader.u32be();
    if (signature != "desc" || offset >= profile.size()) continue;
    constexpr std::size_t kTextMax = 256;
    std::string text(profile.substr(offset, std::min(size, kTextMax)));
    std::erase(text, '\0');
    return text;
  }
  return "";
}

}  // namespace

bool is_srgb_profile(std::string_view profile) {
  if (profile.size() < kHeaderBytes || profile.substr(16, 4) != "RGB ") return false;
  const std::string description = description_of(profile);
  return description.find("sRGB") != std::string::npos || description.ends_with("c2") || description.ends_with("c2ci");
}

}  // namespace pixmill::image
