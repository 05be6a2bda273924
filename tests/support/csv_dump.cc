// Prints how CsvReader reads, as JSON lines, for tests that compare it with other readers.
//
// stdin:  cases, one after another: "<delimiter's code> <0 or 1: skip spaces> <bytes per piece> <length>\n" and
// `length` bytes. stdout: one line per case: {"records":[["a","b"],…]} or {"error":"Line 2: …"}
#include <boost/json.hpp>
#include <cstdio>
#include <iostream>
#include <string>

#include "jobs/csv_reader.h"

namespace {

boost::json::object read_case(const std::string& text, std::size_t piece_bytes, pixmill::jobs::CsvOptions options) {
  std::size_t at = 0;
  const auto source = [&]() -> pixmill::Result<std::string_view> {
    const auto piece = std::string_view(text).substr(at, piece_bytes);
    at += piece.size();
    return piece;
  };
  pixmill::jobs::CsvReader reader(source, options);
  boost::json::array records;
  while (true) {
    const auto record = reader.next();
    if (!record) return {{"error", record.error().message}};
    if (!*record) return {{"records", std::move(records)}};
    records.emplace_back(boost::json::array((*record)->begin(), (*record)->end()));
  }
}

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  int delimiter = 0;
  bool skip_spaces = false;
  std::size_t piece_bytes = 0;
  std::size_t length = 0;
  while (std::cin >> delimiter >> skip_spaces >> piece_bytes >> length) {
    std::cin.ignore(1);
    std::string text(length, '\0');
    std::cin.read(text.data(), static_cast<std::streamsize>(length));
    const pixmill::jobs::CsvOptions options{.delimiter = static_cast<char>(delimiter),
                                            .skip_spaces_after_delimiter = skip_spaces};
    std::cout << boost::json::serialize(read_case(text, piece_bytes, options)) << '\n';
  }
  return 0;
}
