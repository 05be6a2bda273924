// PostgreSQL as RAII over libpq. Blocking: use on the store's own threads only; one Connection belongs to one thread at
// a time. What runs on it, when it breaks and what is done again is decided by db/postgres_session.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

struct pg_conn;
struct pg_result;

namespace pixmill::db::pg {

struct ConnectOptions {
  // postgres:// or postgresql:// as libpq reads it, several hosts and sslmode included. What it does not say of connect
  // timeout (5 s), keepalives, tcp_user_timeout (10 s) and target_session_attrs (read-write) is set here.
  std::string url;
  std::string application_name = "pixmill";  // for pg_stat_activity
  std::string schema = "pixmill";            // where the tables lie
  std::chrono::milliseconds statement_timeout{15'000};
  std::chrono::milliseconds lock_timeout{5'000};
};

// What kind of failure the last one was, for whoever decides whether to try again.
enum class Trouble : std::uint8_t {
  kNone,
  kTryAgain,   // serialization, deadlock, lock timeout: the same transaction may succeed
  kLost,       // the connection is gone; whether a COMMIT under way took place is not known
  kPermanent,  // saying it again would fail again
};

// Values of one statement, in the order of $1, $2 …; sent in libpq's binary form. A statement's types are those of its
// first use. Text that PostgreSQL cannot hold (a NUL byte, what is not UTF-8) is replaced by U+FFFD.
class Params {
 public:
  Params& add(std::int64_t value);
  Params& add(const std::optional<std::int64_t>& value);
  Params& add(std::string_view text);
  Params& add(const std::string& text) { return add(std::string_view(text)); }
  Params& add(const char* text) { return add(std::string_view(text)); }
  Params& add_bytes(const std::optional<std::string>& bytes);
  Params& add(std::span<const std::int64_t> values);
  Params& add(const std::vector<std::int64_t>& values) { return add(std::span<const std::int64_t>(values)); }
  Params& add(const std::vector<std::optional<std::int64_t>>& values);
  Params& add(const std::vector<std::string>& texts);

 private:
  friend class Connection;
  struct Value {
    unsigned int type;  // an Oid
    bool is_null = false;
    std::string bytes;
  };
  Params& push(unsigned int type, std::optional<std::string> bytes);
  std::vector<Value> values_;
};

class Rows;

// One row of an answer; valid as long as its Rows. Columns count from 0.
class Row {
 public:
  // Any integer or boolean; NULL is 0.
  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] std::string text(int column) const { return std::string(view(column)); }  // also bytes; NULL is ""
  [[nodiscard]] std::string_view view(int column) const;
  [[nodiscard]] bool is_null(int column) const;

 private:
  friend class Rows;
  Row(pg_result* result, int row) : result_(result), row_(row) {}
  pg_result* result_;
  int row_;
};

// The whole answer of a statement.
class Rows {
 public:
  explicit Rows(pg_result* result) : result_(result) {}  // takes ownership
  Rows(Rows&& other) noexcept;
  Rows& operator=(Rows&& other) noexcept;
  ~Rows();

  [[nodiscard]] int size() const;
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] Row operator[](int row) const { return {result_, row}; }
  [[nodiscard]] std::int64_t changed() const;  // rows that an INSERT, UPDATE or DELETE touched

 private:
  pg_result* result_;
};

class Connection {
 public:
  // Errors: kInvalidArgument when the URL cannot be read, kUnavailable when no server answers or it refuses; the
  // message says why and holds no password.
  [[nodiscard]] static Result<Connection> open(const ConnectOptions& options);
  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  ~Connection();

  // Compiled once per text, which must be a named constant. Errors: kUnavailable (lost, timed out, serialization,
  // deadlock; see trouble()), kConflict for a broken constraint, kDiskFull, kInternal.
  [[nodiscard]] Result<Rows> query(std::string_view sql, const Params& params);
  // One or more statements without parameters; the last one's answer, whose values are texts. Errors: as query.
  [[nodiscard]] Result<Rows> execute(const std::string& sql);
  // What the last failure was; kNone after a success.
  [[nodiscard]] Trouble trouble() const { return trouble_; }
  // What an execute() like COMMIT did: "COMMIT", "ROLLBACK".
  [[nodiscard]] std::string_view last_command() const { return last_command_; }

 private:
  struct Impl;
  explicit Connection(std::unique_ptr<Impl> impl);
  [[nodiscard]] Result<Rows> take(pg_result* result);
  [[nodiscard]] Result<std::string> prepared(std::string_view sql, const Params& params);

  std::unique_ptr<Impl> impl_;
  Trouble trouble_ = Trouble::kNone;
  std::string last_command_;
};

// Whether a setting is a URL of PostgreSQL.
[[nodiscard]] bool is_postgres_url(std::string_view url);
// "db.example:5432/pixmill": where it leads, for people; never the user or the password.
[[nodiscard]] std::string describe_url(const std::string& url);

// Private to src/db/postgres*.cc: the options of a connection as libpq takes them, ended by null pointers.
struct ConnectWords {
  std::vector<std::string> names;
  std::vector<std::string> values;
};
[[nodiscard]] Result<ConnectWords> connect_words(const ConnectOptions& options);
[[nodiscard]] pg_conn* connect_blocking(const ConnectWords& words);
[[nodiscard]] Error connection_error(pg_conn* connection, const ConnectOptions& options);

}  // namespace pixmill::db::pg
