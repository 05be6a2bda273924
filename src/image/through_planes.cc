#include "image/through_planes.h"

#include <utility>

#include "image/encode.h"
#include "image/jpeg/reduced_planes.h"
#include "image/jpeg_codec.h"
#include "image/jpeg_segments.h"
#include "image/tiff_directory.h"
#include "image/xmp.h"

namespace pixmill::image {

namespace {

// How finely chroma is coded: every so many pixels, both ways.
std::uint32_t chroma_step(const OutputPlan& plan) { return halves_chroma(plan.encode) ? 2 : 1; }

Resolution finer(Resolution a, Resolution b) {
  return {.across = std::max(a.across, b.across), .down = std::max(a.down, b.down)};
}

}  // namespace

std::optional<PlanarPlan> ThroughPlanes::expect(const OutputPlan& plan) {
  const bool colours_stay = facts_.is_srgb || plan.encode.keep_icc;
  if (format_ != Format::kJpeg || plan.encode.format != Format::kJpeg || !colours_stay) return std::nullopt;
  const auto planar = plan_planar(plan, facts_);
  if (planar) {
    ++outputs_left_;
    luma_wanted_ = finer(luma_wanted_, resolution_of(*planar, 1));
    chroma_wanted_ = finer(chroma_wanted_, resolution_of(*planar, chroma_step(plan)));
  }
  return planar;
}

Result<std::optional<Encoded>> ThroughPlanes::encode(const OutputPlan& plan, const PlanarPlan& planar) {
  --outputs_left_;
  if (given_up_) return std::nullopt;
  Result<Encoded> result = make(plan, planar);
  if (!result && result.error().code == ErrorCode::kTooLarge) {
    given_up_ = true;  // pixels come in strips, of which fewer are held at a time
    decoded_.reset();
    return std::nullopt;
  }
  if (!result) {
    if (result.error().code == ErrorCode::kUnsupportedFormat) return std::nullopt;
    return std::unexpected(std::move(result).error());
  }
  if (plan.output->max_bytes && result->bytes.size() > *plan.output->max_bytes) return std::nullopt;
  // Quality went down so far that colour would be coarser.
  EncodeOptions used = plan.encode;
  used.quality = result->quality;
  if (halves_chroma(used) != halves_chroma(plan.encode)) return std::nullopt;
  result->size = plan.size;
  return std::move(*result);
}

Result<Encoded> ThroughPlanes::make(const OutputPlan& plan, const PlanarPlan& planar) {
  if (!decoded_) {
    PIXMILL_TRY(decoded_, decode());
  }
  PIXMILL_TRY(Planes planes, scaled(plan, planar));
  return encode_planes(planes, plan);
}

Result<Planes> ThroughPlanes::decode() const {
  auto reduced = jpeg::decode_reduced(source_, luma_wanted_, chroma_wanted_);
  if (reduced || reduced.error().code == ErrorCode::kTooLarge) return reduced;
  // libjpeg reads more, and judges what is damaged.
  std::uint32_t shrink = 8;
  while (shrink > 1 && std::max(luma_wanted_.across, luma_wanted_.down) * kDecodeMargin * shrink > 1) shrink /= 2;
  return decode_jpeg_planes(source_, shrink);
}

Result<Planes> ThroughPlanes::scaled(const OutputPlan& plan, const PlanarPlan& planar) {
  const bool is_last = outputs_left_ == 0;  // each plane of the source goes as soon as the result's is there
  Planes planes;
  for (Plane& source : *decoded_) {
    const bool is_luma = planes.empty();
    const std::uint32_t step = is_luma ? 1 : chroma_step(plan);
    const Region region = plane_region(planar, source, step);
    const SizePx size = plane_size(planar, step);
    Plane own;
    if (is_last && is_whole(source, region, size)) {
      own = std::move(source);
    } else {
      PIXMILL_TRY(own, resize_plane(source, region, size));
    }
    if (is_last) source = Plane{};
    PIXMILL_TRY(Plane turned, turn_plane(std::move(own), planar.orientation));
    planes.push_back(std::move(turned));
  }
  return planes;
}

Result<Encoded> ThroughPlanes::encode_planes(Planes& planes, const OutputPlan& plan) const {
  const EncodeOptions& encode = plan.encode;
  const JpegMetadata metadata = read_jpeg_metadata(source_);
  std::string exif;
  std::string xmp;
  if (encode.metadata == Metadata::kCopyright) exif = exif_copyright(metadata.exif);
  if (encode.metadata == Metadata::kKeep) {
    exif = exif_made_upright(metadata.exif);
    xmp = xmp_made_upright(metadata.xmp);
  }
  JpegOptions options{.tables = encode.tables,
                      .rounding = jpeg_rounding(encode),
                      .progressive = encode.progressive.value_or(true),
                      .exif = exif,
                      .xmp = xmp};
  if (encode.keep_icc) options.icc = metadata.icc;
  const auto at_quality = [&](int quality) {
    options.quality = quality;
    return encode_jpeg_planes(planes, options);
  };
  return fit_quality(at_quality, encode.quality, plan.output->max_bytes);
}

}  // namespace pixmill::image
