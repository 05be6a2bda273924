// robots.txt and X-Robots-Tag, which come from anywhere: no input may crash, take long or allow what it forbids.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "fetch/robots_txt.h"

// The first line is what is asked for, the rest is the file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using pixmill::fetch::RobotsTxt;
  const std::string_view input(static_cast<const char*>(static_cast<const void*>(data)), size);
  const auto end = input.find('\n');
  const std::string_view target = input.substr(0, end);
  const std::string_view text = end == std::string_view::npos ? std::string_view() : input.substr(end + 1);
  const auto robots = RobotsTxt::parse(text, "Pixmill");
  const bool allowed = robots.allows(target);
  PIXMILL_CHECK(robots.allows(target) == allowed);
  PIXMILL_CHECK(robots.allows("/robots.txt"));
  PIXMILL_CHECK(text.size() > 0 || allowed);
  static_cast<void>(pixmill::fetch::forbids_use(text, "Pixmill"));
  static_cast<void>(pixmill::fetch::product_token(text));
  return 0;
}
