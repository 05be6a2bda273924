// One contender of the image benchmarks at work: reads a folder of pictures into memory, converts each as the task
// says, again and again in turns, and prints {"pictures": N, "cpu_ms": per picture, "bytes": mean output}.
// bench/image/bench.py makes contenders take turns, each a process of its own; the peers in other languages take the
// same arguments. Build: `ninja contender`; run: `contender FOLDER SECONDS OUTPUT_FOLDER|- TASK…`, where TASK is one of
//   pixmill RECIPE           render(), as an engine calls it, without the process around it
//   libjpeg QUALITY          decoding and encoding with optimised Huffman codes
//   libvips QUALITY [SIDE]   the system's libvips and its defaults; with SIDE vips_thumbnail into a square box
// SECONDS is CPU time and 0 measures nothing; the first pass, which writes files, is not measured. With an output
// folder the results are written there, under the sources' names.
#include <fmt/format.h>
#include <sys/resource.h>
#include <vips/vips.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// libjpeg's header wants <cstdio> before it.
#include <jpeglib.h>

#include "base/error.h"
#include "image/picture.h"
#include "image/recipe.h"
#include "image/render.h"
#include "image/vips_runtime.h"

namespace {

using namespace pixmill;
using image::Picture;

using Task = std::function<Result<std::string>(const std::string& source)>;

// User and system time of all threads.
double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

Result<std::string> rendered(const std::string& source, const image::Recipe& recipe) {
  PIXMILL_TRY(image::Rendered done, image::render(source, recipe, {}));
  return std::move(done.renditions.front().bytes);
}

// Rows as RGB. A file that libjpeg cannot read ends the process, as libjpeg's default is.
std::string through_libjpeg(const std::string& source, int quality) {
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

// side_px 0: the size stays. From quality 90 libvips keeps colour at full resolution by itself.
Result<std::string> through_libvips(const std::string& source, int quality, int side_px) {
  Picture picture;
  const int opened = side_px > 0 ? vips_thumbnail_buffer(const_cast<char*>(source.data()), source.size(), picture.out(),
                                                         side_px, "height", side_px, "size", VIPS_SIZE_DOWN, nullptr)
                                 : vips_jpegload_buffer(const_cast<char*>(source.data()), source.size(), picture.out(),
                                                        "access", VIPS_ACCESS_SEQUENTIAL, nullptr);
  void* bytes = nullptr;
  std::size_t size = 0;
  if (opened != 0 || vips_jpegsave_buffer(picture.get(), &bytes, &size, "Q", quality, "strip",
                                          static_cast<gboolean>(true), nullptr) != 0) {
    return image::vips_failed();
  }
  std::string file(static_cast<const char*>(bytes), size);
  g_free(bytes);
  return file;
}

std::unexpected<Error> usage() {
  return fail(
      ErrorCode::kInvalidArgument,
      "usage: contender FOLDER SECONDS OUTPUT_FOLDER|- pixmill RECIPE | libjpeg QUALITY | libvips QUALITY [SIDE]");
}

Result<int> number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 1) return usage();
  return value;
}

Result<Task> task_named(std::span<char*> words) {
  if (words.size() < 2) return usage();
  const std::string_view name = words[0];
  if (name == "pixmill") {
    PIXMILL_TRY(image::Recipe recipe, image::parse_recipe(words[1]));
    PIXMILL_RETURN_IF_ERROR(image::start_vips());
    return [recipe](const std::string& source) { return rendered(source, recipe); };
  }
  PIXMILL_TRY(const int quality, number(words[1]));
  if (name == "libjpeg") {
    return [quality](const std::string& source) -> Result<std::string> { return through_libjpeg(source, quality); };
  }
  if (name != "libvips") return usage();
  int side_px = 0;
  if (words.size() > 2) {
    PIXMILL_TRY(side_px, number(words[2]));
  }
  if (vips_init("contender") != 0) return image::vips_failed();
  vips_concurrency_set(1);
  vips_cache_set_max(0);
  return [quality, side_px](const std::string& source) { return through_libvips(source, quality, side_px); };
}

struct Source {
  std::filesystem::path name;
  std::string bytes;
};

Result<std::vector<Source>> read_folder(const std::filesystem::path& folder) {
  std::vector<Source> sources;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    std::ifstream file(entry.path(), std::ios::binary);
    sources.push_back({.name = entry.path().filename(),
                       .bytes = {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()}});
  }
  if (sources.empty()) return fail(ErrorCode::kNotFound, fmt::format("no pictures in {}", folder.string()));
  std::sort(sources.begin(), sources.end(), [](const Source& a, const Source& b) { return a.name < b.name; });
  return sources;
}

// The first pass also warms up. Returns the mean of the outputs' bytes.
Result<double> first_pass(const std::vector<Source>& sources, const Task& task, const std::string& folder) {
  std::size_t bytes = 0;
  if (folder != "-") std::filesystem::create_directories(folder);
  for (const Source& source : sources) {
    PIXMILL_TRY(const std::string file, task(source.bytes));
    bytes += file.size();
    if (folder != "-") std::ofstream(std::filesystem::path(folder) / source.name, std::ios::binary) << file;
  }
  return static_cast<double>(bytes) / static_cast<double>(sources.size());
}

Result<void> run(std::span<char*> arguments) {
  if (arguments.size() < 5) return usage();
  const double seconds = std::atof(arguments[2]);
  PIXMILL_TRY(const std::vector<Source> sources, read_folder(arguments[1]));
  PIXMILL_TRY(const Task task, task_named(arguments.subspan(4)));
  PIXMILL_TRY(const double bytes, first_pass(sources, task, arguments[3]));
  std::size_t pictures = 0;
  const double start = cpu_seconds();
  while (cpu_seconds() - start < seconds) {
    for (const Source& source : sources) PIXMILL_RETURN_IF_ERROR(task(source.bytes));
    pictures += sources.size();
  }
  const double cpu_ms = pictures == 0 ? 0 : (cpu_seconds() - start) * 1e3 / static_cast<double>(pictures);
  fmt::print("{{\"pictures\": {}, \"cpu_ms\": {:.5f}, \"bytes\": {:.1f}}}\n", sources.size(), cpu_ms, bytes);
  return {};
}

}  // namespace

int main(int count, char** arguments) {
  if (const auto done = run({arguments, static_cast<std::size_t>(count)}); !done) {
    fmt::print(stderr, "{} {}\n", done.error().message, done.error().detail);
    return 1;
  }
  return 0;
}
