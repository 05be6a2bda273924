// P36: any bytes, in pieces of any size, give records or an error; records keep the limits and do not depend on the
// pieces.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "jobs/csv_reader.h"

namespace {

struct Reading {
  std::vector<std::vector<std::string>> records;
  std::string error;
  bool operator==(const Reading&) const = default;
};

Reading read(std::string_view text, std::size_t piece_bytes, const pixmill::jobs::CsvOptions& options) {
  const auto source = [&]() -> pixmill::Result<std::string_view> {
    const auto piece = text.substr(0, piece_bytes);
    text.remove_prefix(piece.size());
    return piece;
  };
  pixmill::jobs::CsvReader reader(source, options);
  Reading reading;
  while (true) {
    auto record = reader.next();
    if (!record) {
      reading.error = record.error().message;
      return reading;
    }
    if (!*record) return reading;
    reading.records.push_back(std::move(**record));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t piece_bytes = data[0] % 32 + 1;
  pixmill::jobs::CsvOptions options{.delimiter = (data[1] & 1) != 0 ? '\t' : ',',
                                    .skip_spaces_after_delimiter = (data[1] & 2) != 0};
  if ((data[1] & 4) != 0) {
    options.field_bytes_max = 16;
    options.record_bytes_max = 64;
    options.columns_max = 8;
  }
  const std::string_view text(reinterpret_cast<const char*>(data + 2), size - 2);
  const Reading reading = read(text, piece_bytes, options);
  PIXMILL_CHECK(reading == read(text, 1 << 20, options));
  for (const auto& record : reading.records) {
    PIXMILL_CHECK(!record.empty() && record.size() <= options.columns_max);
    for (const auto& field : record) {
      PIXMILL_CHECK(field.size() <= options.field_bytes_max && pixmill::is_valid_utf8(field));
    }
  }
  return 0;
}
