#include "image/jpeg/read_source.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string>

#include "image/byte_reader.h"
#include "image/format.h"
#include "image/jpeg_segments.h"
#include "image/truncation.h"

namespace pixmill::image::jpeg {

using namespace std::string_view_literals;

namespace {

constexpr std::uint8_t kSof2 = 0xC2;  // progressive; below it, the two sequential kinds
constexpr std::uint8_t kDht = 0xC4;
constexpr std::uint8_t kDqt = 0xDB;
constexpr std::uint8_t kDnl = 0xDC;
constexpr std::uint8_t kDri = 0xDD;
constexpr std::uint32_t kSideMax = 65'500;      // libjpeg's, so that what is written can be read
constexpr std::uint32_t kBlocksPerMcuMax = 10;  // ITU T.81 B.2.3

std::unexpected<Error> damaged(std::string_view what) {
  return fail(ErrorCode::kDecodeFailed, "the jpeg file is damaged: " + std::string(what));
}

std::unexpected<Error> odd(std::string_view what) { return std::unexpected(odd_source(what)); }

// Reads one segment after another; what tables and parameters say holds until they say otherwise.
class SourceReader {
 public:
  explicit SourceReader(std::string_view bytes) : bytes_(bytes) {}
  Result<Source> read();

 private:
  Result<void> take(const JpegSegment& segment);
  Result<void> take_quant_tables(std::string_view payload);
  Result<void> take_huffman_codes(std::string_view payload);
  Result<void> take_frame(const JpegSegment& segment);
  Result<void> take_scan(const JpegSegment& segment);
  Result<ScanComponent> scan_component(std::uint8_t id, std::uint8_t codes);
  Result<void> check_scan(const Scan& scan) const;
  Result<void> check_colours() const;
  void take_jfif(std::string_view payload);
  [[nodiscard]] bool complete() const;

  std::string_view bytes_;
  Source source_;
  std::array<std::optional<QuantTable>, 4> quant_tables_;
  std::array<std::uint8_t, kComponentsMax> quant_selectors_{};
  std::array<std::optional<HuffmanCode>, 4> dc_codes_;
  std::array<std::optional<HuffmanCode>, 4> ac_codes_;
  std::array<bool, kComponentsMax> scanned_{};
  std::uint32_t restart_interval_ = 0;
  bool has_frame_ = false;
  bool has_jfif_ = false;
  std::optional<std::uint8_t> adobe_transform_;
};

Result<Source> SourceReader::read() {
  constexpr std::string_view kBegin = "\xFF\xD8"sv;
  if (bytes_.substr(0, 2) != kBegin.substr(0, bytes_.size())) return damaged("it does not begin like one");
  JpegSegments segments(bytes_);
  while (!complete()) {
    const auto segment = segments.next();
    if (!segment || segment->marker == kMarkerEoi) return std::unexpected(data_ended(bytes_));
    PIXMILL_RETURN_IF_ERROR(take(*segment));
  }
  PIXMILL_RETURN_IF_ERROR(check_colours());
  return std::move(source_);
}

bool SourceReader::complete() const {
  if (!has_frame_) return false;
  if (source_.progressive) return scanned_[0];
  return std::all_of(scanned_.begin(), scanned_.begin() + source_.frame.component_count, std::identity());
}

Result<void> SourceReader::take(const JpegSegment& segment) {
  const std::string_view payload = segment.payload;
  switch (segment.marker) {
    case kDqt:
      return take_quant_tables(payload);
    case kDht:
      return take_huffman_codes(payload);
    case kMarkerSos:
      return take_scan(segment);
    case kDnl:
      return odd("it defines its height late");
    case kDri:
      if (payload.size() != 2) return damaged("a restart interval of the wrong size");
      restart_interval_ = ByteReader(payload).u16be();
      return {};
    case kMarkerApp0:
      take_jfif(payload);
      return {};
    case kMarkerApp2:
      source_.has_profile = source_.has_profile || payload.starts_with("ICC_PROFILE\0"sv);
      return {};
    case kMarkerApp14:
      if (payload.starts_with("Adobe"sv) && payload.size() >= 12) {
        adobe_transform_ = static_cast<std::uint8_t>(payload[11]);
      }
      return {};
    default:
      return is_start_of_frame(segment.marker) ? take_frame(segment) : Result<void>();
  }
}

void SourceReader::take_jfif(std::string_view payload) {
  constexpr std::uint8_t kUnitMax = 2;
  if (has_jfif_ || !payload.starts_with("JFIF\0"sv) || payload.size() < 14) return;
  has_jfif_ = true;
  ByteReader reader(payload, 7);
  const Density density = {.unit = reader.u8(), .x = reader.u16be(), .y = reader.u16be()};
  if (density.unit <= kUnitMax && density.x > 0 && density.y > 0) source_.density = density;
}

Result<void> SourceReader::take_quant_tables(std::string_view payload) {
  ByteReader reader(payload);
  while (reader.left() > 0) {
    const unsigned head = reader.u8();
    if (head >> 4 > 1 || (head & 15U) > 3) return damaged("a quantisation table with an impossible number");
    QuantTable table{};
    for (std::uint16_t& step : table) step = head >> 4 == 0 ? reader.u8() : reader.u16be();
    if (reader.ended()) return damaged("a quantisation table that ends early");
    if (std::find(table.begin(), table.end(), 0) != table.end()) return odd("a quantisation step is 0");
    quant_tables_[head & 15U] = table;
  }
  return {};
}

Result<void> SourceReader::take_huffman_codes(std::string_view payload) {
  ByteReader reader(payload);
  while (reader.left() > 0) {
    const unsigned head = reader.u8();
    if (head >> 4 > 1 || (head & 15U) > 3) return damaged("a Huffman table with an impossible number");
    HuffmanCode code;
    for (unsigned length = 1; length <= kCodeLengthMax; ++length) code.count[length] = reader.u8();
    if (!is_valid(code)) return damaged("an impossible Huffman table");
    std::generate_n(code.symbols.begin(), code.size(), [&] { return reader.u8(); });
    if (reader.ended()) return damaged("a Huffman table that ends early");
    (head >> 4 == 0 ? dc_codes_ : ac_codes_)[head & 15U] = code;
  }
  return {};
}

Result<void> SourceReader::take_frame(const JpegSegment& segment) {
  if (has_frame_) return damaged("it has two frames");
  if (segment.marker > kSof2) return odd("its coding is not Huffman's, or lossless");
  has_frame_ = true;
  source_.progressive = segment.marker == kSof2;
  ByteReader reader(segment.payload);
  const unsigned precision = reader.u8();
  Frame& frame = source_.frame;
  frame.height_px = reader.u16be();
  frame.width_px = reader.u16be();
  frame.component_count = reader.u8();
  if (reader.ended()) return damaged("its frame ends early");
  if (precision != 8) return odd("its samples do not have 8 bits");
  if (frame.component_count != 1 && frame.component_count != 3) return odd("it is neither grey nor YCbCr");
  if (frame.width_px == 0 || frame.height_px == 0) return odd("it has no size");
  if (frame.width_px > kSideMax || frame.height_px > kSideMax) return odd("it is too large");
  for (Component& component : frame.components()) {
    component.id = reader.u8();
    const unsigned sampling = reader.u8();
    component.h = sampling >> 4;
    component.v = sampling & 15U;
    quant_selectors_[static_cast<std::size_t>(&component - frame.components().data())] = reader.u8();
    if (component.h < 1 || component.h > 4 || component.v < 1 || component.v > 4) return damaged("impossible sampling");
  }
  if (reader.ended() || reader.left() > 0) return damaged("a frame of the wrong size");
  lay_out(frame);
  std::uint32_t blocks_per_mcu = 0;
  for (const Component& component : frame.components()) {
    if (frame.h_max % component.h != 0 || frame.v_max % component.v != 0) return odd("fractional sampling");
    blocks_per_mcu += component.h * component.v;
  }
  if (blocks_per_mcu > kBlocksPerMcuMax) return odd("too many blocks in an MCU");
  // A block's mean takes a bit at least, and of an MCU's blocks no more than three quarters fill it up: a header cannot
  // claim more memory than the file is worth.
  constexpr std::uint64_t kBlocksPerByteMax = 8 * 4;
  const std::uint64_t blocks = std::uint64_t{frame.mcus_wide} * frame.mcus_high * blocks_per_mcu;
  if (blocks > kBlocksPerByteMax * bytes_.size()) return std::unexpected(data_ended(bytes_));
  return {};
}

Result<ScanComponent> SourceReader::scan_component(std::uint8_t id, std::uint8_t codes) {
  const auto components = source_.frame.components();
  const auto found = std::find_if(components.begin(), components.end(), [&](const Component& c) { return c.id == id; });
  if (found == components.end()) return damaged("a scan of an unknown component");
  const auto index = static_cast<unsigned>(found - components.begin());
  if (scanned_[index]) return odd("a component comes twice");
  scanned_[index] = true;
  const unsigned selector = quant_selectors_[index];
  if (selector > 3 || !quant_tables_[selector]) return damaged("a quantisation table is missing");
  source_.quant_tables[index] = *quant_tables_[selector];
  const unsigned dc_code = codes >> 4;
  const unsigned ac_code = codes & 15U;
  if (dc_code > 3 || ac_code > 3) return damaged("impossible Huffman tables");
  // Some cameras' films leave the standard tables out.
  if (!dc_codes_[dc_code] || !ac_codes_[ac_code]) return odd("a Huffman table is missing");
  return ScanComponent{.index = index, .dc_code = dc_code, .ac_code = ac_code};
}

Result<void> SourceReader::take_scan(const JpegSegment& segment) {
  if (!has_frame_) return damaged("a scan before the frame");
  if (source_.progressive) {
    scanned_[0] = true;
    return {};
  }
  ByteReader reader(segment.payload);
  const unsigned count = reader.u8();
  if (count < 1 || count > source_.frame.component_count) return damaged("a scan of an impossible size");
  Scan scan{.components = {},
            .dc_codes = {},
            .ac_codes = {},
            .restart_interval = restart_interval_,
            .coded = segment.entropy};
  for (unsigned i = 0; i < count; ++i) {
    const std::uint8_t id = reader.u8();
    PIXMILL_TRY(const ScanComponent component, scan_component(id, reader.u8()));
    scan.components.push_back(component);
    scan.dc_codes[component.dc_code] = *dc_codes_[component.dc_code];
    scan.ac_codes[component.ac_code] = *ac_codes_[component.ac_code];
  }
  const unsigned first = reader.u8();
  const unsigned last = reader.u8();
  const unsigned approximation = reader.u8();
  if (reader.ended() || reader.left() > 0) return damaged("a scan of the wrong size");
  if (first != 0 || last != kBlockSize - 1 || approximation != 0) return odd("a sequential scan of a part");
  PIXMILL_RETURN_IF_ERROR(check_scan(scan));
  source_.scans.push_back(std::move(scan));
  return {};
}

Result<void> SourceReader::check_scan(const Scan& scan) const {
  // Every block takes a bit for its mean and one for its end at least.
  constexpr std::uint64_t kBlocksPerByteMax = 4;
  const auto components = source_.frame.components();
  std::uint64_t blocks = 0;
  if (scan.components.size() == 1) {
    const Component& component = components[scan.components[0].index];
    blocks = std::uint64_t{component.blocks_wide} * component.blocks_high;
  } else {
    for (const ScanComponent& part : scan.components) {
      blocks += std::uint64_t{components[part.index].padded_wide} * components[part.index].padded_high;
    }
  }
  if (blocks > kBlocksPerByteMax * scan.coded.size()) return std::unexpected(data_ended(bytes_));
  return {};
}

// As libjpeg decides it: JFIF means YCbCr, else Adobe's marker says, else the components' names.
Result<void> SourceReader::check_colours() const {
  const auto components = source_.frame.components();
  if (components.size() == 1) return {};
  constexpr std::uint8_t kAdobeYcc = 1;
  if (adobe_transform_ && *adobe_transform_ != kAdobeYcc) return odd("its colours are not YCbCr");
  const bool named_rgb = components[0].id == 'R' && components[1].id == 'G' && components[2].id == 'B';
  if (!has_jfif_ && !adobe_transform_ && named_rgb) return odd("its colours are RGB");
  return {};
}

}  // namespace

Result<Source> read_source(std::string_view bytes) { return SourceReader(bytes).read(); }

Error data_ended(std::string_view bytes) {
  if (is_cut_off(bytes, Format::kJpeg)) {
    return {.code = ErrorCode::kTruncated, .message = "the jpeg file ends too early", .detail = {}};
  }
  return {
      .code = ErrorCode::kDecodeFailed, .message = "the jpeg file is damaged: picture data is missing", .detail = {}};
}

Error odd_source(std::string_view what) {
  return {.code = ErrorCode::kUnsupportedFormat,
          .message = "this jpeg file cannot be handled without decoding its pixels",
          .detail = std::string(what)};
}

}  // namespace pixmill::image::jpeg
