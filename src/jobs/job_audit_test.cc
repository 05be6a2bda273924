#include "jobs/job_audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "tests/support/upkeep_world.h"

namespace pixmill::jobs {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class JobAudit : public ::testing::Test {
 protected:
  void SetUp() override {
    id_ = world_.job_with(4);
    world_.work_off();
  }
  AuditReport audit(bool repair = false, bool deep = false) {
    AuditOptions options{.repair = repair, .deep = deep};
    return world_.must(audit_job(world_.parts(), id_, std::move(options)));
  }
  std::string key(const std::string& name) { return world_.key_of(id_, name); }

  testing::UpkeepWorld world_;
  JobId id_;
};

TEST_F(JobAudit, FindsNothingWhereNothingIs) {
  const auto report = audit(false, true);
  EXPECT_TRUE(counts_of(report).clean());
  EXPECT_EQ(report.files.results, 4u);
  EXPECT_EQ(report.orphans.files, 4u);
  EXPECT_TRUE(report.check.sums_compared);
}

TEST_F(JobAudit, FindsFilesThatAreGoneOrOthers) {
  world_.must(world_.blobs->remove(key("1.jpg")));
  world_.store(key("2.jpg"), "longer than it was");
  world_.store(key("3.jpg"), "jpeh");
  const auto quick = audit();
  EXPECT_EQ(quick.files.missing, 1u);
  EXPECT_EQ(quick.files.wrong_size, 1u);
  EXPECT_EQ(quick.files.wrong_bytes, 0u);
  EXPECT_EQ(counts_of(quick).dangling, 2u);
  const auto deep = audit(false, true);
  EXPECT_EQ(deep.files.missing, 1u);
  EXPECT_EQ(deep.files.wrong_size, 1u);
  EXPECT_EQ(deep.files.wrong_bytes, 1u);
  EXPECT_THAT(deep.files.examples,
              UnorderedElementsAre(HasSubstr("1.jpg is missing"), HasSubstr("2.jpg has more than 4 bytes"),
                                   HasSubstr("3.jpg has other bytes")));
  world_.store(key("2.jpg"), "jp");
  EXPECT_EQ(audit(false, true).files.wrong_size, 1u) << "shorter than it was";
}

TEST_F(JobAudit, CountsWhatIsWrongAndWhatIsLeftAfterRepairs) {
  world_.store(key("stray.jpg"), "nobody's");
  world_.execute("DELETE FROM deliveries; DELETE FROM events; DELETE FROM outputs WHERE item = 1");
  const auto found = counts_of(audit());
  EXPECT_EQ(found.lost, 2u);    // a result without a file's name, and an end without an event
  EXPECT_EQ(found.orphan, 2u);  // the stray, and the file whose row is gone
  EXPECT_EQ(found.other, 1u);   // bytes out
  const auto report = audit(true);
  const auto left = counts_of(report);
  EXPECT_EQ(left.lost, 1u) << "nobody can bring the row back";
  EXPECT_EQ(left.orphan, 0u);
  EXPECT_EQ(left.other, 0u);
  EXPECT_EQ(report.orphans.removed, 2u);
}

TEST_F(JobAudit, SaysItAsADocument) {
  world_.execute("DELETE FROM deliveries; DELETE FROM events");
  const auto document = boost::json::parse(audit_document(audit())).as_object();
  EXPECT_EQ(document.at("job").as_string(), id_.text());
  EXPECT_FALSE(document.at("clean").as_bool());
  EXPECT_EQ(document.at("lost").to_number<int>(), 1);
  const auto& finding = document.at("findings").as_array().at(0).as_object();
  EXPECT_EQ(finding.at("invariant").as_string(), "ends_without_event");
  EXPECT_EQ(finding.at("harm").as_string(), "lost");
  EXPECT_TRUE(finding.at("open").as_bool());
}

TEST_F(JobAudit, AStoreThatIsAwayIsAnError) {
  world_.blobs->on_call = [](const std::string& what, const std::string&) -> Result<void> {
    if (what == "list") return {};
    return fail(ErrorCode::kStoreFailed, "away");
  };
  for (const bool deep : {false, true}) {
    AuditOptions options{.deep = deep};
    const auto failed = world_.run(audit_job(world_.parts(), id_, std::move(options)));
    ASSERT_FALSE(failed.has_value());
    EXPECT_EQ(failed.error().code, ErrorCode::kStoreFailed);
  }
  AuditOptions stopping{.is_stopping = [] { return true; }};
  const auto stopped = world_.run(audit_job(world_.parts(), id_, std::move(stopping)));
  ASSERT_FALSE(stopped.has_value());
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace pixmill::jobs
