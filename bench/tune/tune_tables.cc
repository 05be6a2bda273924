// Tunes the balanced quantisation tables of src/image/jpeg/quantisation.cc for fewer bytes at equal looks, and says
// what came of it on pictures that it did not tune on.
//
//   cmake --build build/release --target tune_tables
//   build/release/src/image/tune_tables build/photos MINUTES [FACTORS]
//
// build/photos is what bench/image/photo_set.py makes. The photographs of even number in its folders 400 and 1600 (of
// these, one in eight) are tuned on, those of odd number are held out (of 1600, one in three). Tables are the shipped
// ones with one factor for each of fifteen groups of frequencies: means, then by the sum of both frequencies, luma and
// chroma. Coordinate descent: each factor in turn is tried a step up and a step down and keeps what is better; a round
// without any gain halves the step, from 12 % to 1.5 %, where it ends, or when the minutes are over.
//
// A try transcodes every picture as the default encoder does (dead zone, progressive) at four qualities, and finds for
// each file the bytes that the shipped tables take at the same score, on a curve made once. What is minimised is the
// mean over files of log(bytes ratio) at equal SSIMULACRA2 plus half of that at equal PSNR-HVS, so that neither metric
// is gamed at the other's cost.
//
// FACTORS are those that an earlier run printed: it goes on from there, or with 0 minutes only judges them.
//
// Printed at the end: the tables as C++, the percentage that makes their qualities mean what libjpeg's mean
// (`kEqualPercent`), and the held-out ratios by both metrics against the shipped tables and against libjpeg's with
// exact rounding. Replace the shipped tables only for a clear gain there: 0.5 % at equal SSIMULACRA2, and PSNR-HVS at
// most 3 % worse than with libjpeg's tables.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "bench/image/psnr_hvs.h"
#include "bench/micro/decode_jpeg.h"
#include "image/jpeg/block_store.h"
#include "image/jpeg/coded_picture.h"
#include "image/jpeg/decode_scan.h"
#include "image/jpeg/orientation.h"
#include "image/jpeg/quantisation.h"
#include "image/jpeg/read_source.h"
#include "image/jpeg/write_file.h"
#include "image/quality_metric.h"

namespace {

using namespace pixmill;
namespace jpeg = image::jpeg;
namespace fs = std::filesystem;

constexpr std::array kQualities = {40, 55, 68, 80};  // of a try; among those of the curves
constexpr std::array kCurveQualities = {25, 33, 40, 48, 55, 62, 68, 74, 80, 84, 88, 91};
constexpr double kSecondMetricWeight = 0.5;
constexpr double kDecibelsMax = 100;  // equal pictures are infinitely far apart

// ---- Tables

// Steps at 100 percent, in zigzag order.
struct Tables {
  std::array<std::array<double, jpeg::kBlockSize>, 2> steps{};  // luma, chroma
};

constexpr unsigned kLumaGroups = 9;
constexpr unsigned kGroups = 15;
using Factors = std::array<double, kGroups>;

// By the sum of both frequencies: fine where there is much energy, coarse where there is little.
unsigned group_of(unsigned channel, unsigned zigzag) {
  const unsigned sum = jpeg::horizontal_frequency(zigzag) + jpeg::vertical_frequency(zigzag);
  constexpr std::array<unsigned, 15> kLuma = {0, 1, 2, 3, 4, 5, 5, 6, 6, 7, 7, 8, 8, 8, 8};
  constexpr std::array<unsigned, 15> kChroma = {0, 1, 2, 3, 3, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5};
  return channel == 0 ? kLuma[sum] : kLumaGroups + kChroma[sum];
}

// libjpeg's scale.
double percent_of(int quality) { return quality < 50 ? 5000.0 / quality : 200.0 - 2.0 * quality; }

// The shipped tables come scaled and cut off at 255: at quality 43 they are those of 100 percent, at 71 those of 50.
Tables shipped_tables() {
  Tables tables;
  for (unsigned channel = 0; channel < 2; ++channel) {
    const auto which = channel == 0 ? jpeg::Channel::kLuma : jpeg::Channel::kChroma;
    const jpeg::QuantTable whole = jpeg::balanced_table(which, 43);
    const jpeg::QuantTable half = jpeg::balanced_table(which, 71);
    for (unsigned i = 0; i < jpeg::kBlockSize; ++i) {
      tables.steps[channel][i] = whole[i] < 255 ? whole[i] : 2.0 * half[i];
    }
  }
  return tables;
}

Tables standard_tables() {
  Tables tables;
  for (unsigned channel = 0; channel < 2; ++channel) {
    const auto which = channel == 0 ? jpeg::Channel::kLuma : jpeg::Channel::kChroma;
    const jpeg::QuantTable table = jpeg::standard_table(which, 50);
    std::copy(table.begin(), table.end(), tables.steps[channel].begin());
  }
  return tables;
}

Tables scaled(const Tables& tables, const Factors& factors) {
  Tables result = tables;
  for (unsigned channel = 0; channel < 2; ++channel) {
    for (unsigned i = 0; i < jpeg::kBlockSize; ++i) result.steps[channel][i] *= factors[group_of(channel, i)];
  }
  return result;
}

jpeg::QuantTable table_at(const Tables& tables, unsigned channel, double percent) {
  jpeg::QuantTable table{};
  for (unsigned i = 0; i < jpeg::kBlockSize; ++i) {
    table[i] = static_cast<std::uint16_t>(std::clamp(std::lround(tables.steps[channel][i] * percent / 100), 1L, 255L));
  }
  return table;
}

// ---- Files and their scores

struct Style {
  Tables tables;
  double equal_percent = 100;  // what the tables are scaled by, in percent, to mean what libjpeg's mean
  jpeg::Rounding rounding = jpeg::Rounding::kDeadZone;
  bool progressive = true;
};

// As transcode_jpeg does for an upright baseline source, but with these tables, and however near the source's own are.
Result<std::string> transcoded(std::string_view bytes, const jpeg::Source& source, const Style& style, int quality) {
  const double percent = percent_of(quality) * style.equal_percent / 100;
  jpeg::CodedPicture picture{
      .frame = source.frame, .views = {}, .quant_tables = {}, .store = nullptr, .in_order = true};
  std::vector<jpeg::Requantiser> requantisers;
  for (unsigned i = 0; i < source.frame.component_count; ++i) {
    const jpeg::QuantTable& own = source.quant_tables[i];
    picture.quant_tables[i] = jpeg::coarser_of(own, table_at(style.tables, i == 0 ? 0 : 1, percent));
    requantisers.push_back(jpeg::make_requantiser(own, picture.quant_tables[i], style.rounding));
  }
  jpeg::BlockStore store(source.frame, bytes.size() / 2);
  if (jpeg::decode_scan(source.scans.at(0), source.frame, requantisers, nullptr, store) != jpeg::ScanEnd::kComplete) {
    return fail(ErrorCode::kDecodeFailed, "a photograph does not decode");
  }
  picture.store = &store;
  for (unsigned i = 0; i < source.frame.component_count; ++i) {
    picture.views.push_back(jpeg::upright_view(store.planes[i], source.frame.component_array[i], {}));
  }
  const jpeg::FileHead head{.density = source.density, .exif = {}, .xmp = {}, .icc = {}};
  return style.progressive ? jpeg::write_progressive(picture, head) : jpeg::write_baseline(picture, head);
}

enum Metric : std::uint8_t { kSsimulacra2, kPsnrHvs, kMetrics };

struct Point {
  std::array<double, kMetrics> scores{};
  double log_bytes = 0;
};

struct Photo {
  std::string bytes;  // `source` has views into it, which moving a string of this length leaves valid
  jpeg::Source source;
  bench::Pixels pixels;
  std::array<std::vector<Point>, kMetrics> shipped{};  // the curve, by rising score of that metric
};

Result<Point> point_of(const Photo& photo, const Style& style, int quality) {
  PIXMILL_TRY(const std::string file, transcoded(photo.bytes, photo.source, style, quality));
  PIXMILL_TRY(const bench::DecodedJpeg decoded, bench::decode_jpeg(file));
  Point point{.scores = {}, .log_bytes = std::log(static_cast<double>(file.size()))};
  PIXMILL_TRY(point.scores[kSsimulacra2], image::ssimulacra2(photo.pixels.view(), decoded.pixels.view()));
  PIXMILL_TRY(const double psnr_hvs, bench::psnr_hvs(photo.pixels.view(), decoded.pixels.view()));
  point.scores[kPsnrHvs] = std::min(psnr_hvs, kDecibelsMax);
  return point;
}

// log(bytes) of the curve where `metric` has this score; nullopt outside.
std::optional<double> log_bytes_at(const std::vector<Point>& curve, Metric metric, double score) {
  for (std::size_t i = 1; i < curve.size(); ++i) {
    const double low = curve[i - 1].scores[metric];
    const double high = curve[i].scores[metric];
    if (score < low || score > high) continue;
    const double share = high > low ? (score - low) / (high - low) : 0.5;
    return curve[i - 1].log_bytes + (curve[i].log_bytes - curve[i - 1].log_bytes) * share;
  }
  return std::nullopt;
}

enum class Half : std::uint8_t { kEven, kOdd };

// One in `every` of the files of this half. Several views of a photograph have its number, and are in the same half.
Result<std::vector<Photo>> read_photos(const fs::path& folder, Half half, unsigned every, const Style& shipped) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const bool odd = std::atoi(entry.path().filename().c_str()) % 2 != 0;
    if (odd == (half == Half::kOdd)) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<Photo> photos;
  for (std::size_t i = 0; i < paths.size(); i += every) {
    std::ifstream file(paths[i], std::ios::binary);
    Photo photo{
        .bytes = {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()}, .source = {}, .pixels = {}};
    PIXMILL_TRY(bench::DecodedJpeg decoded, bench::decode_jpeg(photo.bytes));
    photo.pixels = std::move(decoded.pixels);
    photos.push_back(std::move(photo));
    Photo& kept = photos.back();
    PIXMILL_TRY(kept.source, jpeg::read_source(kept.bytes));
    for (const int quality : kCurveQualities) {
      PIXMILL_TRY(const Point point, point_of(kept, shipped, quality));
      for (auto& curve : kept.shipped) curve.push_back(point);
    }
    for (unsigned metric = 0; metric < kMetrics; ++metric) {
      std::ranges::sort(kept.shipped[metric], {}, [metric](const Point& point) { return point.scores[metric]; });
    }
  }
  if (photos.empty()) return fail(ErrorCode::kNotFound, fmt::format("no photographs in {}", folder.string()));
  return photos;
}

// ---- Judging tables

using Ratios = std::array<double, kMetrics>;  // means of log(bytes / the shipped tables' bytes) at equal score

Result<Ratios> ratios_of(const Style& style, std::span<const Photo> photos) {
  Ratios sums{};
  std::array<unsigned, kMetrics> counts{};
  for (const Photo& photo : photos) {
    for (const int quality : kQualities) {
      PIXMILL_TRY(const Point point, point_of(photo, style, quality));
      for (unsigned metric = 0; metric < kMetrics; ++metric) {
        const auto equal = log_bytes_at(photo.shipped[metric], static_cast<Metric>(metric), point.scores[metric]);
        if (!equal) continue;
        sums[metric] += point.log_bytes - *equal;
        ++counts[metric];
      }
    }
  }
  for (unsigned metric = 0; metric < kMetrics; ++metric) sums[metric] /= std::max(counts[metric], 1U);
  return sums;
}

double objective(const Ratios& ratios) { return ratios[kSsimulacra2] + kSecondMetricWeight * ratios[kPsnrHvs]; }

double seconds_now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

struct Tuned {
  Factors factors{};
  double value = 0;
};

// Tries one factor in both directions. True when one of them was better.
Result<bool> improve(Tuned& best, unsigned group, double step, const Style& shipped, std::span<const Photo> photos) {
  for (const double change : {1 + step, 1 / (1 + step)}) {
    Factors factors = best.factors;
    factors[group] *= change;
    Style style = shipped;
    style.tables = scaled(shipped.tables, factors);
    PIXMILL_TRY(const Ratios ratios, ratios_of(style, photos));
    if (objective(ratios) >= best.value - 1e-6) continue;
    best = {.factors = factors, .value = objective(ratios)};
    fmt::print("group {:2} × {:.3f}: {:.4f} at equal SSIMULACRA2, {:.4f} at equal PSNR-HVS\n", group, factors[group],
               std::exp(ratios[kSsimulacra2]), std::exp(ratios[kPsnrHvs]));
    std::fflush(stdout);
    return true;
  }
  return false;
}

Result<Tuned> descend(const Factors& first, const Style& shipped, std::span<const Photo> photos, double end_seconds) {
  constexpr double kFirstStep = 0.12;
  constexpr double kLastStep = 0.015;
  Tuned best;
  best.factors = first;
  Style style = shipped;
  style.tables = scaled(shipped.tables, first);
  PIXMILL_TRY(const Ratios start, ratios_of(style, photos));
  best.value = objective(start);
  for (double step = kFirstStep; step >= kLastStep;) {
    bool better = false;
    for (unsigned group = 0; group < kGroups; ++group) {
      if (seconds_now() > end_seconds) return best;
      PIXMILL_TRY(const bool improved, improve(best, group, step, shipped, photos));
      better = better || improved;
    }
    if (!better) step /= 2;
  }
  return best;
}

// ---- What came of it

Result<double> mean_score(const Style& style, std::span<const Photo> photos, int quality) {
  double sum = 0;
  for (const Photo& photo : photos) {
    PIXMILL_TRY(const Point point, point_of(photo, style, quality));
    sum += point.scores[kSsimulacra2];
  }
  return sum / static_cast<double>(photos.size());
}

// The scale at which the mean score is that of libjpeg's tables, as the mean over the qualities of a try.
Result<double> equal_percent_of(Style style, const Style& standard, std::span<const Photo> photos) {
  double sum = 0;
  for (const int quality : kQualities) {
    PIXMILL_TRY(const double wanted, mean_score(standard, photos, quality));
    double low = 40;
    double high = 180;
    for (int i = 0; i < 6; ++i) {
      style.equal_percent = std::sqrt(low * high);
      PIXMILL_TRY(const double score, mean_score(style, photos, quality));
      (score > wanted ? low : high) = style.equal_percent;
    }
    sum += std::sqrt(low * high);
  }
  return sum / static_cast<double>(kQualities.size());
}

void print_table(std::string_view name, const Tables& tables, unsigned channel) {
  std::array<long, jpeg::kBlockSize> row_major{};
  for (unsigned i = 0; i < jpeg::kBlockSize; ++i) {
    row_major[jpeg::kRowMajor[i]] = std::lround(tables.steps[channel][i]);
  }
  fmt::print("constexpr BaseTable {} = {{{}}};\n", name, fmt::join(row_major, ", "));
}

Result<void> print_held_out(std::string_view name, const Style& tuned, const Style& standard,
                            std::span<const Photo> photos) {
  PIXMILL_TRY(const Ratios ours, ratios_of(tuned, photos));
  PIXMILL_TRY(const Ratios plain, ratios_of(standard, photos));
  const auto against = [](double ours_log, double theirs_log) { return std::exp(ours_log - theirs_log); };
  fmt::print(
      "held out, {} of {}: against the shipped tables {:.4f} at equal SSIMULACRA2, {:.4f} at equal PSNR-HVS; against "
      "libjpeg's {:.4f} and {:.4f} (the shipped ones {:.4f} and {:.4f})\n",
      photos.size(), name, std::exp(ours[kSsimulacra2]), std::exp(ours[kPsnrHvs]),
      against(ours[kSsimulacra2], plain[kSsimulacra2]), against(ours[kPsnrHvs], plain[kPsnrHvs]),
      against(0, plain[kSsimulacra2]), against(0, plain[kPsnrHvs]));
  return {};
}

Result<void> run(const fs::path& folder, double minutes, const Factors& first) {
  constexpr double kShippedPercent = 87;
  const Style shipped{.tables = shipped_tables(), .equal_percent = kShippedPercent};
  const Style standard{.tables = standard_tables(), .rounding = jpeg::Rounding::kNearest, .progressive = false};
  PIXMILL_TRY(std::vector<Photo> photos, read_photos(folder / "400", Half::kEven, 1, shipped));
  PIXMILL_TRY(std::vector<Photo> large, read_photos(folder / "1600", Half::kEven, 8, shipped));
  const std::size_t small_count = photos.size();
  std::ranges::move(large, std::back_inserter(photos));
  fmt::print("tuning on {} pictures of 400 and {} of 1600\n", small_count, photos.size() - small_count);
  std::fflush(stdout);
  PIXMILL_TRY(const Tuned tuned, descend(first, shipped, photos, seconds_now() + minutes * 60));
  Style style = shipped;
  style.tables = scaled(shipped.tables, tuned.factors);
  fmt::print("factors: {:.3f}\n", fmt::join(tuned.factors, " "));
  print_table("kBalancedLuma", style.tables, 0);
  print_table("kBalancedChroma", style.tables, 1);
  PIXMILL_TRY(const double percent, equal_percent_of(style, standard, std::span(photos).first(small_count)));
  PIXMILL_TRY(const double shipped_percent, equal_percent_of(shipped, standard, std::span(photos).first(small_count)));
  fmt::print("kEqualPercent by SSIMULACRA2 at 400: {:.1f} (the shipped tables' by the same rule: {:.1f})\n", percent,
             shipped_percent);
  for (const std::string name : {"400", "1600"}) {
    PIXMILL_TRY(const std::vector<Photo> held_out,
                read_photos(folder / name, Half::kOdd, name == "400" ? 1 : 3, shipped));
    PIXMILL_RETURN_IF_ERROR(print_held_out(name, style, standard, held_out));
  }
  return {};
}

}  // namespace

int main(int count, char** arguments) {
  constexpr int kWords = 3;
  if (count != kWords && count != kWords + static_cast<int>(kGroups)) {
    fmt::print(stderr, "usage: tune_tables PHOTO_FOLDER MINUTES [{} FACTORS]\n", kGroups);
    return 2;
  }
  Factors first;
  first.fill(1);
  for (int i = kWords; i < count; ++i) first[i - kWords] = std::atof(arguments[i]);
  if (const auto done = run(arguments[1], std::atof(arguments[2]), first); !done) {
    fmt::print(stderr, "{} {}\n", done.error().message, done.error().detail);
    return 1;
  }
  return 0;
}
