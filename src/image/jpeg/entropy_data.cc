#include "image/jpeg/entropy_data.h"

#include <algorithm>
#include <cstring>

namespace pixmill::image::jpeg {

EntropyData::EntropyData(std::string_view coded, bool has_restarts)
    : bytes_(std::make_unique_for_overwrite<std::uint8_t[]>(coded.size() + BitReader::kPaddingBytes)) {
  const auto* from = reinterpret_cast<const std::uint8_t*>(coded.data());
  const auto* const end = from + coded.size();
  std::uint8_t* to = bytes_.get();
  while (from != end) {
    const auto* marker =
        static_cast<const std::uint8_t*>(std::memchr(from, 0xFF, static_cast<std::size_t>(end - from)));
    const auto* const stop = marker == nullptr ? end : marker;
    to = std::copy(from, stop, to);
    // 0xFF may be repeated before a marker, and libjpeg takes it so before a stuffed zero too.
    from = std::find_if(stop, end, [](std::uint8_t byte) { return byte != 0xFF; });
    if (from == end) break;
    const std::uint8_t code = *from++;
    if (code == 0) {
      *to++ = 0xFF;
      continue;
    }
    const bool is_restart = code >= 0xD0 && code <= 0xD7;
    if (!is_restart || !has_restarts) break;
    in_order_ = in_order_ && code - 0xD0U == ends_.size() % 8;
    ends_.push_back(static_cast<std::size_t>(to - bytes_.get()));
  }
  ends_.push_back(static_cast<std::size_t>(to - bytes_.get()));
  std::memset(to, 0, BitReader::kPaddingBytes);
}

BitReader EntropyData::piece(std::size_t index) const {
  const std::size_t begin = index == 0 ? 0 : ends_[index - 1];
  return {bytes_.get() + begin, bytes_.get() + ends_[index]};
}

}  // namespace pixmill::image::jpeg
