// What a site's robots.txt (RFC 9309) and the X-Robots-Tag of an answer say about us. Pure; any thread; fuzzed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pixmill::fetch {

// The name that groups of robots.txt are compared with: what a User-Agent begins with, letters, '_' and '-'
// (RFC 9309 section 2.2.1). "Pixmill/1.0 (…)" is "Pixmill".
[[nodiscard]] std::string_view product_token(std::string_view user_agent);

// The rules of one robots.txt that hold for one product.
class RobotsTxt {
 public:
  static constexpr std::size_t kBytesMax = 500u << 10;  // what is beyond is not read (section 2.5)
  static constexpr std::size_t kRulesMax = 10'000;      // likewise

  RobotsTxt() = default;  // everything is allowed
  [[nodiscard]] static RobotsTxt parse(std::string_view text, std::string_view product);

  // `target` is a path with its query, as it is requested. The longest rule that matches decides, of two equally long
  // ones the one that allows; without any everything is allowed. /robots.txt itself always is.
  [[nodiscard]] bool allows(std::string_view target) const;

  // That it takes in memory, about.
  [[nodiscard]] std::size_t bytes() const;

 private:
  struct Rule {
    std::string pattern;  // in the form of normalised(); '*' matches anything, a '$' at its end the end
    bool allows = false;
  };
  std::vector<Rule> rules_;  // the longest in front, and what allows before what forbids
};

// True when the value of an X-Robots-Tag says that `product` shall not use the file: noai, noimageai, noindex,
// noimageindex or none, for everyone or for this product.
[[nodiscard]] bool forbids_use(std::string_view x_robots_tag, std::string_view product);

}  // namespace pixmill::fetch
