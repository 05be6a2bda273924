#include "image/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "base/text.h"
#include "image/animation.h"
#include "image/encode.h"
#include "image/fit_bytes.h"
#include "image/jpeg/jpeg_transcode.h"
#include "image/jpeg_segments.h"
#include "image/output_plan.h"
#include "image/quality_metric.h"
#include "image/score.h"
#include "image/steps.h"
#include "image/strip_metadata.h"
#include "image/through_planes.h"
#include "image/tiff_directory.h"
#include "image/transform.h"
#include "image/truncation.h"
#include "image/vips_runtime.h"
#include "image/watermark.h"
#include "image/xmp.h"

namespace pixmill::image {

namespace {

std::unexpected<Error> too_large(std::string_view what, std::uint64_t pixels, std::uint64_t pixels_max) {
  return fail(ErrorCode::kTooLarge, fmt::format("{} has {} pixels; at most {} are allowed", what, format_count(pixels),
                                                format_count(pixels_max)));
}

Result<void> check_source_size(const Header& header, const Limits& limits) {
  // Which codec lies in the container is said by a name in it that anybody can write.
  const bool costly = header.format == Format::kAvif || header.format == Format::kHeif;
  const std::uint64_t pixels_max = costly ? std::min(limits.avif_pixels_max, limits.pixels_max) : limits.pixels_max;
  const std::uint64_t frame = std::uint64_t{header.width_px} * header.height_px;
  // In this order nothing can overflow.
  if (frame > pixels_max) return too_large("the picture", frame, pixels_max);
  const std::uint64_t all = frame * header.frames;
  if (all > pixels_max) return too_large("the animation", all, pixels_max);
  return {};
}

struct Source {
  std::string_view bytes;
  Header header;
  Facts facts;
};

// What all outputs of a picture share besides the source.
struct Job {
  const Limits& limits;
  const Marks& marks;
  bool measured = false;  // stages are computed one by one
};

// Adds the time until it goes to a stage.
class Timer {
 public:
  explicit Timer(std::chrono::microseconds& stage) : stage_(stage) {}
  ~Timer() { stage_ += std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin_); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  std::chrono::microseconds& stage_;
  Clock::time_point begin_ = Clock::now();
};

// ---- Without pixels

// JPEG to JPEG with nothing to be done to the pixels but to turn them.
bool can_be_transcoded(const Source& source, const OutputPlan& plan) {
  return source.header.format == Format::kJpeg && plan.encode.format == Format::kJpeg && plan.keeps_pixels &&
         (source.facts.is_srgb || plan.encode.keep_icc);
}

Result<Encoded> transcode(const Source& source, const OutputPlan& plan) {
  std::string exif;
  std::string xmp;
  TranscodeOptions options{
      .tables = plan.encode.tables,
      .rounding = jpeg_rounding(plan.encode),
      .progressive = plan.encode.progressive.value_or(true),
      .orientation = source.facts.orientation,
      .profile = plan.encode.keep_icc ? TranscodeOptions::Profile::kKeepUnlessSrgb : TranscodeOptions::Profile::kDrop};
  if (plan.encode.metadata != Metadata::kStrip) {
    const JpegMetadata metadata = read_jpeg_metadata(source.bytes);
    const bool whole = plan.encode.metadata == Metadata::kKeep;
    exif = whole ? exif_made_upright(metadata.exif) : exif_copyright(metadata.exif);
    options.exif = exif;
    if (whole) xmp = xmp_made_upright(metadata.xmp);
    options.xmp = xmp;
  }
  const auto at_quality = [&](int quality) {
    options.quality = quality;
    return transcode_jpeg(source.bytes, options);
  };
  return fit_quality(at_quality, plan.encode.quality, plan.output->max_bytes);
}

// nullopt: take the way through pixels, whose decoder also judges whatever is damaged and may do with less memory.
std::optional<Encoded> encode_directly(const Source& source, const OutputPlan& plan) {
  if (!can_be_transcoded(source, plan)) return std::nullopt;
  auto transcoded = transcode(source, plan);
  if (!transcoded) return std::nullopt;
  if (plan.output->max_bytes && transcoded->bytes.size() > *plan.output->max_bytes) return std::nullopt;
  return std::move(*transcoded);
}

// ---- Through pixels

Result<Picture> with_colours(Picture picture, bool keep_icc) {
  return keep_icc ? keep_colours(std::move(picture)) : convert_to_srgb(std::move(picture));
}

// Null where there is none to be laid over.
Result<Mark*> find_mark(const Output& output, const Marks& marks) {
  if (!output.watermark) return nullptr;
  const auto found = marks.find(output.watermark->image);
  if (found == marks.end()) return fail(ErrorCode::kInvalidArgument, "the watermark's picture is not at hand");
  return found->second;
}

// Decoded once for all outputs that are made of pixels.
class SharedPixels {
 public:
  SharedPixels(const Source& source, Picture opened, const Job& job)
      : source_(source), opened_(std::move(opened)), job_(job), in_memory_(job.measured) {}

  // Before encode(): an output that needs them.
  void expect(const OutputPlan& plan) {
    if (plan.animated) return;
    const SizePx size = decode_size(plan, source_.facts);
    wanted_ = {.width = std::max(wanted_.width, size.width), .height = std::max(wanted_.height, size.height)};
    in_memory_ = in_memory_ || readers_ > 0 || needs_memory(*plan.output);
    keep_icc_ = keep_icc_ || plan.encode.keep_icc;
    ++readers_;
  }

  Result<Encoded> encode(const OutputPlan& plan, StageTimes& times) {
    if (plan.animated) return encode_animation(plan, times);
    PIXMILL_RETURN_IF_ERROR(decode_upright(times));
    PIXMILL_TRY(Picture picture, transformed(plan, times));
    const Timer timer(times.encode);
    return fit_bytes(std::move(picture), plan.encode, plan.output->max_bytes);
  }

  // What encode() encodes. Of outputs that are not animated.
  Result<Picture> before_encoding(const OutputPlan& plan) {
    StageTimes unused;
    PIXMILL_RETURN_IF_ERROR(decode_upright(unused));
    return transformed(plan, unused);
  }

 private:
  Result<Encoded> encode_animation(const OutputPlan& plan, StageTimes& times) {
    if (!animation_) {
      const Timer timer(times.decode);
      PIXMILL_TRY(animation_, open_animation(source_.bytes, source_.header.format, job_.limits));
    }
    PIXMILL_TRY(const Picture frames, transformed_frames(plan, times));
    const Timer timer(times.encode);
    return fit_animation(frames, plan.encode, plan.output->max_bytes);
  }

  Result<Picture> transformed_frames(const OutputPlan& plan, StageTimes& times) {
    const Timer timer(times.transform);
    PIXMILL_TRY(Mark* const mark, find_mark(*plan.output, job_.marks));
    PIXMILL_TRY(Picture frames, transform_animation(*animation_, *plan.output, job_.limits, mark));
    return job_.measured ? in_memory(std::move(frames)) : std::move(frames);
  }

  Result<Picture> transformed(const OutputPlan& plan, StageTimes& times) {
    const Timer timer(times.transform);
    PIXMILL_TRY(Mark* const mark, find_mark(*plan.output, job_.marks));
    PIXMILL_TRY(Picture coloured, keep_icc_ ? with_colours(share(upright_), plan.encode.keep_icc) : share(upright_));
    PIXMILL_TRY(Picture picture,
                transform(std::move(coloured), source_.facts.upright_size(), *plan.output, job_.limits, mark));
    if (plan.encode.format == Format::kJpeg) {
      PIXMILL_TRY(picture, flatten(std::move(picture), plan.output->background));
    }
    return job_.measured ? in_memory(std::move(picture)) : std::move(picture);
  }

  Result<void> decode_upright(StageTimes& times) {
    if (upright_.get() != nullptr) return {};
    const Timer timer(times.decode);
    Opened opened{.facts = source_.facts, .picture = std::move(opened_)};
    PIXMILL_TRY(Picture picture, decode(source_.bytes, source_.header.format, std::move(opened), wanted_));
    if (!keep_icc_) {
      PIXMILL_TRY(picture, with_colours(std::move(picture), false));
    }
    PIXMILL_TRY(upright_, make_upright(std::move(picture)));
    if (in_memory_) {
      PIXMILL_TRY(upright_, in_memory(std::move(upright_)));
    }
    return {};
  }

  const Source& source_;
  Picture opened_;
  const Job& job_;
  Picture upright_;
  std::optional<Animation> animation_;
  SizePx wanted_{.width = 1, .height = 1};
  int readers_ = 0;
  bool in_memory_;
  bool keep_icc_ = false;  // colours are then converted for each output
};

// ---- The result

// The source's own bytes, clean, where they are at least as good as the output: not larger, or animated, which the
// output is not.
std::optional<std::string> source_instead(const Source& source, const OutputPlan& plan, std::size_t output_bytes) {
  const Output& output = *plan.output;
  const bool wanted = output.keep_smaller.value_or(!output.format && !output.resize);
  const bool unchanged = plan.encode.format == source.header.format && plan.keeps_pixels &&
                         source.facts.orientation == 1 && (source.facts.is_srgb || output.keep_icc);
  if (!wanted || !unchanged || output.metadata == Metadata::kCopyright) return std::nullopt;
  std::optional<std::string> clean;
  if (output.metadata == Metadata::kKeep) {
    clean = std::string(source.bytes);
  } else {
    const ColourProfile profile = output.keep_icc ? ColourProfile::kKeep : ColourProfile::kDrop;
    clean = strip_metadata(source.bytes, source.header.format, profile);
  }
  if (!clean || is_cut_off(*clean, source.header.format)) return std::nullopt;
  if (output.max_bytes && clean->size() > *output.max_bytes) return std::nullopt;
  const bool loses_frames = source.header.frames > 1 && !plan.animated;
  return loses_frames || clean->size() <= output_bytes ? clean : std::nullopt;
}

// A return code is not success: the output must be what was asked for, by its own header.
Result<void> verify(const Rendition& rendition) {
  const auto header = read_header(rendition.bytes);
  if (!header) return fail(ErrorCode::kInternal, "the encoder wrote a broken file", header.error().message);
  if (header->format != rendition.format || header->width_px != rendition.width_px ||
      header->height_px != rendition.height_px) {
    return fail(ErrorCode::kInternal, "the encoder wrote a file of another size or format");
  }
  return {};
}

Result<Rendition> finish(const Source& source, const OutputPlan& plan, Encoded encoded) {
  Rendition rendition{.name = plan.output->name,
                      .format = plan.encode.format,
                      .width_px = encoded.size.width,
                      .height_px = encoded.size.height,
                      .quality = encoded.quality,
                      .source_kept = false,
                      .first_frame = source.header.frames > 1 && !plan.animated,
                      .fitted = encoded.fitted,
                      .bytes = std::move(encoded.bytes)};
  if (auto kept = source_instead(source, plan, rendition.bytes.size())) {
    rendition.bytes = std::move(*kept);
    rendition.source_kept = true;
    rendition.first_frame = rendition.fitted = false;
    rendition.quality = 0;
  }
  PIXMILL_RETURN_IF_ERROR(verify(rendition));
  return rendition;
}

// The coefficients keep colour as fine as it is, which a recipe may not want.
bool may_halve_chroma(const Source& source, const OutputPlan& plan) {
  return plan.encode.chroma == Chroma::kHalved && has_fine_chroma(source.bytes);
}

// Of two that were both fitted into the bytes that are allowed, the one that had to give up less.
bool is_better(const Encoded& a, const Encoded& b) {
  return a.quality != b.quality ? a.quality > b.quality : a.bytes.size() < b.bytes.size();
}

// The outputs that need no pixels; nullopt for the others.
Result<std::vector<std::optional<Encoded>>> encode_without_pixels(const Source& source,
                                                                  const std::vector<OutputPlan>& plans,
                                                                  StageTimes& times) {
  const Timer timer(times.encode);
  std::vector<std::optional<Encoded>> encoded;
  std::vector<std::optional<PlanarPlan>> planar;
  ThroughPlanes planes(source.bytes, source.header.format, source.facts);
  for (const OutputPlan& plan : plans) {
    encoded.push_back(encode_directly(source, plan));
    if (encoded.back()) encoded.back()->size = plan.size;
    planar.push_back(encoded.back() && !may_halve_chroma(source, plan) ? std::nullopt : planes.expect(plan));
  }
  for (std::size_t i = 0; i < plans.size(); ++i) {
    if (!planar[i]) continue;
    auto made = planes.encode(plans[i], *planar[i]);
    if (!made && !encoded[i]) return std::unexpected(std::move(made).error());
    if (made && *made && (!encoded[i] || is_better(**made, *encoded[i]))) encoded[i] = std::move(*made);
  }
  return encoded;
}

// `made` is how the output's pixels came about; null: without pixels, which are then decoded for the comparison.
void judge(Rendition& rendition, const Source& source, const OutputPlan& plan, const Job& job, SharedPixels* made,
           std::uint64_t& pixels_left) {
  const std::uint64_t pixels = std::uint64_t{rendition.width_px} * rendition.height_px;
  if (plan.animated) {
    rendition.scored = Scored::kAnimated;
  } else if (std::min(rendition.width_px, rendition.height_px) < kSsimulacra2SideMinPx) {
    rendition.scored = Scored::kTooSmall;
  } else if (!job.measured || pixels > pixels_left) {
    rendition.scored = Scored::kTooLarge;
  } else {
    pixels_left -= pixels;
    SharedPixels own(source, Picture(), job);
    own.expect(plan);
    auto before = (made != nullptr ? *made : own).before_encoding(plan);
    const auto score = before ? score_of(rendition, std::move(*before), plan.output->background)
                              : Result<double>(std::unexpected(std::move(before.error())));
    rendition.scored = score ? Scored::kYes : Scored::kFailed;
    rendition.score = score.value_or(0);
  }
}

Result<Rendered> render_outputs(const Source& source, Picture opened, const Recipe& recipe, const Job& job,
                                Measure measure) {
  std::vector<OutputPlan> plans;
  for (const Output& output : recipe.outputs) {
    PIXMILL_TRY(const OutputPlan plan, plan_output(source.header, source.facts, output, job.limits));
    plans.push_back(plan);
  }
  StageTimes times;
  PIXMILL_TRY(std::vector<std::optional<Encoded>> encoded, encode_without_pixels(source, plans, times));
  SharedPixels pixels(source, std::move(opened), job);
  for (std::size_t i = 0; i < plans.size(); ++i) {
    if (!encoded[i]) pixels.expect(plans[i]);
  }
  Rendered rendered{.source = source.header, .renditions = {}, .times = std::nullopt};
  std::uint64_t pixels_left = kScoredPixelsMax;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const bool through_pixels = !encoded[i];
    if (through_pixels) {
      PIXMILL_TRY(encoded[i], pixels.encode(plans[i], times));
    }
    PIXMILL_TRY(Rendition rendition, finish(source, plans[i], std::move(*encoded[i])));
    if (measure == Measure::kYes) {
      judge(rendition, source, plans[i], job, through_pixels ? &pixels : nullptr, pixels_left);
    }
    rendered.renditions.push_back(std::move(rendition));
  }
  if (job.measured) rendered.times = times;
  return rendered;
}

Result<Rendered> open_and_render(std::string_view bytes, const Header& header, const Recipe& recipe,
                                 const Limits& limits, const Marks& marks, Measure measure) {
  PIXMILL_RETURN_IF_ERROR(start_vips());
  static_cast<void>(take_vips_message());  // what a picture before this one left unsaid
  PIXMILL_TRY(Opened opened, open_source(bytes, header.format));
  Header seen = header;
  seen.width_px = opened.facts.size.width;
  seen.height_px = opened.facts.size.height;
  PIXMILL_RETURN_IF_ERROR(check_source_size(seen, limits));  // the decoder may have found more than our header reader
  const Source source{.bytes = bytes, .header = header, .facts = opened.facts};
  const std::uint64_t pixels = std::uint64_t{seen.width_px} * seen.height_px * header.frames;
  const Job job{.limits = limits, .marks = marks, .measured = measure == Measure::kYes && pixels <= kScoredPixelsMax};
  return render_outputs(source, std::move(opened.picture), recipe, job, measure);
}

}  // namespace

Result<Rendered> render(std::string_view source, const Recipe& recipe, const Limits& limits, const Marks& marks,
                        Measure measure) {
  PIXMILL_TRY(const Header header, read_header(source));
  PIXMILL_RETURN_IF_ERROR(check_source_size(header, limits));
  auto rendered = open_and_render(source, header, recipe, limits, marks, measure);
  if (!rendered) {
    Error error = std::move(rendered).error();
    if (error.code == ErrorCode::kDecodeFailed && is_cut_off(source, header.format)) {
      error.code = ErrorCode::kTruncated;
      error.message = fmt::format("the {} file ends too early", format_name(header.format));
    }
    return std::unexpected(std::move(error));
  }
  return rendered;
}

}  // namespace pixmill::image
