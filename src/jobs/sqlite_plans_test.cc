// The plan of every statement of the store: what grows with the pictures is never walked, and nothing is sorted on the
// way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>

#include "base/text.h"
#include "db/sqlite.h"
#include "jobs/sqlite_checks.h"
#include "jobs/sqlite_statements.h"
#include "jobs/sqlite_store.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_folder.h"

namespace pixmill::jobs::sqlite {
namespace {

struct Named {
  std::string_view name;
  std::string_view sql;
};

#define PLAN(statement) \
  Named { #statement, statement }
constexpr Named kStatements[] = {
    PLAN(kJobNumber),
    PLAN(kJobById),
    PLAN(kJobByNumber),
    PLAN(kJobByDigest),
    PLAN(kLastTurn),
    PLAN(kInsertJob),
    PLAN(kLatestRecipe),
    PLAN(kMeasureRecipes),
    PLAN(kInsertSavedRecipe),
    PLAN(kRemoveRecipe),
    PLAN(kSavedRecipes),
    PLAN(kInsertRowName),
    PLAN(kRowNames),
    PLAN(kInsertRecipe),
    PLAN(kRecipesOfJob),
    PLAN(kRecipe),
    PLAN(kInsertRow),
    PLAN(kInsertItem),
    PLAN(kSameUrl),
    PLAN(kNamesAfter),
    PLAN(kEarlierAfter),
    PLAN(kEarlierItem),
    PLAN(kLastGone),
    PLAN(kInsertGone),
    PLAN(kCountGone),
    PLAN(kGoneAfter),
    PLAN(kSetColumns),
    PLAN(kCountRows),
    PLAN(kSetState),
    PLAN(kNoteRejection),
    PLAN(kRunnableJobs),
    PLAN(kFreshItems),
    PLAN(kDueItems),
    PLAN(kStrandedItems),
    PLAN(kNextRetry),
    PLAN(kItemToClaim),
    PLAN(kOriginal),
    PLAN(kLeaseItem),
    PLAN(kServeJob),
    PLAN(kRenew),
    PLAN(kReleaseItem),
    PLAN(kCancelLeasedItem),
    PLAN(kExpiredLeases),
    PLAN(kStrandedLeases),
    PLAN(kAllLeases),
    PLAN(kSucceed),
    PLAN(kInsertOutput),
    PLAN(kFail),
    PLAN(kCountFailures),
    PLAN(kCountChange),
    PLAN(kWakeFollowers),
    PLAN(kNoteLeader),
    PLAN(kLeaderDue),
    PLAN(kForgetLeader),
    PLAN(kForgetLeaders),
    PLAN(kEndJob),
    PLAN(kInsertEvent),
    PLAN(kInsertDelivery),
    PLAN(kSyncMark),
    PLAN(kCancelPending),
    PLAN(kCancellingJob),
    PLAN(kReplaceHeaders),
    PLAN(kReopenJob),
    PLAN(kNoteReopening),
    PLAN(kReopening),
    PLAN(kReopeningDue),
    PLAN(kAdvanceReopening),
    PLAN(kForgetReopening),
    PLAN(kFailedAfter),
    PLAN(kFailedByCodeAfter),
    PLAN(kItemToReopen),
    PLAN(kReopenItem),
    PLAN(kUncountFailure),
    PLAN(kForgetNoFailures),
    PLAN(kJobsBefore),
    PLAN(kJobsInStateBefore),
    PLAN(kCountJobs),
    PLAN(kCountJobsInState),
    PLAN(kUnfinishedIngests),
    PLAN(kItemRange),
    PLAN(kOutputRange),
    PLAN(kItemsInState),
    PLAN(kItemsInStateWithError),
    PLAN(kCountInStateWithError),
    PLAN(kRowsAfter),
    PLAN(kFailureGroups),
    PLAN(kFailureCount),
    PLAN(kOutputWithKey),
    PLAN(kDepth),
    PLAN(kPing),
    PLAN(kDueDeliveries),
    PLAN(kStrandedDeliveries),
    PLAN(kNextDelivery),
    PLAN(kOpenDeliveries),
    PLAN(kLeaseDelivery),
    PLAN(kRecordDelivery),
    PLAN(kInsertAttempt),
    PLAN(kResend),
    PLAN(kDeliveriesOfJob),
    PLAN(kAttemptsOfDelivery),
    PLAN(kSetting),
    PLAN(kSetSetting),
    PLAN(kStalledJobs),
    PLAN(kLeasedCounts),
    PLAN(kPendingCounts),
    PLAN(kLeasesOfEndedJobs),
    PLAN(kOverdueLeases),
    PLAN(kHungJobs),
    PLAN(kStrayReopenings),
    PLAN(kOverdueDeliveries),
    PLAN(kOpenItemsOfEndedJobs),
    PLAN(kEndsWithoutEvent),
    PLAN(kEventsWithoutDelivery),
    PLAN(kEarlyEvents),
    PLAN(kMissingOutputs),
    PLAN(kStrayOutputs),
    PLAN(kItemRecords),
    PLAN(kStuckFollowers),
    PLAN(kItemsWithoutRow),
    PLAN(kRowsWithoutItems),
    PLAN(kSharedKeys),
    PLAN(kItemTotals),
    PLAN(kFailureTotals),
    PLAN(kRowTotals),
    PLAN(kLastJobAfter),
    PLAN(kCountItemsInState),
    PLAN(kSetCounts),
    PLAN(kSettleOpenItems),
    PLAN(kEndOverdueLease),
    PLAN(kWakeWaiting),
    PLAN(kWakeFollower),
    PLAN(kForgetStrayReopening),
    PLAN(kDateDelivery),
    PLAN(kTerminalEvent),
    PLAN(kAddMissingDelivery),
    PLAN(kForgetStrayOutputs),
    PLAN(kCorrectCounters),
    PLAN(kSetFailureCount),
    PLAN(kForgetFailureCount),
    PLAN(kNoteReview),
    PLAN(kDueReviews),
    PLAN(kEndReview),
    PLAN(kPutReviewOff),
    PLAN(kBeginSweep),
    PLAN(kEndSweep),
    PLAN(kIsSwept),
    PLAN(kIsTaken),
    PLAN(kInsertIngest),
    PLAN(kForgetIngest),
    PLAN(kIngestToken),
    PLAN(kStrandedIngests),
    PLAN(kIdleIngests),
    PLAN(kLeaseIngest),
    PLAN(kRenewIngest),
    PLAN(kInsertMarkUse),
    PLAN(kNoteRemoval),
    PLAN(kJobsOver),
    PLAN(kJobsOverKept),
    PLAN(kStrandedRemovals),
    PLAN(kRemovalsDue),
    PLAN(kIsToldOf),
    PLAN(kPutRemovalOff),
    PLAN(kLeaseRemoval),
    PLAN(kRenewRemoval),
    PLAN(kAdvanceRemoval),
    PLAN(kRemoveOutputs),
    PLAN(kRemoveItems),
    PLAN(kRemoveRows),
    PLAN(kRemoveGone),
    PLAN(kForgetReview),
    PLAN(kRemoveRecipes),
    PLAN(kRemoveRowNames),
    PLAN(kRemoveFailures),
    PLAN(kRemoveAttempts),
    PLAN(kRemoveDeliveries),
    PLAN(kRemoveEvents),
    PLAN(kIdleMarksOfJob),
    PLAN(kRemoveMarkUses),
    PLAN(kNoteMark),
    PLAN(kStrandedMarks),
    PLAN(kIdleMarks),
    PLAN(kMarkInUse),
    PLAN(kLeaseMark),
    PLAN(kForgetMark),
    PLAN(kForgetRemoval),
    PLAN(kRemoveJob),
};
#undef PLAN

// What may walk something, and why that is short: everything, an index over few rows, or a table that is nearly always
// empty.
const std::map<std::string_view, std::string> kAllowed = {
    {"kLastTurn", "SEARCH jobs"},                                              // once, at opening
    {"kRunnableJobs", "SCAN jobs USING INDEX jobs_runnable"},                  // jobs with work
    {"kAllLeases", "SCAN items USING INDEX items_leased"},                     // once, at opening: what was in flight
    {"kUnfinishedIngests", "SCAN ingests"},                                    // tables that are being read in
    {"kLeaderDue", "SCAN leaders_due"},                                        // its first row
    {"kReopeningDue", "SCAN reopenings"},                                      // its first row
    {"kCountJobs", "SCAN jobs USING COVERING INDEX sqlite_autoindex_jobs_1"},  // jobs, not pictures
    {"kFailureGroups", "USE TEMP B-TREE FOR ORDER BY"},                        // about a dozen codes
    {"kDueDeliveries", "USE TEMP B-TREE FOR ORDER BY"},                        // of one claim
    {"kPing", "SCAN jobs USING COVERING INDEX sqlite_autoindex_jobs_1"},       // its first row
    {"kNextDelivery", "SCAN deliveries USING COVERING INDEX deliveries_due"},  // up to the first that is not held
    {"kMeasureRecipes", "SCAN recipes"},                                       // bounded: kSavedRecipesMax
    {"kLeasesOfEndedJobs", "SCAN i USING INDEX items_leased"},                 // what is in flight
    {"kOverdueLeases", "SCAN i USING INDEX items_leased"},                     // likewise
    {"kFailureTotals", "USE TEMP B-TREE FOR GROUP BY"},                        // about a dozen codes, of one slice
    {"kDueReviews", "SCAN r USING INDEX reviews_due"},                         // jobs that ended a moment ago
    {"kMarkInUse", "SCAN recipes"},                                            // likewise
    {"kSavedRecipes", "SCAN recipes"},                                         // likewise
    {"kOpenDeliveries", "SCAN deliveries USING COVERING INDEX deliveries_due"},
};

class SqlitePlans : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(open_sqlite_store(clock_, {.path = path_, .master_key = std::string(32, 'k'), .event_body = {}}));
    auto opened = db::Database::open(path_, db::OpenMode::kWriter);
    ASSERT_TRUE(opened.has_value());
    database_ = std::make_unique<db::Database>(std::move(*opened));
  }
  std::vector<std::string> plan_of(std::string_view sql) {
    // The statement cache knows texts by their address.
    explained_.push_back(std::make_unique<std::string>("EXPLAIN QUERY PLAN " + std::string(sql)));
    auto& row = database_->prepare(*explained_.back());
    std::vector<std::string> steps;
    while (*row.step()) steps.push_back(row.text(3));
    return steps;
  }

  testing::ManualClock clock_;
  testing::TempFolder folder_;
  std::string path_ = folder_.file("plans.db");
  std::vector<std::unique_ptr<std::string>> explained_;
  std::unique_ptr<db::Database> database_;
};

bool is_walk(const std::string& step) {
  if (step == "SCAN CONSTANT ROW") return false;                               // no table at all
  if (step.starts_with("SCAN json_each") || step == "SCAN due") return false;  // a claim's few parameters and results
  // A search without a bound is a walk in disguise.
  return step.starts_with("SCAN") || step.find("TEMP B-TREE") != std::string::npos ||
         (step.starts_with("SEARCH") && !step.ends_with(")") && !step.ends_with(") LEFT-JOIN"));
}

TEST_F(SqlitePlans, WalkNothingThatGrowsWithThePictures) {
  for (const auto& [name, sql] : kStatements) {
    for (const auto& step : plan_of(sql)) {
      const auto allowed = kAllowed.find(name);
      const bool fine = !is_walk(step) || (allowed != kAllowed.end() && step == allowed->second);
      EXPECT_TRUE(fine) << name << ": " << step;
    }
  }
}

std::vector<std::string> declared_in(const std::string& name) {
  std::ifstream file(std::filesystem::path(__FILE__).parent_path() / name);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::regex declaration("inline constexpr std::string_view (k[A-Za-z]+)");
  std::vector<std::string> declared;
  for (std::sregex_iterator it(text.begin(), text.end(), declaration), end; it != end; ++it) {
    declared.push_back((*it)[1].str());
  }
  return declared;
}

TEST_F(SqlitePlans, KnowEveryStatement) {
  auto declared = declared_in("sqlite_statements.h");
  for (auto& name : declared_in("sqlite_checks.h")) declared.push_back(std::move(name));
  std::vector<std::string> known;
  for (const auto& statement : kStatements) known.emplace_back(statement.name);
  EXPECT_THAT(known, ::testing::UnorderedElementsAreArray(declared));
}

// The hot ones by name, so that a change of an index shows here.
TEST_F(SqlitePlans, OfTheHotStatementsAreTheMeantOnes) {
  using ::testing::ElementsAre;
  EXPECT_THAT(plan_of(kFreshItems), ElementsAre("SEARCH items USING INDEX items_pending (job_no=? AND not_before=?)"));
  EXPECT_THAT(plan_of(kDueItems),
              ElementsAre("SEARCH items USING INDEX items_pending (job_no=? AND not_before>? AND not_before<?)"));
  EXPECT_THAT(plan_of(kLeaseItem), ElementsAre("SEARCH items USING PRIMARY KEY (job_no=? AND item=?)"));
  EXPECT_THAT(plan_of(kSucceed), ElementsAre("SEARCH items USING PRIMARY KEY (job_no=? AND item=?)"));
  EXPECT_THAT(plan_of(kExpiredLeases), ElementsAre("SEARCH items USING INDEX items_leased (leased_until<?)"));
  EXPECT_THAT(plan_of(kItemsInState),
              ElementsAre("SEARCH items USING COVERING INDEX items_by_state (job_no=? AND state=? AND item>?)"));
  EXPECT_THAT(plan_of(kItemRange), ElementsAre("SEARCH items USING PRIMARY KEY (job_no=? AND item>? AND item<?)"));
}

}  // namespace
}  // namespace pixmill::jobs::sqlite
