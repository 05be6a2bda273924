#include "app/inputs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "app/small_file.h"
#include "base/crypto.h"
#include "base/text.h"
#include "image/format.h"
#include "jobs/table_reader.h"
#include "storage/local_store.h"

namespace pixmill::app {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kCheckFreeEveryBytes = 16ULL << 20;
constexpr std::size_t kHeadBytes = 4'096;
constexpr std::size_t kDigestPieceBytes = 1u << 20;
constexpr std::string_view kTableEndings[] = {".csv", ".tsv", ".jsonl", ".ndjson"};
constexpr std::string_view kPictureEndings[] = {".jpg", ".jpeg", ".jpe",  ".png",  ".webp", ".gif",
                                                ".tif", ".tiff", ".avif", ".heic", ".heif"};

template <std::size_t N>
bool ends_with_any(const std::string& name, const std::string_view (&endings)[N]) {
  return std::ranges::any_of(endings, [&](std::string_view ending) { return name.ends_with(ending); });
}

bool is_picture_name(const std::string& path) { return ends_with_any(to_lower(path), kPictureEndings); }

bool is_same_folder(const fs::path& one, const std::string& other) {
  std::error_code error;
  return fs::equivalent(one, other, error) && !error;
}

Result<void> add_folder(const fs::path& folder, const std::string& output_folder, std::vector<LocalPicture>& pictures) {
  if (is_same_folder(folder, output_folder)) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("{} is the output folder too: its results would be taken for pictures to do. Choose "
                            "another folder for -o; one inside it will do",
                            folder.string()));
  }
  std::vector<LocalPicture> found;
  std::error_code error;
  fs::recursive_directory_iterator it(folder, fs::directory_options::skip_permission_denied, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    const auto name = it->path().filename().string();
    const bool hidden = name.starts_with('.');
    if (it->is_directory(error) && (hidden || is_same_folder(it->path(), output_folder))) {
      it.disable_recursion_pending();
    }
    if (hidden || it->is_symlink(error) || !it->is_regular_file(error) || !is_picture_name(name)) continue;
    found.push_back({.absolute_path = fs::absolute(it->path()).lexically_normal().string(),
                     .shown = it->path().lexically_relative(folder).string()});
  }
  if (error) return fail(ErrorCode::kIo, fmt::format("cannot read {}: {}", folder.string(), error.message()));
  if (found.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("{} holds no pictures (JPEG, PNG, WebP, GIF, TIFF, AVIF or HEIF)", folder.string()));
  }
  std::ranges::sort(found, {}, &LocalPicture::absolute_path);
  std::ranges::move(found, std::back_inserter(pictures));
  return {};
}

Result<void> check_free(const InputOptions& options) {
  PIXMILL_TRY(const auto free, storage::free_bytes(options.spool_folder));
  if (free >= options.free_bytes_min) return {};
  return fail(ErrorCode::kDiskFull, fmt::format("only {} are free where the input is kept, {} are needed",
                                                format_bytes(free), format_bytes(options.free_bytes_min)));
}

// What can be read only once goes to a file, so that it can be read twice and a killed run can go on.
Result<std::string> spool(int descriptor, const std::string& name, const InputOptions& options) {
  std::error_code error;
  fs::create_directories(options.spool_folder, error);
  PIXMILL_RETURN_IF_ERROR(check_free(options));
  std::string path = options.spool_folder + "/" + name;
  PIXMILL_TRY(auto file, FileWriter::create(path, 0600));
  char buffer[65'536];
  std::uint64_t bytes = 0;
  std::uint64_t checked_bytes = 0;
  for (;;) {
    const ssize_t count = ::read(descriptor, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return std::unexpected(errno_error(errno, "cannot read " + name));
    if (count == 0) break;
    bytes += static_cast<std::uint64_t>(count);
    if (bytes > options.spool_bytes_max) {
      return fail(ErrorCode::kTooLarge,
                  fmt::format("{} is larger than {}", name, format_bytes(options.spool_bytes_max)));
    }
    PIXMILL_RETURN_IF_ERROR(file.write({buffer, static_cast<std::size_t>(count)}));
    if (bytes - checked_bytes < kCheckFreeEveryBytes) continue;
    checked_bytes = bytes;
    PIXMILL_RETURN_IF_ERROR(check_free(options));
  }
  PIXMILL_RETURN_IF_ERROR(file.commit());
  return path;
}

// A pipe someone named: mkfifo, or the shell's <(…).
Result<void> add_pipe(const std::string& argument, const InputOptions& options, std::vector<InputSet>& sets) {
  const int descriptor = ::open(argument.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return std::unexpected(errno_error(errno, "cannot open " + argument));
  auto path = spool(descriptor, fmt::format("pipe-{}", sets.size() + 1), options);
  ::close(descriptor);
  if (!path) return std::unexpected(std::move(path).error());
  sets.push_back({.name = "pipe", .table_path = std::move(*path), .pictures = {}});
  return {};
}

bool is_picture_by_content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string head(kHeadBytes, '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<std::size_t>(file.gcount()));
  return image::sniff(head).has_value();
}

// `path` is absolute. By its name, else by what is in it; a table's header is checked later, with the options.
Result<void> add_file(const fs::path& path, std::vector<InputSet>& sets, InputSet& pictures) {
  const std::string name = path.filename().string();
  if (is_picture_name(name) || (!is_table_name(name) && is_picture_by_content(path.string()))) {
    pictures.pictures.push_back({.absolute_path = path.string(), .shown = name});
    return {};
  }
  if (!is_table_name(name)) {
    const auto table = jobs::TableReader::open(path.string(), {});
    if (!table && table.error().code == ErrorCode::kIo) return std::unexpected(table.error());
    if (!table) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("{}: neither a picture nor a table of image URLs: {}", name, table.error().message));
    }
  }
  sets.push_back({.name = name.substr(0, name.find('.', 1)), .table_path = path.string(), .pictures = {}});
  return {};
}

Result<void> add_argument(const std::string& argument, const InputOptions& options, std::vector<InputSet>& sets,
                          InputSet& pictures) {
  if (argument == "-") {
    PIXMILL_TRY(auto path, spool(STDIN_FILENO, "stdin", options));
    sets.push_back({.name = "stdin", .table_path = std::move(path), .pictures = {}});
    return {};
  }
  std::error_code error;
  const auto status = fs::status(argument, error);
  if (!fs::exists(status)) {
    return fail(ErrorCode::kNotFound, fmt::format("{}: no such file or folder", argument));
  }
  if (fs::is_directory(status)) return add_folder(argument, options.output_folder, pictures.pictures);
  if (fs::is_fifo(status) || fs::is_character_file(status)) return add_pipe(argument, options, sets);
  return add_file(fs::absolute(argument).lexically_normal(), sets, pictures);
}

Result<std::string> file_digest(const std::string& path, const std::stop_token& stop) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::unexpected(errno_error(errno, "cannot read " + path));
  Sha256 digest;
  std::string buffer(kDigestPieceBytes, '\0');
  while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || file.gcount() > 0) {
    if (stop.stop_requested()) return fail(ErrorCode::kCancelled, "stopped");
    digest.update(std::string_view(buffer).substr(0, static_cast<std::size_t>(file.gcount())));
  }
  if (file.bad()) return fail(ErrorCode::kIo, "cannot read " + path);
  return to_hex(digest.finish());
}

}  // namespace

bool is_table_name(const std::string& path) {
  std::string name = to_lower(path);
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  return ends_with_any(name, kTableEndings);
}

Result<std::vector<InputSet>> collect_inputs(const std::vector<std::string>& arguments, const InputOptions& options) {
  std::vector<InputSet> sets;
  InputSet pictures{.name = "pictures", .table_path = {}, .pictures = {}};
  for (const auto& argument : arguments) {
    PIXMILL_RETURN_IF_ERROR(add_argument(argument, options, sets, pictures));
  }
  if (!pictures.pictures.empty()) sets.push_back(std::move(pictures));
  // Two tables of one name would share a folder.
  for (std::size_t i = 0; i < sets.size(); ++i) {
    const auto same = std::count_if(sets.begin(), sets.begin() + static_cast<std::ptrdiff_t>(i),
                                    [&](const InputSet& other) { return other.name == sets[i].name; });
    if (same > 0) sets[i].name += fmt::format("-{}", same + 1);
  }
  return sets;
}

Result<std::string> content_digest(const InputSet& set, std::stop_token stop) {
  if (!set.table_path.empty()) return file_digest(set.table_path, stop);
  Sha256 digest;
  for (const auto& picture : set.pictures) {
    if (stop.stop_requested()) return fail(ErrorCode::kCancelled, "stopped");
    std::error_code error;
    const auto bytes = fs::file_size(picture.absolute_path, error);
    const auto modified = fs::last_write_time(picture.absolute_path, error);
    if (error) return fail(ErrorCode::kIo, fmt::format("cannot read {}: {}", picture.shown, error.message()));
    digest.update(fmt::format("{}\n{} {}\n", picture.absolute_path, bytes, modified.time_since_epoch().count()));
  }
  return to_hex(digest.finish());
}

}  // namespace pixmill::app
