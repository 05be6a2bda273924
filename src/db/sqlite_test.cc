#include "db/sqlite.h"

#include <gmock/gmock.h>
#include <sqlite3.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temp_folder.h"

namespace pixmill::db {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kInsert = "INSERT INTO t(id, text) VALUES (?, ?)";
constexpr std::string_view kCount = "SELECT count(*) FROM t";
constexpr std::string_view kSelect = "SELECT id, text FROM t ORDER BY id";

class SqliteTest : public ::testing::Test {
 protected:
  static Database open(const std::string& path, OpenMode mode) {
    auto database = Database::open(path, mode);
    EXPECT_TRUE(database) << database.error().message << " " << database.error().detail;
    return std::move(*database);
  }
  Database writer_with_table() {
    auto database = open(path_, OpenMode::kWriter);
    EXPECT_TRUE(database.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT)"));
    return database;
  }
  static std::int64_t count(Database& database) {
    auto& statement = database.prepare(kCount);
    EXPECT_TRUE(statement.step().value());
    const auto value = statement.integer(0);
    statement.reset();
    return value;
  }
  static std::string pragma(Database& database, std::string_view sql) {
    auto& statement = database.prepare(sql);
    EXPECT_TRUE(statement.step().value());
    auto value = statement.text(0);
    statement.reset();
    return value;
  }
  testing::TempFolder folder_;
  std::string path_ = folder_.path() + "/pixmill.db";
};

TEST_F(SqliteTest, WriterLogsAheadAndChecksForeignKeys) {
  auto writer = writer_with_table();
  EXPECT_EQ(pragma(writer, "PRAGMA journal_mode"), "wal");
  EXPECT_EQ(pragma(writer, "PRAGMA foreign_keys"), "1");
  EXPECT_EQ(pragma(writer, "PRAGMA synchronous"), "2");
  EXPECT_EQ(pragma(writer, "PRAGMA busy_timeout"), "5000");
  EXPECT_EQ(pragma(writer, "PRAGMA locking_mode"), "normal");
}

TEST_F(SqliteTest, ReaderSeesCommitsAndCannotWrite) {
  auto writer = writer_with_table();
  auto reader = open(path_, OpenMode::kReader);
  EXPECT_EQ(count(reader), 0);
  ASSERT_TRUE(writer.prepare(kInsert).bind(1).bind("a").run());
  EXPECT_EQ(count(reader), 1);
  const auto refused = reader.prepare(kInsert).bind(2).bind("b").run();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kIo);
  EXPECT_EQ(count(writer), 1);
}

TEST_F(SqliteTest, ReaderNeverCheckpointsNotEvenAsTheLastToClose) {
  const std::string wal = path_ + "-wal";
  std::optional<Database> writer = writer_with_table();
  std::optional<Database> reader = open(path_, OpenMode::kReader);
  EXPECT_EQ(pragma(*reader, "PRAGMA wal_autocheckpoint"), "0");
  EXPECT_EQ(pragma(*reader, "PRAGMA query_only"), "1");
  EXPECT_EQ(pragma(*writer, "PRAGMA wal_autocheckpoint"), "1000");
  ASSERT_TRUE(writer->prepare(kInsert).bind(1).bind("a").run());
  writer.reset();  // not the last, so SQLite does not checkpoint either
  EXPECT_EQ(count(*reader), 1);
  reader.reset();
  EXPECT_GT(std::filesystem::file_size(wal), 0u);
  writer = open(path_, OpenMode::kWriter);
  EXPECT_EQ(count(*writer), 1);
  writer.reset();
  EXPECT_FALSE(std::filesystem::exists(wal)) << "the writer, as the last to close, checkpoints";
}

TEST_F(SqliteTest, OpenSaysWhatIsWrong) {
  EXPECT_EQ(Database::open(folder_.path() + "/absent/x.db", OpenMode::kWriter).error().code, ErrorCode::kIo);
  EXPECT_EQ(Database::open(folder_.path() + "/absent.db", OpenMode::kReader).error().code, ErrorCode::kIo);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() + "/absent.db"));
  std::ofstream(folder_.path() + "/text.db") << std::string(8192, 'x');
  for (const auto mode : {OpenMode::kWriter, OpenMode::kReader}) {
    EXPECT_EQ(Database::open(folder_.path() + "/text.db", mode).error().code, ErrorCode::kConflict);
  }
}

TEST_F(SqliteTest, MessagesHoldNoSqlAndNoPaths) {
  auto writer = writer_with_table();
  ASSERT_TRUE(writer.prepare(kInsert).bind(1).bind("a").run());
  const auto twice = writer.prepare(kInsert).bind(1).bind("b").run();
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, ErrorCode::kConflict);
  EXPECT_THAT(twice.error().message, Not(HasSubstr("t.id")));
  EXPECT_THAT(twice.error().detail, HasSubstr("t.id"));
  const auto wrong = writer.execute("SELEKT 1");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::kInternal);
  EXPECT_THAT(wrong.error().message, Not(HasSubstr("SELEKT")));
}

TEST_F(SqliteTest, ConstraintsOfEveryKindAreConflicts) {
  auto database = open("", OpenMode::kInMemory);
  ASSERT_TRUE(
      database.execute("CREATE TABLE p(id INTEGER PRIMARY KEY); "
                       "CREATE TABLE c(p INTEGER NOT NULL REFERENCES p(id), n INTEGER UNIQUE CHECK (n > 0)); "
                       "INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 1)"));
  for (const auto sql : {"INSERT INTO c VALUES (2, 2)", "INSERT INTO c VALUES (NULL, 2)", "INSERT INTO c VALUES (1, 1)",
                         "INSERT INTO c VALUES (1, 0)"}) {
    const auto done = database.execute(sql);
    ASSERT_FALSE(done) << sql;
    EXPECT_EQ(done.error().code, ErrorCode::kConflict) << sql;
  }
}

TEST_F(SqliteTest, AFullDiskIsDiskFullAndTheTransactionIsGone) {
  auto writer = writer_with_table();
  ASSERT_TRUE(writer.execute("PRAGMA max_page_count=8"));
  {
    auto transaction = Transaction::begin(writer);
    ASSERT_TRUE(transaction);
    ASSERT_TRUE(writer.prepare(kInsert).bind(1).bind("small").run());
    const auto full = writer.prepare(kInsert).bind(2).bind(std::string(100'000, 'x')).run();
    ASSERT_FALSE(full);
    EXPECT_EQ(full.error().code, ErrorCode::kDiskFull);
    // SQLite may have rolled back by itself; either way the destructor leaves no transaction behind.
  }
  EXPECT_EQ(count(writer), 0);
  ASSERT_TRUE(writer.prepare(kInsert).bind(1).bind("small").run());
  EXPECT_EQ(count(writer), 1);
}

TEST_F(SqliteTest, ALockedDatabaseIsUnavailable) {
  auto first = writer_with_table();
  auto second = open(path_, OpenMode::kWriter);
  ASSERT_TRUE(second.execute("PRAGMA busy_timeout=1"));
  auto transaction = Transaction::begin(first);
  ASSERT_TRUE(transaction);
  const auto refused = Transaction::begin(second);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  ASSERT_TRUE(transaction->commit());
  EXPECT_TRUE(Transaction::begin(second));
}

TEST_F(SqliteTest, ASchemaThatCannotBeReadFailsAtTheStepAndRecovers) {
  // Without write-ahead logging a writer shuts readers out, so that they cannot even compile a statement.
  sqlite3* holder = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &holder), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(holder, "CREATE TABLE t(id); INSERT INTO t VALUES (7)", nullptr, nullptr, nullptr), SQLITE_OK);
  auto reader = open(path_, OpenMode::kReader);
  ASSERT_TRUE(reader.execute("PRAGMA busy_timeout=1"));
  ASSERT_EQ(sqlite3_exec(holder, "BEGIN EXCLUSIVE", nullptr, nullptr, nullptr), SQLITE_OK);
  static constexpr std::string_view kById = "SELECT id FROM t WHERE id = ?";
  for (int i = 0; i < 2; ++i) {
    auto& statement = reader.prepare(kById);
    EXPECT_EQ(sqlite3_errcode(reader.handle()), SQLITE_BUSY) << "the test must reach the failing compilation";
    const auto refused = statement.bind(7).step();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  }
  EXPECT_EQ(reader.prepare(kById).bind(7).run().error().code, ErrorCode::kUnavailable);
  ASSERT_EQ(sqlite3_exec(holder, "COMMIT", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(holder);
  EXPECT_TRUE(reader.prepare(kById).bind(7).step().value());
}

TEST_F(SqliteTest, EveryTypeComesBackAsItWent) {
  auto database = open("", OpenMode::kInMemory);
  ASSERT_TRUE(database.execute("CREATE TABLE v(a, b, c, d, e, f)"));
  const std::string bytes("a\0b\xff", 4);
  ASSERT_TRUE(database.prepare("INSERT INTO v VALUES (?, ?, ?, ?, ?, ?)")
                  .bind(INT64_MIN)
                  .bind(std::string_view())
                  .bind_blob(bytes)
                  .bind(std::optional<std::string>())
                  .bind(std::optional<std::int64_t>(5))
                  .bind(std::string("ü"))
                  .run());
  auto& row = database.prepare("SELECT a, b, c, d, e, f, typeof(b), typeof(c) FROM v");
  ASSERT_TRUE(row.step().value());
  EXPECT_EQ(row.integer(0), INT64_MIN);
  EXPECT_FALSE(row.is_null(1)) << "an empty text is not NULL";
  EXPECT_EQ(row.text(1), "");
  EXPECT_EQ(row.text(2), bytes);
  EXPECT_TRUE(row.is_null(3));
  EXPECT_EQ(row.text(3), "");
  EXPECT_EQ(row.integer(3), 0);
  EXPECT_EQ(row.text(4), "5");
  EXPECT_EQ(row.view(5), "ü");
  EXPECT_EQ(row.text(6), "text");
  EXPECT_EQ(row.text(7), "blob");
  EXPECT_FALSE(row.step().value());
}

TEST_F(SqliteTest, BoundTextIsCopied) {
  auto database = writer_with_table();
  auto& statement = database.prepare(kInsert);
  {
    std::string value(100, 'a');
    statement.bind(1).bind(value);
    value.assign(100, 'b');
  }
  ASSERT_TRUE(statement.run());
  auto& row = database.prepare(kSelect);
  ASSERT_TRUE(row.step().value());
  EXPECT_EQ(row.text(1), std::string(100, 'a'));
}

TEST_F(SqliteTest, OneTextIsOneStatementResetAndUnbound) {
  auto database = writer_with_table();
  auto& first = database.prepare(kInsert);
  first.bind(1).bind("left over");
  auto& second = database.prepare(kInsert);
  EXPECT_EQ(&first, &second);
  ASSERT_TRUE(second.bind(2).run());  // the second parameter is NULL again
  auto& row = database.prepare(kSelect);
  ASSERT_TRUE(row.step().value());
  EXPECT_EQ(row.integer(0), 2);
  EXPECT_TRUE(row.is_null(1));
  EXPECT_FALSE(row.step().value());
}

TEST_F(SqliteTest, TheCacheTellsPrefixesApart) {
  auto database = writer_with_table();
  ASSERT_TRUE(database.prepare(kInsert).bind(1).bind("a").run());
  static constexpr std::string_view kLong = "SELECT id FROM t WHERE id = 2";
  auto& all = database.prepare(kLong.substr(0, 16));  // "SELECT id FROM t"
  auto& none = database.prepare(kLong);
  EXPECT_NE(&all, &none);
  EXPECT_TRUE(all.step().value());
  EXPECT_FALSE(none.step().value());
}

TEST_F(SqliteTest, RunCountsChangedRowsOfWritesOnly) {
  auto database = writer_with_table();
  EXPECT_EQ(database.prepare(kInsert).bind(1).bind("a").run().value(), 1);
  EXPECT_EQ(database.prepare(kInsert).bind(2).bind("b").run().value(), 1);
  EXPECT_EQ(database.last_insert_rowid(), 2);
  EXPECT_EQ(database.prepare("UPDATE t SET text='c'").run().value(), 2);
  EXPECT_EQ(database.changes(), 2);
  EXPECT_EQ(database.prepare(kSelect).run().value(), 0);
  EXPECT_EQ(database.prepare("DELETE FROM t WHERE id=9").run().value(), 0);
}

TEST_F(SqliteTest, ALoopLeftEarlyIsEndedByResetStatements) {
  auto writer = writer_with_table();
  auto reader = open(path_, OpenMode::kReader);
  ASSERT_TRUE(writer.prepare(kInsert).bind(1).bind("a").run());
  ASSERT_TRUE(writer.prepare(kInsert).bind(2).bind("b").run());
  ASSERT_TRUE(reader.prepare(kSelect).step().value());  // left in the middle
  ASSERT_TRUE(writer.prepare(kInsert).bind(3).bind("c").run());
  EXPECT_EQ(count(reader), 2) << "the open cursor pins the snapshot";
  reader.reset_statements();
  EXPECT_EQ(count(reader), 3);
}

TEST_F(SqliteTest, TransactionsCommitOrVanish) {
  auto writer = writer_with_table();
  {
    auto transaction = Transaction::begin(writer).value();
    ASSERT_TRUE(writer.prepare(kInsert).bind(1).bind("a").run());
    ASSERT_TRUE(writer.prepare(kSelect).step().value());  // an open cursor does not stand in the way
  }
  EXPECT_EQ(count(writer), 0);
  auto transaction = Transaction::begin(writer).value();
  ASSERT_TRUE(writer.prepare(kInsert).bind(1).bind("a").run());
  auto moved = std::move(transaction);
  ASSERT_TRUE(moved.commit());
  EXPECT_EQ(count(writer), 1);
}

TEST_F(SqliteTest, CommitOfWhatWasRolledBackIsAnError) {
  auto writer = writer_with_table();
  auto transaction = Transaction::begin(writer).value();
  ASSERT_TRUE(writer.prepare(kInsert).bind(1).bind("a").run());
  EXPECT_FALSE(writer.execute("INSERT OR ROLLBACK INTO t(id) VALUES (1)"));
  EXPECT_EQ(transaction.commit().error().code, ErrorCode::kInternal);
  EXPECT_EQ(count(writer), 0);
}

TEST_F(SqliteTest, AFailedCommitRollsBack) {
  auto writer = writer_with_table();
  ASSERT_TRUE(writer.execute("CREATE TABLE child(t INTEGER REFERENCES t(id) DEFERRABLE INITIALLY DEFERRED)"));
  {
    auto transaction = Transaction::begin(writer).value();
    ASSERT_TRUE(writer.execute("INSERT INTO child VALUES (99)"));
    EXPECT_EQ(transaction.commit().error().code, ErrorCode::kConflict);
  }
  EXPECT_EQ(pragma(writer, "SELECT count(*) FROM child"), "0");
  EXPECT_TRUE(Transaction::begin(writer));
}

TEST_F(SqliteTest, AReadersTransactionIsASnapshotThatLocksNobodyOut) {
  auto writer = writer_with_table();
  auto reader = open(path_, OpenMode::kReader);
  {
    auto snapshot = Transaction::begin(reader).value();
    EXPECT_EQ(count(reader), 0);
    ASSERT_TRUE(writer.prepare(kInsert).bind(1).bind("a").run());
    EXPECT_EQ(count(reader), 0);
  }
  EXPECT_EQ(count(reader), 1);
}

using SqliteDeathTest = SqliteTest;

TEST_F(SqliteDeathTest, WrongSqlAbortsAndSoDoesATextThatChanged) {
  auto database = writer_with_table();
  EXPECT_DEATH(static_cast<void>(database.prepare("SELEKT 1")), "syntax error");
  EXPECT_DEATH(static_cast<void>(database.prepare("SELECT 1; SELECT 2")), "check failed");
  EXPECT_DEATH(database.prepare(kInsert).bind(1).bind(2).bind(3), "check failed");
  std::string dynamic = "SELECT 1";
  static_cast<void>(database.prepare(dynamic));
  dynamic[7] = '2';
  EXPECT_DEATH(static_cast<void>(database.prepare(dynamic)), "check failed");
}

}  // namespace
}  // namespace pixmill::db
