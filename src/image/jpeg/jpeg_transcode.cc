#include "image/jpeg/jpeg_transcode.h"

#include <algorithm>
#include <new>
#include <optional>
#include <vector>

#include "image/icc.h"
#include "image/jpeg/block_coder.h"
#include "image/jpeg/block_store.h"
#include "image/jpeg/coded_picture.h"
#include "image/jpeg/decode_scan.h"
#include "image/jpeg/orientation.h"
#include "image/jpeg/progressive_source.h"
#include "image/jpeg/quantisation.h"
#include "image/jpeg/read_source.h"
#include "image/jpeg/write_file.h"
#include "image/jpeg_segments.h"

namespace pixmill::image {

namespace {

using jpeg::BlockCoder;
using jpeg::BlockStore;
using jpeg::CodedPicture;
using jpeg::Frame;
using jpeg::Orientation;
using jpeg::QuantTable;
using jpeg::Requantiser;
using QuantTables = std::array<QuantTable, jpeg::kComponentsMax>;

jpeg::Rounding rounding_of(const TranscodeOptions& options) {
  switch (options.rounding) {
    case TranscodeOptions::Rounding::kNearest:
      return jpeg::Rounding::kNearest;
    case TranscodeOptions::Rounding::kDeadZone:
      return jpeg::Rounding::kDeadZone;
    case TranscodeOptions::Rounding::kTrellis:
      return jpeg::Rounding::kTrellis;
  }
  return jpeg::Rounding::kNearest;
}

// What is asked for, in the upright picture.
QuantTable target_table(unsigned component, const TranscodeOptions& options) {
  const auto channel = component == 0 ? jpeg::Channel::kLuma : jpeg::Channel::kChroma;
  return options.tables == JpegTables::kStandard ? jpeg::standard_table(channel, options.quality)
                                                 : jpeg::balanced_table(channel, options.quality);
}

// Everything that is decided before a coefficient is read.
struct Plan {
  Frame frame;  // of the upright picture
  Orientation orientation;
  QuantTables quant_tables{};  // of the upright picture
  jpeg::Rounding rounding = jpeg::Rounding::kNearest;
  std::vector<Requantiser> requantisers;  // by component

  // Blocks are written down as they are decoded, in the order in which they come.
  [[nodiscard]] bool is_plain() const { return orientation.is_upright() && rounding != jpeg::Rounding::kTrellis; }
  [[nodiscard]] BlockCoder coder() const {
    return {orientation, rounding == jpeg::Rounding::kTrellis ? jpeg::Quantising::kTrellis : jpeg::Quantising::kDone};
  }
};

// True when the source is about as coarse as what is asked for, by either kind of table: whoever made it from better
// pixels chose its errors better than we could, and a second rounding to steps of nearly the same size costs more in
// looks than it saves in bytes. The standard tables are for those who want exactly those steps.
bool is_near_already(const QuantTable& source_luma, const TranscodeOptions& options) {
  constexpr double kNear = 1.1;
  if (options.tables == JpegTables::kStandard || !options.keep_near_source) return false;
  return jpeg::coarseness(jpeg::standard_table(jpeg::Channel::kLuma, options.quality), source_luma) < kNear ||
         jpeg::coarseness(jpeg::balanced_table(jpeg::Channel::kLuma, options.quality), source_luma) < kNear;
}

Result<Plan> make_plan(const Frame& source, const QuantTables& source_tables, const TranscodeOptions& options) {
  Plan plan;
  plan.orientation = jpeg::orientation_of(options.orientation);
  const auto partial = options.trim_partial_mcus ? jpeg::PartialMcus::kTrim : jpeg::PartialMcus::kRefuse;
  const auto frame = jpeg::upright_frame(source, plan.orientation, partial);
  if (!frame) return std::unexpected(jpeg::odd_source("partly filled MCUs would come to the left or the top"));
  plan.frame = *frame;
  const auto turned = [&](const QuantTable& table) {
    return plan.orientation.transpose ? jpeg::transposed(table) : table;
  };
  const bool keep = is_near_already(turned(source_tables[0]), options);
  plan.rounding = keep ? jpeg::Rounding::kNearest : rounding_of(options);
  for (unsigned i = 0; i < source.component_count; ++i) {
    const QuantTable own = turned(source_tables[i]);
    plan.quant_tables[i] = keep ? own : jpeg::coarser_of(own, target_table(i, options));
    plan.requantisers.push_back(jpeg::make_requantiser(source_tables[i], turned(plan.quant_tables[i]), plan.rounding));
  }
  return plan;
}

Result<void> decode_sequential(std::string_view bytes, const jpeg::Source& source, const Plan& plan,
                               BlockStore& store) {
  const BlockCoder coder = plan.coder();
  for (const jpeg::Scan& scan : source.scans) {
    const auto end =
        jpeg::decode_scan(scan, source.frame, plan.requantisers, plan.is_plain() ? nullptr : &coder, store);
    switch (end) {
      case jpeg::ScanEnd::kComplete:
        break;
      case jpeg::ScanEnd::kDataEnded:
        return std::unexpected(jpeg::data_ended(bytes));
      case jpeg::ScanEnd::kBadCode:
        return fail(ErrorCode::kDecodeFailed, "the jpeg file is damaged: its picture data is corrupt");
      case jpeg::ScanEnd::kOdd:
        return std::unexpected(jpeg::odd_source("values out of range"));
    }
  }
  return {};
}

// True when the blocks come as an interleaved scan of the output wants them.
bool comes_in_order(const jpeg::Source& source, const Plan& plan) {
  if (!plan.orientation.is_upright() || source.scans.size() != 1) return false;
  const auto& parts = source.scans[0].components;
  return std::is_sorted(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.index < b.index; });
}

// The source's profile if it is to be written.
std::string profile_to_keep(std::string_view bytes, const jpeg::Source& source, const TranscodeOptions& options) {
  if (!source.has_profile || options.profile == TranscodeOptions::Profile::kDrop) return {};
  std::string profile = read_jpeg_metadata(bytes).icc;
  return is_srgb_profile(profile) ? std::string() : profile;
}

std::string write(const CodedPicture& picture, const jpeg::FileHead& head, bool progressive) {
  // Five scans have five heads; below about 100 × 100 pixels one scan may be smaller.
  constexpr std::uint32_t kSmallMcus = 100;
  if (!progressive) return jpeg::write_baseline(picture, head);
  std::string file = jpeg::write_progressive(picture, head);
  if (picture.frame.mcus_wide * picture.frame.mcus_high > kSmallMcus) return file;
  std::string baseline = jpeg::write_baseline(picture, head);
  return baseline.size() <= file.size() ? baseline : file;
}

Result<std::string> transcode(std::string_view bytes, const TranscodeOptions& options) {
  PIXMILL_TRY(const jpeg::Source source, jpeg::read_source(bytes));
  std::optional<jpeg::ProgressiveSource> progressive;
  if (source.progressive) {
    PIXMILL_TRY(progressive, jpeg::ProgressiveSource::read(bytes, source.frame));
  }
  const QuantTables& source_tables = progressive ? progressive->quant_tables() : source.quant_tables;
  PIXMILL_TRY(const Plan plan, make_plan(source.frame, source_tables, options));

  BlockStore store(source.frame, bytes.size() / 2);
  if (progressive) {
    PIXMILL_RETURN_IF_ERROR(progressive->requantise(source.frame, plan.requantisers, plan.coder(), store));
  } else {
    PIXMILL_RETURN_IF_ERROR(decode_sequential(bytes, source, plan, store));
  }

  CodedPicture picture{.frame = plan.frame,
                       .views = {},
                       .quant_tables = plan.quant_tables,
                       .store = &store,
                       .in_order = comes_in_order(source, plan)};
  if (!picture.in_order) jpeg::fill_padding(source.frame, store);
  for (unsigned i = 0; i < plan.frame.component_count; ++i) {
    picture.views.push_back(jpeg::upright_view(store.planes[i], plan.frame.component_array[i], plan.orientation));
  }
  const std::string profile = profile_to_keep(bytes, source, options);
  return write(picture, {.density = source.density, .exif = options.exif, .xmp = options.xmp, .icc = profile},
               options.progressive);
}

}  // namespace

Result<std::string> transcode_jpeg(std::string_view source, const TranscodeOptions& options) {
  PIXMILL_CHECK(options.quality >= 1 && options.quality <= 100);
  try {
    return transcode(source, options);
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::kTooLarge, "the picture needs more memory than an engine may use");
  }
}

}  // namespace pixmill::image
