#include "app/backup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "jobs/sqlite_backup.h"

namespace pixmill::app {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDatabase = "pixmill.db";
constexpr std::string_view kResults = "files";
constexpr std::string_view kMarks = "watermarks";
constexpr std::string_view kSpool = "spool";
constexpr std::string_view kSecrets[] = {"master.key", "webhook.secret"};
constexpr std::uint64_t kProgressEvery = 1'000;  // files

std::unexpected<Error> file_error(const fs::path& path, const std::error_code& error) {
  const bool is_full = error == std::errc::no_space_on_device || error.value() == EDQUOT;
  return fail(is_full ? ErrorCode::kDiskFull : ErrorCode::kIo, fmt::format("{}: {}", path.string(), error.message()));
}

Result<void> make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return file_error(path, error);
  return {};
}

// Where nothing is that could be overwritten.
Result<void> check_free(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) return {};
  if (fs::is_directory(path, error) && fs::is_empty(path, error)) return {};
  return fail(ErrorCode::kConflict,
              fmt::format("{} is not empty; name a folder that does not exist yet", path.string()));
}

struct Copied {
  bool is_there = false;
  bool is_linked = false;
};

// Results are never written again under their name, so a link is as good as a copy.
Result<Copied> bring(const fs::path& from, const fs::path& to, bool may_link) {
  std::error_code error;
  if (may_link) {
    fs::create_hard_link(from, to, error);
    if (!error) return Copied{.is_there = true, .is_linked = true};
    if (error == std::errc::no_such_file_or_directory && !fs::exists(from)) return Copied{};
  }
  fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
  if (!error) return Copied{.is_there = true, .is_linked = false};
  if (!fs::exists(from)) return Copied{};
  return file_error(to, error);
}

// Everything directly in a folder; where there is none, nothing.
Result<void> bring_folder(const fs::path& from, const fs::path& to) {
  PIXMILL_RETURN_IF_ERROR(make_folder(to));
  std::error_code error;
  for (fs::directory_iterator entry(from, error), end; !error && entry != end; entry.increment(error)) {
    if (!entry->is_regular_file() || fs::exists(to / entry->path().filename())) continue;
    PIXMILL_RETURN_IF_ERROR(bring(entry->path(), to / entry->path().filename(), true));
  }
  if (error && error != std::errc::no_such_file_or_directory) return file_error(from, error);
  return {};
}

Result<void> bring_secrets(const fs::path& from, const fs::path& to) {
  for (const auto name : kSecrets) {
    PIXMILL_TRY(const Copied copied, bring(from / name, to / name, false));
    if (!copied.is_there) continue;  // given by the environment
    std::error_code error;
    fs::permissions(to / name, fs::perms::owner_read | fs::perms::owner_write, error);
    if (error) return file_error(to / name, error);
  }
  return {};
}

Result<CopyReport> bring_results(const fs::path& from, const fs::path& to, const CopyOptions& options) {
  CopyReport report;
  if (!options.with_results) return report;
  fs::path made;
  const auto bring_one = [&](const jobs::StoredFile& file) -> Result<void> {
    const fs::path target = to / kResults / file.key;
    if (target.parent_path() != made) {
      made = target.parent_path();
      PIXMILL_RETURN_IF_ERROR(make_folder(made));
    }
    PIXMILL_TRY(const Copied copied, bring(from / kResults / file.key, target, true));
    report.missing += copied.is_there ? 0 : 1;
    report.files += copied.is_there ? 1 : 0;
    report.bytes += copied.is_there ? file.bytes : 0;
    report.linked += copied.is_linked ? 1 : 0;
    if (options.on_progress && report.files % kProgressEvery == 0) options.on_progress(report);
    return {};
  };
  PIXMILL_RETURN_IF_ERROR(jobs::each_stored_file((to / kDatabase).string(), bring_one));
  return report;
}

std::vector<fs::path> names_of(const std::vector<std::string>& paths) {
  std::vector<fs::path> names;
  for (const auto& path : paths) names.push_back(fs::path(path).filename());
  return names;
}

Result<bool> has_all_tables(const fs::path& copy) {
  PIXMILL_TRY(const auto wanted, jobs::unread_tables((copy / kDatabase).string()));
  const auto is_there = [&](const fs::path& name) { return fs::exists(copy / kSpool / name); };
  return std::ranges::all_of(names_of(wanted), is_there);
}

Result<void> drop_other_tables(const fs::path& copy) {
  PIXMILL_TRY(const auto wanted, jobs::unread_tables((copy / kDatabase).string()));
  const auto names = names_of(wanted);
  std::error_code error;
  for (fs::directory_iterator entry(copy / kSpool, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (std::ranges::find(names, entry->path().filename()) == names.end()) fs::remove(entry->path(), ignored);
  }
  return {};
}

// The database at one moment, and every upload that it says is still to be read: one that came before that moment and
// was read soon after it is caught by looking before and after, and by another try when it was faster than both.
Result<void> bring_database(const fs::path& from, const fs::path& to) {
  constexpr int kTries = 5;
  for (int tries = 0; tries < kTries; ++tries) {
    std::error_code ignored;
    fs::remove(to / kDatabase, ignored);
    PIXMILL_RETURN_IF_ERROR(bring_folder(from / kSpool, to / kSpool));
    PIXMILL_RETURN_IF_ERROR(jobs::copy_sqlite_store((from / kDatabase).string(), (to / kDatabase).string()));
    PIXMILL_RETURN_IF_ERROR(bring_folder(from / kSpool, to / kSpool));
    PIXMILL_TRY(const bool whole, has_all_tables(to));
    if (whole) return drop_other_tables(to);
  }
  return fail(ErrorCode::kUnavailable, "uploads come and go too quickly for a copy; try again");
}

// Its files are there before their names are.
Result<void> sync_file_system(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = descriptor >= 0 && ::syncfs(descriptor) == 0;
  const std::error_code error(errno, std::generic_category());
  if (descriptor >= 0) ::close(descriptor);
  if (!synced) return file_error(folder, error);
  return {};
}

// A folder that gets its name when it is whole; removed with what is in it otherwise.
class Unfinished {
 public:
  explicit Unfinished(const fs::path& target) : target_(target), path_(target.string() + ".unfinished") {}
  ~Unfinished() {
    std::error_code ignored;
    if (!done_) fs::remove_all(path_, ignored);
  }
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;

  [[nodiscard]] const fs::path& path() const { return path_; }
  [[nodiscard]] Result<void> make() {
    PIXMILL_RETURN_IF_ERROR(check_free(target_));
    std::error_code error;
    fs::remove_all(path_, error);  // of an attempt that was killed
    PIXMILL_RETURN_IF_ERROR(make_folder(path_));
    fs::permissions(path_, fs::perms::owner_all, error);
    if (error) return file_error(path_, error);
    return {};
  }
  [[nodiscard]] Result<void> finish() {
    PIXMILL_RETURN_IF_ERROR(sync_file_system(path_));
    std::error_code error;
    fs::remove(target_, error);  // an empty folder
    fs::rename(path_, target_, error);
    if (error) return file_error(target_, error);
    done_ = true;
    return {};
  }

 private:
  fs::path target_;
  fs::path path_;
  bool done_ = false;
};

}  // namespace

Result<CopyReport> back_up(const std::string& data_folder, const std::string& to, const CopyOptions& options) {
  const fs::path from = data_folder;
  Unfinished copy(fs::absolute(to).lexically_normal());
  PIXMILL_RETURN_IF_ERROR(copy.make());
  PIXMILL_RETURN_IF_ERROR(bring_database(from, copy.path()));
  // Watermarks and results are stored before the database names them, so they are there by now.
  PIXMILL_RETURN_IF_ERROR(bring_folder(from / kMarks, copy.path() / kMarks));
  PIXMILL_RETURN_IF_ERROR(bring_secrets(from, copy.path()));
  PIXMILL_TRY(const CopyReport report, bring_results(from, copy.path(), options));
  PIXMILL_RETURN_IF_ERROR(copy.finish());
  return report;
}

Result<CopyReport> restore(const std::string& from, const std::string& data_folder, const CopyOptions& options) {
  const fs::path source = from;
  const fs::path target = fs::absolute(data_folder).lexically_normal();
  Unfinished copy(target);
  PIXMILL_RETURN_IF_ERROR(copy.make());
  PIXMILL_RETURN_IF_ERROR(bring_database(source, copy.path()));
  PIXMILL_RETURN_IF_ERROR(bring_folder(source / kMarks, copy.path() / kMarks));
  PIXMILL_RETURN_IF_ERROR(bring_secrets(source, copy.path()));
  PIXMILL_TRY(const CopyReport report, bring_results(source, copy.path(), options));
  PIXMILL_RETURN_IF_ERROR(jobs::move_unread_tables((copy.path() / kDatabase).string(), (target / kSpool).string()));
  PIXMILL_RETURN_IF_ERROR(copy.finish());
  return report;
}

}  // namespace pixmill::app
