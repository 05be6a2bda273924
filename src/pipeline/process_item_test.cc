#include "pipeline/process_item.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <exception>

#include "base/crypto.h"
#include "tests/support/pipeline_fakes.h"
#include "tests/support/run_task.h"

namespace pixmill::pipeline {
namespace {

class PipelineTest : public ::testing::Test {
 protected:
  PipelineTest() : budget_(io_.get_executor(), 64u << 20) {}

  static ItemTask task(std::uint64_t row = 1) {
    auto plan = std::make_shared<JobPlan>();
    plan->job_id = "7d9f";
    plan->blob_prefix = "7d9f/";
    ItemTask task;
    task.plan = std::move(plan);
    task.row = row;
    task.index = 1;
    task.url = "http://shop.example/a.png";
    task.output_stem = "SKU_{uuid}.{ext}";
    return task;
  }
  Outcome process(ItemTask item) {
    const PipelineParts parts{.fetcher = fetcher_,
                              .engines = engines_,
                              .blobs = blobs_,
                              .budget = budget_,
                              .watermarks = watermarks_,
                              .metrics = metrics_};
    Pipeline pipeline(parts);
    return testing::run_task(io_, pipeline.process(std::move(item)));
  }
  static const Failed& failure(const Outcome& outcome) { return std::get<Failed>(outcome.result); }

  asio::io_context io_;
  Metrics metrics_;
  testing::FakeFetcher fetcher_;
  testing::FakePool engines_;
  testing::MemoryBlobs blobs_;
  ByteBudget budget_;
  testing::MemoryBlobs uploads_;
  Watermarks watermarks_{io_.get_executor(), {.fetcher = fetcher_, .uploads = uploads_}};
};

TEST_F(PipelineTest, FetchesRendersAndStores) {
  const auto outcome = process(task());
  const auto& done = std::get<Succeeded>(outcome.result);
  ASSERT_EQ(done.outputs.size(), 1u);
  const auto& output = done.outputs[0];
  EXPECT_EQ(done.bytes_in, std::string("bytes of http://shop.example/a.png").size());
  EXPECT_TRUE(output.key.starts_with("7d9f/SKU_")) << output.key;
  EXPECT_TRUE(output.key.ends_with(".jpg"));
  EXPECT_EQ(output.sha256, to_hex(sha256("bytes of http://shop.example/a.png")));
  ASSERT_TRUE(blobs_.blobs.contains(output.key));
  EXPECT_EQ(budget_.bytes_in_use(), 0u);
}

// An item of a later job, with what the first one made of its address.
class RerunTest : public PipelineTest {
 protected:
  void SetUp() override {
    fetcher_.answer = [](const std::string& url) {
      return Result<fetch::Fetched>(
          fetch::Fetched{.bytes = "old bytes", .final_url = url, .version = {.validator = "\"v1\"", .url = ""}});
    };
    first_ = std::get<Succeeded>(process(task()).result);
    fetcher_.asked.clear();
    fetcher_.known.clear();
    engines_.asked.clear();
  }
  [[nodiscard]] ItemTask later() const {
    auto item = task();
    auto plan = std::make_shared<JobPlan>(*item.plan);
    plan->job_id = "8e0a";
    plan->blob_prefix = "8e0a/";
    item.plan = std::move(plan);
    item.earlier = EarlierResult{.source = first_.source, .bytes_in = first_.bytes_in, .outputs = first_.outputs};
    return item;
  }
  void answer_not_modified() {
    fetcher_.answer = [this](const std::string& url) {
      const bool was_asked_so = fetcher_.known.back().has_value();
      return Result<fetch::Fetched>(fetch::Fetched{.bytes = was_asked_so ? "" : "old bytes",
                                                   .final_url = url,
                                                   .version = {.validator = "\"v1\"", .url = ""},
                                                   .not_modified = was_asked_so});
    };
  }
  Succeeded succeeded(ItemTask item) {
    auto outcome = process(std::move(item));
    EXPECT_TRUE(std::holds_alternative<Succeeded>(outcome.result));
    return std::get<Succeeded>(std::move(outcome.result));
  }
  const std::string& stored(const Succeeded& done) { return blobs_.blobs.at(done.outputs.at(0).key); }

  Succeeded first_;
};

TEST_F(RerunTest, KeepsWhatAResultWasMadeFrom) {
  EXPECT_EQ(first_.source.sha256, to_hex(sha256("old bytes")));
  EXPECT_EQ(first_.source.version.validator, "\"v1\"");
  EXPECT_FALSE(first_.source.made_with.empty());
  EXPECT_FALSE(first_.unchanged);
}

TEST_F(RerunTest, NotModifiedTakesTheEarlierResultOver) {
  answer_not_modified();
  const auto done = succeeded(later());
  EXPECT_TRUE(done.unchanged);
  EXPECT_EQ(done.source.sha256, first_.source.sha256);
  EXPECT_EQ(done.source.version, first_.source.version);
  EXPECT_EQ(done.source.made_with, first_.source.made_with);
  EXPECT_EQ(done.bytes_in, first_.bytes_in);
  EXPECT_TRUE(done.outputs.at(0).key.starts_with("8e0a/SKU_"));
  EXPECT_EQ(stored(done), "old bytes");
  EXPECT_TRUE(engines_.asked.empty());
  ASSERT_EQ(fetcher_.known.size(), 1u);
  EXPECT_EQ(fetcher_.known[0], first_.source.version);
  EXPECT_EQ(budget_.bytes_in_use(), 0u);
}

TEST_F(RerunTest, TheSameBytesAreNotRenderedAgain) {
  const auto done = succeeded(later());
  EXPECT_TRUE(done.unchanged);
  EXPECT_EQ(stored(done), "old bytes");
  EXPECT_TRUE(engines_.asked.empty());
  EXPECT_EQ(budget_.bytes_in_use(), 0u);
}

TEST_F(RerunTest, OtherBytesAreRendered) {
  fetcher_.answer = [](const std::string& url) {
    return Result<fetch::Fetched>(fetch::Fetched{.bytes = "new bytes", .final_url = url});
  };
  const auto done = succeeded(later());
  EXPECT_FALSE(done.unchanged);
  EXPECT_EQ(stored(done), "new bytes");
  EXPECT_EQ(done.source.sha256, to_hex(sha256("new bytes")));
  EXPECT_EQ(done.source.version, fetch::SourceVersion());
  EXPECT_EQ(fetcher_.asked.size(), 1u);
}

TEST_F(RerunTest, ALostOrDamagedResultIsMadeAnew) {
  const auto key = first_.outputs.at(0).key;
  for (const bool is_lost : {true, false}) {
    if (is_lost) {
      blobs_.blobs.erase(key);
    } else {
      blobs_.blobs[key] = "bad bytes";  // of the same length
    }
    answer_not_modified();
    fetcher_.asked.clear();
    fetcher_.known.clear();
    engines_.asked.clear();
    const auto done = succeeded(later());
    EXPECT_FALSE(done.unchanged) << is_lost;
    EXPECT_EQ(stored(done), "old bytes");
    EXPECT_EQ(engines_.asked.size(), 1u);
    ASSERT_EQ(fetcher_.known.size(), 2u) << "304 gave nothing to render";
    EXPECT_FALSE(fetcher_.known[1].has_value()) << "and is not asked for again";
    EXPECT_EQ(budget_.bytes_in_use(), 0u);
  }
}

TEST_F(RerunTest, BytesThatCameAreRenderedWhenTheResultIsLost) {
  blobs_.blobs.clear();
  const auto done = succeeded(later());
  EXPECT_FALSE(done.unchanged);
  EXPECT_EQ(stored(done), "old bytes");
  EXPECT_EQ(fetcher_.asked.size(), 1u);
}

TEST_F(RerunTest, AResultThatIsHalfLostIsMadeAnewAndNothingIsRemoved) {
  auto item = later();
  auto& outputs = item.earlier->outputs;
  outputs.push_back(outputs.front());
  outputs.back().rendition = "small";
  outputs.back().key = "7d9f/gone.jpg";
  answer_not_modified();
  const auto done = succeeded(std::move(item));
  EXPECT_FALSE(done.unchanged);
  EXPECT_TRUE(blobs_.blobs.contains(first_.outputs.at(0).key));
  EXPECT_TRUE(blobs_.blobs.contains(done.outputs.at(0).key));
  EXPECT_EQ(blobs_.removals, 0) << "another attempt may have recorded what was taken over here";
}

TEST_F(RerunTest, AResultMadeOtherwiseDoesNotServe) {
  auto item = later();
  item.earlier->source.made_with = "0";
  const auto done = succeeded(std::move(item));
  EXPECT_FALSE(done.unchanged);
  EXPECT_EQ(engines_.asked.size(), 1u);
  ASSERT_EQ(fetcher_.known.size(), 1u);
  EXPECT_FALSE(fetcher_.known[0].has_value());
}

TEST_F(RerunTest, AFullDiskIsAFailureOfTheStore) {
  answer_not_modified();
  blobs_.put_error = Error{.code = ErrorCode::kDiskFull, .message = "no space left", .detail = {}};
  const auto outcome = process(later());
  EXPECT_EQ(failure(outcome).stage, Stage::kStore);
  EXPECT_EQ(failure(outcome).error.code, ErrorCode::kDiskFull);
}

TEST_F(RerunTest, ResultsOfAnotherStoreAreTakenOver) {
  auto item = later();
  auto elsewhere = std::make_shared<testing::MemoryBlobs>();
  elsewhere->blobs = std::exchange(blobs_.blobs, {});
  auto plan = std::make_shared<JobPlan>(*item.plan);
  plan->earlier_blobs = elsewhere;
  item.plan = std::move(plan);
  answer_not_modified();
  const auto done = succeeded(std::move(item));
  EXPECT_TRUE(done.unchanged);
  EXPECT_EQ(stored(done), "old bytes");
  EXPECT_EQ(elsewhere->blobs.size(), 1u) << "the other store keeps its own";
}

TEST_F(PipelineTest, SameBytesOfAnotherRowGetAnotherName) {
  const auto first = process(task(1));
  const auto again = process(task(1));
  const auto other = process(task(2));
  const auto key = [](const Outcome& outcome) { return std::get<Succeeded>(outcome.result).outputs[0].key; };
  EXPECT_EQ(key(first), key(again)) << "the same work done twice must land on the same key";
  EXPECT_NE(key(first), key(other));
}

TEST_F(PipelineTest, EachStageReportsItsFailure) {
  fetcher_.answer = [](const auto&) { return fail(ErrorCode::kDns, "no answer"); };
  EXPECT_EQ(failure(process(task())).stage, Stage::kFetch);
  EXPECT_EQ(failure(process(task())).error.code, ErrorCode::kDns);
  fetcher_ = {};
  engines_.answer = [](auto) { return fail(ErrorCode::kNotAnImage, "looks like HTML"); };
  EXPECT_EQ(failure(process(task())).stage, Stage::kTransform);
  engines_.answer = testing::FakePool().answer;
  blobs_.put_error = Error{.code = ErrorCode::kDiskFull, .message = "no space left", .detail = {}};
  EXPECT_EQ(failure(process(task())).stage, Stage::kStore);
  EXPECT_EQ(failure(process(task())).error.code, ErrorCode::kDiskFull);
  EXPECT_EQ(budget_.bytes_in_use(), 0u);
}

TEST_F(PipelineTest, StoppedBudgetFetchesNothing) {
  budget_.stop();
  EXPECT_EQ(failure(process(task())).error.code, ErrorCode::kCancelled);
  EXPECT_TRUE(fetcher_.asked.empty());
}

TEST_F(PipelineTest, DuplicateCopiesInsteadOfFetching) {
  const auto first = std::get<Succeeded>(process(task(1)).result);
  fetcher_.asked.clear();
  auto duplicate = task(2);
  duplicate.same_as = first.outputs;
  duplicate.same_as_bytes_in = first.bytes_in;
  const auto outcome = process(duplicate);
  const auto& copied = std::get<Succeeded>(outcome.result);
  EXPECT_TRUE(fetcher_.asked.empty());
  EXPECT_EQ(copied.bytes_in, first.bytes_in);
  EXPECT_NE(copied.outputs.at(0).key, first.outputs.at(0).key);
  EXPECT_EQ(blobs_.blobs.at(copied.outputs[0].key), blobs_.blobs.at(first.outputs[0].key));
}

TEST_F(PipelineTest, DuplicateOfAMissingResultIsFetched) {
  auto duplicate = task(2);
  duplicate.same_as = std::get<Succeeded>(process(task(1)).result).outputs;
  blobs_.blobs.clear();
  fetcher_.asked.clear();
  EXPECT_TRUE(std::holds_alternative<Succeeded>(process(duplicate).result));
  EXPECT_EQ(fetcher_.asked.size(), 1u);
}

TEST_F(PipelineTest, LargePicturesHoldTheirRealSize) {
  std::uint64_t seen = 0;
  fetcher_.answer = [](const auto&) {
    return Result<fetch::Fetched>(fetch::Fetched{.bytes = std::string(30u << 20, 'x'), .final_url = {}});
  };
  engines_.answer = [&](auto source) {
    seen = budget_.bytes_in_use();
    return testing::FakePool().answer(source);
  };
  process(task());
  EXPECT_EQ(seen, 30u << 20);
}

TEST_F(PipelineTest, ResultsAreCountedWhileTheyAreStored) {
  engines_.answer = [](auto) { return testing::FakePool().answer(std::string(5u << 20, 'r')); };
  std::uint64_t seen = 0;
  blobs_.on_put = [&] { seen = budget_.bytes_in_use(); };
  process(task());
  EXPECT_EQ(seen, 5u << 20) << "the source is gone by then";
}

ItemTask marked_task(std::string_view recipe) {
  auto plan = std::make_shared<JobPlan>();
  plan->job_id = "7d9f";
  plan->blob_prefix = "7d9f/";
  plan->recipe = *image::parse_recipe(recipe);
  ItemTask task;
  task.plan = std::move(plan);
  task.row = task.index = 1;
  task.url = "http://shop.example/a.png";
  task.output_stem = "a.{ext}";
  return task;
}

TEST_F(PipelineTest, WatermarksGoToTheEngineWithThePicture) {
  fetcher_.answer = testing::picture_at;
  std::vector<std::string> seen;
  engines_.on_render = [&](const image::Recipe&, const engine::RenderExtras& extras) {
    for (const auto& [image, file] : *extras.marks) seen.push_back(image + " " + file->bytes);
  };
  const auto outcome = process(marked_task("watermark=http://h/l.png a: format=png b: format=webp"));
  EXPECT_TRUE(std::holds_alternative<Succeeded>(outcome.result));
  EXPECT_EQ(seen, (std::vector<std::string>{"http://h/l.png " + testing::picture_at("http://h/l.png")->bytes}));
  process(task());
  EXPECT_EQ(seen.size(), 1u);
  EXPECT_EQ(budget_.bytes_in_use(), 0u);
}

TEST_F(PipelineTest, ItemsFailWithTheirWatermark) {
  fetcher_.answer = [](const std::string& url) -> Result<fetch::Fetched> {
    if (url.ends_with("l.png")) return fail(ErrorCode::kHttpPermanent, "the server says 404");
    return fetch::Fetched{.bytes = "x", .final_url = url};
  };
  const auto outcome = process(marked_task("watermark=http://h/l.png"));
  EXPECT_EQ(failure(outcome).stage, Stage::kFetch);
  EXPECT_EQ(failure(outcome).error.code, ErrorCode::kHttpPermanent);
  EXPECT_EQ(failure(outcome).error.message, "the watermark http://h/l.png cannot be had: the server says 404");
  EXPECT_EQ(fetcher_.asked.size(), 1u) << "the picture need not be fetched";
}

TEST_F(PipelineTest, AWatermarkThatEnginesRefusedFailsPicturesBeforeTheyAreFetched) {
  fetcher_.answer = testing::picture_at;
  const std::string file = testing::picture_at("http://h/l.png")->bytes;
  engines_.bad_marks[to_hex(sha256(file))] = {.code = ErrorCode::kTooLarge, .message = "it is vast", .detail = {}};
  const auto outcome = process(marked_task("watermark=http://h/l.png"));
  EXPECT_EQ(failure(outcome).error.code, ErrorCode::kTooLarge);
  EXPECT_EQ(failure(outcome).error.message, "the watermark http://h/l.png cannot be used: it is vast");
  EXPECT_EQ(fetcher_.asked, (std::vector<std::string>{"http://h/l.png"}));
}

TEST_F(PipelineTest, AWatermarkThatIsCutIsFetchedOnceMoreWhereThatMayHelp) {
  fetcher_.answer = testing::picture_at;
  const std::string file = testing::picture_at("http://h/l.png")->bytes;
  const std::string digest = to_hex(sha256(file));
  // As the first picture finds out, whose own bytes are good.
  engines_.answer = [&](auto) {
    engines_.bad_marks[digest] = {.code = ErrorCode::kTruncated, .message = "it ends early", .detail = {}};
    return fail(ErrorCode::kTruncated, "the watermark cannot be used: it ends early");
  };
  const auto first = process(marked_task("watermark=http://h/l.png"));
  EXPECT_EQ(failure(first).stage, Stage::kFetch) << "so that it is tried again";
  EXPECT_EQ(failure(first).error.message, "the watermark http://h/l.png cannot be used: it ends early");
  const auto second = process(marked_task("watermark=http://h/l.png"));
  EXPECT_EQ(failure(second).stage, Stage::kTransform) << "so that it is not";
  EXPECT_EQ(fetcher_.asked,
            (std::vector<std::string>{"http://h/l.png", "http://shop.example/a.png", "http://h/l.png"}));
  uploads_.blobs[digest] = file;
  const auto uploaded = process(marked_task("watermark=upload:" + digest));
  EXPECT_EQ(failure(uploaded).stage, Stage::kTransform);
}

TEST_F(PipelineTest, WatermarksInUseAreBounded) {
  constexpr int kItems = 256;
  int sources = 0;  // under way; each of their items holds a watermark
  int most = 0;
  fetcher_.answer = [&](const std::string& url) -> Result<fetch::Fetched> {
    const bool is_mark = url.starts_with("http://marks");
    if (!is_mark) --sources;
    std::string bytes = testing::picture_at(url)->bytes;
    if (is_mark) bytes.resize(kMarkFileBytesMax, 'x');
    return fetch::Fetched{.bytes = std::move(bytes), .final_url = url};
  };
  fetcher_.on_get = [&](const std::string& url) {
    if (!url.starts_with("http://marks")) most = std::max(most, ++sources);
  };
  fetcher_.takes = milliseconds(1);
  Pipeline pipeline({.fetcher = fetcher_,
                     .engines = engines_,
                     .blobs = blobs_,
                     .budget = budget_,
                     .watermarks = watermarks_,
                     .metrics = metrics_});
  int succeeded = 0;
  const auto work = [](Pipeline& with, ItemTask item, int& count) -> Task<void> {
    while (true) {
      const auto outcome = co_await with.process(item);
      if (std::holds_alternative<Succeeded>(outcome.result)) break;
      // As the worker does, which claims it again.
      EXPECT_EQ(failure(outcome).error.code, ErrorCode::kUnavailable);
      co_await pause_for(milliseconds(1));
    }
    ++count;
  };
  for (int i = 0; i < kItems; ++i) {
    asio::co_spawn(io_, work(pipeline, marked_task(fmt::format("watermark=http://marks/{}.png", i)), succeeded),
                   [](const std::exception_ptr& error) { EXPECT_FALSE(error); });
  }
  io_.run();
  EXPECT_EQ(succeeded, kItems);
  EXPECT_LE(most, 6) << "64 MB are room for six of 10 MB";
  EXPECT_GT(most, 1);
  EXPECT_LE(watermarks_.bytes_in_use(), 64u << 20);
  EXPECT_EQ(budget_.bytes_in_use(), 0u);
}

TEST_F(PipelineTest, AWatermarkThatManyUseTakesItsRoomOnce) {
  fetcher_.answer = [&](const std::string& url) -> Result<fetch::Fetched> {
    std::string bytes = testing::picture_at(url)->bytes;
    if (url.ends_with("l.png")) bytes.resize(kMarkFileBytesMax, 'x');
    return fetch::Fetched{.bytes = std::move(bytes), .final_url = url};
  };
  std::uint64_t seen = 0;
  blobs_.on_put = [&] { seen = std::max(seen, watermarks_.bytes_in_use()); };
  for (int i = 0; i < 20; ++i) process(marked_task("watermark=http://h/l.png"));
  EXPECT_EQ(seen, kMarkFileBytesMax);
}

}  // namespace
}  // namespace pixmill::pipeline
