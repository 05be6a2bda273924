#include "jobs/sqlite_store.h"

#include <filesystem>

#include "base/blocking_thread.h"
#include "db/migrate.h"
#include "jobs/sqlite_internal.h"
#include "jobs/sqlite_recipes.h"
#include "sqlite_migrations.h"

namespace pixmill::jobs {

namespace {

using sqlite::Reader;
using sqlite::RowRange;
using sqlite::Writer;

// Puts the two halves on their threads. The verbs are plain functions that return the thread's task; the work is a
// named closure that owns its arguments.
class Store final : public JobStore, public Outbox, public RecipeStore {
 public:
  Store(std::unique_ptr<Writer> writer, std::unique_ptr<Reader> reader)
      : writer_(std::move(writer)), reader_(std::move(reader)) {}

  Task<Result<void>> create_job(NewJob job) override {
    return write([job = std::move(job)](Writer& writer) { return writer.create_job(job); });
  }
  Task<Result<void>> append_rows(JobId job, std::vector<std::string> columns, std::vector<NewRow> rows) override {
    auto chunk = std::make_shared<const Chunk>(Chunk{job, std::move(columns), std::move(rows)});
    return append(std::move(chunk));
  }
  Task<Result<void>> finish_ingest(JobId job) override {
    return write([job](Writer& writer) { return writer.finish_ingest(job); });
  }
  Task<Result<void>> reject_job(JobId job, Error why) override {
    return write([job, why = std::move(why)](Writer& writer) { return writer.reject_job(job, why); });
  }

  Task<Result<Claim>> claim(ClaimRequest request) override {
    return write([request = std::move(request)](Writer& writer) { return writer.claim(request); });
  }
  Task<Result<std::vector<Lease>>> renew(std::vector<Lease> leases, milliseconds lease) override {
    return write([leases = std::move(leases), lease](Writer& writer) { return writer.renew(leases, lease); });
  }
  Task<Result<void>> release(std::vector<Lease> leases, std::optional<TimePoint> ready_at) override {
    return write([leases = std::move(leases), ready_at](Writer& writer) { return writer.release(leases, ready_at); });
  }
  Task<Result<FinishReport>> finish(std::vector<ItemOutcome> outcomes) override {
    return write([outcomes = std::move(outcomes)](Writer& writer) { return writer.finish(outcomes); });
  }
  Task<Result<RescueReport>> rescue() override {
    return write([](Writer& writer) { return writer.rescue(); });
  }

  Task<Result<Job>> cancel(JobId job) override {
    return write([job](Writer& writer) { return writer.cancel(job); });
  }
  Task<Result<Job>> retry(JobId job, RetryFilter filter) override { return reopen(job, std::move(filter)); }

  Task<Result<void>> replace_headers(JobId job, std::vector<OriginHeader> headers) override {
    return write([job, headers = std::move(headers)](Writer& writer) { return writer.replace_headers(job, headers); });
  }

  Task<Result<Job>> job(JobId job) override {
    return read([job](Reader& reader) { return reader.job(job); });
  }
  Task<Result<std::vector<OriginHeader>>> headers(JobId job) override {
    return read([job](Reader& reader) { return reader.headers(job); });
  }
  Task<Result<std::vector<NamedRecipe>>> row_names(JobId job) override {
    return read([job](Reader& reader) { return reader.row_names(job); });
  }
  Task<Result<std::optional<Job>>> job_by_digest(std::string source_digest) override {
    return read([digest = std::move(source_digest)](Reader& reader) { return reader.job_by_digest(digest); });
  }
  Task<Result<JobPage>> jobs(JobQuery query) override {
    return read([query = std::move(query)](Reader& reader) { return reader.jobs(query); });
  }
  Task<Result<std::vector<Job>>> unfinished_ingests() override {
    return read([](Reader& reader) { return reader.unfinished_ingests(); });
  }
  Task<Result<ItemPage>> items(JobId job, ItemQuery query) override {
    return read([job, query = std::move(query)](Reader& reader) { return reader.items(job, query); });
  }
  Task<Result<std::vector<Row>>> rows(JobId job, std::uint64_t after_row, std::uint32_t limit) override {
    const RowRange range{.after_row = after_row, .rows_max = limit, .items_max = sqlite::kItemsPerRowPage};
    return read([job, range](Reader& reader) { return reader.rows(job, range); });
  }
  Task<Result<std::vector<FailureGroup>>> failures(JobId job) override {
    return read([job](Reader& reader) { return reader.failures(job); });
  }
  Task<Result<std::vector<std::string>>> unreferenced(std::vector<std::string> keys) override {
    return read([keys = std::move(keys)](Reader& reader) { return reader.unreferenced(keys); });
  }
  Task<Result<QueueDepth>> depth() override {
    return read([](Reader& reader) { return reader.depth(); });
  }
  Task<Result<void>> ping() override {
    return read([](Reader& reader) { return reader.ping(); });
  }

  Task<Result<Due>> claim_deliveries(DeliveryClaim claim) override {
    return write([claim = std::move(claim)](Writer& writer) { return writer.claim_deliveries(claim); });
  }
  Task<Result<std::uint64_t>> open_deliveries() override {
    return read([](Reader& reader) { return reader.open_deliveries(); });
  }
  Task<Result<void>> record_delivery(DeliveryResult result) override {
    return write([result = std::move(result)](Writer& writer) { return writer.record_delivery(result); });
  }
  Task<Result<std::vector<Delivery>>> deliveries(JobId job) override {
    return read([job](Reader& reader) { return reader.deliveries(job); });
  }
  Task<Result<void>> resend(std::string event_id) override {
    return write([event_id = std::move(event_id)](Writer& writer) { return writer.resend(event_id); });
  }
  Task<Result<std::optional<std::string>>> setting(std::string name) override {
    return read([name = std::move(name)](Reader& reader) { return reader.setting(name); });
  }
  Task<Result<void>> set_setting(std::string name, std::string value) override {
    return write(
        [name = std::move(name), value = std::move(value)](Writer& writer) { return writer.set_setting(name, value); });
  }

  Task<Result<RecipeSaved>> save_recipe(std::string name, std::string text) override {
    return write(
        [name = std::move(name), text = std::move(text)](Writer& writer) { return writer.save_recipe(name, text); });
  }
  Task<Result<void>> remove_recipe(std::string name) override {
    return write([name = std::move(name)](Writer& writer) { return writer.remove_recipe(name); });
  }
  Task<Result<std::vector<SavedRecipe>>> saved_recipes() override {
    return read([](Reader& reader) { return reader.saved_recipes(); });
  }

 private:
  struct Chunk {
    JobId job;
    std::vector<std::string> columns;
    std::vector<NewRow> rows;
  };

  template <class Work>
  Task<std::invoke_result_t<Work&, Writer&>> write(Work work) {
    return writer_thread_.run([writer = writer_.get(), work = std::move(work)]() mutable { return work(*writer); });
  }
  template <class Work>
  Task<std::invoke_result_t<Work&, Reader&>> read(Work work) {
    return reader_thread_.run([reader = reader_.get(), work = std::move(work)]() mutable { return work(*reader); });
  }

  // Several short transactions with other verbs between them.
  Task<Result<void>> append(std::shared_ptr<const Chunk> chunk) {
    std::size_t at = 0;
    do {
      bool more_names = true;
      while (more_names) {
        auto remember = write([chunk](Writer& writer) { return writer.remember_names(chunk->job); });
        PIXMILL_CO_TRY(more_names, co_await std::move(remember));
      }
      auto some = write(
          [chunk, at](Writer& writer) { return writer.append_rows(chunk->job, chunk->columns, chunk->rows, at); });
      PIXMILL_CO_TRY(at, co_await std::move(some));
    } while (at < chunk->rows.size());
    co_return Result<void>();
  }

  Task<Result<Job>> reopen(JobId job, RetryFilter filter) {
    auto first = write([job, filter = std::move(filter)](Writer& writer) { return writer.retry(job, filter); });
    PIXMILL_CO_TRY(bool more, co_await std::move(first));
    while (more) {
      auto next = write([job](Writer& writer) { return writer.reopen_more(job); });
      PIXMILL_CO_TRY(more, co_await std::move(next));
    }
    auto after = write([job](Writer& writer) { return writer.job(job); });
    co_return co_await std::move(after);
  }

  // The threads end before what they use.
  std::unique_ptr<Writer> writer_;
  std::unique_ptr<Reader> reader_;
  BlockingThread writer_thread_{"sqlite-write"};
  BlockingThread reader_thread_{"sqlite-read"};
};

constexpr std::string_view kReadApplicationId = "PRAGMA application_id";
constexpr std::string_view kCountTables = "SELECT COUNT(*) FROM sqlite_schema";

Result<std::int64_t> one_number(db::Database& database, std::string_view sql) {
  auto& row = database.prepare(sql);
  PIXMILL_TRY(const bool found, row.step());
  const auto number = found ? row.integer(0) : 0;
  row.reset();
  return number;
}

// An empty file is made ours; a database of another program is left alone.
Result<void> make_ours(db::Database& database) {
  PIXMILL_TRY(const auto application, one_number(database, kReadApplicationId));
  PIXMILL_TRY(const auto tables, one_number(database, kCountTables));
  if (application != 0 || tables != 0) return sqlite::check_ours(database);
  return database.execute("PRAGMA application_id=1347964236");
}

constexpr std::string_view kReadVersion = "PRAGMA user_version";
constexpr std::int64_t kFirstVersionWithRecipes = 3;

Result<db::Database> open_ours(const std::string& path) {
  PIXMILL_TRY(auto database, db::Database::open(path, db::OpenMode::kWriter));
  PIXMILL_RETURN_IF_ERROR(make_ours(database));
  PIXMILL_RETURN_IF_ERROR(db::migrate(database, generated::k_sqlite_migrations));
  return database;
}

template <class Work>
std::invoke_result_t<Work&, db::Database&> change_durably(const std::string& path, Work work) {
  PIXMILL_TRY(auto database, open_ours(path));
  PIXMILL_RETURN_IF_ERROR(database.execute("PRAGMA synchronous=FULL"));
  PIXMILL_TRY(auto transaction, db::Transaction::begin(database));
  auto result = work(database);
  if (!result) return result;
  PIXMILL_RETURN_IF_ERROR(transaction.commit());
  return result;
}

}  // namespace

Result<void> sqlite::check_ours(db::Database& database) {
  constexpr std::int64_t kApplicationId = 0x50584d4c;  // "PXML"
  PIXMILL_TRY(const auto application, one_number(database, kReadApplicationId));
  if (application == kApplicationId) return {};
  return fail(ErrorCode::kConflict, "The database file belongs to another program.");
}

Result<std::vector<SavedRecipe>> read_saved_recipes(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return std::vector<SavedRecipe>();
  PIXMILL_TRY(auto database, db::Database::open(path, db::OpenMode::kReader));
  PIXMILL_RETURN_IF_ERROR(sqlite::check_ours(database));
  PIXMILL_TRY(const auto version, one_number(database, kReadVersion));
  if (version < kFirstVersionWithRecipes) return std::vector<SavedRecipe>();
  return sqlite::load_saved_recipes(database);
}

Result<RecipeSaved> save_recipe_in(const std::string& path, const Clock& clock, const std::string& name,
                                   const std::string& text) {
  const sqlite::NewVersion wanted{.name = name, .text = text, .at = clock.now()};
  return change_durably(path, [&](db::Database& database) { return sqlite::save_recipe(database, wanted); });
}

Result<void> remove_recipe_in(const std::string& path, const std::string& name) {
  return change_durably(path, [&](db::Database& database) { return sqlite::remove_recipe(database, name); });
}

Result<SqliteStore> open_sqlite_store(const Clock& clock, SqliteOptions options) {
  PIXMILL_TRY(auto writing, open_ours(options.path));
  const auto master_key = options.master_key;
  const auto path = options.path;
  auto writer = std::make_unique<Writer>(clock, std::move(writing), std::move(options));
  SqliteStore opened;
  PIXMILL_TRY(opened.interrupted, writer->start());
  PIXMILL_TRY(auto reading, db::Database::open(path, db::OpenMode::kReader));
  auto store = std::make_unique<Store>(std::move(writer), std::make_unique<Reader>(std::move(reading), master_key));
  opened.outbox = store.get();
  opened.recipes = store.get();
  opened.jobs = std::move(store);
  return opened;
}

}  // namespace pixmill::jobs
