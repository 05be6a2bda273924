#include "image/recipe_overrides.h"

#include <string>

#include "image/recipe_fields.h"

namespace pixmill::image {

namespace {

std::unexpected<Error> refuse(std::string_view allowed) {
  return fail(ErrorCode::kInvalidArgument, std::string(allowed));
}

Result<Output> output_with(std::string_view name, std::string_view value) {
  PIXMILL_TRY(const Field* const field, find_field(name));
  Output output;
  if (!field->set(output, value)) return refuse(field->allowed);
  return output;
}

}  // namespace

Result<void> RecipeOverrides::set(std::string_view field, std::string_view value) {
  if (field == "width" || field == "height") {
    Resize box = box_.value_or(Resize{});
    if (!(field == "width" ? set_width(box, value) : set_height(box, value))) return refuse(kSideAllowed);
    box_ = box;
    return {};
  }
  PIXMILL_CHECK(field == "format" || field == "quality");
  PIXMILL_TRY(auto output, output_with(field, value));
  if (field == "quality") {
    quality_ = output.quality;
  } else {
    format_ = std::move(output);
  }
  return {};
}

void RecipeOverrides::apply(Recipe& recipe) const {
  for (Output& output : recipe.outputs) {
    if (box_) {
      Resize resize = output.resize.value_or(Resize{});
      resize.width_px = box_->width_px;
      resize.height_px = box_->height_px;
      output.resize = resize;
    }
    if (format_) output.format = format_->format;
    if (quality_) output.quality = quality_;
  }
}

}  // namespace pixmill::image
