#include "storage/take_over.h"

#include <utility>

namespace pixmill::storage {

std::unexpected<Error> is_another_blob() {
  return fail(ErrorCode::kNotFound, "The stored file is not the one that was stored.");
}

Task<Result<void>> take_over(BlobPlace from, BlobPlace to, BlobContent content) {
  PIXMILL_CO_TRY(const bool adopted, co_await to.store.adopt(from.store, from.key, to.key, content));
  if (adopted) co_return Result<void>();
  const auto bytes = co_await from.store.get(from.key, content.bytes);
  if (!bytes && bytes.error().code == ErrorCode::kTooLarge) co_return is_another_blob();
  if (!bytes) co_return std::unexpected(bytes.error());
  if (bytes->size() != content.bytes || sha256(*bytes) != content.sha256) co_return is_another_blob();
  if (&from.store == &to.store && from.key == to.key) co_return Result<void>();
  co_return co_await to.store.put(std::move(to.key), *bytes, std::move(content.media_type));
}

}  // namespace pixmill::storage
