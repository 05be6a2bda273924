// Jobs as JSON documents. What is taken has a line for each row, and every line is an object.
#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "api/json_upload.h"

using namespace pixmill;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const auto upload = api::read_json_upload(body);
  if (!upload) {
    PIXMILL_CHECK(upload.error().status == 400 && !upload.error().detail.empty());
    return 0;
  }
  const auto rows = boost::json::parse(body).at("rows").as_array().size();
  PIXMILL_CHECK(static_cast<std::size_t>(std::ranges::count(upload->table, '\n')) == rows);
  for (std::string_view rest = upload->table; !rest.empty();) {
    const auto end = rest.find('\n');
    PIXMILL_CHECK(boost::json::parse(rest.substr(0, end)).is_object());
    rest.remove_prefix(end + 1);
  }
  return 0;
}
