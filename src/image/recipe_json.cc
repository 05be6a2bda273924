#include <fmt/format.h>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <set>
#include <vector>

#include "image/recipe_fields.h"

namespace pixmill::image {

namespace json = boost::json;

namespace {

// Boost.JSON keeps the last of two equal keys without a word; this pass over the text finds them.
struct DuplicateFinder {
  static constexpr std::size_t max_object_size = 1000;
  static constexpr std::size_t max_array_size = 1000;
  static constexpr std::size_t max_key_size = 4096;
  static constexpr std::size_t max_string_size = 4096;

  std::vector<std::set<std::string>> objects;  // the keys seen so far in each open object
  std::string key;
  std::string duplicate;

  using Code = boost::system::error_code;
  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }
  bool on_object_begin(Code&) {
    objects.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t, Code&) {
    objects.pop_back();
    return true;
  }
  bool on_array_begin(Code&) { return true; }
  bool on_array_end(std::size_t, Code&) { return true; }
  bool on_key_part(json::string_view part, std::size_t, Code&) {
    key.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, std::size_t, Code&) {
    key.append(part.data(), part.size());
    if (!objects.back().insert(key).second) duplicate = key;
    key.clear();
    return true;
  }
  bool on_string_part(json::string_view, std::size_t, Code&) { return true; }
  bool on_string(json::string_view, std::size_t, Code&) { return true; }
  bool on_number_part(json::string_view, Code&) { return true; }
  bool on_int64(std::int64_t, json::string_view, Code&) { return true; }
  bool on_uint64(std::uint64_t, json::string_view, Code&) { return true; }
  bool on_double(double, json::string_view, Code&) { return true; }
  bool on_bool(bool, Code&) { return true; }
  bool on_null(Code&) { return true; }
  bool on_comment_part(json::string_view, Code&) { return true; }
  bool on_comment(json::string_view, Code&) { return true; }
};

std::string find_duplicate(std::string_view text) {
  json::basic_parser<DuplicateFinder> parser{json::parse_options{}};
  boost::system::error_code error;
  parser.write_some(false, text.data(), text.size(), error);
  return parser.handler().duplicate;
}

std::string_view as_view(const json::string& text) { return {text.data(), text.size()}; }

Result<std::string> text_of(std::string_view field, const json::value& value, std::string_view allowed) {
  if (const auto* text = value.if_string()) return std::string(as_view(*text));
  return refuse_field(field, json::serialize(value), allowed);
}

Result<std::string> number_of(std::string_view field, const json::value& value, std::string_view allowed) {
  if (value.is_int64() || value.is_uint64()) return json::serialize(value);
  return refuse_field(field, json::serialize(value), allowed);
}

Result<std::string> flag_of(std::string_view field, const json::value& value) {
  if (value.is_bool()) return std::string(value.get_bool() ? "true" : "false");
  return refuse_field(field, json::serialize(value), "true or false");
}

Result<void> set_resize_field(Resize& resize, std::string_view name, const json::value& value) {
  constexpr std::string_view kSideAllowed = "a number of pixels from 1 to 65535";
  if (name == "width") {
    PIXMILL_TRY(const std::string text, number_of("resize.width", value, kSideAllowed));
    PIXMILL_TRY(resize.width_px, read_side("resize.width", text));
  } else if (name == "height") {
    PIXMILL_TRY(const std::string text, number_of("resize.height", value, kSideAllowed));
    PIXMILL_TRY(resize.height_px, read_side("resize.height", text));
  } else if (name == "fit") {
    PIXMILL_TRY(const std::string text, text_of("resize.fit", value, kFitsAllowed));
    const auto fit = read_fit(text);
    if (!fit) return refuse_field("resize.fit", text, kFitsAllowed);
    resize.fit = *fit;
  } else if (name == "enlarge") {
    PIXMILL_TRY(const std::string text, flag_of("resize.enlarge", value));
    resize.enlarge = text == "true" ? Enlarge::kAllowed : Enlarge::kNever;
  } else {
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("recipe field \"resize.{}\" is unknown; resize has width, height, fit and enlarge", shown(name)));
  }
  return {};
}

Result<void> set_resize(Recipe& recipe, const json::value& value) {
  const auto* object = value.if_object();
  constexpr std::string_view kAllowed = "an object with width, height, fit and enlarge";
  if (object == nullptr) return refuse_field("resize", json::serialize(value), kAllowed);
  Resize resize;
  for (const auto& member : *object) {
    PIXMILL_RETURN_IF_ERROR(set_resize_field(resize, {member.key().data(), member.key().size()}, member.value()));
  }
  if (!resize.width_px && !resize.height_px) {
    return refuse_field("resize", json::serialize(value), "a width, a height or both");
  }
  recipe.resize = resize;
  return {};
}

Result<void> set_member(Recipe& recipe, std::string_view name, const json::value& value) {
  if (name == "resize") return set_resize(recipe, value);
  if (name == "quality") {
    PIXMILL_TRY(const std::string text, number_of(name, value, "a whole number from 1 to 100"));
    return set_quality(recipe, text);
  }
  if (name == "keep_smaller") {
    PIXMILL_TRY(const std::string text, flag_of(name, value));
    return set_keep_smaller(recipe, text);
  }
  if (name == "progressive") {
    PIXMILL_TRY(const std::string text, flag_of(name, value));
    return set_progressive(recipe, text);
  }
  if (name == "effort") {
    PIXMILL_TRY(const std::string text, number_of(name, value, kEffortAllowed));
    return set_effort(recipe, text);
  }
  if (name == "tables") {
    PIXMILL_TRY(const std::string text, text_of(name, value, kTablesAllowed));
    return set_tables(recipe, text);
  }
  if (name == "format") {
    PIXMILL_TRY(const std::string text, text_of(name, value, "keep, jpeg, png or webp"));
    return set_format(recipe, text);
  }
  if (name == "background") {
    PIXMILL_TRY(const std::string text, text_of(name, value, "a colour such as #ffffff or #fff"));
    return set_background(recipe, text);
  }
  if (name == "metadata") {
    PIXMILL_TRY(const std::string text, text_of(name, value, "strip or keep"));
    return set_metadata(recipe, text);
  }
  return refuse_unknown_field(name);
}

}  // namespace

Result<Recipe> parse_json_recipe(std::string_view text) {
  boost::system::error_code error;
  const json::value document = json::parse(json::string_view(text.data(), text.size()), error);
  if (error) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("the recipe is not valid JSON: {}", error.message()));
  }
  const auto* object = document.if_object();
  if (object == nullptr) return fail(ErrorCode::kInvalidArgument, "a JSON recipe must be an object");
  if (const std::string duplicate = find_duplicate(text); !duplicate.empty()) return refuse_duplicate_field(duplicate);
  Recipe recipe;
  for (const auto& member : *object) {
    PIXMILL_RETURN_IF_ERROR(set_member(recipe, {member.key().data(), member.key().size()}, member.value()));
  }
  return recipe;
}

}  // namespace pixmill::image
