// SQLite as RAII. Blocking: use on the store's own threads only; one Database belongs to one thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

struct sqlite3;
struct sqlite3_stmt;

namespace pixmill::db {

enum class OpenMode : std::uint8_t {
  kWriter,    // read and write; journal_mode=WAL, foreign_keys=ON; checkpoints
  kReader,    // query_only; never checkpoints, not even on close
  kInMemory,  // for tests
};

class Statement;

class Database {
 public:
  // A lock of another connection is waited for, at most 5 s. `path` is unused with kInMemory.
  // Errors: kIo, kDiskFull, kConflict when the file is not a database, kUnavailable when it stays locked.
  [[nodiscard]] static Result<Database> open(const std::string& path, OpenMode mode);
  Database(Database&&) noexcept;
  Database& operator=(Database&&) noexcept;
  ~Database();

  // Runs one or more statements without parameters or rows. Errors: as Statement::step, and kInternal for wrong SQL.
  [[nodiscard]] Result<void> execute(std::string_view sql);
  // Compiles once and keeps it: the same text gives the same statement, reset and unbound. The text must be a named
  // constant (the cache is keyed by its address and length); another text at a known address aborts, as a syntax error
  // does: SQL is part of the program. When the schema cannot be read (disk, lock), step() of the statement returns that
  // error. The reference lives as long as the Database. One text is one cursor: do not prepare it again inside its own
  // row loop.
  [[nodiscard]] Statement& prepare(std::string_view sql);
  // Resets every statement. A row loop that was left early keeps its read snapshot until its statement is reset: the
  // connection then reads old data, and the log cannot be checkpointed. Call it at the end of each unit of work;
  // beginning and ending a Transaction do it too.
  void reset_statements();
  [[nodiscard]] OpenMode mode() const;
  [[nodiscard]] std::int64_t last_insert_rowid() const;
  [[nodiscard]] std::int64_t changes() const;
  [[nodiscard]] sqlite3* handle() const;

 private:
  struct Impl;
  explicit Database(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Parameters are bound by position from 1 in the order of the calls; columns count from 0.
class Statement {
 public:
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}  // takes ownership
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(std::int64_t value);
  Statement& bind(std::string_view value);  // text; the bytes are copied
  Statement& bind(const std::string& value) { return bind(std::string_view(value)); }
  Statement& bind(const char* value) { return bind(std::string_view(value)); }
  Statement& bind_blob(std::string_view value);
  Statement& bind_null();
  Statement& bind(const std::optional<std::string>& value);
  Statement& bind(const std::optional<std::int64_t>& value);

  // true: a row is there; false: done (and the statement is reset and unbound, as after an error). Errors: kConflict
  // for a broken constraint, kDiskFull, kIo, kUnavailable when another connection holds the lock for too long,
  // kInternal.
  [[nodiscard]] Result<bool> step();
  // For statements without rows: step until done, reset, and say how many rows changed (0 unless it writes).
  [[nodiscard]] Result<std::int64_t> run();
  void reset();  // ends the cursor and clears the parameters

  // Of the current row. NULL reads as 0 and as an empty text.
  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] std::string text(int column) const;       // also for blobs
  [[nodiscard]] std::string_view view(int column) const;  // valid until the next step or reset
  [[nodiscard]] bool is_null(int column) const;

 private:
  friend class Database;
  sqlite3_stmt* statement_;  // null when it could not be compiled; failure_ says why
  int next_parameter_ = 1;
  std::optional<Error> failure_;  // of compiling or binding; what step() returns
};

// What `from` holds at one moment as a new file at `to`, while others go on writing; on the disk when it returns. The
// copy is read back and checked. Errors: kConflict when `to` exists, kDiskFull, kIo also for a damaged source.
[[nodiscard]] Result<void> copy_database(Database& from, const std::string& to);

// BEGIN IMMEDIATE … COMMIT; rolls back when destroyed without commit(). On a reader it is one snapshot for several
// statements. Transactions do not nest; the Database must not move meanwhile.
class Transaction {
 public:
  // Errors: kUnavailable when another connection holds the lock for too long, kDiskFull, kIo.
  [[nodiscard]] static Result<Transaction> begin(Database& database);
  Transaction(Transaction&&) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  // After an error nothing was written. Errors: as Statement::step, and kInternal when an earlier error, such as a full
  // disk, has already rolled everything back.
  [[nodiscard]] Result<void> commit();

 private:
  explicit Transaction(Database* database) : database_(database) {}
  Database* database_;
};

}  // namespace pixmill::db
