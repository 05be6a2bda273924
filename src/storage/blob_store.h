// Where results lie: a seam over local disk and S3. Bytes mean nothing until a row of the database names their
// key. Keys are relative, '/'-separated UTF-8 without empty, "." or ".." segments (storage/object_name makes them).
// Lives on the loop.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/crypto.h"
#include "base/error.h"
#include "base/task.h"

namespace pixmill::storage {

struct BlobInfo {
  std::string key;
  std::uint64_t bytes = 0;
};

// What the bytes behind a key have to be.
struct BlobContent {
  std::uint64_t bytes = 0;
  Sha256Digest sha256{};
  std::string media_type;
};

class BlobStore {
 public:
  virtual ~BlobStore() = default;

  // Whole or not at all: readers never see a part. Replaces what was there. `bytes` must stay alive until the task
  // ends. Errors: kDiskFull, kStoreFailed, kInvalidArgument for a bad key, kUnavailable while nothing can be stored at
  // all, the message says why.
  [[nodiscard]] virtual Task<Result<void>> put(std::string key, std::string_view bytes, std::string media_type) = 0;
  // For small ones: the whole of it. Errors: kNotFound, kTooLarge when it is above `bytes_max`, kStoreFailed.
  [[nodiscard]] virtual Task<Result<std::string>> get(std::string key, std::uint64_t bytes_max) = 0;
  // The same bytes under another key. Errors: kNotFound and those of put.
  [[nodiscard]] virtual Task<Result<void>> copy(std::string from, std::string to) = 0;
  // A way of this store's own to do what take_over() says, without the bytes passing through this process. False: it
  // has none for blobs of `from`. Errors: those of take_over().
  [[nodiscard]] virtual Task<Result<bool>> adopt(BlobStore& /*from*/, std::string /*from_key*/, std::string /*key*/,
                                                 BlobContent /*content*/) {
    co_return false;
  }
  // Errors: kNotFound, kStoreFailed.
  [[nodiscard]] virtual Task<Result<BlobInfo>> head(std::string key) = 0;
  // No error when it is not there.
  [[nodiscard]] virtual Task<Result<void>> remove(std::string key) = 0;
  // Keys that begin with `prefix`, in byte order, after `after`, at most `limit`.
  [[nodiscard]] virtual Task<Result<std::vector<BlobInfo>>> list(std::string prefix, std::string after,
                                                                 std::size_t limit) = 0;
  // Removes blobs whose keys begin with `prefix`, which is a key and a '/', and folders that become empty by it; at
  // most `limit` of them, and how many. 0: there are none. What comes meanwhile may stay. Errors: kInvalidArgument for
  // a bad prefix, kStoreFailed, kUnavailable.
  [[nodiscard]] virtual Task<Result<std::uint64_t>> remove_below(std::string prefix, std::size_t limit);
  // The file behind a key for this machine's HTTP server; nullopt where the store is not a file system.
  [[nodiscard]] virtual std::optional<std::string> local_path(std::string_view key) const = 0;
  // An address that gives the bytes to whoever asks in the next minutes; nullopt where the store has none.
  [[nodiscard]] virtual std::optional<std::string> link(std::string_view /*key*/) const { return std::nullopt; }
};

}  // namespace pixmill::storage
