#include "api/negotiation.h"

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace pixmill::api {

namespace {

// How much a client wants one media type. The most specific range that covers it decides.
struct Wish {
  int specificity = 0;  // 0: not covered, 1: */*, 2: type/*, 3: by name
  double quality = 0;
  std::size_t position = 0;
};

double quality_of(const std::vector<std::string_view>& parameters) {
  for (std::size_t i = 1; i < parameters.size(); ++i) {
    const std::string_view parameter = trim(parameters[i]);
    if (parameter.size() > 2 && (parameter[0] == 'q' || parameter[0] == 'Q') && parameter[1] == '=') {
      return std::clamp(parse_decimal(trim(parameter.substr(2))).value_or(1.0), 0.0, 1.0);
    }
  }
  return 1.0;
}

Wish wish_for(std::string_view accept, std::string_view type) {
  Wish wish;
  const std::string any_subtype = std::string(type.substr(0, type.find('/') + 1)) + "*";
  std::size_t position = 0;
  for (const auto entry : split(accept, ',')) {
    ++position;
    const auto parts = split(entry, ';');
    const std::string_view range = trim(parts.front());
    const int specificity = equals_ignoring_case(range, type)          ? 3
                            : equals_ignoring_case(range, any_subtype) ? 2
                            : range == "*/*"                           ? 1
                                                                       : 0;
    if (specificity > wish.specificity) {
      wish = {.specificity = specificity, .quality = quality_of(parts), .position = position};
    }
  }
  return wish;
}

}  // namespace

bool prefers_html(std::string_view accept) {
  const Wish html = wish_for(accept, "text/html");
  const Wish json = wish_for(accept, "application/json");
  if (html.specificity == 0 || html.quality == 0) return false;
  if (html.quality != json.quality) return html.quality > json.quality;
  return html.specificity > 1 && html.position < json.position;
}

bool etag_listed(std::string_view list, std::string_view etag) {
  const auto strong = [](std::string_view tag) { return tag.starts_with("W/") ? tag.substr(2) : tag; };
  for (const auto entry : split(list, ',')) {
    const std::string_view tag = trim(entry);
    if (tag == "*" || strong(tag) == strong(etag)) return true;
  }
  return false;
}

}  // namespace pixmill::api
