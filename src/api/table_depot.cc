#include "api/table_depot.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "api/upload.h"
#include "base/log.h"
#include "base/text.h"
#include "jobs/model.h"

namespace pixmill::api {

namespace {

constexpr std::size_t kPieceBytes = 8u << 20;
constexpr std::size_t kPiecesPerSweep = 1'000;

// `folder`: "<job id>/", or "<job id>.<stamp>/".
std::string piece_key(const std::string& folder, std::uint64_t piece) { return fmt::format("{}{:06}", folder, piece); }
std::string folder_of(const std::string& job, const std::string& stamp) {
  return fmt::format("{}{}{}/", job, stamp.empty() ? "" : ".", stamp);
}

// Blocking; its methods run on the files' thread.
class SpooledFile {
 public:
  static Result<std::shared_ptr<SpooledFile>> open(const std::string& path, int flags) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
    if (fd < 0) return std::unexpected(failure());
    return std::make_shared<SpooledFile>(fd);
  }
  explicit SpooledFile(int fd) : fd_(fd) {}
  ~SpooledFile() { ::close(fd_); }
  SpooledFile(const SpooledFile&) = delete;
  SpooledFile& operator=(const SpooledFile&) = delete;

  // The next piece; "" at the end.
  Result<std::string> read_piece() const {
    std::string piece(kPieceBytes, '\0');
    std::size_t have = 0;
    while (have < piece.size()) {
      const ssize_t count = ::read(fd_, piece.data() + have, piece.size() - have);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return std::unexpected(failure());
      if (count == 0) break;
      have += static_cast<std::size_t>(count);
    }
    piece.resize(have);
    return piece;
  }
  Result<void> write(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t count = ::write(fd_, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return std::unexpected(failure());
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return {};
  }

 private:
  static Error failure() {
    Error error = errno_error(errno, "The table cannot be kept in the spool");
    if (error.code == ErrorCode::kNotFound) error.code = ErrorCode::kIo;
    return error;
  }
  int fd_;
};

struct SharedTable {
  std::uint64_t bytes = 0;
  std::string stamp;
  std::string job;
  std::string ending;  // ".csv"
};

// "shared:<bytes>[:<stamp>]/<job id><ending>"
std::optional<SharedTable> parse_shared(std::string_view source_path) {
  if (!jobs::is_shared_table(source_path)) return std::nullopt;
  const auto rest = source_path.substr(jobs::kSharedTable.size());
  const auto slash = rest.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto size = rest.substr(0, slash);
  const auto colon = std::min(size.find(':'), size.size());
  const auto bytes = parse_integer(size.substr(0, colon));
  const auto name = rest.substr(slash + 1);
  if (!bytes || *bytes < 0) return std::nullopt;
  const auto dot = std::min(name.find('.'), name.size());
  return SharedTable{.bytes = static_cast<std::uint64_t>(*bytes),
                     .stamp = std::string(size.substr(std::min(colon + 1, size.size()))),
                     .job = std::string(name.substr(0, dot)),
                     .ending = std::string(name.substr(dot))};
}

bool is_in(const std::string& folder, std::string_view source_path) {
  const auto table = parse_shared(source_path);
  return table && folder_of(table->job, table->stamp) == folder;
}

std::unexpected<Error> not_there() {
  return fail(ErrorCode::kUnavailable, "A piece of the table is not where it was put");
}

}  // namespace

Task<Result<std::string>> TableDepot::put(JobId job, std::string path, std::string stamp) {
  const std::string folder = folder_of(job.text(), stamp);
  auto open = [path] { return SpooledFile::open(path, O_RDONLY); };
  PIXMILL_CO_TRY(const auto file, co_await files_.run(std::move(open)));
  std::uint64_t bytes = 0;
  for (std::uint64_t piece = 0;; ++piece) {
    auto read = [file] { return file->read_piece(); };
    PIXMILL_CO_TRY(const std::string content, co_await files_.run(std::move(read)));
    if (content.empty()) break;
    PIXMILL_CO_RETURN_IF_ERROR(co_await blobs_.put(piece_key(folder, piece), content, "application/octet-stream"));
    bytes += content.size();
  }
  co_return fmt::format("{}{}{}{}/{}{}", jobs::kSharedTable, bytes, stamp.empty() ? "" : ":", stamp, job.text(),
                        table_extension(path));
}

Task<Result<std::string>> TableDepot::fetch(std::string source_path, std::int64_t reader) {
  const auto table = parse_shared(source_path);
  if (!table) co_return fail(ErrorCode::kInternal, "The job does not say where its table is");
  const std::string path = fmt::format("{}/{}-{}{}", spool_folder_, table->job, reader, table->ending);
  auto done = co_await fetch_into(folder_of(table->job, table->stamp), table->bytes, path);
  if (done) co_return path;
  // The next attempt has another name.
  auto remove_part = [path] { return ::unlink(path.c_str()); };
  static_cast<void>(co_await files_.run(std::move(remove_part)));
  co_return std::unexpected(std::move(done).error());
}

Task<Result<void>> TableDepot::fetch_into(std::string folder, std::uint64_t bytes, std::string path) {
  auto open = [path] { return SpooledFile::open(path, O_WRONLY | O_CREAT | O_TRUNC); };
  PIXMILL_CO_TRY(const auto file, co_await files_.run(std::move(open)));
  std::uint64_t have = 0;
  for (std::uint64_t piece = 0; have < bytes; ++piece) {
    auto content = co_await blobs_.get(piece_key(folder, piece), kPieceBytes);
    if (!content && content.error().code == ErrorCode::kNotFound) co_return not_there();
    if (!content) co_return std::unexpected(std::move(content).error());
    have += content->size();
    if (content->empty() || have > bytes) co_return not_there();
    auto write = [file, piece_bytes = std::move(*content)] { return file->write(piece_bytes); };
    PIXMILL_CO_RETURN_IF_ERROR(co_await files_.run(std::move(write)));
  }
  co_return Result<void>();
}

Task<void> TableDepot::remove(std::string source_path) {
  const auto table = parse_shared(source_path);
  if (table) co_await remove_folder(folder_of(table->job, table->stamp));
}

Task<void> TableDepot::remove_folder(std::string folder) {
  bool more = true;
  while (more) {
    const auto removed = co_await blobs_.remove_below(folder, kPiecesPerSweep);
    if (!removed) {
      log::warning("table_left", {{"table", folder}, {"message", removed.error().message}});
      co_return;
    }
    more = *removed > 0;
  }
}

Task<Result<std::vector<std::string>>> TableDepot::folders() {
  std::set<std::string> names;
  std::string after;
  while (true) {
    PIXMILL_CO_TRY(const auto page, co_await blobs_.list("", after, kPiecesPerSweep));
    for (const auto& blob : page) names.insert(blob.key.substr(0, blob.key.find('/') + 1));
    if (page.size() < kPiecesPerSweep) break;
    after = page.back().key;
  }
  co_return std::vector<std::string>(names.begin(), names.end());
}

Task<void> TableDepot::sweep(jobs::JobStore& store, std::chrono::steady_clock::duration grace) {
  const auto found = co_await folders();
  if (!found) co_return;
  std::map<std::string, Time> idle;
  const auto now = std::chrono::steady_clock::now();
  for (const auto& folder : *found) {
    const auto uuid = Uuid::parse(folder.substr(0, folder.find_first_of("./")));
    if (!uuid) continue;  // nobody's of ours
    const JobId id{*uuid};
    const auto job = co_await store.job(id);
    if (!job && job.error().code != ErrorCode::kNotFound) co_return;
    if (job && job->is_being_read && is_in(folder, job->source_path)) continue;
    const bool is_read_in = job && !job->is_being_read;
    const auto known = idle_.find(folder);
    const auto since = known == idle_.end() ? now : known->second;
    if (!is_read_in && (now - since < grace || known == idle_.end())) {
      idle.emplace(folder, since);
      continue;
    }
    log::info("table_swept", {{"table", folder}});
    co_await remove_folder(folder);
  }
  idle_ = std::move(idle);
}

}  // namespace pixmill::api
