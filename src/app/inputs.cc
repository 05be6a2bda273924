#include "app/inputs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "base/crypto.h"
#include "base/text.h"

namespace pixmill::app {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTableEndings[] = {".csv", ".tsv", ".jsonl", ".ndjson"};
constexpr std::string_view kPictureEndings[] = {".jpg", ".jpeg", ".jpe",  ".png",  ".webp", ".gif",
                                                ".tif", ".tiff", ".avif", ".heic", ".heif"};

template <std::size_t N>
bool ends_with_any(const std::string& name, const std::string_view (&endings)[N]) {
  return std::ranges::any_of(endings, [&](std::string_view ending) { return name.ends_with(ending); });
}

bool is_picture_name(const std::string& path) { return ends_with_any(to_lower(path), kPictureEndings); }

Result<void> add_folder(const fs::path& folder, std::vector<LocalPicture>& pictures) {
  std::vector<LocalPicture> found;
  std::error_code error;
  fs::recursive_directory_iterator it(folder, fs::directory_options::skip_permission_denied, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    const auto name = it->path().filename().string();
    const bool hidden = name.starts_with('.');
    if (hidden && it->is_directory(error)) it.disable_recursion_pending();
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

// Standard input to a file, so that a table can be read twice and a killed run can go on.
Result<std::string> spool_stdin(const std::string& spool_folder) {
  std::error_code error;
  fs::create_directories(spool_folder, error);
  const std::string path = spool_folder + "/stdin";
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  char buffer[65'536];
  for (;;) {
    const ssize_t count = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return std::unexpected(errno_error(errno, "cannot read standard input"));
    if (count == 0) break;
    file.write(buffer, count);
  }
  file.close();
  if (!file) return fail(ErrorCode::kIo, fmt::format("cannot write {}", path));
  return path;
}

Result<void> add_argument(const std::string& argument, const std::string& spool_folder, std::vector<InputSet>& sets,
                          InputSet& pictures) {
  if (argument == "-") {
    PIXMILL_TRY(auto path, spool_stdin(spool_folder));
    sets.push_back({.name = "stdin", .table_path = std::move(path), .pictures = {}});
    return {};
  }
  std::error_code error;
  const auto status = fs::status(argument, error);
  if (!fs::exists(status)) {
    return fail(ErrorCode::kNotFound, fmt::format("{}: no such file or folder", argument));
  }
  if (fs::is_directory(status)) return add_folder(argument, pictures.pictures);
  const fs::path path = fs::absolute(argument).lexically_normal();
  if (is_table_name(argument)) {
    std::string name = path.filename().string();
    name = name.substr(0, name.find('.', 1));
    sets.push_back({.name = std::move(name), .table_path = path.string(), .pictures = {}});
    return {};
  }
  if (!is_picture_name(argument)) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("{}: neither a table (.csv, .tsv, .jsonl, also .gz) nor a picture by its name", argument));
  }
  pictures.pictures.push_back({.absolute_path = path.string(), .shown = path.filename().string()});
  return {};
}

Result<std::string> file_digest(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::unexpected(errno_error(errno, "cannot read " + path));
  Sha256 digest;
  char buffer[65'536];
  while (file.read(buffer, sizeof buffer) || file.gcount() > 0) {
    digest.update({buffer, static_cast<std::size_t>(file.gcount())});
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

Result<std::vector<InputSet>> collect_inputs(const std::vector<std::string>& arguments,
                                             const std::string& spool_folder) {
  std::vector<InputSet> sets;
  InputSet pictures{.name = "pictures", .table_path = {}, .pictures = {}};
  for (const auto& argument : arguments) {
    PIXMILL_RETURN_IF_ERROR(add_argument(argument, spool_folder, sets, pictures));
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

Result<std::string> content_digest(const InputSet& set) {
  if (!set.table_path.empty()) return file_digest(set.table_path);
  Sha256 digest;
  for (const auto& picture : set.pictures) {
    std::error_code error;
    const auto bytes = fs::file_size(picture.absolute_path, error);
    const auto modified = fs::last_write_time(picture.absolute_path, error);
    if (error) return fail(ErrorCode::kIo, fmt::format("cannot read {}: {}", picture.shown, error.message()));
    digest.update(fmt::format("{}\n{} {}\n", picture.absolute_path, bytes, modified.time_since_epoch().count()));
  }
  return to_hex(digest.finish());
}

}  // namespace pixmill::app
