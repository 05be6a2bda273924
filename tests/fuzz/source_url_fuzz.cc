// What the parser of addresses accepts, it must understand in one way alone: the normal form parses to itself, and
// nothing in it can be read as another host.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "fetch/source_url.h"

namespace {

using pixmill::fetch::SourceUrl;

void check_one_meaning(const SourceUrl& url) {
  PIXMILL_CHECK(url.scheme == "http" || url.scheme == "https");
  PIXMILL_CHECK(!url.host.empty() && url.port != 0);
  PIXMILL_CHECK(url.host.find_first_of("@/\\?#%[] \t\r\n") == std::string::npos);
  PIXMILL_CHECK(url.literal.has_value() || url.host.find(':') == std::string::npos);
  PIXMILL_CHECK(url.target.starts_with('/'));
  for (const char c : url.target) PIXMILL_CHECK(c > 0x20 && c < 0x7f && c != '\\' && c != '#');

  const std::string text = url.text();
  const auto again = pixmill::fetch::parse_source_url(text);
  // Encoding makes an address longer, perhaps beyond the bound.
  PIXMILL_CHECK(again.has_value() || text.size() > 8'192);
  if (again) PIXMILL_CHECK(again->text() == text && again->host == url.host && again->port == url.port);
  PIXMILL_CHECK(pixmill::fetch::loggable(url).find('?') == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  const std::string input(data, data + bytes);
  const std::string_view text(input);
  const auto line_end = text.find('\n');
  const auto url = pixmill::fetch::parse_source_url(text.substr(0, line_end));
  if (!url) return 0;
  check_one_meaning(*url);
  // What follows the first line is a redirect's Location.
  if (line_end == std::string_view::npos) return 0;
  if (const auto next = pixmill::fetch::resolve_location(*url, text.substr(line_end + 1))) check_one_meaning(*next);
  return 0;
}
