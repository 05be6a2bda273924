// P36: any bytes give rows, row problems or an error; rows keep the shape that everything after them relies on.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/text.h"
#include "image/recipe.h"
#include "jobs/table_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using pixmill::jobs::TableDialect;
  if (size == 0) return 0;
  const std::uint8_t choice = data[0];
  constexpr std::string_view kNames[] = {"", "x.csv", "x.tsv", "x.jsonl"};
  pixmill::jobs::TableOptions options;
  options.dialect = (choice & 1) != 0 ? TableDialect::kOriginal : TableDialect::kAny;
  options.file_name = std::string(kNames[(choice >> 1) & 3]);
  if ((choice & 8) != 0) options.url_column = "photo";
  options.overrides = (choice & 16) != 0;
  options.recipe = {.text = "format=jpeg quality=50 resize=800x600:cover", .name = "shop@1"};
  options.unpacked_bytes_max = 4u << 20;  // keeps a bomb's run short

  const std::string bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto table = pixmill::jobs::TableReader::open_bytes(bytes, options);
  if (!table) {
    PIXMILL_CHECK(!table.error().message.empty() && pixmill::is_valid_utf8(table.error().message));
    return 0;
  }
  const std::size_t columns = (*table)->columns().size();
  PIXMILL_CHECK(columns > 0 && (*table)->url_column() >= 0 && (*table)->url_column() < static_cast<int>(columns));
  for (std::uint64_t expected = 1;; ++expected) {
    const auto row = (*table)->next();
    if (!row || !*row) return 0;
    PIXMILL_CHECK((*row)->row == expected && (*row)->cells.size() == columns);
    PIXMILL_CHECK((*row)->urls.empty() == !(*row)->problems.empty());
    PIXMILL_CHECK(options.overrides || ((*row)->recipe == nullptr && (*row)->name.empty()));
    if ((*row)->recipe) {
      // What a worker reads from the store is what was meant.
      const auto recipe = pixmill::image::parse_recipe((*row)->recipe->text);
      PIXMILL_CHECK(recipe && pixmill::image::canonical_text(*recipe) == (*row)->recipe->text);
    }
    for (const auto& cell : (*row)->cells) PIXMILL_CHECK(pixmill::is_valid_utf8(cell));
    for (const auto& problem : (*row)->problems) {
      PIXMILL_CHECK(problem.row == expected && pixmill::is_valid_utf8(problem.message));
    }
  }
}
