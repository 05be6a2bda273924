// check_table() in steps, so that a long table can be interrupted and several can take turns on one thread. Internal to
// jobs. Blocking reads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/error.h"
#include "jobs/table_reader.h"

namespace pixmill::jobs {

class TableCheck {
 public:
  // Errors: those of TableReader::open.
  [[nodiscard]] static Result<TableCheck> open(const std::string& path, const TableOptions& options,
                                               std::size_t problems_max);

  // Reads up to `rows` more. True when the table has ended and report() is whole. Errors: those of check_table.
  [[nodiscard]] Result<bool> read(std::uint64_t rows);
  [[nodiscard]] std::uint64_t rows_read() const { return report_.rows; }
  // Leaves nothing behind.
  [[nodiscard]] TableReport report();

 private:
  TableCheck(std::unique_ptr<TableReader> table, const TableOptions& options, std::size_t problems_max);
  void add(TableRow row);
  void put_deciding_first();
  void add_watermarks(const TableRow& row);

  std::unique_ptr<TableReader> table_;
  TableDialect dialect_;
  std::uint64_t images_max_;
  std::size_t problems_max_;
  TableReport report_;
  std::optional<RowProblem> deciding_;
  std::set<std::shared_ptr<const RecipeChoice>> recipes_seen_;
  std::set<std::string, std::less<>> watermarks_seen_;
};

}  // namespace pixmill::jobs
