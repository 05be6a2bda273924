// What one JPEG to JPEG of quality 50 costs, in CPU milliseconds a picture and in bytes: the transcoder in its modes,
// and libjpeg's decoding and encoding beside it. One contender per run; jpeg_kernel.py makes them take turns. Build:
// `ninja jpeg_kernel`; run: jpeg_kernel FOLDER CONTENDER SECONDS [QUALITY [OUTPUT_FOLDER]].
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

// libjpeg's header wants <cstdio> before it.
#include <jpeglib.h>

#include "base/error.h"
#include "image/jpeg/jpeg_transcode.h"

namespace {

using pixmill::image::JpegTables;
using pixmill::image::transcode_jpeg;
using pixmill::image::TranscodeOptions;
using Rounding = TranscodeOptions::Rounding;

double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

std::string transcoded(const std::string& source, const TranscodeOptions& options) {
  auto result = transcode_jpeg(source, options);
  PIXMILL_CHECK(result.has_value());
  return std::move(*result);
}

// Rows as RGB, optimised Huffman codes.
std::string through_pixels(const std::string& source, int quality) {
  jpeg_error_mgr errors{};
  jpeg_decompress_struct in{};
  in.err = jpeg_std_error(&errors);
  jpeg_create_decompress(&in);
  jpeg_mem_src(&in, reinterpret_cast<const unsigned char*>(source.data()), source.size());
  jpeg_read_header(&in, TRUE);
  jpeg_start_decompress(&in);
  jpeg_compress_struct out{};
  out.err = &errors;
  jpeg_create_compress(&out);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&out, &bytes, &size);
  out.image_width = in.output_width;
  out.image_height = in.output_height;
  out.input_components = in.output_components;
  out.in_color_space = in.out_color_space;
  jpeg_set_defaults(&out);
  jpeg_set_quality(&out, quality, TRUE);
  out.optimize_coding = TRUE;
  jpeg_start_compress(&out, TRUE);
  std::vector<JSAMPLE> row(std::size_t{in.output_width} * static_cast<std::size_t>(in.output_components));
  JSAMPROW rows = row.data();
  while (in.output_scanline < in.output_height) {
    jpeg_read_scanlines(&in, &rows, 1);
    jpeg_write_scanlines(&out, &rows, 1);
  }
  jpeg_finish_compress(&out);
  jpeg_finish_decompress(&in);
  std::string file(reinterpret_cast<const char*>(bytes), size);
  jpeg_destroy_compress(&out);
  jpeg_destroy_decompress(&in);
  std::free(bytes);
  return file;
}

using Contender = std::function<std::string(const std::string&)>;

Contender contender_named(std::string_view name, int quality) {
  TranscodeOptions options{.quality = quality};
  if (name == "plain") {
    options.tables = JpegTables::kStandard;
    options.rounding = Rounding::kNearest;
    options.progressive = false;
  } else if (name == "baseline") {
    options.progressive = false;
  } else if (name == "best") {
    options.rounding = Rounding::kTrellis;
  } else if (name == "libjpeg") {
    return [quality](const std::string& source) { return through_pixels(source, quality); };
  } else {
    PIXMILL_CHECK(name == "default");
  }
  return [options](const std::string& source) { return transcoded(source, options); };
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 4) {
    fmt::print(stderr, "usage: {} FOLDER plain|baseline|default|best|libjpeg SECONDS [QUALITY [OUTPUT_FOLDER]]\n",
               arguments[0]);
    return 2;
  }
  const int quality = count > 4 ? std::atoi(arguments[4]) : 50;
  const double seconds = std::atof(arguments[3]);
  const Contender contender = contender_named(arguments[2], quality);
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(arguments[1])) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> sources;
  for (const auto& path : paths) sources.push_back(read_file(path));
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < sources.size(); ++i) {  // also warms up
    const std::string file = contender(sources[i]);
    bytes += file.size();
    if (count <= 5) continue;
    std::filesystem::create_directories(arguments[5]);
    std::ofstream(std::filesystem::path(arguments[5]) / paths[i].filename(), std::ios::binary) << file;
  }
  std::size_t pictures = 0;
  const double start = cpu_seconds();
  do {
    for (const std::string& source : sources) PIXMILL_CHECK(!contender(source).empty());
    pictures += sources.size();
  } while (cpu_seconds() - start < seconds);
  fmt::print("{:.4f} ms {:.1f} bytes\n", (cpu_seconds() - start) * 1e3 / static_cast<double>(pictures),
             static_cast<double>(bytes) / static_cast<double>(sources.size()));
}
