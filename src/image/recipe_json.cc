#include <fmt/format.h>

#include <array>
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <set>
#include <utility>
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

// The compact spelling of a JSON value of the right kind; nullopt for another kind.
std::optional<std::string> compact_value(const json::value& value, JsonKind kind) {
  const bool text = kind == JsonKind::kText || kind == JsonKind::kTextOrNumber || kind == JsonKind::kTextOrObject;
  const bool number = kind == JsonKind::kNumber || kind == JsonKind::kTextOrNumber || kind == JsonKind::kFlagOrNumber;
  const bool flag = kind == JsonKind::kFlag || kind == JsonKind::kFlagOrNumber;
  if (text && value.is_string()) return std::string(as_view(value.get_string()));
  if (flag && value.is_bool()) return std::string(value.get_bool() ? "true" : "false");
  if (number && value.is_number())
    return value.is_double() ? fmt::format("{}", value.get_double()) : json::serialize(value);
  return std::nullopt;
}

// A member of a field that is an object.
template <class Target>
struct Member {
  std::string_view name;
  JsonKind json;
  std::string_view allowed;
  bool (*set)(Target&, std::string_view);
};
using ResizeMember = Member<Resize>;
using WatermarkMember = Member<Watermark>;

constexpr std::array kResizeMembers = {
    ResizeMember{"width", JsonKind::kNumber, kSideAllowed, set_width},
    ResizeMember{"height", JsonKind::kNumber, kSideAllowed, set_height},
    ResizeMember{"fit", JsonKind::kText, kFitAllowed, set_fit},
    ResizeMember{"gravity", JsonKind::kText, kGravityAllowed, set_gravity},
    ResizeMember{"enlarge", JsonKind::kFlag, "true or false",
                 [](Resize& resize, std::string_view value) {
                   resize.enlarge = value == "true" ? Enlarge::kAllowed : Enlarge::kNever;
                   return true;
                 }},
};
constexpr std::array kWatermarkMembers = {
    WatermarkMember{"image", JsonKind::kText, kWatermarkImageAllowed, set_watermark_image},
    WatermarkMember{"gravity", JsonKind::kText, kWatermarkGravityAllowed, set_watermark_gravity},
    WatermarkMember{"opacity", JsonKind::kNumber, kShareAllowed, set_watermark_opacity},
    WatermarkMember{"scale", JsonKind::kNumber, kShareAllowed, set_watermark_scale},
    WatermarkMember{"margin", JsonKind::kNumber, kMarginAllowed, set_watermark_margin},
    WatermarkMember{"tile", JsonKind::kFlag, "true or false",
                    [](Watermark& watermark, std::string_view value) {
                      watermark.tile = value == "true";
                      return true;
                    }},
};

template <class Target, std::size_t count>
Result<void> set_part(Target& target, std::string_view field, std::string_view name, const json::value& value,
                      const std::array<Member<Target>, count>& members) {
  std::vector<std::string_view> names;
  for (const auto& member : members) {
    names.push_back(member.name);
    if (member.name != name) continue;
    const auto text = compact_value(value, member.json);
    if (text && member.set(target, *text)) return {};
    return refuse_field(fmt::format("{}.{}", field, name), text ? *text : json::serialize(value), member.allowed);
  }
  return fail(ErrorCode::kInvalidArgument, fmt::format("recipe field \"{}.{}\" is unknown; {} has {}", field,
                                                       shown(name), field, fmt::join(names, ", ")));
}

template <class Target, std::size_t count>
Result<void> set_parts(Target& target, std::string_view field, const json::object& object,
                       const std::array<Member<Target>, count>& members) {
  for (const auto& member : object) {
    PIXMILL_RETURN_IF_ERROR(
        set_part(target, field, {member.key().data(), member.key().size()}, member.value(), members));
  }
  return {};
}

Result<void> set_resize(Output& output, const json::value& value) {
  const auto* object = value.if_object();
  constexpr std::string_view kAllowed = "an object with width, height, fit, gravity and enlarge";
  if (object == nullptr) return refuse_field("resize", json::serialize(value), kAllowed);
  Resize resize;
  PIXMILL_RETURN_IF_ERROR(set_parts(resize, "resize", *object, kResizeMembers));
  if (!resize.width_px && !resize.height_px) {
    return refuse_field("resize", json::serialize(value), "a width, a height or both");
  }
  output.resize = resize;
  return {};
}

Result<void> set_watermark(Output& output, const json::object& object) {
  Watermark watermark;
  PIXMILL_RETURN_IF_ERROR(set_parts(watermark, "watermark", object, kWatermarkMembers));
  if (watermark.image.empty()) return refuse_field("watermark.image", "", kWatermarkImageAllowed);
  output.watermark = std::move(watermark);
  return {};
}

Result<void> set_member(Output& output, std::string_view name, const json::value& value) {
  PIXMILL_TRY(const Field* const field, find_field(name));
  if (field->json == JsonKind::kTextOrObject && value.is_object()) return set_watermark(output, value.get_object());
  if (field->json == JsonKind::kObject) return set_resize(output, value);
  const auto text = compact_value(value, field->json);
  if (!text) return refuse_field(name, json::serialize(value), field->allowed);
  return set_field(output, *field, *text);
}

constexpr std::string_view kOutputsAllowed = "a list of objects, each with a name";

Result<void> add_json_output(Recipe& recipe, const Output& common, const json::value& value) {
  const auto* object = value.if_object();
  const auto* name = object != nullptr ? object->if_contains("name") : nullptr;
  if (name == nullptr || !name->is_string()) return refuse_field("outputs", json::serialize(value), kOutputsAllowed);
  PIXMILL_RETURN_IF_ERROR(add_output(recipe, common, as_view(name->get_string())));
  for (const auto& member : *object) {
    const std::string_view key(member.key().data(), member.key().size());
    if (key != "name") PIXMILL_RETURN_IF_ERROR(set_member(recipe.outputs.back(), key, member.value()));
  }
  return {};
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
  Output common;
  const json::value* outputs = nullptr;
  for (const auto& member : *object) {
    const std::string_view key(member.key().data(), member.key().size());
    if (key == "outputs") {
      outputs = &member.value();
    } else {
      PIXMILL_RETURN_IF_ERROR(set_member(common, key, member.value()));
    }
  }
  if (outputs == nullptr) return Recipe{.outputs = {common}};
  const auto* list = outputs->if_array();
  if (list == nullptr || list->empty()) return refuse_field("outputs", json::serialize(*outputs), kOutputsAllowed);
  Recipe recipe{.outputs = {}};
  for (const auto& value : *list) PIXMILL_RETURN_IF_ERROR(add_json_output(recipe, common, value));
  return recipe;
}

}  // namespace pixmill::image
