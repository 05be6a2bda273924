#include "jobs/postgres_store.h"

#include <fmt/format.h>

#include "base/blocking_thread.h"
#include "jobs/postgres_internal.h"
#include "jobs/threaded_store.h"
#include "postgres_migrations.h"

namespace pixmill::jobs {

namespace {

// Reading gives up sooner, so that whoever asks whether the database is there learns it.
constexpr milliseconds kReadPatience{500};

db::pg::SessionOptions session_options(const PostgresOptions& options, const std::string& what) {
  db::pg::SessionOptions session{.connect = options.connect};
  session.connect.application_name = fmt::format("{} {}", options.connect.application_name, what);
  return session;
}

db::pg::SessionOptions reading_options(const PostgresOptions& options) {
  auto session = session_options(options, "read");
  session.patience = kReadPatience;
  return session;
}

// A recount of a job of many millions of items, after something broke, takes its time.
constexpr milliseconds kUpkeepStatementTimeout{300'000};

db::pg::SessionOptions upkeep_options(const PostgresOptions& options) {
  auto session = session_options(options, "upkeep");
  session.connect.statement_timeout = kUpkeepStatementTimeout;
  return session;
}

}  // namespace

namespace postgres {

// Tables that come in do not hold up claims and outcomes, nor pages either.
class Threads {
 public:
  Threads(const Clock& clock, const PostgresOptions& options)
      : intake_(clock, session_options(options, "intake"), stop_, options),
        work_(clock, session_options(options, "work"), stop_, options),
        reader_(reading_options(options), stop_, options),
        upkeep_(clock, upkeep_options(options), stop_, options) {}
  // A verb that waits for an absent server must not hold up the end of the process.
  ~Threads() { stop_.stop(); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  template <class Work>
  auto intake(Work work) {
    return intake_thread_.run([this, work = std::move(work)]() mutable { return work(intake_); });
  }
  template <class Work>
  auto work(Work work) {
    return work_thread_.run([this, work = std::move(work)]() mutable { return work(work_); });
  }
  template <class Work>
  auto read(Work work) {
    return reader_thread_.run([this, work = std::move(work)]() mutable { return work(reader_); });
  }
  // Sums and repairs hold up nobody. It connects with the first of them.
  template <class Work>
  auto look(Work work) {
    return upkeep_thread_.run([this, work = std::move(work)]() mutable { return work(upkeep_); });
  }
  template <class Work>
  auto mend(Work work) {
    return look(std::move(work));
  }
  [[nodiscard]] Result<std::vector<ClaimedItem>> start() { return work_.start(); }

 private:
  // The threads end before what they use.
  db::pg::StopSignal stop_;
  Writer intake_;
  Writer work_;
  Reader reader_;
  Writer upkeep_;
  BlockingThread intake_thread_{"pg-intake"};
  BlockingThread work_thread_{"pg-work"};
  BlockingThread reader_thread_{"pg-read"};
  BlockingThread upkeep_thread_{"pg-upkeep"};
};

}  // namespace postgres

namespace {

using postgres::Reader;
using postgres::Writer;

// Sealed once, it tells whether a process has the master key of the others.
constexpr const char* kKeyCheck = "master_key_check";
constexpr const char* kKeyCheckValue = "pixmill";

Result<void> check_master_key(const Clock& clock, const PostgresOptions& options) {
  if (options.master_key.empty()) return {};
  const auto agreed = agree_on_setting(options, clock, kKeyCheck, kKeyCheckValue, false);
  if (agreed) return {};
  if (agreed.error().code != ErrorCode::kInvalidArgument) return std::unexpected(agreed.error());
  return fail(ErrorCode::kInvalidArgument,
              "the secrets in this database are sealed under another master key; every process on one database needs "
              "the same PIXMILL_MASTER_KEY, or the master.key of the data folder that was used with it first");
}

}  // namespace

Result<db::pg::MigrationReport> migrate_postgres(const db::pg::ConnectOptions& connect) {
  return db::pg::migrate(connect, generated::k_postgres_migrations);
}

Result<void> check_postgres_schema(const db::pg::ConnectOptions& connect) {
  return db::pg::check_schema(connect, generated::k_postgres_migrations);
}

Result<void> prepare_postgres(const Clock& clock, const PostgresOptions& options) {
  if (options.migrate) {
    PIXMILL_TRY([[maybe_unused]] const auto migrated, migrate_postgres(options.connect));
  } else {
    PIXMILL_RETURN_IF_ERROR(db::pg::check_schema(options.connect, generated::k_postgres_migrations));
  }
  return check_master_key(clock, options);
}

Result<Stores> open_postgres_store(const Clock& clock, PostgresOptions options) {
  PIXMILL_RETURN_IF_ERROR(prepare_postgres(clock, options));
  auto threads = std::make_unique<postgres::Threads>(clock, options);
  Stores opened;
  PIXMILL_TRY(opened.interrupted, threads->start());
  auto store = std::make_unique<ThreadedStore<postgres::Threads>>(std::move(threads));
  opened.outbox = store.get();
  opened.recipes = store.get();
  opened.upkeep = store.get();
  opened.jobs = std::move(store);
  return opened;
}

Result<std::vector<SavedRecipe>> read_saved_recipes(const PostgresOptions& options) {
  PIXMILL_RETURN_IF_ERROR(db::pg::check_schema(options.connect, generated::k_postgres_migrations));
  db::pg::StopSignal stop;
  return Reader(reading_options(options), stop, options).saved_recipes();
}

Result<RecipeSaved> save_recipe_in(const PostgresOptions& options, const Clock& clock, const std::string& name,
                                   const std::string& text) {
  PIXMILL_RETURN_IF_ERROR(db::pg::check_schema(options.connect, generated::k_postgres_migrations));
  db::pg::StopSignal stop;
  return Writer(clock, session_options(options, "command"), stop, options).save_recipe(name, text);
}

Result<void> remove_recipe_in(const PostgresOptions& options, const Clock& clock, const std::string& name) {
  PIXMILL_RETURN_IF_ERROR(db::pg::check_schema(options.connect, generated::k_postgres_migrations));
  db::pg::StopSignal stop;
  return Writer(clock, session_options(options, "command"), stop, options).remove_recipe(name);
}

Result<std::optional<std::string>> read_setting(const PostgresOptions& options, const std::string& name) {
  PIXMILL_RETURN_IF_ERROR(db::pg::check_schema(options.connect, generated::k_postgres_migrations));
  db::pg::StopSignal stop;
  return Reader(reading_options(options), stop, options).setting(name);
}

Result<std::string> agree_on_setting(const PostgresOptions& options, const Clock& clock, const std::string& name,
                                     const std::string& value, bool replace) {
  db::pg::StopSignal stop;
  Writer writer(clock, session_options(options, "start"), stop, options);
  PIXMILL_RETURN_IF_ERROR(replace ? writer.set_setting(name, value) : writer.set_setting_once(name, value));
  PIXMILL_TRY(const auto agreed, read_setting(options, name));
  return agreed.value_or(value);
}

}  // namespace pixmill::jobs
