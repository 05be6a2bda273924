#include "jobs/table_input.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/text.h"

namespace pixmill::jobs {

namespace {

constexpr std::size_t kPieceBytes = 64u << 10;
// Small files may unpack to this much whatever the ratio: ten thousand equal rows are no attack.
constexpr std::uint64_t kUnpackedAlwaysBytes = 1u << 20;

class FileSource final : public ByteSource {
 public:
  FileSource(int descriptor, std::uint64_t total_bytes) : descriptor_(descriptor), total_bytes_(total_bytes) {}
  ~FileSource() override { ::close(descriptor_); }
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  Result<std::string_view> next() override {
    while (true) {
      const ssize_t count = ::read(descriptor_, buffer_.data(), buffer_.size());
      if (count >= 0) {
        read_bytes_ += static_cast<std::uint64_t>(count);
        return std::string_view(buffer_.data(), static_cast<std::size_t>(count));
      }
      if (errno != EINTR) {
        Error error = errno_error(errno, "The table cannot be read");
        error.code = ErrorCode::kIo;
        return std::unexpected(std::move(error));
      }
    }
  }
  // A pipe has no size before its end; what came so far stands for it.
  std::uint64_t total_bytes() const override { return std::max(total_bytes_, read_bytes_); }

 private:
  int descriptor_;
  std::uint64_t total_bytes_;
  std::uint64_t read_bytes_ = 0;
  std::array<char, kPieceBytes> buffer_{};
};

class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(std::string bytes) : bytes_(std::move(bytes)) {}
  Result<std::string_view> next() override {
    const auto piece = std::string_view(bytes_).substr(at_, kPieceBytes);
    at_ += piece.size();
    return piece;
  }
  std::uint64_t total_bytes() const override { return bytes_.size(); }

 private:
  std::string bytes_;
  std::size_t at_ = 0;
};

// gzip (RFC 1952), any number of members one after another, as gzip -d reads them.
class GzipSource final {
 public:
  explicit GzipSource(ByteSource& packed) : packed_(packed) {
    PIXMILL_CHECK(::inflateInit2(&stream_, MAX_WBITS + 16) == Z_OK);
  }
  ~GzipSource() { ::inflateEnd(&stream_); }
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;

  // What was read of the packed bytes to recognise them.
  void start_with(std::string_view packed) { give(packed); }

  Result<std::string_view> next() {
    stream_.next_out = reinterpret_cast<Bytef*>(buffer_.data());
    stream_.avail_out = static_cast<uInt>(buffer_.size());
    while (stream_.avail_out > 0) {
      if (stream_.avail_in == 0) {
        PIXMILL_TRY(const auto piece, packed_.next());
        if (piece.empty()) break;
        give(piece);
      }
      if (member_ended_ && !begin_member()) continue;
      const int result = ::inflate(&stream_, Z_NO_FLUSH);
      member_ended_ = result == Z_STREAM_END;
      if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
        return fail(ErrorCode::kDecodeFailed, "The gzip data is damaged.");
      }
    }
    const std::size_t unpacked = buffer_.size() - stream_.avail_out;
    if (unpacked == 0 && !member_ended_) return fail(ErrorCode::kTruncated, "The gzip file ends too early.");
    return std::string_view(buffer_.data(), unpacked);
  }

 private:
  void give(std::string_view packed) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));  // zlib only reads it
    stream_.avail_in = static_cast<uInt>(packed.size());
  }

  // After a member there may be another; zero bytes are padding of tapes and block devices. False: look for more input.
  bool begin_member() {
    while (stream_.avail_in > 0 && *stream_.next_in == 0) {
      ++stream_.next_in;
      --stream_.avail_in;
    }
    if (stream_.avail_in == 0) return false;
    ::inflateReset(&stream_);
    member_ended_ = false;
    return true;
  }

  ByteSource& packed_;
  z_stream stream_{};
  bool member_ended_ = false;
  std::array<char, kPieceBytes> buffer_{};
};

std::unexpected<Error> not_text(std::string message) { return fail(ErrorCode::kUnsupportedFormat, std::move(message)); }

Result<void> check_is_text(std::string_view head) {
  const auto utf16 = [] { return not_text("The file is UTF-16 text; save it as UTF-8 and try again."); };
  if (head.starts_with("\xff\xfe") || head.starts_with("\xfe\xff")) return utf16();
  // Without a mark: ASCII characters, each with a zero byte before or behind it.
  if (head.size() >= 4 && (head[0] == 0) != (head[1] == 0) && (head[0] == 0) == (head[2] == 0) &&
      (head[1] == 0) == (head[3] == 0)) {
    return utf16();
  }
  if (head.starts_with("PK\x03\x04") || head.starts_with("\xd0\xcf\x11\xe0")) {
    return not_text("The file is a spreadsheet or an archive; export it as CSV (UTF-8) and try again.");
  }
  return {};
}

class Input final : public TableInput {
 public:
  Input(std::unique_ptr<ByteSource> source, TableInputLimits limits) : source_(std::move(source)), limits_(limits) {}

  Result<void> read_head() {
    PIXMILL_TRY(const auto first, source_->next());
    if (first.starts_with("\x1f\x8b")) {
      gzip_ = std::make_unique<GzipSource>(*source_);
      gzip_->start_with(first);
    } else {
      head_ = first;
      PIXMILL_RETURN_IF_ERROR(count(first.size()));
    }
    while (head_.size() < kPieceBytes) {
      PIXMILL_TRY(const auto piece, read());
      if (piece.empty()) break;
      head_ += piece;
    }
    if (head_.starts_with("\xef\xbb\xbf")) head_.erase(0, 3);
    return check_is_text(head_);
  }

  std::string_view head() const override { return head_; }
  bool was_packed() const override { return gzip_ != nullptr; }

  Result<std::string_view> next() override {
    if (!head_given_) {
      head_given_ = true;
      if (!head_.empty()) return head_;
    }
    if (!head_.empty()) std::string().swap(head_);
    return read();
  }

 private:
  Result<std::string_view> read() {
    auto piece = gzip_ ? gzip_->next() : source_->next();
    if (piece) PIXMILL_RETURN_IF_ERROR(count(piece->size()));
    return piece;
  }

  Result<void> count(std::size_t bytes) {
    bytes_ += bytes;
    if (bytes_ > limits_.unpacked_bytes_max) {
      return fail(ErrorCode::kTooLarge,
                  fmt::format("The table is larger than {}.", format_bytes(limits_.unpacked_bytes_max)));
    }
    // Against the whole packed size, so that a file whose beginning packs well is not taken for a bomb.
    if (gzip_ && bytes_ > kUnpackedAlwaysBytes && bytes_ / limits_.unpack_ratio_max >= source_->total_bytes()) {
      return fail(ErrorCode::kTooLarge,
                  fmt::format("The gzip file unpacks to more than {} times its size.", limits_.unpack_ratio_max));
    }
    return {};
  }

  std::unique_ptr<ByteSource> source_;
  TableInputLimits limits_;
  std::unique_ptr<GzipSource> gzip_;
  std::string head_;
  bool head_given_ = false;
  std::uint64_t bytes_ = 0;
};

}  // namespace

Result<std::unique_ptr<ByteSource>> open_file_source(const std::string& path) {
  const auto failed = [](int errno_value) {
    return std::unexpected(errno_error(errno_value, "The table cannot be opened"));
  };
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return failed(errno);
  struct stat info {};
  if (::fstat(descriptor, &info) != 0 || S_ISDIR(info.st_mode)) {
    const int why = S_ISDIR(info.st_mode) ? EISDIR : errno;
    ::close(descriptor);
    return failed(why);
  }
  ::posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL);
  return std::make_unique<FileSource>(descriptor, static_cast<std::uint64_t>(info.st_size));
}

std::unique_ptr<ByteSource> make_memory_source(std::string bytes) {
  return std::make_unique<MemorySource>(std::move(bytes));
}

Result<std::unique_ptr<TableInput>> TableInput::open(std::unique_ptr<ByteSource> source, TableInputLimits limits) {
  auto input = std::make_unique<Input>(std::move(source), limits);
  PIXMILL_RETURN_IF_ERROR(input->read_head());
  return input;
}

}  // namespace pixmill::jobs
