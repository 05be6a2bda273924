// Prints how much a picture lost against its original: SSIMULACRA2, SSIM and PSNR, one line, separated by spaces
// (SSIM is nan below 11 pixels). Reads whatever libvips reads; colours become sRGB, transparency becomes white,
// orientation is applied. Build:
// `ninja score`; run: `score ORIGINAL DISTORTED`, or `score --repeat N ORIGINAL DISTORTED` for the CPU time too.
#include <fmt/format.h>
#include <time.h>
#include <vips/vips.h>

#include <charconv>
#include <cstring>
#include <limits>
#include <string_view>

#include "bench/micro/pixels.h"
#include "image/quality_metric.h"
#include "image/vips_runtime.h"

namespace {

using namespace pixmill;
using bench::Pixels;
using bench::read_pixels;

double cpu_ms() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

Result<void> print_scores(const char* original_path, const char* distorted_path) {
  PIXMILL_TRY(const Pixels original, read_pixels(original_path));
  PIXMILL_TRY(const Pixels distorted, read_pixels(distorted_path));
  PIXMILL_TRY(const double ssimulacra2, image::ssimulacra2(original.view(), distorted.view()));
  PIXMILL_TRY(const double psnr, image::psnr(original.view(), distorted.view()));
  // All that is left to go wrong is a picture of 8 to 10 pixels.
  const double ssim = image::ssim(original.view(), distorted.view()).value_or(std::numeric_limits<double>::quiet_NaN());
  fmt::print("{:.4f} {:.6f} {:.3f}\n", ssimulacra2, ssim, psnr);
  return {};
}

// The CPU time of one call, in ms per megapixel, as the mean of `rounds`.
template <class Metric>
Result<double> ms_per_megapixel(Metric metric, const Pixels& original, const Pixels& distorted, int rounds) {
  const double begin = cpu_ms();
  for (int i = 0; i < rounds; ++i) PIXMILL_RETURN_IF_ERROR(metric(original.view(), distorted.view()));
  return (cpu_ms() - begin) / rounds * 1e6 / (static_cast<double>(original.width_px) * original.height_px);
}

Result<void> print_times(const char* original_path, const char* distorted_path, int rounds) {
  PIXMILL_TRY(const Pixels original, read_pixels(original_path));
  PIXMILL_TRY(const Pixels distorted, read_pixels(distorted_path));
  PIXMILL_TRY(const double ssimulacra2, ms_per_megapixel(image::ssimulacra2, original, distorted, rounds));
  PIXMILL_TRY(const double ssim, ms_per_megapixel(image::ssim, original, distorted, rounds));
  PIXMILL_TRY(const double psnr, ms_per_megapixel(image::psnr, original, distorted, rounds));
  fmt::print("CPU ms per megapixel: ssimulacra2 {:.1f}, ssim {:.1f}, psnr {:.1f}\n", ssimulacra2, ssim, psnr);
  return {};
}

Result<void> run(int argc, char** argv) {
  const bool repeats = argc == 5 && std::string_view(argv[1]) == "--repeat";
  if (argc != 3 && !repeats) {
    return fail(ErrorCode::kInvalidArgument, "usage: score [--repeat N] ORIGINAL DISTORTED");
  }
  // Without the engine's list of blocked loaders: what a contender wrote is read here too.
  if (vips_init(argv[0]) != 0) return image::vips_failed();
  PIXMILL_RETURN_IF_ERROR(print_scores(argv[argc - 2], argv[argc - 1]));
  if (!repeats) return {};
  int rounds = 0;
  std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), rounds);
  if (rounds < 1) return fail(ErrorCode::kInvalidArgument, "N is a number above 0");
  return print_times(argv[argc - 2], argv[argc - 1], rounds);
}

}  // namespace

int main(int argc, char** argv) {
  if (const auto done = run(argc, argv); !done) {
    fmt::print(stderr, "{} {}\n", done.error().message, done.error().detail);
    return 1;
  }
  return 0;
}
