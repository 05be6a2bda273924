#include "api/upload.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "api/json_upload.h"
#include "base/text.h"
#include "http/multipart.h"
#include "pipeline/watermarks.h"
#include "storage/local_store.h"

namespace pixmill::api {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kFieldBytesMax = 64u << 10;
constexpr std::size_t kFieldsBytesMax = 512u << 10;
constexpr std::size_t kPartsMax = 100;
// Written through this often, so that the last fsync of a large upload has little left to do.
constexpr std::uint64_t kSyncEveryBytes = 64ULL << 20;

// A spool folder that is gone is our fault, not something the client did not find.
Error spool_error(int errno_value) {
  Error error = errno_error(errno_value, "The upload cannot be stored");
  if (error.code == ErrorCode::kNotFound) error.code = ErrorCode::kIo;
  return error;
}

// The spool file while it is written. Its methods block: on the writing thread only.
class SpoolWriter {
 public:
  [[nodiscard]] static Result<std::shared_ptr<SpoolWriter>> create(const std::string& path) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return std::unexpected(spool_error(errno));
    return std::make_shared<SpoolWriter>(fd);
  }
  explicit SpoolWriter(int fd) : fd_(fd) {}
  ~SpoolWriter() {
    if (fd_ >= 0) ::close(fd_);
  }
  SpoolWriter(const SpoolWriter&) = delete;
  SpoolWriter& operator=(const SpoolWriter&) = delete;

  Result<void> write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::write(fd_, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return std::unexpected(spool_error(errno));
      bytes.remove_prefix(static_cast<std::size_t>(count));
      unsynced_bytes_ += static_cast<std::uint64_t>(count);
    }
    if (unsynced_bytes_ < kSyncEveryBytes) return {};
    unsynced_bytes_ = 0;
    return ::fdatasync(fd_) == 0 ? Result<void>() : std::unexpected(spool_error(errno));
  }

  Result<void> finish(const std::string& folder) {
    const bool synced = ::fsync(fd_) == 0;
    const int sync_errno = errno;
    const bool closed = ::close(std::exchange(fd_, -1)) == 0;
    if (!synced || !closed) {
      return std::unexpected(spool_error(synced ? errno : sync_errno));
    }
    const int folder_fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool folder_synced = folder_fd >= 0 && ::fsync(folder_fd) == 0;
    const int folder_errno = errno;
    if (folder_fd >= 0) ::close(folder_fd);
    if (!folder_synced) return std::unexpected(spool_error(folder_errno));
    return {};
  }

 private:
  int fd_;
  std::uint64_t unsynced_bytes_ = 0;
};

// Blocking. The JSON document at `raw_path` as an upload whose table lies at `path`.
Checked<Upload> converted(const std::string& raw_path, const std::string& path, const std::string& folder) {
  std::ifstream raw(raw_path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(raw)), std::istreambuf_iterator<char>());
  if (!raw) return refuse(problem_of(spool_error(EIO)));
  PIXMILL_TRY(auto json, read_json_upload(text));
  Upload upload{.file = std::nullopt, .watermark = std::nullopt, .fields = std::move(json.fields)};
  upload.file.emplace(SpoolFile(path), "rows.jsonl", json.table.size());
  const auto writer = SpoolWriter::create(path);
  if (!writer) return refuse(problem_of(writer.error()));
  auto written = (*writer)->write(json.table);
  if (written) written = (*writer)->finish(folder);
  if (!written) return refuse(problem_of(written.error()));
  return upload;
}

}  // namespace

SpoolFile& SpoolFile::operator=(SpoolFile&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

SpoolFile::~SpoolFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

std::string Upload::field(const std::string& name) const {
  const auto found = fields.find(name);
  return found == fields.end() ? std::string() : std::string(trim(found->second));
}

std::string table_extension(std::string_view file_name) {
  constexpr std::array<std::string_view, 5> kKinds = {".csv", ".tsv", ".tab", ".jsonl", ".ndjson"};
  std::string name = to_lower(file_name);
  const std::string packed = name.ends_with(".gz") ? ".gz" : "";
  name.resize(name.size() - packed.size());
  const auto kind = std::ranges::find_if(kKinds, [&](std::string_view ending) { return name.ends_with(ending); });
  return std::string(kind == kKinds.end() ? "" : *kind) + packed;
}

// One upload: what the parser's callbacks gather between two writes.
class UploadReceiver::Reception {
 public:
  Reception(const UploadLimits& limits, std::shared_ptr<std::uint32_t> marks_held, std::string boundary,
            std::string spool_stem)
      : limits_(limits),
        marks_held_(std::move(marks_held)),
        spool_stem_(std::move(spool_stem)),
        parser_(std::move(boundary),
                {.on_part = [this](const http::PartHeader& part) { return begin_part(part); },
                 .on_data = [this](std::string_view bytes) { return take(bytes); },
                 .on_part_end = [this]() -> Result<void> { return end_part(); }},
                {.parts_max = kPartsMax}) {}

  Task<Result<void>> read(http::BodyReader& body, BlockingThread& thread) {
    while (true) {
      PIXMILL_CO_TRY(const std::string_view piece, co_await body.next());
      if (piece.empty()) break;
      PIXMILL_CO_RETURN_IF_ERROR(parser_.feed(piece));
      PIXMILL_CO_RETURN_IF_ERROR(co_await flush(thread));
    }
    PIXMILL_CO_RETURN_IF_ERROR(parser_.finish());
    if (!writer_) co_return Result<void>();
    auto finish = [writer = writer_, folder = limits_.spool_folder] { return writer->finish(folder); };
    co_return co_await thread.run(std::move(finish));
  }

  Upload take_upload() { return std::move(upload_); }

 private:
  Result<void> begin_part(const http::PartHeader& part) {
    to_file_ = part.name == "file" && part.filename.has_value();
    to_mark_ = part.name == "watermark" && part.filename.has_value();
    field_ = nullptr;
    if (to_mark_) return begin_mark(part);
    if (to_file_) {
      // A browser sends an unused file input as a part without a name or bytes.
      if (upload_.file) return fail(ErrorCode::kInvalidArgument, "The form holds more than one file");
      upload_.file.emplace();
      upload_.file->name = *part.filename;
      upload_.file->spool = SpoolFile(spool_stem_ + table_extension(*part.filename));
    } else if (!part.filename) {
      std::string& field = upload_.fields[part.name];
      if (!field.empty()) field += '\n';
      field_ = &field;
    }
    return {};
  }

  Result<void> begin_mark(const http::PartHeader& part) {
    to_mark_ = !part.filename->empty();
    if (!to_mark_) return {};  // an input of a form that was left empty
    if (upload_.watermark) return fail(ErrorCode::kInvalidArgument, "The form holds more than one watermark");
    if (*marks_held_ >= kMarksAtOnce) {
      return fail(ErrorCode::kUnavailable, "Too many watermarks are being uploaded; try again in a moment");
    }
    ++*marks_held_;
    upload_.watermark.emplace();
    upload_.watermark->place = std::shared_ptr<void>(nullptr, [held = marks_held_](void*) { --*held; });
    return {};
  }

  Result<void> take_mark(std::string_view bytes) {
    if (bytes.size() > pipeline::kMarkFileBytesMax - upload_.watermark->bytes.size()) {
      return fail(ErrorCode::kTooLarge,
                  fmt::format("The watermark is larger than {}", format_bytes(pipeline::kMarkFileBytesMax)));
    }
    upload_.watermark->bytes += bytes;
    return {};
  }

  Result<void> take(std::string_view bytes) {
    if (to_mark_) return take_mark(bytes);
    if (to_file_) {
      upload_.file->bytes += bytes.size();
      if (upload_.file->bytes > limits_.file_bytes_max) {
        return fail(ErrorCode::kTooLarge,
                    fmt::format("The file is larger than {}", format_bytes(limits_.file_bytes_max)));
      }
      unwritten_ += bytes;
    } else if (field_ != nullptr) {
      fields_bytes_ += bytes.size();
      if (field_->size() + bytes.size() > kFieldBytesMax || fields_bytes_ > kFieldsBytesMax) {
        return fail(ErrorCode::kTooLarge, "A field of the form is larger than 64 kB");
      }
      *field_ += bytes;
    }
    return {};
  }

  Result<void> end_part() {
    to_file_ = to_mark_ = false;
    field_ = nullptr;
    return {};
  }

  Task<Result<void>> flush(BlockingThread& thread) {
    if (!upload_.file) co_return Result<void>();
    if (!writer_) {
      auto create = [path = upload_.file->spool.path()] { return SpoolWriter::create(path); };
      PIXMILL_CO_TRY(writer_, co_await thread.run(std::move(create)));
    }
    if (unwritten_.empty()) co_return Result<void>();
    auto write = [writer = writer_, bytes = std::exchange(unwritten_, {})] { return writer->write(bytes); };
    co_return co_await thread.run(std::move(write));
  }

  const UploadLimits& limits_;
  std::shared_ptr<std::uint32_t> marks_held_;
  std::string spool_stem_;
  Upload upload_;
  std::shared_ptr<SpoolWriter> writer_;
  std::string unwritten_;  // at most what one feed of the parser gave
  bool to_file_ = false;
  bool to_mark_ = false;
  std::string* field_ = nullptr;  // of the part being read; null: it goes nowhere
  std::size_t fields_bytes_ = 0;
  http::MultipartParser parser_;
};

UploadReceiver::UploadReceiver(UploadLimits limits, BlockingThread& thread)
    : limits_(std::move(limits)), thread_(thread) {}

Task<Checked<Upload>> UploadReceiver::receive(http::Request& request, JobId job, UploadForms forms) {
  const auto type = request.headers.get("Content-Type").value_or("");
  auto boundary = http::multipart_boundary(type);
  const bool is_json = forms == UploadForms::kMultipartOrJson &&
                       equals_ignoring_case(trim(type.substr(0, type.find(';'))), "application/json");
  if (!boundary && !is_json) {
    co_return refuse(Problem{.status = 415,
                             .code = "unsupported_media_type",
                             .detail = forms == UploadForms::kMultipart
                                           ? "The request is not a form of the type multipart/form-data"
                                           : "The request is neither a form (multipart/form-data) nor JSON",
                             .hint = "Send the table as the part 'file': curl -F file=@products.csv …"});
  }
  const auto announced = parse_integer(request.headers.get("Content-Length").value_or("0")).value_or(0);
  const auto free = storage::free_bytes(limits_.spool_folder);
  if (free && *free < limits_.free_bytes_min + static_cast<std::uint64_t>(announced)) {
    co_return refuse(problem_of(Error{.code = ErrorCode::kDiskFull,
                                      .message = "There is not enough space on the server's disk for this upload",
                                      .detail = {}}));
  }
  if (is_json) co_return co_await receive_json(request, limits_.spool_folder + "/" + job.text());
  Reception reception(limits_, marks_held_, std::move(*boundary), limits_.spool_folder + "/" + job.text());
  const auto read = co_await reception.read(*request.body, thread_);
  if (!read) co_return refuse(problem_of(read.error()));
  co_return reception.take_upload();
}

Task<Checked<Upload>> UploadReceiver::receive_json(http::Request& request, std::string stem) {
  const SpoolFile raw(stem + ".json");
  const auto stored = co_await store_body(request, raw.path());
  if (!stored && stored.error().code == ErrorCode::kTooLarge) {
    Problem problem = problem_of(stored.error());
    problem.hint = "Send more rows than these as a file of JSON Lines or CSV: curl -F file=@products.jsonl …";
    co_return refuse(std::move(problem));
  }
  if (!stored) co_return refuse(problem_of(stored.error()));
  // On the thread, which does one of these at a time: the document takes several times its size in memory.
  auto convert = [raw_path = raw.path(), path = stem + ".jsonl", folder = limits_.spool_folder] {
    return converted(raw_path, path, folder);
  };
  co_return co_await thread_.run(std::move(convert));
}

Task<Result<void>> UploadReceiver::store_body(http::Request& request, std::string path) {
  auto create = [path] { return SpoolWriter::create(path); };
  PIXMILL_CO_TRY(const auto writer, co_await thread_.run(std::move(create)));
  std::size_t bytes = 0;
  while (true) {
    PIXMILL_CO_TRY(const std::string_view piece, co_await request.body->next());
    if (piece.empty()) co_return Result<void>();
    bytes += piece.size();
    if (bytes > kJsonUploadBytesMax) {
      co_return fail(ErrorCode::kTooLarge,
                     fmt::format("The document is larger than {}", format_bytes(kJsonUploadBytesMax)));
    }
    auto write = [writer, copy = std::string(piece)] { return writer->write(copy); };
    PIXMILL_CO_RETURN_IF_ERROR(co_await thread_.run(std::move(write)));
  }
}

Task<void> UploadReceiver::remove(std::string path) {
  auto unlink = [path = std::move(path)] { return ::unlink(path.c_str()); };
  static_cast<void>(co_await thread_.run(std::move(unlink)));
}

Task<Result<void>> UploadReceiver::sweep(std::vector<std::string> kept) {
  auto sweep = [folder = limits_.spool_folder, kept = std::move(kept)]() -> Result<void> {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) return std::unexpected(errno_error(error.value(), "The spool folder cannot be made"));
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
      // By name, because the folder may have been reached by another path when the job was stored.
      const auto same_name = [&](const std::string& path) {
        return fs::path(path).filename() == entry->path().filename();
      };
      const bool wanted = std::ranges::any_of(kept, same_name);
      std::error_code ignored;
      if (!wanted && entry->is_regular_file(ignored)) fs::remove(entry->path(), ignored);
    }
    if (error) return std::unexpected(errno_error(error.value(), "The spool folder cannot be read"));
    return {};
  };
  co_return co_await thread_.run(std::move(sweep));
}

}  // namespace pixmill::api
