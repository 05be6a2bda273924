// Bits out of entropy-coded data, most significant first, without a test per bit or byte: the data is padded, reading
// past its end is harmless, and overrun() tells afterwards.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pixmill::image::jpeg {

class BitReader {
 public:
  // Whoever reads on without asking overrun() must have asked for no more than this since the last time.
  static constexpr std::size_t kPaddingBytes = 512;
  // What refill() guarantees.
  static constexpr unsigned kRefilledBits = 56;

  // Reads [begin, end), no stuffing in it. kPaddingBytes more must be readable.
  BitReader(const std::uint8_t* begin, const std::uint8_t* end) : at_(begin), end_(end) {}

  // Afterwards kRefilledBits may be dropped. Loads eight bytes and counts those that fit as read; the bits beyond them
  // lie in the window too, and the next refill puts the same bits there.
  void refill() {
    window_ |= load() >> count_;
    at_ += (63 - count_) >> 3;
    count_ |= kRefilledBits;
  }
  // The next bits from the top down.
  [[nodiscard]] std::uint64_t window() const { return window_; }
  // `bits` at most 63, and no more than are left of a refill.
  void drop(unsigned bits) {
    window_ <<= bits;
    count_ -= bits;
  }
  // More bits were dropped than there were.
  [[nodiscard]] bool overrun() const { return (at_ - end_) * 8 > static_cast<std::ptrdiff_t>(count_); }

 private:
  [[nodiscard]] std::uint64_t load() const {
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, at_, sizeof(bytes));
    return std::endian::native == std::endian::little ? std::byteswap(bytes) : bytes;
  }

  const std::uint8_t* at_;
  const std::uint8_t* end_;
  std::uint64_t window_ = 0;
  unsigned count_ = 0;  // bits of the window that are accounted for in at_
};

}  // namespace pixmill::image::jpeg
