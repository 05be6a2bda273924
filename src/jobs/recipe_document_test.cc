#include "jobs/recipe_document.h"

#include <gtest/gtest.h>

namespace pixmill::jobs {
namespace {

TEST(RecipeDocument, HasEveryFieldInAStableOrder) {
  const RecipeEntry own{.recipe = {.name = "shop",
                                   .version = 2,
                                   .text = "format=webp",
                                   .created_at = from_unix_ms(1'000),
                                   .removed = false},
                        .built_in = false,
                        .summary = "",
                        .versions = {1, 2}};
  EXPECT_EQ(recipe_document(own),
            R"({"name":"shop","version":2,"id":"shop@2","built_in":false,"removed":false,"summary":null,)"
            R"("recipe":"format=webp","created_at":"1970-01-01T00:00:01.000Z","versions":[1,2]})");
}

TEST(RecipeDocument, ListsBuiltInOnesWithTheirSummary) {
  const auto all = recipe_list_document({find_recipe({}, "compress", std::nullopt).value()});
  EXPECT_EQ(all,
            R"({"recipes":[{"name":"compress","version":1,"id":"compress@1","built_in":true,"removed":false,)"
            R"("summary":"JPEG of quality 50 at the size it has","recipe":"format=jpeg quality=50","created_at":null,)"
            R"("versions":[1]}]})");
}

}  // namespace
}  // namespace pixmill::jobs
