#include "api/idempotency.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/run_task.h"
#include "tests/support/scripted_store.h"
#include "tests/support/temp_folder.h"

namespace pixmill::api {
namespace {

class IdempotencyTest : public ::testing::Test {
 protected:
  static http::Request with_key(const std::string& key) {
    http::Request request;
    request.headers.add("idempotency-KEY", key);
    return request;
  }
  Checked<std::optional<KeyedRequest>> begin(const std::string& key) { return keys_.begin(with_key(key)); }
  std::string digest(const Upload& upload) {
    const auto made = testing::run_task(io_, digest_of(upload, thread_));
    EXPECT_TRUE(made.has_value());
    return made.value_or("");
  }
  Upload upload(const std::string& table, const std::string& name = "table.csv") {
    Upload made;
    made.fields = {{"name", "a"}, {"recipe", "web"}};
    made.file.emplace(SpoolFile(folder_.write("upload" + std::to_string(++files_), table)), name, table.size());
    return made;
  }

  asio::io_context io_;
  testing::TempFolder folder_;
  BlockingThread thread_{"test"};
  IdempotencyKeys keys_{"secret"};
  int files_ = 0;
};

TEST_F(IdempotencyTest, OneKeyIsOneJobAndOneRequestAtATime) {
  const auto without = keys_.begin(http::Request{});
  ASSERT_TRUE(without.has_value());
  EXPECT_FALSE(without->has_value());
  auto first = begin("order-1");
  ASSERT_TRUE(first && *first);
  const auto id = (*first)->job;
  const auto meanwhile = begin("order-1");
  ASSERT_FALSE(meanwhile);
  EXPECT_EQ(meanwhile.error().status, 409);
  EXPECT_EQ(meanwhile.error().code, "idempotency_key_in_use");
  const auto other = begin("order-2");
  ASSERT_TRUE(other && *other);
  EXPECT_NE((*other)->job, id);
  first->reset();
  const auto again = begin("order-1");
  ASSERT_TRUE(again && *again);
  EXPECT_EQ((*again)->job, id);
  EXPECT_NE((*IdempotencyKeys("another secret").begin(with_key("order-1")))->job, id);
}

TEST_F(IdempotencyTest, SaysWhichKeysThereCanBe) {
  EXPECT_TRUE(begin(std::string(kIdempotencyKeyBytesMax, 'k')));
  for (const auto& key : {std::string(), std::string(kIdempotencyKeyBytesMax + 1, 'k'), std::string("two words"),
                          std::string("tab\t"), std::string("\xc3\xa9")}) {
    const auto refused = begin(key);
    ASSERT_FALSE(refused) << key;
    EXPECT_EQ(refused.error().status, 400);
  }
  auto twice = with_key("a");
  twice.headers.add("Idempotency-Key", "b");
  EXPECT_FALSE(keys_.begin(twice));
}

TEST_F(IdempotencyTest, TheDigestIsOfEverythingThatCame) {
  const auto whole = digest(upload("url\nhttp://a/b\n"));
  EXPECT_EQ(whole.size(), 64u);
  EXPECT_EQ(digest(upload("url\nhttp://a/b\n")), whole);
  EXPECT_NE(digest(upload("url\nhttp://a/c\n")), whole);
  EXPECT_NE(digest(upload("url\nhttp://a/b\n", "other.csv")), whole);
  auto fields = upload("url\nhttp://a/b\n");
  fields.fields["name"] = "b";
  EXPECT_NE(digest(fields), whole);
  auto marked = upload("url\nhttp://a/b\n");
  marked.watermark.emplace("mark", nullptr);
  const auto with_mark = digest(marked);
  EXPECT_NE(with_mark, whole);
  auto field = upload("url\nhttp://a/b\n");
  field.fields["watermark"] = "mark";
  EXPECT_NE(digest(field), with_mark) << "a field is no part";
  const std::string large(9u << 20, 'x');
  EXPECT_NE(digest(upload(large)), digest(upload(large + "y"))) << "read in several steps";
  Upload gone;
  gone.file.emplace(SpoolFile(folder_.file("none")), "t.csv", 1);
  EXPECT_FALSE(testing::run_task(io_, digest_of(gone, thread_)).has_value());
}

TEST_F(IdempotencyTest, FindsTheJobOfTheKeyOrSaysWhyNot) {
  testing::ScriptedStore store;
  const JobId id{Uuid::random()};
  const auto look = [&](const std::string& said) { return testing::run_task(io_, earlier_job(store, id, said)); };
  store.on_job = [](const JobId&) -> Result<jobs::Job> { return fail(ErrorCode::kNotFound, "no such job"); };
  EXPECT_EQ(look("d").value(), std::nullopt);
  store.on_job = [](const JobId&) -> Result<jobs::Job> { return fail(ErrorCode::kUnavailable, "away"); };
  EXPECT_EQ(look("d").error().status, 503);
  store.on_job = [&](const JobId&) -> Result<jobs::Job> {
    jobs::Job job;
    job.id = id;
    job.source_digest = "d";
    return job;
  };
  const auto found = look("d");
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->id, id);
  const auto other = look("e");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().status, 422);
  EXPECT_EQ(other.error().code, "idempotency_key_reused");
}

}  // namespace
}  // namespace pixmill::api
