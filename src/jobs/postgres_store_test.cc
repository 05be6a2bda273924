// Against a real PostgreSQL at TEST_DATABASE_URL (tests/support/with_servers.py starts one).
#include "jobs/postgres_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/conformance/job_store_suite.h"
#include "tests/conformance/outbox_suite.h"
#include "tests/conformance/recipe_suite.h"
#include "tests/support/postgres_for_tests.h"

namespace pixmill::jobs {
namespace {

using testing::empty_database;
using testing::postgres_options;

class PostgresUnderTest final : public conformance::StoreUnderTest {
 public:
  explicit PostgresUnderTest(const Clock& clock) : clock_(clock) {
    empty_database();
    open();
  }
  JobStore& jobs() override { return *store_.jobs; }
  Outbox& outbox() override { return *store_.outbox; }
  RecipeStore& recipes() override { return *store_.recipes; }
  void reopen() override {
    store_ = {};
    open();
  }

 private:
  void open() {
    auto opened = open_postgres_store(clock_, postgres_options());
    PIXMILL_CHECK(opened.has_value());
    store_ = std::move(*opened);
  }

  const Clock& clock_;
  Stores store_;
};

const conformance::StoreFactory kPostgres = {
    .name = "Postgres", .make = [](const Clock& clock) { return std::make_unique<PostgresUnderTest>(clock); }};

}  // namespace
}  // namespace pixmill::jobs

PIXMILL_INSTANTIATE_JOB_STORE_SUITE(Postgres, pixmill::jobs::kPostgres)
PIXMILL_INSTANTIATE_OUTBOX_SUITE(Postgres, pixmill::jobs::kPostgres)
PIXMILL_INSTANTIATE_RECIPE_STORE_SUITE(Postgres, pixmill::jobs::kPostgres)
