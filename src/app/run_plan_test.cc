#include "app/run_plan.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "app/run_session.h"
#include "image/tiny_pictures.h"
#include "tests/support/temp_folder.h"

namespace pixmill::app {
namespace {

class RunPlan : public ::testing::Test {
 protected:
  InputSet table(std::string_view text) {
    return {.name = "feed", .table_path = folder_.write("feed.csv", text), .pictures = {}};
  }
  static RunOptions options() {
    RunOptions options;
    options.output_folder = "out";
    return options;
  }
  static Result<SetPlan> plan_of(const InputSet& set, const RunOptions& options, bool several) {
    PIXMILL_TRY(auto recipe, plan_recipe(options));
    return plan_set(set, options, std::move(recipe), several);
  }
  testing::TempFolder folder_;
};

TEST(StateFolder, IsOneForEachTarget) {
  const storage::S3Location target{.bucket = "pictures", .key = "today"};
  const auto folder = state_folder_of(target, "", "/state", "/home/me");
  EXPECT_TRUE(folder.starts_with("/state/pixmill/runs/pictures-")) << folder;
  EXPECT_EQ(folder, state_folder_of(target, "", "/state", "/home/you"));
  EXPECT_NE(folder, state_folder_of(target, "http://minio", "/state", ""));
  EXPECT_NE(folder, state_folder_of({.bucket = "pictures", .key = "today/x"}, "", "/state", ""));
  EXPECT_TRUE(state_folder_of(target, "", "", "/home/me").starts_with("/home/me/.local/state/pixmill/runs/pictures-"));
  EXPECT_TRUE(state_folder_of(target, "", "", "").starts_with("./.pixmill-state/runs/pictures-"));
}

TEST_F(RunPlan, NamesFollowTheKindOfTable) {
  const auto original = plan_of(table("S.No.,Product Name,Input Image Urls\n1,A,http://a/x.jpg\n"), options(), false);
  ASSERT_TRUE(original) << original.error().message;
  EXPECT_EQ(original->name_template, "{product}-{index}.{ext}");
  EXPECT_EQ(original->blob_prefix, "images/");
  EXPECT_EQ(original->result_folder, "out");
  EXPECT_EQ(original->recipe.choice.name, "compress@1");
  EXPECT_EQ(original->recipe.choice.text, "format=jpeg quality=50");
  const auto plain = plan_of(table("url\nhttp://a/x.jpg\n"), options(), true);
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->name_template, "{source_stem}.{ext}");
  EXPECT_EQ(plain->blob_prefix, "feed/images/");
  EXPECT_EQ(plain->result_folder, "out/feed");
}

TEST_F(RunPlan, TablesMayChangeTheRecipeUnlessToldOtherwise) {
  auto with = options();
  with.recipe = "web";
  const auto set = table("url,width\nhttp://a/x.jpg,80\n");
  const auto plan = plan_of(set, with, false);
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->table.overrides);
  EXPECT_EQ(plan->table.recipe, plan->recipe.choice);
  EXPECT_EQ(plan->recipe.choice.name, "web@1");
  auto without = with;
  without.overrides = false;
  EXPECT_FALSE(plan_of(set, without, false)->table.overrides);
  EXPECT_NE(set_digest(set, *plan, with).value(), set_digest(set, *plan, without).value());
}

TEST_F(RunPlan, AllSetsShareTheWatermarksFile) {
  auto with = options();
  with.recipe = "watermark=upload";
  with.watermark = folder_.write("logo.png", image::tiny_pictures().front().bytes);
  const auto recipe = plan_recipe(with);
  ASSERT_TRUE(recipe) << recipe.error().message;
  EXPECT_EQ(recipe->choice.text, "watermark=upload:" + recipe->watermark->sha256);
  const auto set = table("url\nhttp://a/x.jpg\n");
  EXPECT_EQ(plan_set(set, with, *recipe, true)->recipe.watermark, recipe->watermark);
  EXPECT_EQ(plan_set(set, with, *recipe, true)->table.recipe.text, recipe->choice.text);
}

TEST_F(RunPlan, ARecipeThatIsTooLongWithTheDigestIsRefused) {
  auto with = options();
  with.watermark = folder_.write("logo.png", image::tiny_pictures().front().bytes);
  // Written out in full it has just less than the most there may be.
  std::string image = "watermark=https://a.example/";
  with.recipe = "a: watermark=upload b: " + image + std::string(image::kRecipeBytesMax / 4 - image.size() - 20, 'x');
  for (const char name : {'c', 'd', 'e'}) {
    with.recipe +=
        fmt::format(" {}: {}{}", name, image, std::string(image::kRecipeBytesMax / 4 - image.size() - 20, 'y'));
  }
  ASSERT_TRUE(image::parse_recipe(with.recipe)) << image::parse_recipe(with.recipe).error().message;
  const auto refused = plan_recipe(with);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(RunPlan, ATablesHeaderIsCheckedByItself) {
  EXPECT_TRUE(check_table_header(table("url\nhttp://a/x.jpg\n"), options()));
  EXPECT_TRUE(check_table_header({.name = "pictures", .table_path = {}, .pictures = {}}, options()));
  const auto missing = check_table_header(table("sku\n1\n"), options());
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(RunPlan, IdentityChangesWithWhatChangesTheOutput) {
  const auto set = table("url,sku\nhttp://a/x.jpg,1\n");
  const auto digest = [&](const RunOptions& with) {
    return set_digest(set, plan_of(set, with, false).value(), with).value();
  };
  const auto base = digest(options());
  EXPECT_EQ(digest(options()), base);
  auto other = options();
  other.recipe = "format=webp";
  EXPECT_NE(digest(other), base);
  other = options();
  other.name_template = "{sku}.{ext}";
  EXPECT_NE(digest(other), base);
}

TEST_F(RunPlan, MistakesAreNamed) {
  const auto set = table("url,sku\nhttp://a/x.jpg,1\n");
  auto wrong = options();
  wrong.recipe = "format=bmp";
  EXPECT_EQ(plan_of(set, wrong, false).error().code, ErrorCode::kInvalidArgument);
  wrong = options();
  wrong.name_template = "{colour}.{ext}";
  const auto unknown = plan_of(set, wrong, false);
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("'colour'"), std::string::npos);
  EXPECT_NE(unknown.error().message.find("{sku}"), std::string::npos);
  wrong = options();
  wrong.headers = {"no colons here"};
  EXPECT_EQ(plan_of(set, wrong, false).error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(plan_of(table(""), options(), false).has_value());
}

TEST_F(RunPlan, PicturesKeepTheirFolders) {
  const LocalPicture picture{.absolute_path = "/in/summer/../x/a b.jpg", .shown = "summer/a b.jpg"};
  const auto row = picture_row(picture, 7, "{source_stem}.{ext}");
  ASSERT_TRUE(row);
  EXPECT_EQ(row->row, 7u);
  EXPECT_EQ(row->cells, std::vector<std::string>{"summer/a b.jpg"});
  EXPECT_EQ(row->items.at(0).output_stem, "summer/a b.{ext}");
  EXPECT_TRUE(row->items.at(0).url.starts_with("file:/in/"));
}

TEST_F(RunPlan, PictureNamesCannotClimbOut) {
  const LocalPicture picture{.absolute_path = "/in/x.jpg", .shown = "../../etc/x.jpg"};
  const auto row = picture_row(picture, 1, "{source_stem}.{ext}");
  ASSERT_TRUE(row);
  EXPECT_EQ(row->items.at(0).output_stem.find(".."), std::string::npos) << row->items.at(0).output_stem;
}

}  // namespace
}  // namespace pixmill::app
