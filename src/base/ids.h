// Identifiers as distinct types.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pixmill {

// RFC 9562 UUID, kept as its canonical lower-case text of 36 characters.
class Uuid {
 public:
  // Version 4, from the kernel's random source.
  [[nodiscard]] static Uuid random();
  // Version 8 from the first 128 bits of a digest (at least 16 bytes), version and variant bits overwritten.
  [[nodiscard]] static Uuid from_digest(std::span<const std::uint8_t> digest);
  // nullopt unless `text` is 8-4-4-4-12 hexadecimal digits; upper case is folded.
  [[nodiscard]] static std::optional<Uuid> parse(std::string_view text);

  Uuid() = default;  // the nil UUID
  [[nodiscard]] const std::string& text() const { return text_; }
  auto operator<=>(const Uuid&) const = default;

 private:
  explicit Uuid(std::string text) : text_(std::move(text)) {}
  std::string text_ = "00000000-0000-0000-0000-000000000000";
};

// A job's public id.
struct JobId {
  Uuid uuid;
  [[nodiscard]] const std::string& text() const { return uuid.text(); }
  auto operator<=>(const JobId&) const = default;
};

}  // namespace pixmill

template <>
struct std::hash<pixmill::JobId> {
  std::size_t operator()(const pixmill::JobId& id) const noexcept { return std::hash<std::string>{}(id.text()); }
};
