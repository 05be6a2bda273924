// Keys, queries and header values that strangers chose end up in what is signed: no text may end a line of it early,
// and what is sent must read back as what was meant.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/text.h"
#include "storage/s3_address.h"
#include "storage/sigv4.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pixmill::storage;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string half(text.substr(0, size / 2));
  const std::string rest(text.substr(size / 2));
  const RequestToSign request{.method = "GET",
                              .host = "h",
                              .path = "/" + half,
                              .query = {{half, rest}, {"a", ""}},
                              .headers = {},
                              .payload = "p"};
  const auto canonical = canonical_request(request);
  require(std::ranges::count(canonical, '\n') == 6);
  const auto path_end = canonical.find('\n', 4);
  require(pixmill::percent_decode(canonical.substr(4, path_end - 4)) == "/" + half);

  const auto query = canonical_query(request.query);
  require(std::ranges::count(query, '&') == 1 && std::ranges::count(query, '=') == 2);
  require(std::ranges::all_of(query, [](char c) { return c > 0x20 && c < 0x7f; }));

  const auto location = parse_s3_location(text);
  if (location) {
    require(is_bucket_name(location->bucket));
    require(text ==
            "s3://" + location->bucket + (text.size() > 5 + location->bucket.size() ? "/" : "") + location->key);
  }
  const auto address = S3Address::create({.bucket = half, .region = "us-east-1", .endpoint = rest});
  if (address) {
    const auto url = address->url("k");
    require(std::ranges::all_of(url, [](char c) { return c > 0x20 && c < 0x7f; }));
    require(std::ranges::count(url, '@') == 0 && std::ranges::count(url, '?') == 0);
  }
  return 0;
}
