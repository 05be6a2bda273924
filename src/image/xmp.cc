#include "image/xmp.h"

namespace pixmill::image {

// As an attribute, tiff:Orientation="6", or as an element, <tiff:Orientation>6</tiff:Orientation>.
std::string xmp_made_upright(std::string_view packet) {
  constexpr std::string_view kName = "tiff:Orientation";
  std::string upright(packet);
  for (std::size_t at = upright.find(kName); at != std::string::npos; at = upright.find(kName, at)) {
    at += kName.size();
    const std::size_t value = upright.find_first_not_of(" \t\r\n=\"'>", at);
    const bool digit = value != std::string::npos && upright[value] >= '1' && upright[value] <= '8';
    if (digit && value > at) upright[value] = '1';
  }
  return upright;
}

}  // namespace pixmill::image
