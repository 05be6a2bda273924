// Numbers out of untrusted bytes: every read is checked. Reading past the end gives 0 and is remembered, so that a
// parser can read a whole structure and ask once. Pure; used by the header parsers of this module.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pixmill::image {

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes, std::size_t at = 0) : bytes_(bytes), at_(at) {}

  [[nodiscard]] std::uint8_t u8() { return static_cast<std::uint8_t>(big_endian(1)); }
  [[nodiscard]] std::uint16_t u16be() { return static_cast<std::uint16_t>(big_endian(2)); }
  [[nodiscard]] std::uint32_t u32be() { return static_cast<std::uint32_t>(big_endian(4)); }
  [[nodiscard]] std::uint64_t u64be() { return big_endian(8); }
  [[nodiscard]] std::uint16_t u16le() { return static_cast<std::uint16_t>(little_endian(2)); }
  [[nodiscard]] std::uint32_t u24le() { return static_cast<std::uint32_t>(little_endian(3)); }
  [[nodiscard]] std::uint32_t u32le() { return static_cast<std::uint32_t>(little_endian(4)); }
  [[nodiscard]] std::uint64_t u64le() { return little_endian(8); }

  // `count` bytes, or fewer at the end of the input, which is then remembered.
  [[nodiscard]] std::string_view take(std::size_t count) {
    if (count > left()) ended_ = true;
    const std::string_view taken = left() == 0 ? std::string_view() : bytes_.substr(at_, count);
    at_ += taken.size();
    return taken;
  }
  void skip(std::size_t count) {
    if (count > left()) {
      ended_ = true;
      at_ = bytes_.size();
    } else {
      at_ += count;
    }
  }

  [[nodiscard]] std::size_t at() const { return at_; }
  [[nodiscard]] std::size_t left() const { return at_ >= bytes_.size() ? 0 : bytes_.size() - at_; }
  // True once anything wanted more bytes than there were.
  [[nodiscard]] bool ended() const { return ended_; }

 private:
  [[nodiscard]] bool has(std::size_t count) {
    if (count <= left()) return true;
    ended_ = true;
    at_ = bytes_.size();
    return false;
  }
  [[nodiscard]] std::uint64_t big_endian(std::size_t count) {
    std::uint64_t value = 0;
    if (!has(count)) return 0;
    for (std::size_t i = 0; i < count; ++i) value = value << 8 | static_cast<std::uint8_t>(bytes_[at_ + i]);
    at_ += count;
    return value;
  }
  [[nodiscard]] std::uint64_t little_endian(std::size_t count) {
    std::uint64_t value = 0;
    if (!has(count)) return 0;
    for (std::size_t i = 0; i < count; ++i) {
      value |= static_cast<std::uint64_t>(static_cast<std::uint8_t>(bytes_[at_ + i])) << (8 * i);
    }
    at_ += count;
    return value;
  }

  std::string_view bytes_;
  std::size_t at_ = 0;
  bool ended_ = false;
};

}  // namespace pixmill::image
