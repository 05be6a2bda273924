#include "engine/protocol.h"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <optional>
#include <type_traits>

#include "base/text.h"

namespace pixmill::engine {

namespace {

constexpr std::string_view kMagic = "PXE1";
constexpr std::size_t kTextMax = 4096;
// Digests may be longer than the addresses in whose place they stand.
constexpr std::size_t kRecipeMax = image::kRecipeBytesMax + kMarksMax * 80;
constexpr std::size_t kDigestDigits = 64;
constexpr std::size_t kMessageMax = 512;
constexpr std::size_t kNameMax = 64;
constexpr std::size_t kLoadersMax = 64;

enum class Kind : std::uint8_t {
  kRender = 1,
  kProbe,
  kReady,
  kRendered,
  kFailed,
  kProbed,
  kMarksWanted,
  kMark,
  kMarkKept
};

// What an engine may report about a picture; everything else is its parent's to say.
constexpr std::array kEngineErrors = {ErrorCode::kNotAnImage,     ErrorCode::kUnsupportedFormat, ErrorCode::kTooLarge,
                                      ErrorCode::kTruncated,      ErrorCode::kDecodeFailed,      ErrorCode::kInternal,
                                      ErrorCode::kInvalidArgument};

class Writer {
 public:
  explicit Writer(Kind kind) : bytes_(kMagic) {
    u32(0);  // the length, filled in at the end
    u8(static_cast<std::uint8_t>(kind));
  }
  void u8(std::uint8_t value) { put(value, 1); }
  void u32(std::uint32_t value) { put(value, 4); }
  void u64(std::uint64_t value) { put(value, 8); }
  void flag(bool value) { u8(value ? 1 : 0); }
  // Cut at `max`, which the reader insists on.
  void text(std::string_view value, std::size_t max) {
    const std::string_view cut = value.substr(0, max);
    u32(static_cast<std::uint32_t>(cut.size()));
    bytes_.append(cut);
  }
  [[nodiscard]] std::string take() {
    for (std::size_t i = 0; i < 4; ++i) bytes_[kMagic.size() + i] = static_cast<char>(bytes_.size() >> (8 * i) & 0xFF);
    return std::move(bytes_);
  }

 private:
  void put(std::uint64_t value, int count) {
    for (int i = 0; i < count; ++i) bytes_.push_back(static_cast<char>(value >> (8 * i) & 0xFF));
  }
  std::string bytes_;
};

// Reads fields until one is missing or out of bounds; from then on everything reads as zero and ok() is false.
class Reader {
 public:
  explicit Reader(std::string_view packet) : bytes_(packet) {
    if (packet.size() > kPacketBytesMax || take(kMagic.size()) != kMagic || u32() != packet.size()) ok_ = false;
  }
  [[nodiscard]] std::uint8_t u8() { return static_cast<std::uint8_t>(get(1)); }
  [[nodiscard]] std::uint32_t u32() { return static_cast<std::uint32_t>(get(4)); }
  [[nodiscard]] std::uint64_t u64() { return get(8); }
  [[nodiscard]] bool flag() {
    const std::uint8_t value = u8();
    if (value > 1) ok_ = false;
    return value == 1;
  }
  // A count of things that take at least one byte each.
  [[nodiscard]] std::size_t count(std::size_t max) {
    const std::uint32_t value = u32();
    if (value > max || value > bytes_.size()) ok_ = false;
    return ok_ ? value : 0;
  }
  // Valid UTF-8 without control characters, so that it may be shown.
  [[nodiscard]] std::string text(std::size_t max) {
    const std::uint32_t size = u32();
    if (size > max) ok_ = false;
    std::string value(take(ok_ ? size : 0));
    const bool plain = std::none_of(value.begin(), value.end(),
                                    [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
    if (!plain || !is_valid_utf8(value)) ok_ = false;
    return ok_ ? value : std::string();
  }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool finished() const { return ok_ && bytes_.empty(); }

 private:
  std::string_view take(std::size_t count) {
    if (count > bytes_.size()) ok_ = false;
    if (!ok_) return {};
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }
  std::uint64_t get(std::size_t count) {
    std::uint64_t value = 0;
    const std::string_view taken = take(count);
    for (std::size_t i = 0; i < taken.size(); ++i) {
      value |= static_cast<std::uint64_t>(static_cast<std::uint8_t>(taken[i])) << (8 * i);
    }
    return value;
  }
  std::string_view bytes_;
  bool ok_ = true;
};

std::unexpected<Error> malformed() { return fail(ErrorCode::kInvalidArgument, "a malformed packet"); }

// Control characters and broken UTF-8, which decoders' messages may hold, would make the reader refuse the packet.
std::string printable(std::string_view text, std::size_t max) {
  std::string result(text.substr(0, max));
  const bool ascii_only = !is_valid_utf8(result);
  for (char& c : result) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F || (ascii_only && byte >= 0x80)) c = '?';
  }
  return result;
}

std::optional<image::Format> read_format(Reader& reader) {
  const std::uint8_t value = reader.u8();
  if (value > static_cast<std::uint8_t>(image::Format::kHeif)) return std::nullopt;
  return static_cast<image::Format>(value);
}

void write(Writer& writer, const RenditionHead& head) {
  writer.u8(static_cast<std::uint8_t>(head.format));
  writer.u32(head.width_px);
  writer.u32(head.height_px);
  writer.u8(head.quality);
  writer.flag(head.source_kept);
  writer.flag(head.first_frame);
  writer.flag(head.fitted);
  writer.u64(head.bytes);
  writer.u8(static_cast<std::uint8_t>(head.scored));
  if (head.scored == image::Scored::kYes) writer.u64(std::bit_cast<std::uint64_t>(head.score));
}

Result<void> read_score(Reader& reader, RenditionHead& head) {
  const std::uint8_t scored = reader.u8();
  if (scored > static_cast<std::uint8_t>(image::Scored::kFailed)) return malformed();
  head.scored = static_cast<image::Scored>(scored);
  if (head.scored == image::Scored::kYes) head.score = std::bit_cast<double>(reader.u64());
  if (!std::isfinite(head.score)) return malformed();
  return {};
}

void write(Writer& writer, const std::optional<image::StageTimes>& times) {
  writer.flag(times.has_value());
  if (!times) return;
  for (const auto time : {times->decode, times->transform, times->encode}) {
    writer.u64(static_cast<std::uint64_t>(std::max<std::int64_t>(time.count(), 0)));
  }
}

std::optional<image::StageTimes> read_times(Reader& reader, bool& plausible) {
  if (!reader.flag()) return std::nullopt;
  constexpr std::uint64_t kDayMicroseconds = 86'400'000'000;
  image::StageTimes times;
  for (auto* const time : {&times.decode, &times.transform, &times.encode}) {
    const std::uint64_t microseconds = reader.u64();
    plausible = plausible && microseconds <= kDayMicroseconds;
    *time = std::chrono::microseconds(std::min(microseconds, kDayMicroseconds));
  }
  return times;
}

Result<RenditionHead> read_head(Reader& reader) {
  RenditionHead head;
  const auto format = read_format(reader);
  head.width_px = reader.u32();
  head.height_px = reader.u32();
  head.quality = reader.u8();
  head.source_kept = reader.flag();
  head.first_frame = reader.flag();
  head.fitted = reader.flag();
  head.bytes = reader.u64();
  PIXMILL_RETURN_IF_ERROR(read_score(reader, head));
  if (!format || head.quality > 100) return malformed();
  head.format = *format;
  return head;
}

std::string encode_answer(const ReadyAnswer& answer) {
  Writer writer(Kind::kReady);
  writer.flag(answer.seccomp);
  writer.u32(answer.landlock_abi);
  return writer.take();
}

std::string encode_answer(const RenderedAnswer& answer) {
  Writer writer(Kind::kRendered);
  writer.u8(static_cast<std::uint8_t>(answer.source.format));
  writer.u32(answer.source.width_px);
  writer.u32(answer.source.height_px);
  writer.u32(answer.source.frames);
  writer.u32(static_cast<std::uint32_t>(answer.renditions.size()));
  for (const auto& head : answer.renditions) write(writer, head);
  write(writer, answer.times);
  return writer.take();
}

std::string encode_answer(const FailedAnswer& answer) {
  Writer writer(Kind::kFailed);
  writer.u8(static_cast<std::uint8_t>(answer.error.code));
  writer.text(printable(answer.error.message, kMessageMax), kMessageMax);
  writer.text(printable(answer.error.detail, kTextMax), kTextMax);
  return writer.take();
}

std::string encode_answer(const MarksWantedAnswer& /*answer*/) { return Writer(Kind::kMarksWanted).take(); }

std::string encode_answer(const MarkKeptAnswer& /*answer*/) { return Writer(Kind::kMarkKept).take(); }

std::string encode_answer(const ProbedAnswer& answer) {
  Writer writer(Kind::kProbed);
  writer.u32(static_cast<std::uint32_t>(answer.attempts.size()));
  for (const auto& attempt : answer.attempts) {
    writer.text(attempt.thread, kNameMax);
    writer.text(attempt.name, kNameMax);
    writer.u32(static_cast<std::uint32_t>(attempt.errno_value));
  }
  const std::size_t loaders = std::min(answer.unexpected_loaders.size(), kLoadersMax);
  writer.u32(static_cast<std::uint32_t>(loaders));
  for (std::size_t i = 0; i < loaders; ++i) writer.text(answer.unexpected_loaders[i], kNameMax);
  return writer.take();
}

Result<Answer> read_ready(Reader& reader) {
  ReadyAnswer answer;
  answer.seccomp = reader.flag();
  answer.landlock_abi = reader.u32();
  return answer;
}

Result<Answer> read_rendered(Reader& reader, std::uint64_t output_bytes_max) {
  RenderedAnswer answer;
  const auto format = read_format(reader);
  answer.source.width_px = reader.u32();
  answer.source.height_px = reader.u32();
  answer.source.frames = reader.u32();
  if (!format) return malformed();
  answer.source.format = *format;
  std::uint64_t left = output_bytes_max;
  for (std::size_t i = reader.count(kRenditionsMax); i > 0; --i) {
    PIXMILL_TRY(const RenditionHead head, read_head(reader));
    if (!reader.ok() || head.bytes > left) return malformed();
    left -= head.bytes;
    answer.renditions.push_back(head);
  }
  bool plausible = true;
  answer.times = read_times(reader, plausible);
  if (answer.renditions.empty() || !plausible) return malformed();
  return answer;
}

Result<Answer> read_failed(Reader& reader) {
  FailedAnswer answer;
  const auto code = static_cast<ErrorCode>(reader.u8());
  if (std::find(kEngineErrors.begin(), kEngineErrors.end(), code) == kEngineErrors.end()) return malformed();
  answer.error.code = code;
  answer.error.message = reader.text(kMessageMax);
  answer.error.detail = reader.text(kTextMax);
  return answer;
}

Result<Answer> read_probed(Reader& reader) {
  ProbedAnswer answer;
  for (std::size_t i = reader.count(kAttemptsMax); i > 0; --i) {
    Attempt attempt;
    attempt.thread = reader.text(kNameMax);
    attempt.name = reader.text(kNameMax);
    attempt.errno_value = static_cast<std::int32_t>(reader.u32());
    answer.attempts.push_back(std::move(attempt));
  }
  for (std::size_t i = reader.count(kLoadersMax); i > 0; --i)
    answer.unexpected_loaders.push_back(reader.text(kNameMax));
  return answer;
}

Result<Answer> read_answer(Reader& reader, Kind kind, std::uint64_t output_bytes_max) {
  switch (kind) {
    case Kind::kReady:
      return read_ready(reader);
    case Kind::kRendered:
      return read_rendered(reader, output_bytes_max);
    case Kind::kFailed:
      return read_failed(reader);
    case Kind::kProbed:
      return read_probed(reader);
    case Kind::kMarksWanted:
      return MarksWantedAnswer{};
    case Kind::kMarkKept:
      return MarkKeptAnswer{};
    default:
      return malformed();
  }
}

void write(Writer& writer, const image::Limits& limits) {
  writer.u64(limits.pixels_max);
  writer.u64(limits.avif_pixels_max);
}

image::Limits read_limits(Reader& reader) {
  image::Limits limits;
  limits.pixels_max = reader.u64();
  limits.avif_pixels_max = reader.u64();
  return limits;
}

Result<std::string> read_digest(Reader& reader) {
  std::string digest = reader.text(kDigestDigits);
  if (digest.size() != kDigestDigits || digest.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return malformed();
  }
  return digest;
}

std::string encode_request(const RenderRequest& request) {
  Writer writer(Kind::kRender);
  writer.text(request.recipe, kRecipeMax);
  write(writer, request.limits);
  writer.u64(request.source_bytes);
  writer.u32(static_cast<std::uint32_t>(request.marks.size()));
  for (const std::string& mark : request.marks) writer.text(mark, kDigestDigits);
  writer.flag(request.measure == image::Measure::kYes);
  return writer.take();
}

std::string encode_request(const MarkRequest& request) {
  Writer writer(Kind::kMark);
  writer.text(request.sha256, kDigestDigits);
  write(writer, request.limits);
  writer.u64(request.bytes);
  return writer.take();
}

std::string encode_request(const ProbeRequest& /*request*/) { return Writer(Kind::kProbe).take(); }

Result<Request> read_render(Reader& reader, std::uint64_t input_bytes_max) {
  RenderRequest request;
  request.recipe = reader.text(kRecipeMax);
  request.limits = read_limits(reader);
  request.source_bytes = reader.u64();
  if (request.source_bytes > input_bytes_max) return malformed();
  for (std::size_t i = reader.count(kMarksMax); i > 0; --i) {
    PIXMILL_TRY(std::string digest, read_digest(reader));
    request.marks.push_back(std::move(digest));
  }
  request.measure = reader.flag() ? image::Measure::kYes : image::Measure::kNo;
  return request;
}

Result<Request> read_mark(Reader& reader, std::uint64_t input_bytes_max) {
  MarkRequest request;
  PIXMILL_TRY(request.sha256, read_digest(reader));
  request.limits = read_limits(reader);
  request.bytes = reader.u64();
  if (request.bytes == 0 || request.bytes > input_bytes_max) return malformed();
  return request;
}

Result<Request> read_request(Reader& reader, Kind kind, std::uint64_t input_bytes_max) {
  switch (kind) {
    case Kind::kRender:
      return read_render(reader, input_bytes_max);
    case Kind::kMark:
      return read_mark(reader, input_bytes_max);
    case Kind::kProbe:
      return ProbeRequest{};
    default:
      return malformed();
  }
}

}  // namespace

std::string encode(const Request& request) {
  return std::visit([](const auto& one) { return encode_request(one); }, request);
}

std::string encode(const Answer& answer) {
  return std::visit([](const auto& one) { return encode_answer(one); }, answer);
}

Result<Request> decode_request(std::string_view packet, std::uint64_t input_bytes_max) {
  Reader reader(packet);
  const auto kind = static_cast<Kind>(reader.u8());
  if (!reader.ok()) return malformed();
  auto request = read_request(reader, kind, input_bytes_max);
  if (!request || !reader.finished()) return malformed();
  return request;
}

Result<Answer> decode_answer(std::string_view packet, std::uint64_t output_bytes_max) {
  Reader reader(packet);
  const auto kind = static_cast<Kind>(reader.u8());
  if (!reader.ok()) return malformed();
  auto answer = read_answer(reader, kind, output_bytes_max);
  if (!answer || !reader.finished()) return malformed();
  return answer;
}

}  // namespace pixmill::engine
