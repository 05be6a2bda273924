#include "storage/object_key.h"

#include <fmt/format.h>

#include "base/text.h"

namespace pixmill::storage {

std::unexpected<Error> refused_key(std::string_view why) {
  return fail(ErrorCode::kInvalidArgument, fmt::format("The key of a stored file {}.", why));
}

Result<void> check_key(std::string_view key) {
  if (key.empty()) return refused_key("is empty");
  if (key.size() > kKeyBytesMax) return refused_key("is longer than 1,024 bytes");
  if (key.find('\0') != std::string_view::npos) return refused_key("holds a NUL byte");
  for (const auto segment : split(key, '/')) {
    if (segment.empty() || segment == "." || segment == "..") return refused_key("is not a plain relative path");
  }
  return {};
}

Result<void> check_folder_key(std::string_view prefix) {
  if (!prefix.ends_with('/')) return refused_key("is not a folder's: it does not end with a slash");
  return check_key(prefix.substr(0, prefix.size() - 1));
}

}  // namespace pixmill::storage
