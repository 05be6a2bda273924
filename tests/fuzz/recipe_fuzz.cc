// Both spellings of recipes. What parses has a canonical text that parses to the same.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "base/text.h"
#include "image/recipe.h"

using namespace pixmill;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto recipe = image::parse_recipe({reinterpret_cast<const char*>(data), size});
  if (!recipe) {
    PIXMILL_CHECK(recipe.error().code == ErrorCode::kInvalidArgument && !recipe.error().message.empty());
    return 0;
  }
  const std::string text = image::canonical_text(*recipe);
  const auto again = image::parse_recipe(text);
  PIXMILL_CHECK(again.has_value() && *again == *recipe && image::canonical_text(*again) == text);
  return 0;
}
