// Against a real PostgreSQL at TEST_DATABASE_URL.
#include "db/postgres_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <regex>
#include <thread>

#include "tests/support/postgres_for_tests.h"

namespace pixmill::db::pg {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kEcho =
    "SELECT $1::bigint, $2::bigint, $3::text, $4::bytea, $5::bigint[] = '{1,-2,3}', $6::text[] = ARRAY['a', 'b,\"c'], "
    "($7::bigint[])[2] IS NULL, true, -5::smallint";
constexpr std::string_view kInsert = "INSERT INTO marks (mark) VALUES ($1)";
constexpr std::string_view kCount = "SELECT count(*) FROM marks";
constexpr std::string_view kNumber = "SELECT pg_current_xact_id()::text";
constexpr std::string_view kMyself = "SELECT pg_backend_pid()";

class PostgresSession : public ::testing::Test {
 protected:
  void SetUp() override {
    pixmill::testing::empty_database();
    pixmill::testing::execute_sql("CREATE SCHEMA pixmill; CREATE TABLE pixmill.marks (mark bigint NOT NULL)");
  }
  static SessionOptions options_for(const std::string& url) {
    SessionOptions options;
    options.connect.url = url;
    options.patience = milliseconds(5'000);
    return options;
  }
  Session session() { return Session(options_for(pixmill::testing::database_url()), stop_); }
  static std::int64_t marks() {
    auto connection = pixmill::testing::connect_for_tests();
    return connection.query(kCount, Params()).value()[0].integer(0);
  }
  // One mark; calls `meanwhile` in its transaction.
  static Result<void> mark(Session& session, const std::function<void()>& meanwhile = {}) {
    return session.transact(Durability::kDurable, [&]() -> Result<void> {
      PIXMILL_TRY([[maybe_unused]] const auto inserted, session.query(kInsert, Params().add(1)));
      if (meanwhile) meanwhile();
      return {};
    });
  }
  // A connection to the server that came up again after its process `dead` was killed.
  static Connection reconnect_after(std::int64_t dead) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (std::chrono::steady_clock::now() < end) {
      auto connection = Connection::open(pixmill::testing::connect_options());
      if (!connection) continue;
      const auto gone =
          connection->execute("SELECT count(*) FROM pg_stat_activity WHERE pid = " + std::to_string(dead));
      if (gone && (*gone)[0].text(0) == "0") return std::move(*connection);
    }
    PIXMILL_CHECK(false);
    std::abort();
  }
  StopSignal stop_;
};

// Between the client and the server; lets everything through until it is told to swallow the answer to a COMMIT.
class Proxy {
 public:
  Proxy() {
    const std::regex form("^[a-z]+://([^@]*)@([0-9.]+):([0-9]+)/(.*)$");
    const auto url = pixmill::testing::database_url();
    std::smatch parts;
    PIXMILL_CHECK(std::regex_match(url, parts, form));
    server_port_ = static_cast<std::uint16_t>(std::stoi(parts[3].str()));
    listening_ = ::socket(AF_INET, SOCK_STREAM, 0);
    auto address = loopback(0);
    PIXMILL_CHECK(::bind(listening_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    socklen_t size = sizeof address;
    PIXMILL_CHECK(::getsockname(listening_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    PIXMILL_CHECK(::listen(listening_, 8) == 0);
    url_ = "postgres://" + parts[1].str() + "@127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/" +
           parts[4].str() + "?sslmode=disable";
    thread_ = std::jthread([this] { serve(); });
  }
  ~Proxy() {
    ended_ = true;
    ::shutdown(listening_, SHUT_RDWR);
    thread_.join();
    ::close(listening_);
  }
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;
  const std::string& url() const { return url_; }
  std::atomic<bool> swallow_commit{false};
  std::atomic<int> swallowed{0};

 private:
  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
  }
  void serve() {
    while (!ended_) {
      const int client = ::accept(listening_, nullptr, nullptr);
      if (client < 0) return;
      const int server = ::socket(AF_INET, SOCK_STREAM, 0);
      auto address = loopback(server_port_);
      if (::connect(server, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) pass(client, server);
      ::close(server);
      ::close(client);
    }
  }
  void pass(int client, int server) {
    bool swallow = false;
    while (!ended_) {
      pollfd ends[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
      if (::poll(ends, 2, 50) <= 0) continue;
      for (const auto& [from, events, seen] : ends) {
        if (seen == 0) continue;
        char bytes[16'384];
        const auto size = ::read(from, bytes, sizeof bytes);
        if (size <= 0) return;
        const std::string_view text(bytes, static_cast<std::size_t>(size));
        if (from == client && swallow_commit && text.find("COMMIT") != std::string_view::npos) {
          swallow = true;
          swallow_commit = false;
        }
        if (from == server && swallow) {
          ++swallowed;
          return;
        }
        if (::write(from == client ? server : client, bytes, text.size()) != size) return;
      }
    }
  }

  std::uint16_t server_port_ = 0;
  int listening_ = -1;
  std::string url_;
  std::atomic<bool> ended_{false};
  std::jthread thread_;
};

TEST_F(PostgresSession, ValuesArriveAsTheyAre) {
  auto connection = pixmill::testing::connect_for_tests();
  const std::string bytes("\x00\xff\x01", 3);
  Params params;
  params.add(std::int64_t{-9'000'000'000})
      .add(std::optional<std::int64_t>())
      .add("quote ' \xe2\x82\xac")
      .add_bytes(bytes);
  params.add(std::vector<std::int64_t>{1, -2, 3}).add(std::vector<std::string>{"a", "b,\"c"});
  params.add(std::vector<std::optional<std::int64_t>>{1, std::nullopt});
  const auto rows = connection.query(kEcho, params);
  ASSERT_TRUE(rows.has_value()) << rows.error().detail;
  const auto row = (*rows)[0];
  EXPECT_EQ(row.integer(0), -9'000'000'000);
  EXPECT_TRUE(row.is_null(1));
  EXPECT_EQ(row.text(2), "quote ' \xe2\x82\xac");
  EXPECT_EQ(row.text(3), bytes);
  for (const int column : {4, 5, 6, 7}) EXPECT_EQ(row.integer(column), 1) << column;
  EXPECT_EQ(row.integer(8), -5);
}

TEST_F(PostgresSession, TextThatCannotBeStoredIsReplaced) {
  auto connection = pixmill::testing::connect_for_tests();
  constexpr std::string_view kText = "SELECT $1::text, ($2::text[])[1]";
  const std::string bad("a\0b\xff", 4);
  const auto rows = connection.query(kText, Params().add(bad).add(std::vector<std::string>{bad}));
  ASSERT_TRUE(rows.has_value()) << rows.error().detail;
  EXPECT_EQ((*rows)[0].text(0),
            "a\xef\xbf\xbd"
            "b\xef\xbf\xbd");
  EXPECT_EQ((*rows)[0].text(1), (*rows)[0].text(0));
}

TEST_F(PostgresSession, EachStateHasItsKind) {
  struct Case {
    const char* state;
    ErrorCode code;
    Trouble trouble;
  };
  const Case cases[] = {
      {"40001", ErrorCode::kUnavailable, Trouble::kTryAgain}, {"40P01", ErrorCode::kUnavailable, Trouble::kTryAgain},
      {"55P03", ErrorCode::kUnavailable, Trouble::kTryAgain}, {"57014", ErrorCode::kUnavailable, Trouble::kPermanent},
      {"53100", ErrorCode::kDiskFull, Trouble::kPermanent},   {"53200", ErrorCode::kUnavailable, Trouble::kPermanent},
      {"25006", ErrorCode::kUnavailable, Trouble::kLost},     {"23505", ErrorCode::kConflict, Trouble::kPermanent},
      {"58030", ErrorCode::kIo, Trouble::kPermanent},         {"42601", ErrorCode::kInternal, Trouble::kPermanent}};
  auto connection = pixmill::testing::connect_for_tests();
  for (const auto& [state, code, trouble] : cases) {
    const auto failed = connection.execute(
        std::string("DO $$ BEGIN RAISE EXCEPTION 'secret table name' USING ERRCODE = '") + state + "'; END $$");
    ASSERT_FALSE(failed.has_value());
    EXPECT_EQ(failed.error().code, code) << state;
    EXPECT_EQ(connection.trouble(), trouble) << state;
    EXPECT_THAT(failed.error().message, Not(HasSubstr("secret"))) << state;
    EXPECT_THAT(failed.error().detail, HasSubstr("secret")) << state;
  }
  EXPECT_TRUE(connection.execute("SELECT 1").has_value());
  EXPECT_EQ(connection.trouble(), Trouble::kNone);
}

TEST_F(PostgresSession, AWorkThatMetARaceIsDoneAgain) {
  auto session = this->session();
  int tries = 0;
  const auto done = session.transact(Durability::kDurable, [&]() -> Result<int> {
    PIXMILL_TRY([[maybe_unused]] const auto inserted, session.query(kInsert, Params().add(1)));
    if (++tries < 3) return session.try_again();
    return tries;
  });
  EXPECT_EQ(done, 3);
  EXPECT_EQ(marks(), 1);
}

TEST_F(PostgresSession, AnErrorOfTheWorkRollsBack) {
  auto session = this->session();
  const auto failed = session.transact(Durability::kProgress, [&]() -> Result<void> {
    PIXMILL_TRY([[maybe_unused]] const auto inserted, session.query(kInsert, Params().add(1)));
    return fail(ErrorCode::kNotFound, "no");
  });
  EXPECT_EQ(failed.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(marks(), 0);
  EXPECT_TRUE(mark(session).has_value());
  EXPECT_EQ(marks(), 1);
}

TEST_F(PostgresSession, ABrokenConstraintIsABug) {
  auto session = this->session();
  const auto failed = session.transact(Durability::kProgress, [&]() -> Result<void> {
    PIXMILL_TRY([[maybe_unused]] const auto inserted,
                session.query(kInsert, Params().add(std::optional<std::int64_t>())));
    return {};
  });
  EXPECT_EQ(failed.error().code, ErrorCode::kInternal);
}

TEST_F(PostgresSession, ATransactionThatLostItsConnectionIsDoneAgainOnce) {
  auto session = this->session();
  int tries = 0;
  const auto done = session.transact(Durability::kDurable, [&]() -> Result<void> {
    PIXMILL_TRY(const auto me, session.query(kMyself, Params()));
    PIXMILL_TRY([[maybe_unused]] const auto inserted, session.query(kInsert, Params().add(1)));
    if (++tries == 1) {
      pixmill::testing::execute_sql("SELECT pg_terminate_backend(" + std::to_string(me[0].integer(0)) + ")");
    }
    PIXMILL_TRY([[maybe_unused]] const auto counted, session.query(kCount, Params()));
    return {};
  });
  EXPECT_TRUE(done.has_value());
  EXPECT_EQ(tries, 2);
  EXPECT_EQ(marks(), 1);
}

TEST_F(PostgresSession, ACommitWhoseAnswerIsLostIsNotDoneTwice) {
  Proxy proxy;
  Session session(options_for(proxy.url()), stop_);
  ASSERT_TRUE(mark(session).has_value());
  int tries = 0;
  const auto done = mark(session, [&] {
    ++tries;
    proxy.swallow_commit = true;
  });
  EXPECT_TRUE(done.has_value());
  EXPECT_EQ(proxy.swallowed, 1);
  EXPECT_EQ(tries, 1);
  EXPECT_EQ(marks(), 2);
}

TEST_F(PostgresSession, ACommitThatDidNotHappenIsDoneAgain) {
  // A deferred trigger runs inside COMMIT: there the server hangs up, once.
  pixmill::testing::execute_sql(
      "CREATE SEQUENCE pixmill.ends; CREATE FUNCTION pixmill.hang_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
      "IF nextval('pixmill.ends') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); END "
      "IF; "
      "RETURN NULL; END $$; CREATE CONSTRAINT TRIGGER t AFTER INSERT ON pixmill.marks DEFERRABLE INITIALLY DEFERRED "
      "FOR "
      "EACH ROW EXECUTE FUNCTION pixmill.hang_up()");
  auto session = this->session();
  int tries = 0;
  EXPECT_TRUE(mark(session, [&] { ++tries; }).has_value());
  EXPECT_EQ(tries, 2);
  EXPECT_EQ(marks(), 1);
}

// A crash takes back the numbers of transactions of which nothing had reached the disk, and gives them out again: asked
// what became of ours, the server speaks of somebody else's.
TEST_F(PostgresSession, P08ACommitThatACrashTookBackIsNeverCalledDone) {
  int reused = 0;
  for (int round = 0; round < 20 && reused < 2; ++round) {
    auto session = this->session();
    const auto before = marks();
    std::int64_t others = 0;
    bool same_number = false;
    int tries = 0;
    const auto done = session.transact(Durability::kDurable, [&]() -> Result<void> {
      PIXMILL_TRY(const auto number, session.query(kNumber, Params()));
      PIXMILL_TRY(const auto me, session.query(kMyself, Params()));
      PIXMILL_TRY([[maybe_unused]] const auto inserted, session.query(kInsert, Params().add(1)));
      if (++tries > 1) return {};
      ::kill(static_cast<pid_t>(me[0].integer(0)), SIGKILL);  // the server ends all its processes, and begins anew
      auto other = reconnect_after(me[0].integer(0));
      while (!same_number && others < 3) {
        const auto begun = other.execute("BEGIN; SELECT pg_current_xact_id()::text");
        same_number = (*begun)[0].text(0) == number[0].text(0);
        PIXMILL_CHECK(other.execute("INSERT INTO marks VALUES (2); COMMIT").has_value());
        ++others;
      }
      return {};
    });
    reused += same_number ? 1 : 0;
    EXPECT_EQ(marks(), before + others + (done ? 1 : 0)) << "round " << round << ", " << tries << " tries";
    EXPECT_TRUE(done || done.error().code == ErrorCode::kUnavailable) << done.error().message;
  }
  EXPECT_EQ(reused, 2) << "the server never gave a number out again, so nothing was tested";
}

TEST_F(PostgresSession, P11TellsHowFarTheServersClockIsAhead) {
  std::chrono::milliseconds wrong(0);
  auto options = options_for(pixmill::testing::database_url());
  options.now = [&wrong] { return std::chrono::system_clock::now() + wrong; };
  Session session(options, stop_);
  ASSERT_TRUE(mark(session).has_value());
  EXPECT_EQ(session.server_ahead().count(), 0) << "what lies between question and answer cannot be told";
  const auto ten_years = std::chrono::milliseconds(std::chrono::hours(24 * 3'650));
  for (const auto step : {ten_years, -ten_years}) {
    wrong = step;
    ASSERT_TRUE(mark(session).has_value());
    EXPECT_LT(std::chrono::abs(session.server_ahead() + step), std::chrono::seconds(30)) << "as long as a BEGIN takes";
  }
}

// As it was made when the table was empty, or as it is made now: what it looks up by.
TEST_F(PostgresSession, PlansFollowTheTablesAsTheyGrow) {
  // Wide, so that the planner takes few of its rows to be in the pages that it assumes.
  pixmill::testing::execute_sql(
      "CREATE TABLE pixmill.grows (job bigint, item bigint, a text, b text, c text, d text, e text, f text, g text, "
      "h text, i text, j text, PRIMARY KEY (job, item)); ALTER TABLE pixmill.grows SET (autovacuum_enabled = off)");
  constexpr std::string_view kLook = "SELECT item, a FROM grows WHERE job = $1 AND item = ANY($2) ORDER BY item";
  constexpr std::string_view kNamed = "SELECT name FROM pg_prepared_statements WHERE statement LIKE '%FROM grows%'";
  const auto plan_of = [&](Session& looking) {
    return looking.snapshot([&]() -> Result<std::string> {
      PIXMILL_TRY([[maybe_unused]] const auto rows,
                  looking.query(kLook, Params().add(1).add(std::vector<std::int64_t>{1, 2})));
      PIXMILL_TRY(const auto named, looking.query(kNamed, Params()));
      PIXMILL_TRY(const auto lines,
                  looking.connection()->execute("EXPLAIN (COSTS OFF) EXECUTE \"" + named[0].text(0) + "\"(1, '{1}')"));
      std::string plan;
      for (int i = 0; i < lines.size(); ++i) plan += lines[i].text(0) + ";";
      return plan;
    });
  };
  auto options = options_for(pixmill::testing::database_url());
  options.plans_last = std::chrono::hours(1);
  Session stale(options, stop_);
  options.plans_last = milliseconds(0);
  Session fresh(options, stop_);
  const auto whole_job = HasSubstr("Filter: (item = ANY ($2))");
  for (auto* looking : {&stale, &fresh}) EXPECT_THAT(plan_of(*looking).value(), whole_job);
  pixmill::testing::execute_sql("INSERT INTO pixmill.grows SELECT 1, n FROM generate_series(1, 100000) AS n");
  EXPECT_THAT(plan_of(stale).value(), whole_job) << "otherwise this test shows nothing";
  EXPECT_THAT(plan_of(fresh).value(), HasSubstr("Index Cond: ((job = $1) AND (item = ANY ($2)))"));
}

TEST_F(PostgresSession, AnAbsentServerIsUnavailableAfterThePatience) {
  auto options = options_for("postgres://pixmill:s3cret@127.0.0.1:1/pixmill");
  options.patience = milliseconds(50);
  Session session(options, stop_);
  const auto failed = mark(session);
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(failed.error().message, HasSubstr("127.0.0.1:1/pixmill"));
  EXPECT_THAT(failed.error().message + failed.error().detail, Not(HasSubstr("s3cret")));
}

TEST_F(PostgresSession, AStopEndsTheWaitForAnAbsentServer) {
  auto options = options_for("postgres://pixmill@127.0.0.1:1/pixmill");
  options.patience = std::chrono::hours(1);
  Session session(options, stop_);
  const std::jthread stopper([this] { stop_.stop(); });
  EXPECT_EQ(mark(session).error().code, ErrorCode::kUnavailable);
}

TEST_F(PostgresSession, AUrlThatCannotBeReadIsInvalidAndNotTold) {
  for (const std::string url :
       {"postgres://u:s3cret@host:port/x", "mysql://u:s3cret@host/x", "postgres://u:s3cret@[::1/x"}) {
    const auto refused = Connection::open({.url = url});
    ASSERT_FALSE(refused.has_value()) << url;
    EXPECT_THAT(refused.error().message + refused.error().detail, Not(HasSubstr("s3cret"))) << url;
  }
  EXPECT_EQ(describe_url("postgres://u:s3cret@db.example:6432/shop?sslmode=require"), "db.example:6432/shop");
}

TEST_F(PostgresSession, ASnapshotSeesOneMomentAndChangesNothing) {
  auto session = this->session();
  const auto seen = session.snapshot([&]() -> Result<std::int64_t> {
    PIXMILL_TRY(const auto before, session.query(kCount, Params()));
    pixmill::testing::execute_sql("INSERT INTO pixmill.marks VALUES (1)");
    PIXMILL_TRY(const auto after, session.query(kCount, Params()));
    return before[0].integer(0) + after[0].integer(0);
  });
  EXPECT_EQ(seen, 0);
  const auto refused = session.snapshot([&]() -> Result<void> {
    PIXMILL_TRY([[maybe_unused]] const auto inserted, session.query(kInsert, Params().add(1)));
    return {};
  });
  EXPECT_FALSE(refused.has_value());
}

}  // namespace
}  // namespace pixmill::db::pg
