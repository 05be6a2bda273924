#include "db/sqlite.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <memory>
#include <system_error>
#include <utility>

#include "base/text.h"

namespace pixmill::db {

namespace {

constexpr int kBusyTimeoutMs = 5'000;
constexpr std::int64_t kWalBytesKept = 64 << 20;  // a log that grew beyond this is cut at the next checkpoint
constexpr std::size_t kStatementsMax = 1'024;     // far above what the program names; a leak of dynamic SQL trips it

constexpr std::string_view kBeginImmediate = "BEGIN IMMEDIATE";
constexpr std::string_view kBeginDeferred = "BEGIN";
constexpr std::string_view kCommit = "COMMIT";
constexpr std::string_view kRollback = "ROLLBACK";

bool disk_is_full(sqlite3* handle, int status) {
  const int primary = status & 0xff;
  if (primary == SQLITE_FULL) return true;
  // Growing the shared memory or creating the log on a full disk reports an I/O error; errno tells them apart.
  const int system_errno = handle == nullptr ? 0 : sqlite3_system_errno(handle);
  return (primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN) && (system_errno == ENOSPC || system_errno == EDQUOT);
}

// The one place where SQLite's codes become ours. SQLite's own text names tables and columns, so it is for the log.
Error to_error(sqlite3* handle, int status) {
  const std::string detail = fmt::format("sqlite {} ({}): {}", status, sqlite3_errstr(status),
                                         handle == nullptr ? "no connection" : sqlite3_errmsg(handle));
  const auto error = [&](ErrorCode code, std::string_view message) {
    return Error{.code = code, .message = std::string(message), .detail = detail};
  };
  if (disk_is_full(handle, status)) return error(ErrorCode::kDiskFull, "the database's disk is full");
  switch (status & 0xff) {
    case SQLITE_CONSTRAINT:
      return error(ErrorCode::kConflict, "the database refuses a value that breaks a constraint");
    case SQLITE_NOTADB:
      return error(ErrorCode::kConflict, "the file is not a SQLite database");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return error(ErrorCode::kUnavailable, "the database is locked by another connection");
    case SQLITE_INTERRUPT:
      return error(ErrorCode::kCancelled, "the database call was interrupted");
    case SQLITE_CORRUPT:
      return error(ErrorCode::kIo, "the database file is damaged");
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return error(ErrorCode::kIo, "the database file cannot be opened");
    case SQLITE_READONLY:
      return error(ErrorCode::kIo, "the database cannot be written");
    case SQLITE_IOERR:
      return error(ErrorCode::kIo, "the database file cannot be read or written");
    default:
      return error(ErrorCode::kInternal, "a database statement failed");
  }
}

Result<void> check_status(sqlite3* handle, int status) {
  if (status == SQLITE_OK) return {};
  return std::unexpected(to_error(handle, status));
}

// sqlite3_bind_* takes a null pointer for NULL, but an empty text is a value.
const char* data_or_empty(std::string_view value) { return value.data() == nullptr ? "" : value.data(); }

}  // namespace

struct Database::Impl {
  Impl(sqlite3* opened, OpenMode open_mode) : handle(opened), mode(open_mode) {}
  ~Impl() {
    statements.clear();  // finalised before the connection they belong to
    sqlite3_close_v2(handle);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  sqlite3* handle;
  OpenMode mode;
  std::map<std::pair<const char*, std::size_t>, std::unique_ptr<Statement>> statements;
};

Database::Database(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Database::Database(Database&&) noexcept = default;
Database& Database::operator=(Database&&) noexcept = default;
Database::~Database() = default;

namespace {

Result<void> set_journal_mode_wal(sqlite3* handle) {
  sqlite3_stmt* raw = nullptr;
  PIXMILL_RETURN_IF_ERROR(
      check_status(handle, sqlite3_prepare_v2(handle, "PRAGMA journal_mode=WAL", -1, &raw, nullptr)));
  Statement statement(raw);
  PIXMILL_TRY(const bool row, statement.step());
  if (!row || statement.view(0) != "wal") {
    // Network file systems without shared memory end here.
    return fail(ErrorCode::kIo, "the database's file system does not support write-ahead logging");
  }
  return {};
}

// Reads the header, so that a file of another kind is refused when it is opened and not at the first query.
constexpr const char* kCommonPragmas = "PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF; PRAGMA schema_version;";
constexpr const char* kReaderPragmas = "PRAGMA query_only=ON; PRAGMA wal_autocheckpoint=0;";

Result<void> configure(sqlite3* handle, OpenMode mode) {
  sqlite3_busy_timeout(handle, kBusyTimeoutMs);
  // A misspelt column in double quotes is an error then, not a text.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
  if (mode == OpenMode::kReader) {
    // All checkpoints go through the writer: SQLite before 3.51.3 can lose commits when two connections checkpoint at
    // once.
    sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    PIXMILL_RETURN_IF_ERROR(check_status(handle, sqlite3_exec(handle, kReaderPragmas, nullptr, nullptr, nullptr)));
  }
  if (mode == OpenMode::kWriter) {
    PIXMILL_RETURN_IF_ERROR(set_journal_mode_wal(handle));
    const std::string limit = fmt::format("PRAGMA journal_size_limit={}", kWalBytesKept);
    PIXMILL_RETURN_IF_ERROR(check_status(handle, sqlite3_exec(handle, limit.c_str(), nullptr, nullptr, nullptr)));
  }
  return check_status(handle, sqlite3_exec(handle, kCommonPragmas, nullptr, nullptr, nullptr));
}

}  // namespace

Result<Database> Database::open(const std::string& path, OpenMode mode) {
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  if (mode != OpenMode::kReader) flags |= SQLITE_OPEN_CREATE;
  sqlite3* handle = nullptr;
  const int status = sqlite3_open_v2(mode == OpenMode::kInMemory ? ":memory:" : path.c_str(), &handle, flags, nullptr);
  // SQLite hands out a connection to close even when opening failed.
  auto impl = std::make_unique<Impl>(handle, mode);
  PIXMILL_RETURN_IF_ERROR(check_status(handle, status));
  PIXMILL_RETURN_IF_ERROR(configure(handle, mode));
  return Database(std::move(impl));
}

Result<void> Database::execute(std::string_view sql) {
  const std::string text(sql);
  return check_status(impl_->handle, sqlite3_exec(impl_->handle, text.c_str(), nullptr, nullptr, nullptr));
}

Statement& Database::prepare(std::string_view sql) {
  auto& cached = impl_->statements[{sql.data(), sql.size()}];
  if (cached && cached->statement_ != nullptr) {
    cached->reset();
    // SQLite keeps the text without what follows the statement's semicolon.
    PIXMILL_CHECK(sql.starts_with(sqlite3_sql(cached->statement_)));
    return *cached;
  }
  PIXMILL_CHECK(impl_->statements.size() <= kStatementsMax);
  sqlite3_stmt* raw = nullptr;
  const char* rest = nullptr;
  const int status = sqlite3_prepare_v3(impl_->handle, sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &raw, &rest);
  if ((status & 0xff) == SQLITE_ERROR) check_failed(__FILE__, __LINE__, sqlite3_errmsg(impl_->handle));
  if (!cached) cached = std::make_unique<Statement>(nullptr);
  cached->reset();
  cached->statement_ = raw;
  cached->failure_.reset();
  if (status != SQLITE_OK) {
    cached->failure_ = to_error(impl_->handle, status);
    return *cached;
  }
  PIXMILL_CHECK(raw != nullptr && trim(sql.substr(static_cast<std::size_t>(rest - sql.data()))).empty());
  return *cached;
}

void Database::reset_statements() {
  for (const auto& [text, statement] : impl_->statements) statement->reset();
}

OpenMode Database::mode() const { return impl_->mode; }
std::int64_t Database::last_insert_rowid() const { return sqlite3_last_insert_rowid(impl_->handle); }
std::int64_t Database::changes() const { return sqlite3_changes64(impl_->handle); }
sqlite3* Database::handle() const { return impl_->handle; }

Statement::~Statement() { sqlite3_finalize(statement_); }

namespace {

// A parameter that does not exist is a programmer's error; a value that is too large or memory that is out is not.
std::optional<Error> bind_failure(sqlite3_stmt* statement, int status) {
  if (status == SQLITE_OK) return std::nullopt;
  PIXMILL_CHECK(status != SQLITE_RANGE && status != SQLITE_MISUSE);
  return to_error(sqlite3_db_handle(statement), status);
}

}  // namespace

Statement& Statement::bind(std::int64_t value) {
  if (failure_) return *this;
  failure_ = bind_failure(statement_, sqlite3_bind_int64(statement_, next_parameter_++, value));
  return *this;
}

Statement& Statement::bind(std::string_view value) {
  if (failure_) return *this;
  failure_ = bind_failure(statement_, sqlite3_bind_text64(statement_, next_parameter_++, data_or_empty(value),
                                                          value.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}

Statement& Statement::bind_blob(std::string_view value) {
  if (failure_) return *this;
  failure_ = bind_failure(statement_, sqlite3_bind_blob64(statement_, next_parameter_++, data_or_empty(value),
                                                          value.size(), SQLITE_TRANSIENT));
  return *this;
}

Statement& Statement::bind_null() {
  if (failure_) return *this;
  failure_ = bind_failure(statement_, sqlite3_bind_null(statement_, next_parameter_++));
  return *this;
}

Statement& Statement::bind(const std::optional<std::string>& value) {
  return value ? bind(std::string_view(*value)) : bind_null();
}

Statement& Statement::bind(const std::optional<std::int64_t>& value) { return value ? bind(*value) : bind_null(); }

Result<bool> Statement::step() {
  if (failure_) {
    Error failure = *failure_;
    reset();
    return std::unexpected(std::move(failure));
  }
  const int status = sqlite3_step(statement_);
  if (status == SQLITE_ROW) return true;
  if (status == SQLITE_DONE) {
    reset();
    return false;
  }
  Error error = to_error(sqlite3_db_handle(statement_), status);
  reset();
  return std::unexpected(std::move(error));
}

Result<std::int64_t> Statement::run() {
  while (true) {
    PIXMILL_TRY(const bool row, step());
    if (!row) break;
  }
  // sqlite3_changes is that of the last writing statement, whichever it was.
  return sqlite3_stmt_readonly(statement_) != 0 ? 0 : sqlite3_changes64(sqlite3_db_handle(statement_));
}

void Statement::reset() {
  next_parameter_ = 1;
  if (statement_ == nullptr) return;  // failure_ stays: it is why there is no statement
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
  failure_.reset();
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Statement::text(int column) const { return std::string(view(column)); }

std::string_view Statement::view(int column) const {
  // The blob form of a text is its bytes; the size must be asked for after the pointer.
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  const int size = sqlite3_column_bytes(statement_, column);
  return data == nullptr ? std::string_view() : std::string_view(data, static_cast<std::size_t>(size));
}

bool Statement::is_null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

Result<Transaction> Transaction::begin(Database& database) {
  PIXMILL_CHECK(sqlite3_get_autocommit(database.handle()) != 0);
  database.reset_statements();
  // A reader's BEGIN IMMEDIATE would take the write lock in spite of query_only.
  const auto sql = database.mode() == OpenMode::kReader ? kBeginDeferred : kBeginImmediate;
  PIXMILL_RETURN_IF_ERROR(database.prepare(sql).run());
  return Transaction(&database);
}

Transaction::Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}

Transaction::~Transaction() {
  if (database_ == nullptr || sqlite3_get_autocommit(database_->handle()) != 0) return;
  database_->reset_statements();
  // A ROLLBACK that fails leaves nothing to do: the next BEGIN says so.
  static_cast<void>(database_->prepare(kRollback).run());
}

Result<void> Transaction::commit() {
  PIXMILL_CHECK(database_ != nullptr);
  if (sqlite3_get_autocommit(database_->handle()) != 0) {
    database_ = nullptr;
    return fail(ErrorCode::kInternal, "the transaction was rolled back by an earlier error");
  }
  database_->reset_statements();
  PIXMILL_RETURN_IF_ERROR(database_->prepare(kCommit).run());
  database_ = nullptr;
  return {};
}

namespace {

constexpr std::string_view kQuickCheck = "PRAGMA quick_check(1)";

Result<void> check_whole(Database& database) {
  auto& check = database.prepare(kQuickCheck);
  PIXMILL_TRY(const bool row, check.step());
  if (row && check.view(0) == "ok") return {};
  return fail(ErrorCode::kIo, "the database file is damaged", row ? check.text(0) : std::string());
}

Result<void> sync_file(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool synced = descriptor >= 0 && ::fsync(descriptor) == 0;
  const int problem = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (synced) return {};
  return fail(problem == ENOSPC || problem == EDQUOT ? ErrorCode::kDiskFull : ErrorCode::kIo,
              "the copy of the database cannot be brought to the disk", std::generic_category().message(problem));
}

}  // namespace

Result<void> copy_database(Database& from, const std::string& to) {
  if (::access(to.c_str(), F_OK) == 0) return fail(ErrorCode::kConflict, fmt::format("{} exists", to));
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(to.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  const auto close = [](sqlite3* handle) { sqlite3_close_v2(handle); };
  const std::unique_ptr<sqlite3, decltype(close)> copy(raw, close);
  PIXMILL_RETURN_IF_ERROR(check_status(copy.get(), opened));
  sqlite3_backup* const backup = sqlite3_backup_init(copy.get(), "main", from.handle(), "main");
  if (backup == nullptr) return std::unexpected(to_error(copy.get(), sqlite3_errcode(copy.get())));
  sqlite3_backup_step(backup, -1);  // all pages under one snapshot: in WAL mode no writer waits for it
  PIXMILL_RETURN_IF_ERROR(check_status(copy.get(), sqlite3_backup_finish(backup)));
  PIXMILL_TRY(auto again, Database::open(to, OpenMode::kReader));
  PIXMILL_RETURN_IF_ERROR(check_whole(again));
  return sync_file(to);
}

}  // namespace pixmill::db
