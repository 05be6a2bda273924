// Notes in a Redis stream, each read by one member of a group: "there is work of this kind". At most one unread note
// per subject, however often it is added, so the stream cannot grow beyond the subjects that there are; no note is
// worth anything by itself, so losing all of them is harmless. Lives on the loop.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/task.h"
#include "redis/connection.h"

namespace pixmill::redis {

struct StreamOptions {
  std::string key_prefix = "pixmill";  // keys are {<prefix>:hints}…, so that a cluster keeps them together
  std::string group = "workers";
  std::string member;  // unique among all processes
};

struct Note {
  std::string id;
  std::string subject;
  bool is_own = false;  // this member alone has added it
};

class Stream {
 public:
  // `commands` for what is answered at once, `blocking` for next().
  Stream(std::shared_ptr<Connection> commands, std::shared_ptr<Connection> blocking, StreamOptions options);

  // Errors of all: those of Connection::send, and error_of() a refusal.

  // Adds a note unless an unread one says the same.
  [[nodiscard]] Task<Result<void>> add(std::string subject);
  // The next note that no member has read, or nullopt after `at_most`. It stays this member's until settle(). A stream
  // or a group that is missing is made again.
  [[nodiscard]] Task<Result<std::optional<Note>>> next(milliseconds at_most);
  // The note has done its work.
  [[nodiscard]] Task<Result<void>> settle(Note note);
  // Takes over up to `count` notes that a member has read and not settled for `idle`; it may have been killed.
  [[nodiscard]] Task<Result<std::vector<Note>>> adopt(milliseconds idle, std::size_t count);
  // Removes members without notes that were not heard of for `idle`.
  [[nodiscard]] Task<Result<void>> forget_members(milliseconds idle);
  // Removes this member, and with it what it has read and not settled.
  [[nodiscard]] Task<Result<void>> leave();

 private:
  [[nodiscard]] Task<Result<void>> make_group();
  [[nodiscard]] Task<Result<Note>> take(Note note);

  std::shared_ptr<Connection> commands_;
  std::shared_ptr<Connection> blocking_;
  StreamOptions options_;
  std::string stream_key_;
  std::string unread_key_;
};

}  // namespace pixmill::redis
