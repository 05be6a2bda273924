#include "storage/blob_store.h"

#include <utility>

#include "storage/object_key.h"

namespace pixmill::storage {

Task<Result<std::uint64_t>> BlobStore::remove_below(std::string prefix, std::size_t limit) {
  PIXMILL_CO_RETURN_IF_ERROR(check_folder_key(prefix));
  PIXMILL_CO_TRY(const auto found, co_await list(prefix, "", limit));
  std::uint64_t removed = 0;
  for (const auto& blob : found) {
    PIXMILL_CO_RETURN_IF_ERROR(co_await remove(blob.key));
    ++removed;
  }
  co_return removed;
}

}  // namespace pixmill::storage
