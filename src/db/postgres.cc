#include "db/postgres.h"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <map>
#include <utility>

#include "base/text.h"

namespace pixmill::db::pg {

namespace {

// Of pg_type.dat; they never change.
constexpr Oid kBytes = 17;
constexpr Oid kBigint = 20;
constexpr Oid kText = 25;
constexpr Oid kTextArray = 1009;
constexpr Oid kBigintArray = 1016;
constexpr int kBinary = 1;
constexpr std::size_t kStatementsMax = 1'024;  // far above what the program names; a leak of dynamic SQL trips it

// Network byte order, as the binary form wants it.
template <class Integer>
void append_integer(std::string& bytes, Integer value) {
  for (int shift = static_cast<int>(sizeof value) * 8 - 8; shift >= 0; shift -= 8) {
    bytes += static_cast<char>(static_cast<std::uint64_t>(value) >> shift & 0xff);
  }
}

std::string integer_bytes(std::int64_t value) {
  std::string bytes;
  append_integer(bytes, value);
  return bytes;
}

std::string storable(std::string_view text) {
  if (is_valid_utf8(text) && text.find('\0') == std::string_view::npos) return std::string(text);
  std::string result;
  for (const char c : replace_invalid_utf8(text)) {
    if (c == '\0') {
      result += "\xef\xbf\xbd";
    } else {
      result += c;
    }
  }
  return result;
}

// The binary form of a one-dimensional array without its elements: dimensions, whether there are NULLs, the elements'
// type, their number, the first index.
std::string array_head(Oid element, std::size_t count) {
  std::string bytes;
  append_integer(bytes, std::int32_t{count == 0 ? 0 : 1});
  append_integer(bytes, std::int32_t{1});
  append_integer(bytes, std::uint32_t{element});
  if (count == 0) return bytes;
  append_integer(bytes, static_cast<std::int32_t>(count));
  append_integer(bytes, std::int32_t{1});
  return bytes;
}

void append_element(std::string& bytes, std::int64_t value) {
  append_integer(bytes, static_cast<std::int32_t>(sizeof value));
  append_integer(bytes, value);
}

}  // namespace

Params& Params::push(unsigned int type, std::optional<std::string> bytes) {
  values_.push_back({.type = type, .is_null = !bytes, .bytes = std::move(bytes).value_or(std::string())});
  return *this;
}

Params& Params::add(std::int64_t value) { return push(kBigint, integer_bytes(value)); }
Params& Params::add(std::string_view text) { return push(kText, storable(text)); }
Params& Params::add_bytes(const std::optional<std::string>& bytes) { return push(kBytes, bytes); }

Params& Params::add(const std::optional<std::int64_t>& value) {
  return value ? add(*value) : push(kBigint, std::nullopt);
}

Params& Params::add(std::span<const std::int64_t> values) {
  auto bytes = array_head(kBigint, values.size());
  for (const auto value : values) append_element(bytes, value);
  return push(kBigintArray, std::move(bytes));
}

Params& Params::add(const std::vector<std::optional<std::int64_t>>& values) {
  auto bytes = array_head(kBigint, values.size());
  for (const auto& value : values) {
    if (value) {
      append_element(bytes, *value);
    } else {
      append_integer(bytes, std::int32_t{-1});
    }
  }
  return push(kBigintArray, std::move(bytes));
}

Params& Params::add(const std::vector<std::string>& texts) {
  auto bytes = array_head(kText, texts.size());
  for (const auto& text : texts) {
    const auto element = storable(text);
    append_integer(bytes, static_cast<std::int32_t>(element.size()));
    bytes += element;
  }
  return push(kTextArray, std::move(bytes));
}

bool Row::is_null(int column) const { return PQgetisnull(result_, row_, column) != 0; }

std::string_view Row::view(int column) const {
  return {PQgetvalue(result_, row_, column), static_cast<std::size_t>(PQgetlength(result_, row_, column))};
}

std::int64_t Row::integer(int column) const {
  const auto bytes = view(column);
  if (bytes.empty()) return 0;
  PIXMILL_CHECK(PQfformat(result_, column) == kBinary && bytes.size() <= sizeof(std::int64_t));
  // Sign-extended from the first byte; a boolean is one byte of 0 or 1.
  std::uint64_t value = (static_cast<unsigned char>(bytes[0]) & 0x80) != 0 ? ~std::uint64_t{0} : 0;
  for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
  return static_cast<std::int64_t>(value);
}

Rows::Rows(Rows&& other) noexcept : result_(std::exchange(other.result_, nullptr)) {}
Rows& Rows::operator=(Rows&& other) noexcept {
  std::swap(result_, other.result_);
  return *this;
}
Rows::~Rows() { PQclear(result_); }
int Rows::size() const { return PQntuples(result_); }
std::int64_t Rows::changed() const { return parse_integer(PQcmdTuples(result_)).value_or(0); }

struct Connection::Impl {
  explicit Impl(PGconn* opened) : handle(opened) {}
  ~Impl() { PQfinish(handle); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  PGconn* handle;
  std::map<std::pair<const char*, std::size_t>, std::string> names;  // of prepared statements
};

Connection::Connection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

namespace {

struct Kind {
  ErrorCode code;
  Trouble trouble;
  std::string_view message;
};

constexpr Kind kLostKind{ErrorCode::kUnavailable, Trouble::kLost, "the database is away"};
constexpr Kind kAgainKind{ErrorCode::kUnavailable, Trouble::kTryAgain, "the database is busy with the same rows"};

// By SQLSTATE, appendix A of PostgreSQL's manual: the first two characters are the class.
Kind kind_of(std::string_view state) {
  const auto is_one_of = [&](std::initializer_list<std::string_view> states) {
    return std::ranges::find(states, state) != states.end();
  };
  // Serialization, deadlock, a lock that was not to be had in time.
  if (is_one_of({"40001", "40P01", "55P03"})) return kAgainKind;
  // Lost, shut down, starting up, too many connections, or a standby that cannot write: another connection may do.
  const bool is_lost =
      state.starts_with("08") || is_one_of({"57P01", "57P02", "57P03", "57P05", "53300", "25006", "25P03"});
  if (is_lost) return kLostKind;
  if (state == "57014") {
    return {ErrorCode::kUnavailable, Trouble::kPermanent, "the database took too long"};
  }
  if (state == "53100") return {ErrorCode::kDiskFull, Trouble::kPermanent, "the database's disk is full"};
  if (state.starts_with("53")) return {ErrorCode::kUnavailable, Trouble::kPermanent, "the database is out of memory"};
  if (state.starts_with("23")) {
    return {ErrorCode::kConflict, Trouble::kPermanent, "the database refuses a value that breaks a constraint"};
  }
  if (state == "58030") return {ErrorCode::kIo, Trouble::kPermanent, "the database cannot read or write its files"};
  return {ErrorCode::kInternal, Trouble::kPermanent, "a database statement failed"};
}

std::string one_line(std::string_view text) {
  std::string result(trim(text));
  std::ranges::replace(result, '\n', ' ');
  return result;
}

bool is_good(const PGresult* result) {
  const auto status = PQresultStatus(result);
  return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY;
}

}  // namespace

// The one place where libpq's failures become ours. PostgreSQL's own text names tables and columns, so it is for the
// log.
Result<Rows> Connection::take(PGresult* result) {
  Rows rows(result);
  if (result != nullptr && is_good(result)) {
    trouble_ = Trouble::kNone;
    last_command_ = PQcmdStatus(result);
    return rows;
  }
  const char* state = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_SQLSTATE);
  auto kind = state == nullptr ? kLostKind : kind_of(state);
  if (PQstatus(impl_->handle) == CONNECTION_BAD) kind = kLostKind;
  trouble_ = kind.trouble;
  return fail(kind.code, std::string(kind.message),
              fmt::format("postgres {}: {}", state == nullptr ? "-" : state,
                          one_line(result == nullptr ? PQerrorMessage(impl_->handle) : PQresultErrorMessage(result))));
}

Result<std::string> Connection::prepared(std::string_view sql, const Params& params) {
  const std::pair key{sql.data(), sql.size()};
  if (const auto found = impl_->names.find(key); found != impl_->names.end()) return found->second;
  PIXMILL_CHECK(impl_->names.size() < kStatementsMax);
  std::vector<Oid> types;
  for (const auto& value : params.values_) types.push_back(value.type);
  auto name = fmt::format("s{}", impl_->names.size() + 1);
  const std::string text(sql);
  PIXMILL_TRY([[maybe_unused]] const auto done,
              take(PQprepare(impl_->handle, name.c_str(), text.c_str(), static_cast<int>(types.size()), types.data())));
  impl_->names.emplace(key, name);
  return name;
}

Result<Rows> Connection::query(std::string_view sql, const Params& params) {
  PIXMILL_TRY(const auto name, prepared(sql, params));
  std::vector<const char*> values;
  std::vector<int> lengths;
  for (const auto& value : params.values_) {
    values.push_back(value.is_null ? nullptr : value.bytes.data());
    lengths.push_back(static_cast<int>(value.bytes.size()));
  }
  const std::vector<int> formats(values.size(), kBinary);
  return take(PQexecPrepared(impl_->handle, name.c_str(), static_cast<int>(values.size()), values.data(),
                             lengths.data(), formats.data(), kBinary));
}

Result<Rows> Connection::execute(const std::string& sql) { return take(PQexec(impl_->handle, sql.c_str())); }

bool is_postgres_url(std::string_view url) {
  return url.starts_with("postgres://") || url.starts_with("postgresql://");
}

namespace {

// libpq frees what it allocated; a message of its parser may quote the URL, so it is dropped.
struct Parsed {
  explicit Parsed(const std::string& url) : words(PQconninfoParse(url.c_str(), &message)) {}
  ~Parsed() {
    PQconninfoFree(words);
    PQfreemem(message);
  }
  Parsed(const Parsed&) = delete;
  Parsed& operator=(const Parsed&) = delete;
  [[nodiscard]] std::string get(std::string_view name) const {
    for (const auto* word = words; word != nullptr && word->keyword != nullptr; ++word) {
      if (word->keyword == name && word->val != nullptr) return word->val;
    }
    return {};
  }
  char* message = nullptr;
  PQconninfoOption* words;
};

}  // namespace

std::string describe_url(const std::string& url) {
  const Parsed parsed(url);
  if (parsed.words == nullptr) return "the database";
  const auto host = parsed.get("host");
  const auto port = parsed.get("port");
  return fmt::format("{}:{}/{}", host.empty() ? "localhost" : host, port.empty() ? "5432" : port, parsed.get("dbname"));
}

Result<ConnectWords> connect_words(const ConnectOptions& options) {
  const Parsed parsed(options.url);
  if (!is_postgres_url(options.url) || parsed.words == nullptr) {
    return fail(ErrorCode::kInvalidArgument,
                "DATABASE_URL cannot be read; it is written postgres://user:password@host:5432/database?sslmode=verify-"
                "full, with special characters in the password as %40");
  }
  ConnectWords words;
  words.names = {"dbname"};
  words.values = {options.url};
  const auto set_unless_given = [&](const char* name, const std::string& value) {
    if (!parsed.get(name).empty()) return;
    words.names.emplace_back(name);
    words.values.push_back(value);
  };
  set_unless_given("connect_timeout", "5");
  set_unless_given("keepalives_idle", "10");
  set_unless_given("keepalives_interval", "3");
  set_unless_given("keepalives_count", "3");
  set_unless_given("tcp_user_timeout", "10000");
  set_unless_given("target_session_attrs", "read-write");
  set_unless_given("gssencmode", "disable");
  set_unless_given("application_name", options.application_name);
  words.names.emplace_back("client_encoding");
  words.values.emplace_back("UTF8");
  return words;
}

pg_conn* connect_blocking(const ConnectWords& words) {
  std::vector<const char*> names;
  std::vector<const char*> values;
  for (std::size_t i = 0; i < words.names.size(); ++i) {
    names.push_back(words.names[i].c_str());
    values.push_back(words.values[i].c_str());
  }
  names.push_back(nullptr);
  values.push_back(nullptr);
  auto* connection = PQconnectdbParams(names.data(), values.data(), 1);
  if (connection != nullptr) {
    PQsetNoticeProcessor(
        connection, [](void*, const char*) {}, nullptr);
  }
  return connection;
}

Error connection_error(pg_conn* connection, const ConnectOptions& options) {
  const auto why = connection == nullptr ? std::string("out of memory") : one_line(PQerrorMessage(connection));
  return {.code = ErrorCode::kUnavailable,
          .message = fmt::format("the database {} cannot be reached", describe_url(options.url)),
          .detail = why};
}

namespace {

// The statements name the indexes they are meant to use by their form; a planner without statistics of a table that has
// grown within seconds would read it from end to end. With these it walks indexes or nothing, and one plan serves for
// all values. A process that stops in the middle of a transaction (SIGSTOP, a machine that is gone) must not keep its
// rows locked for longer than a lease: the server ends such a session after 5 s.
constexpr std::string_view kSessionSettings =
    "SET search_path = {}, pg_catalog; SET statement_timeout = {}; SET lock_timeout = {}; "
    "SET idle_in_transaction_session_timeout = 5000; SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 3; "
    "SET tcp_keepalives_count = 3; SET enable_seqscan = off; SET enable_bitmapscan = off; "
    "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; SET enable_memoize = off; "
    "SET plan_cache_mode = force_generic_plan; SET jit = off; SET max_parallel_workers_per_gather = 0; "
    "SET default_transaction_isolation = 'read committed'; SET standard_conforming_strings = on";

}  // namespace

Result<Connection> Connection::open(const ConnectOptions& options) {
  PIXMILL_TRY(const auto words, connect_words(options));
  auto impl = std::make_unique<Impl>(connect_blocking(words));
  if (impl->handle == nullptr || PQstatus(impl->handle) != CONNECTION_OK) {
    return std::unexpected(connection_error(impl->handle, options));
  }
  Connection connection(std::move(impl));
  PIXMILL_TRY([[maybe_unused]] const auto set,
              connection.execute(fmt::format(kSessionSettings, options.schema, options.statement_timeout.count(),
                                             options.lock_timeout.count())));
  return connection;
}

}  // namespace pixmill::db::pg
