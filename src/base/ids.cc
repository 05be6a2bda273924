#include "base/ids.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <cctype>

#include "base/error.h"

namespace pixmill {

namespace {

std::string uuid_text(std::array<std::uint8_t, 16> bytes, int version) {
  bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0f) | (version << 4));
  bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3f) | 0x80);
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", bytes[i]);
  }
  return text;
}

}  // namespace

Uuid Uuid::random() {
  std::array<std::uint8_t, 16> bytes{};
  PIXMILL_CHECK(getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  return Uuid(uuid_text(bytes, 4));
}

Uuid Uuid::from_digest(std::span<const std::uint8_t> digest) {
  PIXMILL_CHECK(digest.size() >= 16);
  std::array<std::uint8_t, 16> bytes{};
  std::copy_n(digest.begin(), bytes.size(), bytes.begin());
  return Uuid(uuid_text(bytes, 8));
}

std::optional<Uuid> Uuid::parse(std::string_view text) {
  if (text.size() != 36) return std::nullopt;
  std::string lower;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const auto c = static_cast<unsigned char>(text[i]);
    if (dash ? c != '-' : std::isxdigit(c) == 0) return std::nullopt;
    lower += static_cast<char>(std::tolower(c));
  }
  return Uuid(std::move(lower));
}

}  // namespace pixmill
