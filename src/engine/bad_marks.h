// What is known against watermarks: why engines cannot use them, so that no engine is asked twice, and how many engines
// were lost on them. Lives on the loop, in the pool.
#pragma once

#include <cstddef>
#include <list>
#include <optional>
#include <string>

#include "base/error.h"

namespace pixmill::engine {

class BadMarks {
 public:
  static constexpr std::size_t kMarksKept = 1'000;  // then the one that was added first is forgotten
  // One engine may have been killed by somebody else.
  static constexpr int kLossesMax = 2;

  // Why nobody needs to try again; nullopt when nothing final is known.
  [[nodiscard]] std::optional<Error> find(const std::string& sha256) const;
  // What an engine said of it, which it would say again.
  void refuse(const std::string& sha256, Error why);
  // An engine crashed or hung while it decoded the file; kLossesMax of them refuse it.
  void lose_engine(const std::string& sha256, ErrorCode how);
  // It is good after all.
  void forget(const std::string& sha256);

 private:
  struct Entry {
    std::string sha256;
    int losses = 0;
    std::optional<Error> why = std::nullopt;
  };
  [[nodiscard]] Entry& entry_of(const std::string& sha256);

  std::list<Entry> entries_;  // the oldest one first
};

}  // namespace pixmill::engine
