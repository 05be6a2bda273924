// Between the database's rows and the model's values.
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/crypto.h"
#include "jobs/sqlite_internal.h"

namespace pixmill::jobs::sqlite {

namespace json = boost::json;

Error as_internal(Error error) {
  if (error.code == ErrorCode::kConflict) error.code = ErrorCode::kInternal;
  return error;
}

Result<bool> step(db::Statement& statement) {
  auto result = statement.step();
  if (!result) return std::unexpected(as_internal(std::move(result).error()));
  return result;
}

Result<std::int64_t> run(db::Statement& statement) {
  auto result = statement.run();
  if (!result) return std::unexpected(as_internal(std::move(result).error()));
  return result;
}

namespace {

Result<StoredJob> only_job(db::Statement& statement) {
  PIXMILL_TRY(const bool found, step(statement));
  if (!found) return no_such_job();
  auto stored = read_job(statement);
  statement.reset();
  return stored;
}

}  // namespace

Result<StoredJob> load_job(db::Database& database, const JobId& id) {
  return only_job(database.prepare(kJobById).bind(id.text()));
}

Result<StoredJob> load_job(db::Database& database, std::int64_t job_no) {
  return only_job(database.prepare(kJobByNumber).bind(job_no));
}

Result<std::int64_t> job_number(db::Database& database, const JobId& id) {
  auto& statement = database.prepare(kJobNumber).bind(id.text());
  PIXMILL_TRY(const bool found, step(statement));
  if (!found) return no_such_job();
  const auto number = statement.integer(0);
  statement.reset();
  return number;
}

Result<std::optional<RecipeChoice>> load_recipe(db::Database& database, std::int64_t job_no,
                                                std::optional<std::int64_t> number) {
  if (!number) return std::nullopt;
  auto& row = database.prepare(kRecipe).bind(job_no).bind(*number);
  PIXMILL_TRY(const bool found, step(row));
  if (!found) return broken_row("an item without its recipe");
  RecipeChoice recipe{.text = row.text(0), .name = row.text(1)};
  row.reset();
  return recipe;
}

Result<std::vector<Item>> load_items(db::Database& database, std::int64_t job_no, std::uint64_t first,
                                     std::uint64_t last) {
  std::vector<Item> items;
  auto& row = database.prepare(kItemRange)
                  .bind(job_no)
                  .bind(static_cast<std::int64_t>(first))
                  .bind(static_cast<std::int64_t>(last));
  while (true) {
    PIXMILL_TRY(const bool found, step(row));
    if (!found) break;
    PIXMILL_TRY(items.emplace_back(), read_item(row));
    PIXMILL_TRY(items.back().recipe, load_recipe(database, job_no, optional_integer<std::int64_t>(row, 17)));
  }
  auto& output = database.prepare(kOutputRange)
                     .bind(job_no)
                     .bind(static_cast<std::int64_t>(first))
                     .bind(static_cast<std::int64_t>(last));
  std::size_t at = 0;
  while (true) {
    PIXMILL_TRY(const bool found, step(output));
    if (!found) break;
    while (at < items.size() && items[at].item < natural(output, 0)) ++at;
    if (at == items.size() || items[at].item != natural(output, 0)) return broken_row("an output without its item");
    items[at].outputs.push_back(read_output(output));
  }
  return items;
}

Result<std::vector<Output>> load_outputs(db::Database& database, std::int64_t job_no, std::uint64_t item) {
  std::vector<Output> outputs;
  const auto number = static_cast<std::int64_t>(item);
  auto& row = database.prepare(kOutputRange).bind(job_no).bind(number).bind(number);
  while (true) {
    PIXMILL_TRY(const bool found, step(row));
    if (!found) return outputs;
    outputs.push_back(read_output(row));
  }
}

namespace {

struct StoredRow {
  Row row;
  std::uint64_t first_item = 0;
  std::uint64_t item_count = 0;
};

Result<std::vector<StoredRow>> load_bare_rows(db::Database& database, std::int64_t job_no, RowRange range) {
  std::vector<StoredRow> rows;
  std::uint64_t items = 0;
  std::size_t bytes = 0;
  auto& row = database.prepare(kRowsAfter)
                  .bind(job_no)
                  .bind(static_cast<std::int64_t>(range.after_row))
                  .bind(static_cast<std::int64_t>(range.rows_max));
  while (true) {
    PIXMILL_TRY(const bool found, step(row));
    if (!found) return rows;
    StoredRow stored{.row = {}, .first_item = natural(row, 3), .item_count = natural(row, 4)};
    items += stored.item_count;
    bytes += row.view(1).size();
    if ((items > range.items_max || bytes > range.bytes_max) && !rows.empty()) {
      row.reset();
      return rows;
    }
    stored.row.row = natural(row, 0);
    PIXMILL_TRY(stored.row.cells, texts_from_json(row.view(1)));
    stored.row.problem = row.text(2);
    rows.push_back(std::move(stored));
  }
}

}  // namespace

Result<std::vector<Row>> load_rows(db::Database& database, std::int64_t job_no, RowRange range) {
  PIXMILL_TRY(auto stored, load_bare_rows(database, job_no, range));
  std::vector<Row> rows;
  if (stored.empty()) return rows;
  const auto first = stored.front().first_item;
  const auto end = stored.back().first_item + stored.back().item_count;
  std::vector<Item> items;
  if (end > first) {
    PIXMILL_TRY(items, load_items(database, job_no, first, end - 1));
  }
  auto next = items.begin();
  for (auto& entry : stored) {
    for (std::uint64_t i = 0; i < entry.item_count && next != items.end(); ++i) {
      entry.row.items.push_back(std::move(*next++));
    }
    rows.push_back(std::move(entry.row));
  }
  return rows;
}

}  // namespace pixmill::jobs::sqlite
