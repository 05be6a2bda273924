#include "http/multipart.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace pixmill::http {

namespace {

// RFC 2046 lets blanks stand between a boundary and its line end; nobody sends them, so few are enough.
constexpr std::size_t kPaddingBytesMax = 16;

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// RFC 2046 section 5.1.1.
bool is_boundary_char(char c) {
  const bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return alphanumeric || std::string_view("'()+_,-./:=? ").find(c) != std::string_view::npos;
}

// RFC 9110 section 5.6.2.
bool is_token_char(char c) {
  const bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return alphanumeric || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

std::unexpected<Error> malformed(std::string_view what) {
  return fail(ErrorCode::kInvalidArgument, fmt::format("The multipart body is malformed: {}", what));
}

using Parameters = std::vector<std::pair<std::string, std::string>>;

// A quoted string's text; `text` begins behind the opening quote and is left behind the closing one. Only \" and \\ are
// escapes: old browsers send Windows paths with bare backslashes.
std::optional<std::string> take_quoted(std::string_view& text) {
  std::string value;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') {
      text.remove_prefix(i + 1);
      return value;
    }
    const bool escape = text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == '"' || text[i + 1] == '\\');
    if (escape) ++i;
    value += text[i];
  }
  return std::nullopt;
}

void skip_blanks(std::string_view& text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
}

// `; name=value; name="quoted value"`; names in lower case. nullopt when it reads otherwise.
std::optional<Parameters> parse_parameters(std::string_view text) {
  Parameters parameters;
  while (true) {
    skip_blanks(text);
    if (text.empty()) return parameters;
    if (text.front() != ';') return std::nullopt;
    text.remove_prefix(1);
    skip_blanks(text);
    if (text.empty()) return parameters;  // a trailing semicolon
    const auto name_end = std::ranges::find_if_not(text, is_token_char);
    const std::string name = to_lower(std::string_view(text.begin(), name_end));
    text = std::string_view(name_end, text.end());
    if (name.empty() || !text.starts_with('=')) return std::nullopt;
    text.remove_prefix(1);
    if (text.starts_with('"')) {
      text.remove_prefix(1);
      auto value = take_quoted(text);
      if (!value) return std::nullopt;
      parameters.emplace_back(name, std::move(*value));
    } else {
      const auto value_end = text.find_first_of("; \t");
      parameters.emplace_back(name, text.substr(0, value_end));
      text.remove_prefix(std::min(value_end, text.size()));
    }
  }
}

std::optional<std::string> parameter(const Parameters& parameters, std::string_view name) {
  for (const auto& [key, value] : parameters) {
    if (key == name) return value;
  }
  return std::nullopt;
}

// Browsers write `"`, CR and LF inside a name as %22, %0D and %0A and leave every other percent sign alone (WHATWG
// HTML, multipart form data); only these three are undone.
std::string undo_browser_escapes(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = text.substr(i);
    const bool quote = rest.starts_with("%22");
    const bool carriage_return = rest.starts_with("%0D") || rest.starts_with("%0d");
    const bool line_feed = rest.starts_with("%0A") || rest.starts_with("%0a");
    if (quote || carriage_return || line_feed) i += 2;
    plain += quote ? '"' : carriage_return ? '\r' : line_feed ? '\n' : text[i];
  }
  return plain;
}

// UTF-8''percent-encoded (RFC 8187); nullopt for other charsets, which RFC 8187 allows nobody to need.
std::optional<std::string> decode_extended(std::string_view text) {
  const auto charset_end = text.find('\'');
  if (charset_end == std::string_view::npos) return std::nullopt;
  const auto language_end = text.find('\'', charset_end + 1);
  if (language_end == std::string_view::npos) return std::nullopt;
  if (!equals_ignoring_case(text.substr(0, charset_end), "UTF-8")) return std::nullopt;
  auto value = percent_decode(text.substr(language_end + 1));
  return value && is_valid_utf8(*value) ? value : std::nullopt;
}

// What is left of a path; control characters would only confuse those who show the name.
std::string base_name(std::string_view path) {
  const auto slash = path.find_last_of("/\\");
  std::string name(slash == std::string_view::npos ? path : path.substr(slash + 1));
  std::erase_if(name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  if (name == "." || name == "..") name.clear();
  return name;
}

Result<void> read_disposition(std::string_view value, PartHeader& part) {
  const auto type_end = value.find_first_of("; \t");
  if (!equals_ignoring_case(value.substr(0, type_end), "form-data")) {
    return malformed("a part's Content-Disposition is not form-data");
  }
  const auto parameters = parse_parameters(type_end == std::string_view::npos ? "" : value.substr(type_end));
  if (!parameters) return malformed("a part's Content-Disposition cannot be read");
  const auto name = parameter(*parameters, "name");
  if (!name) return malformed("a part has no name");
  part.name = undo_browser_escapes(*name);
  if (const auto plain = parameter(*parameters, "filename")) part.filename = base_name(undo_browser_escapes(*plain));
  if (const auto extended = parameter(*parameters, "filename*")) {
    const auto decoded = decode_extended(*extended);
    if (!decoded) return malformed("a part's filename* is not UTF-8");
    part.filename = base_name(*decoded);
  }
  if (!is_valid_utf8(part.name) || !is_valid_utf8(part.filename.value_or(""))) {
    return malformed("a part's name is not UTF-8");
  }
  return {};
}

// RFC 7578 section 4.7 retired encodings; a body in one of these three is what it is.
bool is_identity_encoding(std::string_view value) {
  return equals_ignoring_case(value, "binary") || equals_ignoring_case(value, "8bit") ||
         equals_ignoring_case(value, "7bit");
}

// `block`: the header lines of one part, without the empty one.
Result<PartHeader> parse_part_header(std::string_view block) {
  PartHeader part;
  bool has_disposition = false;
  while (!block.empty()) {
    const auto end = block.find("\r\n");
    const std::string_view line = block.substr(0, end);
    block.remove_prefix(end == std::string_view::npos ? block.size() : end + 2);
    const auto colon = line.find(':');
    const std::string_view name = line.substr(0, colon);
    const bool good_name = !name.empty() && std::ranges::all_of(name, is_token_char);
    if (colon == std::string_view::npos || !good_name) return malformed("a part's header line cannot be read");
    if (line.find_first_of(std::string_view("\0\r\n", 3)) != std::string_view::npos) {
      return malformed("a part's header holds a control character");
    }
    const std::string_view value = trim(line.substr(colon + 1));
    if (equals_ignoring_case(name, "Content-Disposition")) {
      if (has_disposition) return malformed("a part has two Content-Dispositions");
      has_disposition = true;
      PIXMILL_RETURN_IF_ERROR(read_disposition(value, part));
    } else if (equals_ignoring_case(name, "Content-Type")) {
      part.content_type = value;
    } else if (equals_ignoring_case(name, "Content-Transfer-Encoding") && !is_identity_encoding(value)) {
      return malformed("Content-Transfer-Encoding is not supported; send the bytes as they are");
    }
  }
  if (!has_disposition) return malformed("a part has no Content-Disposition");
  return part;
}

}  // namespace

struct MultipartParser::Impl {
  enum class State : std::uint8_t { kPreamble, kHeader, kData, kEpilogue };
  enum class Progress : std::uint8_t { kAdvanced, kNeedsMore };

  // What follows a delimiter found in pending: another part, the end, ordinary data, or not yet known.
  enum class Follow : std::uint8_t { kPart, kClose, kNothing, kUnknown };
  struct Following {
    Follow follow = Follow::kUnknown;
    std::size_t bytes = 0;  // behind the delimiter, line end included
  };

  Following what_follows(std::string_view rest) const {
    if (rest.size() < 2) return {};
    if (rest.starts_with("--")) return {.follow = Follow::kClose, .bytes = 2};
    std::size_t blanks = 0;
    while (blanks < rest.size() && is_blank(rest[blanks])) ++blanks;
    if (blanks > kPaddingBytesMax) return {.follow = Follow::kNothing};
    const std::string_view end = rest.substr(blanks, 2);
    if (end == "\r\n") return {.follow = Follow::kPart, .bytes = blanks + 2};
    if (end.empty() || end == "\r") return {};
    return {.follow = Follow::kNothing};
  }

  Result<void> emit(std::string_view bytes) const {
    if (state != State::kData || bytes.empty()) return {};
    return events.on_data(bytes);
  }

  // Data up to the next delimiter, which ends the part (or the preamble, whose bytes go nowhere).
  Result<Progress> scan_data() {
    std::size_t from = begin;
    while (true) {
      const std::string_view bytes(pending);
      const auto found = bytes.find(delimiter, from);
      if (found == std::string_view::npos) return keep_possible_delimiter();
      const auto following = what_follows(bytes.substr(found + delimiter.size()));
      if (following.follow == Follow::kNothing) {
        from = found + 1;
        continue;
      }
      PIXMILL_RETURN_IF_ERROR(emit(bytes.substr(begin, found - begin)));
      begin = found;
      if (following.follow == Follow::kUnknown) return Progress::kNeedsMore;
      begin += delimiter.size() + following.bytes;
      if (state == State::kData) PIXMILL_RETURN_IF_ERROR(events.on_part_end());
      state = following.follow == Follow::kClose ? State::kEpilogue : State::kHeader;
      return Progress::kAdvanced;
    }
  }

  // No delimiter in sight: everything goes out but a tail that may be the beginning of one.
  Result<Progress> keep_possible_delimiter() {
    const std::string_view bytes = std::string_view(pending).substr(begin);
    std::size_t kept = std::min(bytes.size(), delimiter.size() - 1);
    while (kept > 0 && !std::string_view(delimiter).starts_with(bytes.substr(bytes.size() - kept))) --kept;
    PIXMILL_RETURN_IF_ERROR(emit(bytes.substr(0, bytes.size() - kept)));
    begin = pending.size() - kept;
    return Progress::kNeedsMore;
  }

  Result<Progress> read_header() {
    const std::string_view bytes = std::string_view(pending).substr(begin);
    const auto end = bytes.find("\r\n\r\n");
    // Up to three bytes of the end may be there already.
    const std::size_t known_bytes =
        end == std::string_view::npos ? bytes.size() - std::min<std::size_t>(bytes.size(), 3) : end;
    if (known_bytes > limits.header_bytes_max) {
      return fail(ErrorCode::kTooLarge,
                  fmt::format("The header of a multipart part is larger than {} bytes", limits.header_bytes_max));
    }
    if (end == std::string_view::npos) return Progress::kNeedsMore;
    if (++parts > limits.parts_max) {
      return fail(ErrorCode::kTooLarge, fmt::format("The multipart body has more than {} parts", limits.parts_max));
    }
    PIXMILL_TRY(const PartHeader part, parse_part_header(bytes.substr(0, end)));
    PIXMILL_RETURN_IF_ERROR(events.on_part(part));
    begin += end + 4;
    state = State::kData;
    return Progress::kAdvanced;
  }

  Result<Progress> step() {
    if (state == State::kHeader) return read_header();
    if (state == State::kEpilogue) {
      begin = pending.size();
      return Progress::kNeedsMore;
    }
    return scan_data();
  }

  Result<void> feed(std::string_view bytes) {
    pending.append(bytes);
    while (true) {
      PIXMILL_TRY(const Progress progress, step());
      if (progress == Progress::kNeedsMore) break;
    }
    pending.erase(0, begin);
    begin = 0;
    return {};
  }

  std::string delimiter;  // CRLF, two hyphens, the boundary
  Events events;
  MultipartLimits limits;
  State state = State::kPreamble;
  std::size_t parts = 0;
  std::string pending;    // not yet understood: at most one feed, plus a header or a delimiter
  std::size_t begin = 0;  // of what is not yet understood in pending
  std::optional<Error> failure;
};

MultipartParser::MultipartParser(std::string boundary, Events events, MultipartLimits limits)
    : impl_(std::make_unique<Impl>()) {
  impl_->delimiter = "\r\n--" + boundary;
  impl_->events = std::move(events);
  impl_->limits = limits;
  // The first boundary may stand at the very beginning, without a line end before it.
  impl_->pending = "\r\n";
}

MultipartParser::~MultipartParser() = default;

Result<void> MultipartParser::feed(std::string_view bytes) {
  if (impl_->failure) return std::unexpected(*impl_->failure);
  auto fed = impl_->feed(bytes);
  if (!fed) impl_->failure = fed.error();
  return fed;
}

Result<void> MultipartParser::finish() {
  if (impl_->failure) return std::unexpected(*impl_->failure);
  if (impl_->state != Impl::State::kEpilogue) return malformed("it ends before its closing boundary");
  return {};
}

std::optional<std::string> multipart_boundary(std::string_view content_type) {
  const auto type_end = content_type.find(';');
  if (type_end == std::string_view::npos) return std::nullopt;
  if (!equals_ignoring_case(trim(content_type.substr(0, type_end)), "multipart/form-data")) return std::nullopt;
  const auto parameters = parse_parameters(content_type.substr(type_end));
  if (!parameters) return std::nullopt;
  auto boundary = parameter(*parameters, "boundary");
  const bool good = boundary && !boundary->empty() && boundary->size() <= 70 && boundary->back() != ' ' &&
                    std::ranges::all_of(*boundary, is_boundary_char);
  return good ? boundary : std::nullopt;
}

}  // namespace pixmill::http
