#include "image/jpeg/jpeg_transcode.h"

#include <algorithm>
#include <new>
#include <vector>

#include "image/jpeg/block_store.h"
#include "image/jpeg/coded_picture.h"
#include "image/jpeg/decode_scan.h"
#include "image/jpeg/quantisation.h"
#include "image/jpeg/read_source.h"
#include "image/jpeg/write_file.h"

namespace pixmill::image {

namespace {

using jpeg::BlockStore;
using jpeg::CodedPicture;
using jpeg::Requantiser;
using jpeg::ScanEnd;

// True when the blocks come as an interleaved scan of the output wants them.
bool scans_in_order(const jpeg::Source& source) {
  if (source.scans.size() != 1) return false;
  const auto& parts = source.scans[0].components;
  return std::is_sorted(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.index < b.index; });
}

Result<std::string> transcode(std::string_view bytes, const TranscodeOptions& options) {
  PIXMILL_TRY(const jpeg::Source source, jpeg::read_source(bytes));
  if (source.progressive) return std::unexpected(jpeg::odd_source("progressive"));
  CodedPicture picture;
  picture.frame = source.frame;
  std::vector<Requantiser> requantisers;
  for (unsigned i = 0; i < source.frame.component_count; ++i) {
    const auto channel = i == 0 ? jpeg::Channel::kLuma : jpeg::Channel::kChroma;
    picture.quant_tables[i] = jpeg::coarser_of(source.quant_tables[i], jpeg::standard_table(channel, options.quality));
    requantisers.push_back(jpeg::nearest_requantiser(source.quant_tables[i], picture.quant_tables[i]));
  }
  BlockStore store(source.frame, bytes.size() / 2);
  for (const jpeg::Scan& scan : source.scans) {
    const ScanEnd end = jpeg::decode_scan(scan, source.frame, requantisers, store);
    if (end == ScanEnd::kDataEnded) return std::unexpected(jpeg::data_ended(bytes));
    if (end == ScanEnd::kBadCode)
      return fail(ErrorCode::kDecodeFailed, "the jpeg file is damaged: its picture data is corrupt");
    if (end == ScanEnd::kOdd) return std::unexpected(jpeg::odd_source("values out of range"));
  }
  for (const jpeg::BlockPlane& plane : store.planes) {
    picture.views.push_back({.plane = &plane, .origin = 0, .step_x = 1, .step_y = plane.stride});
  }
  picture.store = &store;
  picture.in_order = scans_in_order(source);
  return jpeg::write_baseline(picture, {.density = source.density});
}

}  // namespace

Result<std::string> transcode_jpeg(std::string_view source, const TranscodeOptions& options) {
  try {
    return transcode(source, options);
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::kTooLarge, "the picture needs more memory than an engine may use");
  }
}

}  // namespace pixmill::image
