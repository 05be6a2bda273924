#include "jobs/sqlite_store.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/conformance/job_store_suite.h"

namespace pixmill::jobs {
namespace {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "pixmill-store-XXXXXX").string();
    PIXMILL_CHECK(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

const std::string kMasterKey(32, 'k');

SqliteOptions options_for(const std::string& path) {
  return {.path = path, .master_key = kMasterKey, .event_body = conformance::test_event_body};
}

class SqliteUnderTest final : public conformance::StoreUnderTest {
 public:
  explicit SqliteUnderTest(const Clock& clock) {
    auto opened = open_sqlite_store(clock, options_for(folder_.file("pixmill.db")));
    PIXMILL_CHECK(opened.has_value());
    store_ = std::move(*opened);
  }
  JobStore& jobs() override { return *store_.jobs; }
  Outbox& outbox() override { return *store_.outbox; }

 private:
  TemporaryFolder folder_;
  SqliteStore store_;
};

const conformance::StoreFactory kSqlite = {
    .name = "Sqlite", .make = [](const Clock& clock) { return std::make_unique<SqliteUnderTest>(clock); }};

}  // namespace
}  // namespace pixmill::jobs

PIXMILL_INSTANTIATE_JOB_STORE_SUITE(Embedded, pixmill::jobs::kSqlite)
