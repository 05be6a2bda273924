#include "app/own_recipes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/server_address.h"
#include "base/folder_lock.h"
#include "tests/support/api_server.h"
#include "tests/support/temp_folder.h"

namespace pixmill::app {
namespace {

using ::testing::HasSubstr;

TEST(OwnRecipes, AreSavedAndRemovedWithoutAServer) {
  const testing::TempFolder folder;
  const auto data = folder.file("data");
  EXPECT_TRUE(read_own_recipes(data)->empty());
  const auto first = save_own_recipe(data, "shop", "quality=80 format=jpg");
  ASSERT_TRUE(first.has_value()) << first.error().message;
  EXPECT_TRUE(first->is_new);
  EXPECT_EQ(first->recipe.text, "format=jpeg quality=80");
  EXPECT_FALSE(save_own_recipe(data, "shop", "shop@1")->is_new);
  EXPECT_EQ(save_own_recipe(data, "shop", "web")->recipe.version, 2);
  EXPECT_EQ(recipe_book_of(data)->resolve("shop")->name, "shop@2");
  ASSERT_TRUE(remove_own_recipe(data, "shop").has_value());
  EXPECT_EQ(remove_own_recipe(data, "shop").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(read_own_recipes(data)->size(), 2u);
}

TEST(OwnRecipes, AreCheckedFirst) {
  const testing::TempFolder folder;
  const auto data = folder.file("data");
  EXPECT_THAT(save_own_recipe(data, "web", "format=png").error().message, HasSubstr("built in"));
  EXPECT_THAT(save_own_recipe(data, "shop", "quality=0").error().message, HasSubstr("1 to 100"));
  EXPECT_THAT(remove_own_recipe(data, "web").error().message, HasSubstr("built in"));
  EXPECT_EQ(remove_own_recipe(data, "shop").error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(data)) << "nothing is made for what is refused";
}

TEST(OwnRecipes, AreChangedThroughTheServerThatHoldsTheFolder) {
  testing::ApiServer server;  // its database lies in its folder
  const auto data = server.folder.path();
  const auto lock = FolderLock::take(data);
  ASSERT_TRUE(lock.has_value());
  ASSERT_TRUE(write_server_address(data, local_address("127.0.0.1", server.server->port(), {"pixmill.test"})));
  const auto saved = save_own_recipe(data, "shop", "format=webp");
  ASSERT_TRUE(saved.has_value()) << saved.error().message;
  EXPECT_TRUE(saved->is_new);
  EXPECT_EQ(saved->recipe.version, 1);
  EXPECT_FALSE(save_own_recipe(data, "shop", "format=webp")->is_new);
  EXPECT_EQ(server.loop.run(server.sqlite.recipes->saved_recipes())->size(), 1u);
  ASSERT_TRUE(remove_own_recipe(data, "shop").has_value());
  EXPECT_TRUE(server.loop.run(server.sqlite.recipes->saved_recipes())->at(0).removed);
}

TEST(OwnRecipes, TheServersWordsArePassedOn) {
  testing::ApiServer server;
  const auto data = server.folder.path();
  const auto lock = FolderLock::take(data);
  ASSERT_TRUE(lock.has_value());
  ASSERT_TRUE(write_server_address(data, local_address("127.0.0.1", server.server->port(), {"another.test"})));
  const auto refused = save_own_recipe(data, "shop", "format=webp");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(refused.error().message, HasSubstr("Host"));
}

TEST(OwnRecipes, AFolderThatIsHeldWithoutAnAddressIsSaid) {
  const testing::TempFolder folder;
  const auto lock = FolderLock::take(folder.path());
  ASSERT_TRUE(lock.has_value());
  EXPECT_EQ(save_own_recipe(folder.path(), "shop", "format=webp").error().code, ErrorCode::kConflict);
}

TEST(OwnRecipes, ABookThatCannotBeReadIsMissedByThoseAlone) {
  const testing::TempFolder folder;
  folder.write("pixmill.db", std::string(5'000, 'x'));
  const auto book = recipe_book_of(folder.path());
  EXPECT_TRUE(book->resolve("web").has_value());
  EXPECT_FALSE(book->resolve("shop").has_value());
  EXPECT_FALSE(read_own_recipes(folder.path()).has_value());
}

}  // namespace
}  // namespace pixmill::app
