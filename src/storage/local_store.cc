#include "storage/local_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/blocking_thread.h"
#include "base/ids.h"
#include "base/text.h"
#include "storage/object_key.h"
#include "storage/open_below.h"
#include "storage/take_over.h"

namespace pixmill::storage {

namespace {

constexpr std::string_view kTemporaryPrefix = ".pixmill-";
constexpr std::string_view kTemporarySuffix = ".tmp";
constexpr std::size_t kSegmentBytesMax = 255;
constexpr mode_t kFolderMode = 0777;  // the umask decides
constexpr mode_t kFileMode = 0666;

bool is_temporary(std::string_view name) {
  return name.starts_with(kTemporaryPrefix) && name.ends_with(kTemporarySuffix);
}

// The one place where errno becomes ours. Paths of this machine stay out of it.
std::unexpected<Error> failed(int errno_value, std::string_view doing) {
  Error error = errno_error(errno_value, doing);
  if (errno_value == ELOOP || errno_value == EXDEV) {
    error.message = fmt::format("{}: a folder on its path is a symbolic link, which is not followed", doing);
  }
  if (error.code != ErrorCode::kDiskFull) error.code = ErrorCode::kStoreFailed;
  return std::unexpected(std::move(error));
}

Result<void> check_file_key(std::string_view key) {
  PIXMILL_RETURN_IF_ERROR(check_key(key));
  for (const auto segment : split(key, '/')) {
    if (segment.size() > kSegmentBytesMax) return refused_key("has a part longer than 255 bytes");
    if (is_temporary(segment)) return refused_key("is a name kept for temporary files");
  }
  return {};
}

struct KeyParts {
  std::string folder;  // "" for the root
  std::string name;
};

KeyParts split_key(const std::string& key) {
  const auto slash = key.rfind('/');
  if (slash == std::string::npos) return {.folder = "", .name = key};
  return {.folder = key.substr(0, slash), .name = key.substr(slash + 1)};
}

// Calls `visit` for every name in a folder but "." and "..". Returns 0 or errno.
template <class Visit>
int for_each_entry(int folder, Visit visit) {
  // A descriptor of its own: the listing moves its position and closes it.
  const int own = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) return errno;
  DIR* listing = ::fdopendir(own);
  if (listing == nullptr) {
    const int why = errno;
    ::close(own);
    return why;
  }
  errno = 0;
  while (const dirent* entry = ::readdir(listing)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") visit(name, entry->d_type);
    errno = 0;
  }
  const int why = errno;
  ::closedir(listing);
  return why;
}

bool is_folder(int folder, const std::string& name, unsigned char type) {
  if (type != DT_UNKNOWN) return type == DT_DIR;
  struct stat info {};
  return ::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
}

bool is_file(int folder, const std::string& name, unsigned char type) {
  if (type != DT_UNKNOWN) return type == DT_REG;
  struct stat info {};
  return ::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode);
}

// A temporary file belongs to a living process while its lock is held; a killed one's is free.
void remove_if_abandoned(int folder, const std::string& name) {
  const Descriptor file(::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.is_open() || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) return;
  ::unlinkat(folder, name.c_str(), 0);
}

// The output folder may be somebody's home: the walk stays where keys can lead, and ends when it has taken long enough.
// What it does not reach is garbage that the next start may find.
class AbandonedFiles {
 public:
  void remove(int folder, int depth = 0) {
    if (depth > kDepthMax || std::chrono::steady_clock::now() > deadline_) return;
    std::vector<std::string> folders;
    const int ignored = for_each_entry(folder, [&](std::string_view name, unsigned char type) {
      if (is_temporary(name)) {
        remove_if_abandoned(folder, std::string(name));
      } else if (!name.starts_with('.') && is_folder(folder, std::string(name), type)) {
        folders.emplace_back(name);
      }
    });
    static_cast<void>(ignored);  // what cannot be read was not written by us
    for (const auto& name : folders) {
      const Descriptor below(::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (below.is_open()) remove(below.get(), depth + 1);
    }
  }

 private:
  static constexpr int kDepthMax = 16;
  static constexpr std::chrono::seconds kTimeMax{5};  // three million files on a local disk
  std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::now() + kTimeMax;
};

// mkdir -p. Returns 0 or errno.
int make_folders(int root, const std::string& path, Durability durability) {
  std::size_t end = 0;
  do {
    end = path.find('/', end + 1);
    const std::string step = path.substr(0, end);
    const auto parts = split_key(step);
    const Descriptor parent(open_below(root, parts.folder, O_RDONLY | O_DIRECTORY));
    if (!parent.is_open()) return errno;
    if (::mkdirat(parent.get(), parts.name.c_str(), kFolderMode) != 0 && errno != EEXIST) return errno;
    if (durability == Durability::kPower && ::fsync(parent.get()) != 0) return errno;
  } while (end != std::string::npos);
  return 0;
}

int write_all(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), std::min<std::size_t>(bytes.size(), 1u << 30));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

Result<std::string> read_whole(int file, std::uint64_t bytes_max) {
  struct stat info {};
  if (::fstat(file, &info) != 0) return failed(errno, "Reading a stored file");
  if (static_cast<std::uint64_t>(info.st_size) > bytes_max) {
    return fail(ErrorCode::kTooLarge, "The stored file is larger than allowed.");
  }
  std::string bytes(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t count = ::read(file, bytes.data() + have, bytes.size() - have);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed(errno, "Reading a stored file");
    if (count == 0) return fail(ErrorCode::kStoreFailed, "A stored file became shorter while it was read.");
    have += static_cast<std::size_t>(count);
  }
  return bytes;
}

// The kernel copies, or shares the blocks where the file system can.
int copy_all_bytes(int from, int to) {
  constexpr std::size_t kStepBytes = 128u << 20;
  while (true) {
    const ssize_t copied = ::copy_file_range(from, nullptr, to, nullptr, kStepBytes, 0);
    if (copied == 0) return 0;
    if (copied > 0 || errno == EINTR) continue;
    if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) return errno;
    break;
  }
  std::array<char, 64u << 10> buffer;
  while (true) {
    const ssize_t count = ::read(from, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    if (count == 0) return 0;
    if (const int why = write_all(to, std::string_view(buffer.data(), static_cast<std::size_t>(count)))) return why;
  }
}

class LocalStore final : public BlobStore {
 public:
  LocalStore(std::string root_path, Descriptor root, Durability durability)
      : root_path_(std::move(root_path)), root_(std::move(root)), durability_(durability) {}

  Task<Result<void>> put(std::string key, std::string_view bytes, std::string /*media_type*/) override {
    return on_a_thread([this, key = std::move(key), bytes] {
      return create(key, [bytes](int file) { return write_all(file, bytes); });
    });
  }

  Task<Result<std::string>> get(std::string key, std::uint64_t bytes_max) override {
    return on_a_thread([this, key = std::move(key), bytes_max]() -> Result<std::string> {
      PIXMILL_TRY(const Descriptor file, open_file(key));
      return read_whole(file.get(), bytes_max);
    });
  }

  Task<Result<void>> copy(std::string from, std::string to) override {
    return on_a_thread([this, from = std::move(from), to = std::move(to)]() -> Result<void> {
      PIXMILL_TRY(const Descriptor source, open_file(from));
      return create(to, [&source](int file) { return copy_all_bytes(source.get(), file); });
    });
  }

  Task<Result<bool>> adopt(BlobStore& from, std::string from_key, std::string key, BlobContent content) override {
    const auto path = from.local_path(from_key);
    if (!path) co_return false;
    const bool is_there = &from == this && from_key == key;
    auto work = [this, path = *path, key = std::move(key), content = std::move(content), is_there] {
      return link_or_copy(path, key, content, is_there);
    };
    PIXMILL_CO_RETURN_IF_ERROR(co_await on_a_thread(std::move(work)));
    co_return true;
  }

  Task<Result<BlobInfo>> head(std::string key) override {
    return on_a_thread([this, key = std::move(key)]() -> Result<BlobInfo> {
      PIXMILL_TRY(const Descriptor file, open_file(key));
      struct stat info {};
      if (::fstat(file.get(), &info) != 0) return failed(errno, "Reading a stored file");
      return BlobInfo{.key = key, .bytes = static_cast<std::uint64_t>(info.st_size)};
    });
  }

  Task<Result<void>> remove(std::string key) override {
    return on_a_thread([this, key = std::move(key)] { return unlink_key(key); });
  }

  Task<Result<std::vector<BlobInfo>>> list(std::string prefix, std::string after, std::size_t limit) override {
    return on_a_thread(
        [this,
         query = Listing{std::move(prefix), std::move(after), limit, {}}]() mutable -> Result<std::vector<BlobInfo>> {
          if (const int why = list_folder(root_.get(), "", query)) return failed(why, "Listing stored files");
          return std::move(query.found);
        });
  }

  Task<Result<std::uint64_t>> remove_below(std::string prefix, std::size_t limit) override {
    return on_a_thread([this, prefix = std::move(prefix), limit]() -> Result<std::uint64_t> {
      PIXMILL_RETURN_IF_ERROR(check_folder_key(prefix));
      return remove_folder(prefix.substr(0, prefix.size() - 1), limit);
    });
  }

  std::optional<std::string> local_path(std::string_view key) const override {
    if (!check_file_key(key)) return std::nullopt;
    // A link that somebody put inside the folder must not be served: whoever opens the path would follow it.
    const Descriptor file(open_below(root_.get(), std::string(key), O_PATH | O_NOFOLLOW));
    if (!file.is_open() && errno != ENOENT) return std::nullopt;
    struct stat info {};
    if (file.is_open() && (::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode))) return std::nullopt;
    return fmt::format("{}/{}", root_path_, key);
  }

 private:
  struct Listing {
    std::string prefix;
    std::string after;
    std::size_t limit = 0;
    std::vector<BlobInfo> found;
  };

  // The thread with less to do; two hide the latency of one slow write.
  template <class Function>
  Task<std::invoke_result_t<Function&>> on_a_thread(Function function) {
    const std::size_t chosen = queued_[1] < queued_[0] ? 1 : 0;
    ++queued_[chosen];
    auto result = co_await threads_[chosen].run(std::move(function));
    --queued_[chosen];
    co_return result;
  }

  Result<Descriptor> open_file(const std::string& key) const {
    PIXMILL_RETURN_IF_ERROR(check_file_key(key));
    // O_NONBLOCK: a FIFO that somebody put there must not hang the thread.
    Descriptor file(open_below(root_.get(), key, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    const bool missing = !file.is_open() && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ENXIO);
    if (!file.is_open() && !missing) return failed(errno, "Reading a stored file");
    struct stat info {};
    if (missing || (::fstat(file.get(), &info) == 0 && !S_ISREG(info.st_mode))) {
      return fail(ErrorCode::kNotFound, "The stored file is not there.");
    }
    return file;
  }

  // Folders are made only when opening shows that they are missing, so a warm put costs nothing for them.
  Result<Descriptor> open_folder(const std::string& path) const {
    Descriptor folder(open_below(root_.get(), path, O_RDONLY | O_DIRECTORY));
    if (!folder.is_open() && errno == ENOENT) {
      if (const int why = make_folders(root_.get(), path, durability_)) return failed(why, "Creating an output folder");
      folder = Descriptor(open_below(root_.get(), path, O_RDONLY | O_DIRECTORY));
    }
    if (!folder.is_open()) return failed(errno, "Opening an output folder");
    return folder;
  }

  // `fill` writes to a descriptor and returns 0 or errno.
  template <class Fill>
  Result<void> create(const std::string& key, Fill fill) const {
    PIXMILL_RETURN_IF_ERROR(check_file_key(key));
    const auto parts = split_key(key);
    PIXMILL_TRY(const Descriptor folder, open_folder(parts.folder));
    const std::string temporary = fmt::format("{}{}{}", kTemporaryPrefix, Uuid::random().text(), kTemporarySuffix);
    const int opened =
        ::openat(folder.get(), temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kFileMode);
    if (opened < 0) return failed(errno, "Creating an output file");
    const int why = fill_and_name(folder.get(), opened, temporary, parts.name, fill);
    if (why == 0) return {};
    ::unlinkat(folder.get(), temporary.c_str(), 0);
    return failed(why, "Writing an output file");
  }

  // Takes `opened` over. The lock tells other processes that the file is not abandoned; where locks do not exist, so be
  // it.
  template <class Fill>
  int fill_and_name(int folder, int opened, const std::string& temporary, const std::string& name, Fill fill) const {
    Descriptor file(opened);
    ::flock(file.get(), LOCK_EX | LOCK_NB);
    if (const int why = fill(file.get())) return why;
    if (durability_ == Durability::kPower && ::fsync(file.get()) != 0) return errno;
    // Network file systems say only now that the disk is full.
    if (::close(file.release()) != 0) return errno;
    if (::renameat(folder, temporary.c_str(), folder, name.c_str()) != 0) return errno;
    if (durability_ == Durability::kPower && ::fsync(folder) != 0) return errno;
    return 0;
  }

  // One file under two names, so that a run like the last one costs no space: removing one leaves the other, and
  // Pixmill replaces files but never writes into them. What is checked is what gets the name: the open file, whatever
  // lies at its path by then.
  Result<void> link_or_copy(const std::string& path, const std::string& key, const BlobContent& content,
                            bool is_there) const {
    PIXMILL_RETURN_IF_ERROR(check_file_key(key));
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat info {};
    if (!file.is_open() || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return is_another_blob();
    if (static_cast<std::uint64_t>(info.st_size) != content.bytes) return is_another_blob();
    PIXMILL_TRY(const std::string bytes, read_whole(file.get(), content.bytes));
    if (sha256(bytes) != content.sha256) return is_another_blob();
    if (is_there || link_file(file.get(), key)) return {};
    return create(key, [&bytes](int to) { return write_all(to, bytes); });
  }

  // False where the file system, or the file's owner, does not allow it.
  bool link_file(int file, const std::string& key) const {
    const auto parts = split_key(key);
    const auto folder = open_folder(parts.folder);
    if (!folder) return false;
    const std::string temporary = fmt::format("{}{}{}", kTemporaryPrefix, Uuid::random().text(), kTemporarySuffix);
    const std::string open_file = fmt::format("/proc/self/fd/{}", file);
    if (::linkat(AT_FDCWD, open_file.c_str(), folder->get(), temporary.c_str(), AT_SYMLINK_FOLLOW) != 0) return false;
    const bool is_named = ::renameat(folder->get(), temporary.c_str(), folder->get(), parts.name.c_str()) == 0;
    // rename(2) leaves both names alone when they are one file already.
    ::unlinkat(folder->get(), temporary.c_str(), 0);
    if (durability_ == Durability::kProcess) return is_named;
    return is_named && ::fsync(file) == 0 && ::fsync(folder->get()) == 0;
  }

  Result<void> unlink_key(const std::string& key) const {
    PIXMILL_RETURN_IF_ERROR(check_file_key(key));
    const auto parts = split_key(key);
    const Descriptor folder(open_below(root_.get(), parts.folder, O_RDONLY | O_DIRECTORY));
    if (!folder.is_open() && (errno == ENOENT || errno == ENOTDIR)) return {};
    if (!folder.is_open()) return failed(errno, "Opening an output folder");
    if (::unlinkat(folder.get(), parts.name.c_str(), 0) != 0 && errno != ENOENT) {
      return failed(errno, "Removing a stored file");
    }
    return {};
  }

  Result<std::uint64_t> remove_folder(const std::string& path, std::uint64_t limit) const {
    PIXMILL_RETURN_IF_ERROR(check_file_key(path));
    const auto parts = split_key(path);
    const Descriptor parent(open_below(root_.get(), parts.folder, O_RDONLY | O_DIRECTORY));
    const Descriptor folder(open_below(root_.get(), path, O_RDONLY | O_DIRECTORY));
    const bool missing = errno == ENOENT || errno == ENOTDIR;
    if ((!parent.is_open() || !folder.is_open()) && missing) return 0;
    if (!parent.is_open() || !folder.is_open()) return failed(errno, "Opening an output folder");
    std::uint64_t left = limit;
    if (const int why = empty_folder(folder.get(), left)) return failed(why, "Removing stored files");
    // What is not ours keeps its folder.
    if (left > 0) ::unlinkat(parent.get(), parts.name.c_str(), AT_REMOVEDIR);
    return limit - left;
  }

  // Removes at most `left` files, counting down, and the folders that are empty then. Returns 0 or errno.
  static int empty_folder(int folder, std::uint64_t& left) {
    std::vector<std::string> files;
    std::vector<std::string> folders;
    const int why = for_each_entry(folder, [&](std::string_view name, unsigned char type) {
      std::string entry(name);
      if (is_temporary(name)) {
        remove_if_abandoned(folder, entry);
      } else if (is_folder(folder, entry, type)) {
        folders.push_back(std::move(entry));
      } else if (files.size() < left && is_file(folder, entry, type)) {
        files.push_back(std::move(entry));
      }
    });
    if (why != 0) return why == ENOENT ? 0 : why;
    for (const auto& name : files) {
      if (::unlinkat(folder, name.c_str(), 0) != 0 && errno != ENOENT) return errno;
      --left;
    }
    for (const auto& name : folders) {
      if (left == 0) return 0;
      const Descriptor below(::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!below.is_open()) continue;  // gone meanwhile, or nothing that we made
      if (const int inner = empty_folder(below.get(), left)) return inner;
      if (left > 0) ::unlinkat(folder, name.c_str(), AT_REMOVEDIR);
    }
    return 0;
  }

  // Depth first in the byte order of whole keys: a folder sorts as its name and '/'. Returns 0 or errno.
  static int list_folder(int folder, const std::string& path, Listing& query) {
    std::vector<std::string> names;  // folders end in '/'
    const int why = for_each_entry(folder, [&](std::string_view name, unsigned char type) {
      if (is_temporary(name)) return;
      std::string entry(name);
      if (is_folder(folder, entry, type)) entry += '/';
      if (may_hold(path + entry, query)) names.push_back(std::move(entry));
    });
    if (why != 0) return why == ENOENT ? 0 : why;  // removed meanwhile
    std::ranges::sort(names);
    for (const auto& name : names) {
      if (query.found.size() >= query.limit) return 0;
      if (!name.ends_with('/')) {
        add_file(folder, name, path, query);
        continue;
      }
      // Without its '/', behind which O_NOFOLLOW would not look.
      const std::string plain_name = name.substr(0, name.size() - 1);
      const Descriptor below(::openat(folder, plain_name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!below.is_open() && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) continue;
      if (!below.is_open()) return errno;
      if (const int inner = list_folder(below.get(), path + name, query)) return inner;
    }
    return 0;
  }

  // Whether `entry`, a key or a folder's path with its '/', is or can hold a key that is asked for.
  static bool may_hold(const std::string& entry, const Listing& query) {
    if (!entry.ends_with('/')) return entry.starts_with(query.prefix) && entry > query.after;
    if (!entry.starts_with(query.prefix) && !query.prefix.starts_with(entry)) return false;
    return query.after.starts_with(entry) || entry > query.after;
  }

  static void add_file(int folder, const std::string& name, const std::string& path, Listing& query) {
    struct stat info {};
    if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode)) return;
    query.found.push_back({.key = path + name, .bytes = static_cast<std::uint64_t>(info.st_size)});
  }

  std::string root_path_;
  Descriptor root_;
  Durability durability_;
  std::array<std::size_t, 2> queued_{};
  // Last: its destructor waits for calls that use the members above.
  std::array<BlockingThread, 2> threads_{BlockingThread("store-1"), BlockingThread("store-2")};
};

// mkdir -p that follows links: where the root lies is the operator's choice. Returns 0 or the first step's errno.
int make_root(const std::string& path) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string step = path.substr(0, end);
    if (::mkdir(step.c_str(), kFolderMode) != 0 && errno != EEXIST) return errno;
    if (end == std::string::npos) return 0;
  }
}

std::unexpected<Error> unusable_root(int errno_value) {
  Error error = errno_error(errno_value, "The output folder cannot be written");
  if (error.code != ErrorCode::kDiskFull) error.code = ErrorCode::kIo;
  return std::unexpected(std::move(error));
}

}  // namespace

Result<std::unique_ptr<BlobStore>> open_local_store(std::string root, Durability durability) {
  while (root.size() > 1 && root.ends_with('/')) root.pop_back();
  if (root.empty() || root.find('\0') != std::string::npos) {
    return fail(ErrorCode::kIo, "The output folder has no usable name.");
  }
  if (const int why = make_root(root)) return unusable_root(why);
  Descriptor folder(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open()) return unusable_root(errno);
  AbandonedFiles().remove(folder.get());

  // Better said now than at the first of a million pictures.
  const std::string probe = fmt::format("{}{}{}", kTemporaryPrefix, Uuid::random().text(), kTemporarySuffix);
  const Descriptor file(
      ::openat(folder.get(), probe.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kFileMode));
  if (!file.is_open()) return unusable_root(errno);
  ::unlinkat(folder.get(), probe.c_str(), 0);

  const std::unique_ptr<char, decltype(&std::free)> absolute(::realpath(root.c_str(), nullptr), &std::free);
  if (absolute == nullptr) return unusable_root(errno);
  return std::make_unique<LocalStore>(absolute.get(), std::move(folder), durability);
}

Result<std::unique_ptr<BlobStore>> open_local_store_to_read(const std::string& root) {
  const std::unique_ptr<char, decltype(&std::free)> absolute(::realpath(root.c_str(), nullptr), &std::free);
  if (absolute == nullptr) return std::unexpected(errno_error(errno, "The folder cannot be read"));
  Descriptor folder(::open(absolute.get(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open()) return std::unexpected(errno_error(errno, "The folder cannot be read"));
  return std::make_unique<LocalStore>(absolute.get(), std::move(folder), Durability::kProcess);
}

Result<std::uint64_t> free_bytes(const std::string& path) {
  struct statvfs info {};
  if (::statvfs(path.c_str(), &info) != 0) {
    Error error = errno_error(errno, "The free space cannot be read");
    error.code = ErrorCode::kIo;
    return std::unexpected(std::move(error));
  }
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

}  // namespace pixmill::storage
