// A Lua script that Redis runs as one step. Sent by its digest; the whole text goes only to a server that does not know
// it yet. Immutable; any thread may hold it.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/task.h"
#include "redis/connection.h"

namespace pixmill::redis {

class Script {
 public:
  explicit Script(std::string text);

  // KEYS and ARGV. The script must outlive the task. Errors: those of Connection::send, and error_of() a refusal.
  [[nodiscard]] Task<Result<Reply>> run(Connection& connection, std::vector<std::string> keys,
                                        std::vector<std::string> arguments) const;

 private:
  std::string text_;
  std::string digest_;  // SHA-1 in hexadecimal, Redis's name for it
};

}  // namespace pixmill::redis
