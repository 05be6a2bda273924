// Output names: a template over the row's columns, made safe for every file system and URL. Pure; any thread.
//
// A name is made in two steps. At ingest the row is known: expand() fills in the columns and sanitises, which leaves a
// *stem* in which only {sha}, {uuid}, {rendition} and {ext} may remain. When the bytes are there, finish() fills those
// in.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/crypto.h"
#include "base/error.h"

namespace pixmill::storage {

class NameTemplate {
 public:
  // Placeholders {name}; {{ and }} are braces. Errors: kInvalidArgument for an unclosed brace, an empty placeholder, an
  // absolute path or a ".." segment.
  [[nodiscard]] static Result<NameTemplate> parse(std::string_view text);

  // The placeholders it uses, so that unknown columns can be refused before a job starts.
  [[nodiscard]] std::vector<std::string> placeholders() const;

  // This template with another file in the same folders: "{brand}/{product}-{index}.{ext}" ► "{brand}/{base}.{ext}", or
  // "{brand}/{base}-{index}.{ext}" when it is to be numbered. {rendition} stays when the file's name had it.
  [[nodiscard]] NameTemplate with_base(std::string_view base, bool numbered) const;

  // `value_of` gives a placeholder's text, nullopt for those that finish() fills in. Every value becomes one path
  // segment's text: '/', '\\', control characters, bidirectional overrides and reserved characters become '_', Windows
  // device names get a
  // '_', invalid UTF-8 is replaced, at most 120 bytes per segment. Never empty. "{ext}" is appended when the template
  // has none.
  [[nodiscard]] std::string expand(const std::function<std::optional<std::string>(std::string_view)>& value_of) const;

 private:
  struct Piece {
    bool is_placeholder;
    std::string text;
  };
  std::vector<Piece> pieces_;
};

// "SKU-1.{ext}" with suffix 2 ► "SKU-1-2.{ext}"; the suffix goes before the last {ext}.
[[nodiscard]] std::string with_suffix(std::string_view stem, std::uint64_t suffix);

// Files per folder stay below 10,000: items 1 to 10,000 lie in `folder`, the next 10,000 in folder/0001 …
[[nodiscard]] std::string fan_out(std::string_view folder, std::uint64_t item_number, std::string_view stem);

struct FinalName {
  Sha256Digest content;   // of the output bytes: {sha} is its first 16 hexadecimal digits
  Sha256Digest identity;  // of (job, row, index, rendition, content): {uuid} is it as a UUIDv8
  std::string rendition;  // "" for the only one
  std::string extension;  // "jpg"
};
[[nodiscard]] std::string finish_name(std::string_view stem, const FinalName& values);

// True when `key` can have come from `stem` by finish_name(): for sweeping what a killed process left.
[[nodiscard]] bool may_come_from(std::string_view key, std::string_view stem);

}  // namespace pixmill::storage
