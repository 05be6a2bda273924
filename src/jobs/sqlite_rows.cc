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

std::uint64_t hash64(std::string_view text) {
  const auto digest = sha256(text);
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(value); ++i) value = value << 8 | digest[i];
  return value;
}

std::string_view bounded(std::string_view text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  while (bytes_max > 0 && (static_cast<unsigned char>(text[bytes_max]) & 0xc0) == 0x80) --bytes_max;
  return text.substr(0, bytes_max);
}

std::unexpected<Error> no_such_job() { return fail(ErrorCode::kNotFound, "There is no such job."); }

std::string to_json(const std::vector<std::string>& texts) {
  std::string result = "[";
  for (const auto& text : texts) {
    if (result.size() > 1) result += ',';
    result += json::serialize(json::string_view(text.data(), text.size()));
  }
  return result + ']';
}

namespace {

std::unexpected<Error> broken(std::string_view what) {
  return fail(ErrorCode::kInternal, "The database holds a value that Pixmill did not write.", std::string(what));
}

template <class T>
std::optional<T> optional_integer(const db::Statement& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return static_cast<T>(row.integer(column));
}

std::optional<TimePoint> optional_time(const db::Statement& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return from_unix_ms(row.integer(column));
}

std::uint64_t natural(const db::Statement& row, int column) { return static_cast<std::uint64_t>(row.integer(column)); }

}  // namespace

Result<std::vector<std::string>> texts_from_json(std::string_view text) {
  boost::system::error_code error;
  const auto value = json::parse(json::string_view(text.data(), text.size()), error);
  if (error || !value.is_array()) return broken("not a JSON array");
  std::vector<std::string> texts;
  texts.reserve(value.get_array().size());
  for (const auto& element : value.get_array()) {
    if (!element.is_string()) return broken("not a JSON string");
    texts.emplace_back(element.get_string().data(), element.get_string().size());
  }
  return texts;
}

std::string seal_headers(std::string_view master_key, const JobId& job, const std::vector<OriginHeader>& headers) {
  std::vector<std::string> texts;
  for (const auto& header : headers) texts.insert(texts.end(), {header.host, header.name, header.value});
  return seal(master_key, to_json(texts), job.text());
}

Result<std::vector<OriginHeader>> unseal_headers(std::string_view master_key, const JobId& job,
                                                 std::string_view sealed) {
  auto plain = unseal(master_key, sealed, job.text());
  if (!plain) {
    return fail(ErrorCode::kInvalidArgument,
                "The job's headers were sealed under another master key; start Pixmill with that one.",
                plain.error().message);
  }
  PIXMILL_TRY(const auto texts, texts_from_json(*plain));
  std::vector<OriginHeader> headers;
  for (std::size_t i = 0; i + 2 < texts.size(); i += 3) headers.push_back({texts[i], texts[i + 1], texts[i + 2]});
  return headers;
}

namespace {

// Columns 0 to 14 of PIXMILL_JOB_COLUMNS: what was asked for.
Result<void> read_request(const db::Statement& row, StoredJob& stored) {
  auto& job = stored.job;
  stored.job_no = row.integer(0);
  const auto id = Uuid::parse(row.view(1));
  const auto state = parse_job_state(row.view(2));
  const auto origin = parse_job_origin(row.view(3));
  if (!id || !state || !origin) return broken("job");
  job.id = JobId{*id};
  job.state = *state;
  job.origin = *origin;
  job.generation = static_cast<int>(row.integer(4));
  job.name = row.text(5);
  job.recipe = row.text(6);
  job.webhook_url = row.text(7);
  job.name_template = row.text(8);
  job.blob_prefix = row.text(9);
  job.source_path = row.text(10);
  job.source_digest = row.text(11);
  job.url_column = row.text(12);
  job.invalid_rows = row.view(13) == "skip" ? InvalidRows::kSkip : InvalidRows::kReject;
  PIXMILL_TRY(job.columns, texts_from_json(row.view(14)));
  return {};
}

}  // namespace

Result<StoredJob> read_job(const db::Statement& row) {
  StoredJob stored;
  PIXMILL_RETURN_IF_ERROR(read_request(row, stored));
  auto& job = stored.job;
  job.rows = natural(row, 15);
  job.invalid = natural(row, 16);
  job.total = natural(row, 17);
  job.remaining = natural(row, 18);
  job.succeeded = natural(row, 19);
  job.failed = natural(row, 20);
  job.cancelled = natural(row, 21);
  job.bytes_in = natural(row, 22);
  job.bytes_out = natural(row, 23);
  job.error_code = row.text(24);
  job.error_message = row.text(25);
  job.created_at = from_unix_ms(row.integer(26));
  job.started_at = optional_time(row, 27);
  job.finished_at = optional_time(row, 28);
  stored.leased = natural(row, 29);
  stored.sealed_headers = row.text(30);
  job.recipe_name = row.text(31);
  job.overrides = row.integer(32) != 0;
  job.row_recipes = natural(row, 33);
  return stored;
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

namespace {

Result<Item> read_item(const db::Statement& row) {
  Item item;
  item.item = natural(row, 0);
  item.row = natural(row, 1);
  item.index = static_cast<std::uint32_t>(row.integer(2));
  item.url = row.text(3);
  const auto state = parse_item_state(row.view(4));
  if (!state) return broken("item state");
  item.state = *state;
  item.attempts = static_cast<int>(row.integer(5));
  item.generation = static_cast<int>(row.integer(6));
  item.error_code = row.text(7);
  item.error_message = row.text(8);
  if (row.integer(9) > 0) item.retry_at = from_unix_ms(row.integer(9));
  item.leased_until = optional_time(row, 10);
  item.same_as = optional_integer<std::uint64_t>(row, 11);
  item.bytes_in = natural(row, 12);
  item.times = {.fetch_ms = row.integer(13), .transform_ms = row.integer(14), .store_ms = row.integer(15)};
  item.finished_at = optional_time(row, 16);
  return item;
}

Output read_output(const db::Statement& row) {
  return {.rendition = row.text(1),
          .key = row.text(2),
          .bytes = natural(row, 3),
          .width_px = static_cast<std::uint32_t>(row.integer(4)),
          .height_px = static_cast<std::uint32_t>(row.integer(5)),
          .format = row.text(6),
          .quality = static_cast<int>(row.integer(7)),
          .sha256 = row.text(8),
          .note = row.text(9)};
}

}  // namespace

Result<std::optional<RecipeChoice>> load_recipe(db::Database& database, std::int64_t job_no,
                                                std::optional<std::int64_t> number) {
  if (!number) return std::nullopt;
  auto& row = database.prepare(kRecipe).bind(job_no).bind(*number);
  PIXMILL_TRY(const bool found, step(row));
  if (!found) return broken("an item without its recipe");
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
    if (at == items.size() || items[at].item != natural(output, 0)) return broken("an output without its item");
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
