// Between the database's rows and the model's values.
#include <algorithm>
#include <tuple>

#include "jobs/postgres_internal.h"

namespace pixmill::jobs::postgres {

using db::pg::Rows;

namespace {

Result<StoredJob> only_job(Result<Rows> rows) {
  if (!rows) return std::unexpected(std::move(rows).error());
  if (rows->empty()) return no_such_job();
  return read_job((*rows)[0]);
}

// A statement that waited for a lock sees the row as it is now, and what its subqueries find as it was before.
Result<StoredJob> as_of_now(Session& session, Result<StoredJob> stored, Lock lock) {
  if (!stored || lock == Lock::kNone) return stored;
  PIXMILL_TRY(const auto found, session.query(kIsBeingRead, Params().add(stored->job_no)));
  stored->job.is_being_read = !found.empty();
  return stored;
}

std::int64_t number(std::uint64_t value) { return static_cast<std::int64_t>(value); }

}  // namespace

Result<StoredJob> load_job(Session& session, const JobId& id, Lock lock) {
  const auto sql = lock == Lock::kForUpdate ? kJobByIdLocked : kJobById;
  return as_of_now(session, only_job(session.query(sql, Params().add(id.text()))), lock);
}

Result<StoredJob> load_job(Session& session, std::int64_t job_no, Lock lock) {
  const auto sql = lock == Lock::kForUpdate ? kJobByNumberLocked : kJobByNumber;
  return as_of_now(session, only_job(session.query(sql, Params().add(job_no))), lock);
}

Result<std::int64_t> job_number(Session& session, const JobId& id) {
  PIXMILL_TRY(const auto rows, session.query(kJobNumber, Params().add(id.text())));
  if (rows.empty()) return no_such_job();
  return rows[0].integer(0);
}

Result<std::int64_t> run(Session& session, std::string_view sql, const Params& params) {
  PIXMILL_TRY(const auto rows, session.query(sql, params));
  return rows.changed();
}

Result<std::vector<std::int64_t>> numbers(Session& session, std::string_view sql, const Params& params) {
  PIXMILL_TRY(const auto rows, session.query(sql, params));
  std::vector<std::int64_t> result;
  for (int i = 0; i < rows.size(); ++i) result.push_back(rows[i].integer(0));
  return result;
}

LeaseArrays::LeaseArrays(std::vector<Lease> leases) {
  std::ranges::sort(leases, {}, [](const Lease& lease) { return std::tuple(lease.job_no, lease.item, lease.token); });
  for (const auto& lease : leases) {
    job_no.push_back(lease.job_no);
    item.push_back(number(lease.item));
    token.push_back(lease.token);
  }
}

namespace {

using RecipesByNumber = std::map<std::int64_t, RecipeChoice>;

Result<RecipesByNumber> load_recipes(Session& session, std::int64_t job_no, const Rows& items) {
  std::vector<std::int64_t> wanted;
  for (int i = 0; i < items.size(); ++i) {
    if (!items[i].is_null(kItemRecipeColumn)) wanted.push_back(items[i].integer(kItemRecipeColumn));
  }
  RecipesByNumber recipes;
  if (wanted.empty()) return recipes;
  std::ranges::sort(wanted);
  wanted.erase(std::ranges::unique(wanted).begin(), wanted.end());
  PIXMILL_TRY(const auto rows, session.query(kRecipesAmong, Params().add(job_no).add(wanted)));
  for (int i = 0; i < rows.size(); ++i) {
    recipes[rows[i].integer(0)] = {.text = rows[i].text(1), .name = rows[i].text(2)};
  }
  return recipes;
}

Result<std::vector<Item>> items_of(Session& session, std::int64_t job_no, const Rows& rows, const Rows& outputs) {
  PIXMILL_TRY(const auto recipes, load_recipes(session, job_no, rows));
  std::vector<Item> items;
  for (int i = 0; i < rows.size(); ++i) {
    PIXMILL_TRY(items.emplace_back(), read_item(rows[i]));
    if (rows[i].is_null(kItemRecipeColumn)) continue;
    const auto recipe = recipes.find(rows[i].integer(kItemRecipeColumn));
    if (recipe == recipes.end()) return broken_row("an item without its recipe");
    items.back().recipe = recipe->second;
  }
  std::size_t at = 0;
  for (int i = 0; i < outputs.size(); ++i) {
    const auto item = natural(outputs[i], 0);
    while (at < items.size() && items[at].item < item) ++at;
    if (at == items.size() || items[at].item != item) return broken_row("an output without its item");
    items[at].outputs.push_back(read_output(outputs[i]));
  }
  return items;
}

}  // namespace

Result<std::vector<Item>> load_items(Session& session, std::int64_t job_no, std::uint64_t first, std::uint64_t last) {
  const auto range = Params().add(job_no).add(number(first)).add(number(last));
  PIXMILL_TRY(const auto rows, session.query(kItemRange, range));
  PIXMILL_TRY(const auto outputs, session.query(kOutputRange, range));
  return items_of(session, job_no, rows, outputs);
}

Result<std::vector<Item>> load_items(Session& session, std::int64_t job_no, const std::vector<std::int64_t>& items) {
  const auto among = Params().add(job_no).add(items);
  PIXMILL_TRY(const auto rows, session.query(kItemsAmong, among));
  PIXMILL_TRY(const auto outputs, session.query(kOutputsAmong, among));
  return items_of(session, job_no, rows, outputs);
}

Result<std::map<std::uint64_t, std::vector<Output>>> load_outputs(Session& session, std::int64_t job_no,
                                                                  const std::vector<std::int64_t>& items) {
  std::map<std::uint64_t, std::vector<Output>> outputs;
  PIXMILL_TRY(const auto rows, session.query(kOutputsAmong, Params().add(job_no).add(items)));
  for (int i = 0; i < rows.size(); ++i) outputs[natural(rows[i], 0)].push_back(read_output(rows[i]));
  return outputs;
}

Result<std::vector<Row>> load_rows(Session& session, std::int64_t job_no, RowRange range) {
  PIXMILL_TRY(const auto found, session.query(kRowsAfter, Params()
                                                              .add(job_no)
                                                              .add(number(range.after_row))
                                                              .add(std::int64_t{range.rows_max})
                                                              .add(number(range.bytes_max))));
  std::vector<Row> rows;
  std::vector<std::uint64_t> item_counts;
  std::uint64_t items_in_all = 0;
  std::size_t bytes = 0;
  for (int i = 0; i < found.size(); ++i) {
    items_in_all += natural(found[i], 4);
    bytes += found[i].view(1).size();
    if ((items_in_all > range.items_max || bytes > range.bytes_max) && !rows.empty()) {
      items_in_all -= natural(found[i], 4);
      break;
    }
    Row row;
    row.row = natural(found[i], 0);
    PIXMILL_TRY(row.cells, texts_from_json(found[i].view(1)));
    row.problem = found[i].text(2);
    rows.push_back(std::move(row));
    item_counts.push_back(natural(found[i], 4));
  }
  if (items_in_all == 0) return rows;
  const auto first = natural(found[0], 3);
  PIXMILL_TRY(auto items, load_items(session, job_no, first, first + items_in_all - 1));
  auto next = items.begin();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::uint64_t n = 0; n < item_counts[i] && next != items.end(); ++n) {
      rows[i].items.push_back(std::move(*next++));
    }
  }
  return rows;
}

}  // namespace pixmill::jobs::postgres
