// Judges what contenders wrote: `judge ORIGINALS FOLDER` prints one line of JSON for every file of FOLDER,
//   {"name": stem, "bytes": N, "ssimulacra2": …, "ssim": …, "psnr": …, "psnr_hvs": …}
// against the file of the same stem in ORIGINALS, in any format. A JPEG that libjpeg reads with so much as a warning,
// and a picture that cannot be read to its end, ends the judge with 1. Build: `ninja judge`.
#include <fmt/format.h>
#include <vips/vips.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "base/error.h"
#include "bench/image/psnr_hvs.h"
#include "bench/micro/decode_jpeg.h"
#include "bench/micro/pixels.h"
#include "image/quality_metric.h"
#include "image/vips_runtime.h"

namespace {

using namespace pixmill;
namespace fs = std::filesystem;

// Of files that are no JPEGs libvips says it when their pixels are read.
Result<void> check_jpeg(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  const std::string file{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (!file.starts_with("\xFF\xD8")) return {};
  PIXMILL_TRY(const bench::DecodedJpeg decoded, bench::decode_jpeg(file));
  if (decoded.warnings == 0) return {};
  return fail(ErrorCode::kDecodeFailed, fmt::format("{}: libjpeg gave warnings", path.string()));
}

// JSON knows no infinity, which equal pictures have; 100 dB is beyond what pictures of 8 bits can differ by.
double finite(double decibels) { return std::min(decibels, 100.0); }

Result<void> print_scores(const fs::path& original_path, const fs::path& path) {
  PIXMILL_RETURN_IF_ERROR(check_jpeg(path));
  PIXMILL_TRY(const bench::Pixels original, bench::read_pixels(original_path.string()));
  PIXMILL_TRY(const bench::Pixels distorted, bench::read_pixels(path.string()));
  PIXMILL_TRY(const double ssimulacra2, image::ssimulacra2(original.view(), distorted.view()));
  PIXMILL_TRY(const double ssim, image::ssim(original.view(), distorted.view()));
  PIXMILL_TRY(const double psnr, image::psnr(original.view(), distorted.view()));
  PIXMILL_TRY(const double psnr_hvs, bench::psnr_hvs(original.view(), distorted.view()));
  fmt::print(
      R"({{"name": "{}", "bytes": {}, "ssimulacra2": {:.4f}, "ssim": {:.6f}, "psnr": {:.3f}, "psnr_hvs": {:.3f}}})"
      "\n",
      path.stem().string(), fs::file_size(path), ssimulacra2, ssim, finite(psnr), finite(psnr_hvs));
  return {};
}

// The files of a folder, by their names without endings.
std::map<std::string, fs::path> files_of(const char* folder) {
  std::map<std::string, fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) files[entry.path().stem().string()] = entry.path();
  return files;
}

Result<void> run(int argc, char** argv) {
  if (argc != 3) return fail(ErrorCode::kInvalidArgument, "usage: judge ORIGINALS FOLDER");
  // Without the engine's list of blocked loaders: what a contender wrote is read here too.
  if (vips_init(argv[0]) != 0) return image::vips_failed();
  vips_concurrency_set(1);
  const std::map<std::string, fs::path> originals = files_of(argv[1]);
  const std::map<std::string, fs::path> files = files_of(argv[2]);
  if (files.empty()) return fail(ErrorCode::kNotFound, fmt::format("no pictures in {}", argv[2]));
  for (const auto& [stem, path] : files) {
    const auto original = originals.find(stem);
    if (original == originals.end()) return fail(ErrorCode::kNotFound, fmt::format("no original of {}", stem));
    PIXMILL_RETURN_IF_ERROR(print_scores(original->second, path));
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (const auto done = run(argc, argv); !done) {
    fmt::print(stderr, "{} {}\n", done.error().message, done.error().detail);
    return 1;
  }
  return 0;
}
