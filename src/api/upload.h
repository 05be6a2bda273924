// A multipart upload on its way to disk: the part `file` goes to a spool file in pieces of at most 64 kB, everything
// else is in memory: form fields, and a picture that comes as the part `watermark`. Or the same as JSON
// (api/json_upload), whose rows become that file. Lives on the loop; the file is written on a thread of its own.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/errors.h"
#include "base/blocking_thread.h"
#include "base/ids.h"
#include "base/task.h"
#include "http/message.h"

namespace pixmill::api {

// A file in the spool folder that goes away with its owner, unless somebody else took it over.
class SpoolFile {
 public:
  SpoolFile() = default;
  explicit SpoolFile(std::string path) : path_(std::move(path)) {}
  SpoolFile(SpoolFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  SpoolFile& operator=(SpoolFile&& other) noexcept;
  ~SpoolFile();

  [[nodiscard]] const std::string& path() const { return path_; }
  // From now on the job that names the file keeps it.
  std::string hand_over() { return std::exchange(path_, {}); }

 private:
  std::string path_;
};

struct UploadedFile {
  SpoolFile spool;
  std::string name;  // as the client calls it, without folders
  std::uint64_t bytes = 0;
};

// In memory; at most kMarksAtOnce of them.
struct UploadedMark {
  std::string bytes;
  std::shared_ptr<void> place;
};

struct Upload {
  std::optional<UploadedFile> file;
  std::optional<UploadedMark> watermark;
  std::map<std::string, std::string> fields;                       // a field sent twice: its lines, one below the other
  [[nodiscard]] std::string field(const std::string& name) const;  // trimmed; "" when absent
};

inline constexpr std::uint32_t kMarksAtOnce = 8;

struct UploadLimits {
  std::string spool_folder;
  std::uint64_t file_bytes_max = 0;
  std::uint64_t free_bytes_min = 0;  // that must remain on the disk
};

enum class UploadForms : std::uint8_t { kMultipart, kMultipartOrJson };

class UploadReceiver {
 public:
  // `thread` writes; it must outlive the receiver.
  UploadReceiver(UploadLimits limits, BlockingThread& thread);

  // Reads the whole body. The file is on the disk (fsync, also of its folder) when this returns, under a name that
  // begins with the job's id. Problems: 415 when the request is none of `forms`, 400 when it is
  // malformed, 413, 408, 507, 500.
  [[nodiscard]] Task<Checked<Upload>> receive(http::Request& request, JobId job, UploadForms forms);

  // Removes a file of the folder on the writing thread.
  [[nodiscard]] Task<void> remove(std::string path);
  // Removes every file of the folder whose name no path of `kept` ends in, and creates the folder when it is missing.
  // Errors: kIo, kDiskFull.
  [[nodiscard]] Task<Result<void>> sweep(std::vector<std::string> kept);

 private:
  class Reception;

  // `stem`: of names in the spool.
  [[nodiscard]] Task<Checked<Upload>> receive_json(http::Request& request, std::string stem);
  [[nodiscard]] Task<Result<void>> store_body(http::Request& request, std::string path);

  UploadLimits limits_;
  BlockingThread& thread_;
  std::shared_ptr<std::uint32_t> marks_held_ = std::make_shared<std::uint32_t>(0);
};

// The part of a file's name that says how to read it, in lower case: ".csv", ".jsonl.gz", or "" when it says nothing.
[[nodiscard]] std::string table_extension(std::string_view file_name);

}  // namespace pixmill::api
