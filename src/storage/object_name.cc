#include "storage/object_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include "base/ids.h"
#include "base/text.h"

namespace pixmill::storage {

namespace {

constexpr std::size_t kTemplateBytesMax = 512;
constexpr std::size_t kSegmentsMax = 6;  // six full segments stay below the 1,024 bytes that S3 allows a key
// Of 120 bytes per segment two are kept back: a name may need a '_' in front and one behind to be harmless.
constexpr std::size_t kSegmentTextBytesMax = 118;
constexpr std::uint64_t kItemsPerFolder = 10'000;
constexpr std::size_t kShaDigits = 16;
constexpr std::size_t kUuidBytes = 36;
constexpr std::size_t kExtensionBytesMax = 5;

// What only finish() knows.
constexpr std::array<std::string_view, 4> kLatePlaceholders = {"sha", "uuid", "rendition", "ext"};

bool is_late(std::string_view name) { return std::ranges::find(kLatePlaceholders, name) != kLatePlaceholders.end(); }

// A stem's parts: plain text, or one of kLatePlaceholders.
struct Part {
  bool is_placeholder = false;
  std::string text;
};

// A stem is written like a template: {{ and }} are braces. Anything else in braces is a late placeholder by
// construction.
std::vector<Part> parse_stem(std::string_view stem) {
  std::vector<Part> parts;
  const auto text = [&]() -> std::string& {
    if (parts.empty() || parts.back().is_placeholder) parts.push_back({});
    return parts.back().text;
  };
  while (!stem.empty()) {
    if (stem.starts_with("{{") || stem.starts_with("}}")) {
      text() += stem[0];
      stem.remove_prefix(2);
      continue;
    }
    const auto close = stem[0] == '{' ? stem.find('}') : std::string_view::npos;
    if (close != std::string_view::npos && is_late(stem.substr(1, close - 1))) {
      parts.push_back({.is_placeholder = true, .text = std::string(stem.substr(1, close - 1))});
      stem.remove_prefix(close + 1);
      continue;
    }
    text() += stem[0];
    stem.remove_prefix(1);
  }
  return parts;
}

std::string escape_braces(std::string_view text) {
  std::string result;
  for (const char c : text) result.append(c == '{' || c == '}' ? 2 : 1, c);
  return result;
}

std::string write_stem(const std::vector<Part>& parts) {
  std::string stem;
  for (const auto& part : parts) {
    stem += part.is_placeholder ? fmt::format("{{{}}}", part.text) : escape_braces(part.text);
  }
  return stem;
}

struct CodePoint {
  std::uint32_t value = 0;
  std::size_t bytes = 1;
};

// `text` is valid UTF-8 and not empty.
CodePoint first_code_point(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xe0) return {(lead & 0x1f) << 6 | (byte(1) & 0x3f), 2};
  if (lead < 0xf0) return {(lead & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f), 3};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f), 4};
}

// Characters that break a path somewhere, or that make a name look like another: controls, what Windows reserves,
// invisible marks and bidirectional overrides (Unicode TR 36). The joiners U+200C and U+200D stay: Persian and emoji
// are written with them.
bool is_unsafe(std::uint32_t c) {
  if (c < 0x20 || (c >= 0x7f && c < 0xa0)) return true;
  if (c < 0x80) return std::string_view("<>:\"/\\|?*").find(static_cast<char>(c)) != std::string_view::npos;
  const bool mark = c == 0x00ad || c == 0x061c || c == 0x180e || c == 0x200b || c == 0x200e || c == 0x200f;
  const bool bidirectional = (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f);
  const bool no_character = c == 0xfeff || (c >= 0xfff9 && c <= 0xfffd) || (c & 0xfffe) == 0xfffe;
  return mark || bidirectional || no_character;
}

std::string clean(std::string_view text) {
  const std::string valid = replace_invalid_utf8(text);
  std::string result;
  std::string_view rest = valid;
  while (!rest.empty()) {
    const CodePoint point = first_code_point(rest);
    result += is_unsafe(point.value) ? std::string_view("_") : rest.substr(0, point.bytes);
    rest.remove_prefix(point.bytes);
  }
  return result;
}

// The longest beginning of at most `bytes_max` bytes that ends between characters.
void cut(std::string& text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return;
  while (bytes_max > 0 && (static_cast<unsigned char>(text[bytes_max]) & 0xc0) == 0x80) --bytes_max;
  text.resize(bytes_max);
}

// Names that Windows gives to devices, whatever follows the first dot.
bool is_device_name(std::string_view base) {
  const std::string name = to_lower(trim(base));
  constexpr std::array<std::string_view, 7> kDevices = {"con", "prn", "aux", "nul", "conin$", "conout$", "clock$"};
  if (std::ranges::find(kDevices, name) != kDevices.end()) return true;
  if (!name.starts_with("com") && !name.starts_with("lpt")) return false;
  const std::string_view number = std::string_view(name).substr(3);
  constexpr std::array<std::string_view, 3> kSuperscripts = {"\xc2\xb9", "\xc2\xb2", "\xc2\xb3"};
  return (number.size() == 1 && number[0] >= '0' && number[0] <= '9') ||
         std::ranges::find(kSuperscripts, number) != kSuperscripts.end();
}

void strip_end(std::string& text) {
  while (text.ends_with('.') || text.ends_with(' ')) text.pop_back();
}

// Makes the plain text in front of a segment one that no system takes for a device, a hidden file or an option.
void defuse(std::string& front) {
  const auto base_bytes = std::min(front.find('.'), front.size());
  if (is_device_name(std::string_view(front).substr(0, base_bytes))) front.insert(base_bytes, 1, '_');
  if (front.starts_with('.') || front.starts_with('-')) front.insert(0, 1, '_');
}

// One segment of a path while it is being made.
struct Segment {
  struct Chunk {
    enum class Kind : std::uint8_t { kLiteral, kValue, kPlaceholder };
    Kind kind = Kind::kLiteral;
    std::string text;
  };
  std::vector<Chunk> chunks;
};

// Shortens the longest value again and again, so that a long product name never costs "-{index}" its number.
void fit_values(Segment& segment) {
  using Kind = Segment::Chunk::Kind;
  while (true) {
    std::size_t total = 0;
    std::string* longest = nullptr;
    for (auto& chunk : segment.chunks) {
      if (chunk.kind == Kind::kPlaceholder) continue;
      total += chunk.text.size();
      if (chunk.kind == Kind::kValue && (longest == nullptr || chunk.text.size() > longest->size())) {
        longest = &chunk.text;
      }
    }
    if (total <= kSegmentTextBytesMax || longest == nullptr || longest->empty()) return;
    cut(*longest, longest->size() - 1);
  }
}

// A segment's text and late placeholders, harmless.
std::string write_segment(Segment segment) {
  using Kind = Segment::Chunk::Kind;
  fit_values(segment);
  std::vector<Part> parts;
  for (auto& chunk : segment.chunks) {
    if (chunk.kind == Kind::kPlaceholder) {
      parts.push_back({.is_placeholder = true, .text = std::move(chunk.text)});
    } else if (!parts.empty() && !parts.back().is_placeholder) {
      parts.back().text += chunk.text;
    } else {
      parts.push_back({.is_placeholder = false, .text = std::move(chunk.text)});
    }
  }
  if (!parts.empty() && !parts.front().is_placeholder) defuse(parts.front().text);
  if (!parts.empty() && !parts.back().is_placeholder) strip_end(parts.back().text);
  std::string text = write_stem(parts);
  return text.empty() ? "_" : text;
}

// The only rendition has no name: "SKU-{rendition}.{ext}" becomes "SKU.{ext}", and a folder {rendition}/ goes away.
std::string without_rendition(std::string_view stem) {
  std::vector<Part> parts = parse_stem(stem);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i].is_placeholder || parts[i].text != "rendition") continue;
    constexpr std::string_view kSeparators = "-_. ";
    std::string* before = i > 0 && !parts[i - 1].is_placeholder ? &parts[i - 1].text : nullptr;
    std::string* after = i + 1 < parts.size() && !parts[i + 1].is_placeholder ? &parts[i + 1].text : nullptr;
    if (before != nullptr && !before->empty() && kSeparators.find(before->back()) != std::string_view::npos) {
      before->pop_back();
    } else if (after != nullptr && (after->starts_with('-') || after->starts_with('_'))) {
      after->erase(0, 1);
    }
    parts[i] = {};
  }
  const std::string joined = write_stem(parts);
  std::string result;
  for (const auto piece : split(joined, '/')) {
    std::string segment(piece);
    strip_end(segment);
    if (segment.empty()) continue;
    std::string front = segment.substr(0, segment.find('{'));
    const auto front_bytes = front.size();
    defuse(front);
    segment.replace(0, front_bytes, front);
    if (!result.empty()) result += '/';
    result += segment;
  }
  return result.empty() ? "_" : result;
}

// Several renditions of one picture lie in a folder each, where the template does not say otherwise: no two names can
// meet.
std::string with_rendition(std::string_view stem) {
  for (const Part& part : parse_stem(stem)) {
    if (part.is_placeholder && part.text == "rendition") return std::string(stem);
  }
  const std::size_t slash = stem.rfind('/');
  std::string result(stem);
  result.insert(slash == std::string_view::npos ? 0 : slash + 1, "{rendition}/");
  return result;
}

bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// How many bytes at the front of `rest` one placeholder can stand for; several answers where its length is open.
std::vector<std::size_t> possible_lengths(std::string_view placeholder, std::string_view rest) {
  std::vector<std::size_t> lengths;
  if (placeholder == "sha") {
    if (rest.size() >= kShaDigits && is_hex(rest.substr(0, kShaDigits))) lengths.push_back(kShaDigits);
  } else if (placeholder == "uuid") {
    const auto text = rest.substr(0, kUuidBytes);
    if (const auto uuid = Uuid::parse(text); uuid && uuid->text() == text) lengths.push_back(kUuidBytes);
  } else {
    const bool is_extension = placeholder == "ext";
    for (std::size_t n = 0; n < rest.size() && rest[n] != '/'; ++n) {
      const bool plain = (rest[n] >= 'a' && rest[n] <= 'z') || (rest[n] >= '0' && rest[n] <= '9');
      if (is_extension && (!plain || n >= kExtensionBytesMax)) break;
      lengths.push_back(n + 1);
    }
  }
  return lengths;
}

// All ways at once, position by position, so that no key makes it slow.
bool matches(std::string_view key, std::string_view stem) {
  std::vector<bool> reachable(key.size() + 1, false);
  reachable[0] = true;
  for (const auto& part : parse_stem(stem)) {
    std::vector<bool> next(key.size() + 1, false);
    for (std::size_t at = 0; at <= key.size(); ++at) {
      if (!reachable[at]) continue;
      const auto rest = key.substr(at);
      if (!part.is_placeholder) {
        if (rest.starts_with(part.text)) next[at + part.text.size()] = true;
        continue;
      }
      for (const auto length : possible_lengths(part.text, rest)) next[at + length] = true;
    }
    reachable = std::move(next);
  }
  return reachable[key.size()];
}

std::unexpected<Error> bad_template(std::string why) {
  return fail(ErrorCode::kInvalidArgument, "The name template " + why);
}

// The literal text of a template, segment by segment; a placeholder counts as some text.
Result<void> check_segments(const std::string& literal_shape) {
  constexpr char kPlaceholderMark = '\x01';
  if (literal_shape.starts_with('/')) return bad_template("begins with '/': names are relative to the output folder.");
  const auto segments = split(literal_shape, '/');
  if (segments.size() > kSegmentsMax) return bad_template(fmt::format("has more than {} folders.", kSegmentsMax - 1));
  for (const auto segment : segments) {
    if (segment == "." || segment == "..") return bad_template(fmt::format("has a folder '{}'.", segment));
    if (segment.empty()) return bad_template("has an empty folder or file name.");
    const auto marks = std::ranges::count(segment, kPlaceholderMark);
    if (segment.size() - static_cast<std::size_t>(marks) > kSegmentTextBytesMax) {
      return bad_template(fmt::format("has a part longer than {} bytes.", kSegmentTextBytesMax));
    }
  }
  return {};
}

}  // namespace

Result<NameTemplate> NameTemplate::parse(std::string_view text) {
  if (text.empty()) return bad_template("is empty.");
  if (text.size() > kTemplateBytesMax) return bad_template(fmt::format("is longer than {} bytes.", kTemplateBytesMax));
  NameTemplate result;
  std::string shape;
  std::string literal;
  const auto end_literal = [&] {
    if (!literal.empty()) result.pieces_.push_back({.is_placeholder = false, .text = std::move(literal)});
    literal.clear();
  };
  while (!text.empty()) {
    const bool doubled = text.size() > 1 && text[0] == text[1];
    if ((text[0] == '{' && !doubled)) {
      const auto close = text.find('}');
      if (close == std::string_view::npos) return bad_template("has a '{' without '}'; write {{ for a brace.");
      const auto name = trim(text.substr(1, close - 1));
      if (name.empty()) return bad_template("has an empty placeholder {}.");
      if (name.find('{') != std::string_view::npos) return bad_template("has a '{' inside a placeholder.");
      end_literal();
      const std::string lower = to_lower(name);
      result.pieces_.push_back({.is_placeholder = true, .text = is_late(lower) ? lower : std::string(name)});
      shape += '\x01';
      text.remove_prefix(close + 1);
      continue;
    }
    if (text[0] == '}' && !doubled) return bad_template("has a '}' without '{'; write }} for a brace.");
    const bool brace = text[0] == '{' || text[0] == '}';
    // A backslash separates folders on some systems and nowhere else; it becomes '_' like in values.
    literal += text[0];
    shape += text[0];
    text.remove_prefix(brace ? 2 : 1);
  }
  end_literal();
  PIXMILL_RETURN_IF_ERROR(check_segments(shape));
  return result;
}

NameTemplate NameTemplate::with_base(std::string_view base, bool numbered) const {
  const auto has_slash = [](const Piece& piece) {
    return !piece.is_placeholder && piece.text.find('/') != piece.text.npos;
  };
  const auto is_rendition = [](const Piece& piece) { return piece.is_placeholder && piece.text == "rendition"; };
  const auto last_slash = std::find_if(pieces_.rbegin(), pieces_.rend(), has_slash);
  const bool has_rendition = std::find_if(pieces_.rbegin(), last_slash, is_rendition) != last_slash;
  NameTemplate result;
  result.pieces_.assign(pieces_.begin(), last_slash.base());
  if (!result.pieces_.empty()) result.pieces_.back().text.resize(last_slash->text.rfind('/') + 1);
  const auto add = [&](bool is_placeholder, std::string_view text) {
    result.pieces_.push_back({.is_placeholder = is_placeholder, .text = std::string(text)});
  };
  add(true, base);
  const auto add_after_dash = [&](std::string_view placeholder) {
    add(false, "-");
    add(true, placeholder);
  };
  if (numbered) add_after_dash("index");
  if (has_rendition) add_after_dash("rendition");
  add(false, ".");
  add(true, "ext");
  return result;
}

std::vector<std::string> NameTemplate::placeholders() const {
  std::vector<std::string> names;
  for (const auto& piece : pieces_) {
    if (piece.is_placeholder && std::ranges::find(names, piece.text) == names.end()) names.push_back(piece.text);
  }
  return names;
}

std::string NameTemplate::expand(const std::function<std::optional<std::string>(std::string_view)>& value_of) const {
  using Chunk = Segment::Chunk;
  std::vector<Segment> segments(1);
  bool has_extension = false;
  for (const auto& piece : pieces_) {
    if (piece.is_placeholder) {
      if (is_late(piece.text)) {
        segments.back().chunks.push_back({.kind = Chunk::Kind::kPlaceholder, .text = piece.text});
        has_extension = has_extension || piece.text == "ext";
        continue;
      }
      std::string value = clean(value_of(piece.text).value_or(""));
      value = std::string(trim(value));
      cut(value, kSegmentTextBytesMax);
      segments.back().chunks.push_back({.kind = Chunk::Kind::kValue, .text = std::move(value)});
      continue;
    }
    bool first = true;
    for (const auto text : split(piece.text, '/')) {
      if (!first) segments.emplace_back();
      first = false;
      if (!text.empty()) segments.back().chunks.push_back({.kind = Chunk::Kind::kLiteral, .text = clean(text)});
    }
  }
  if (!has_extension) {
    segments.back().chunks.push_back({.kind = Chunk::Kind::kLiteral, .text = "."});
    segments.back().chunks.push_back({.kind = Chunk::Kind::kPlaceholder, .text = "ext"});
  }
  std::string stem;
  for (auto& segment : segments) {
    if (!stem.empty()) stem += '/';
    stem += write_segment(std::move(segment));
  }
  return stem;
}

std::string with_suffix(std::string_view stem, std::uint64_t suffix) {
  std::vector<Part> parts = parse_stem(stem);
  const std::string text = fmt::format("-{}", suffix);
  // The last {ext} of the last segment, or the end.
  for (std::size_t i = parts.size(); i-- > 0;) {
    if (!parts[i].is_placeholder && parts[i].text.find('/') != std::string::npos) break;
    if (!parts[i].is_placeholder || parts[i].text != "ext") continue;
    if (i > 0 && !parts[i - 1].is_placeholder) {
      std::string& before = parts[i - 1].text;
      before.insert(before.ends_with('.') ? before.size() - 1 : before.size(), text);
    } else {
      parts.insert(parts.begin() + static_cast<std::ptrdiff_t>(i), Part{.is_placeholder = false, .text = text});
    }
    return write_stem(parts);
  }
  return std::string(stem) + text;
}

std::string fan_out(std::string_view folder, std::uint64_t item_number, std::string_view stem) {
  const std::uint64_t group = item_number == 0 ? 0 : (item_number - 1) / kItemsPerFolder;
  std::string path(folder);
  if (!path.empty() && !path.ends_with('/')) path += '/';
  if (group > 0) path += fmt::format("{:04}/", group);
  path += stem;
  return path;
}

std::string finish_name(std::string_view stem, const FinalName& values) {
  const std::string rendition = clean(values.rendition);
  std::string name;
  for (const auto& part : parse_stem(rendition.empty() ? without_rendition(stem) : with_rendition(stem))) {
    if (!part.is_placeholder) {
      name += part.text;
    } else if (part.text == "sha") {
      name += to_hex(values.content).substr(0, kShaDigits);
    } else if (part.text == "uuid") {
      name += Uuid::from_digest(values.identity).text();
    } else if (part.text == "rendition") {
      name += rendition;
    } else {
      name += values.extension;
    }
  }
  return name;
}

bool may_come_from(std::string_view key, std::string_view stem) {
  return matches(key, with_rendition(stem)) || matches(key, without_rendition(stem));
}

}  // namespace pixmill::storage
