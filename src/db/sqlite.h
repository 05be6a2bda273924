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
  // Errors: kIo, kDiskFull, kConflict when the file is not a database.
  [[nodiscard]] static Result<Database> open(const std::string& path, OpenMode mode);
  Database(Database&&) noexcept;
  Database& operator=(Database&&) noexcept;
  ~Database();

  // Runs one or more statements without parameters or rows.
  [[nodiscard]] Result<void> execute(std::string_view sql);
  // Compiles once and keeps it: the same text gives the same statement, reset and unbound. The text must be a named constant
  // (the cache is keyed by its address and length). A syntax error aborts: SQL is part of the program.
  [[nodiscard]] Statement& prepare(std::string_view sql);
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
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(std::int64_t value);
  Statement& bind(std::string_view value);  // text; the bytes are copied
  Statement& bind_blob(std::string_view value);
  Statement& bind_null();
  Statement& bind(const std::optional<std::string>& value);
  Statement& bind(const std::optional<std::int64_t>& value);

  // true: a row is there; false: done (and the statement is reset). Errors: kConflict for a broken constraint, kDiskFull, kIo.
  [[nodiscard]] Result<bool> step();
  // For statements without rows: step until done, reset, and say how many rows changed.
  [[nodiscard]] Result<std::int64_t> run();
  void reset();

  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] std::string text(int column) const;  // also for blobs
  [[nodiscard]] std::string_view view(int column) const;  // valid until the next step or reset
  [[nodiscard]] bool is_null(int column) const;

 private:
  sqlite3_stmt* statement_;
  int next_parameter_ = 1;
};

// BEGIN IMMEDIATE … COMMIT; rolls back when destroyed without commit().
class Transaction {
 public:
  [[nodiscard]] static Result<Transaction> begin(Database& database);
  Transaction(Transaction&&) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  [[nodiscard]] Result<void> commit();

 private:
  explicit Transaction(Database* database) : database_(database) {}
  Database* database_;
};

}  // namespace pixmill::db
