// One engine process as its parent holds it: started, fed, killed, reaped. Plain system calls that do not block (reap()
// aside); the pool waits on its descriptors.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/shared_area.h"
#include "engine/unique_fd.h"

namespace pixmill::engine {

struct ProcessOptions {
  std::string executable;
  std::vector<std::string> extra_arguments;
  std::uint64_t memory_bytes_max = 0;
  std::uint64_t input_bytes_max = 0;
  std::uint64_t output_bytes_max = 0;
};

class EngineProcess {
 public:
  // Starts `executable engine …` with an empty environment, its own process group, and no descriptors but its own.
  // Errors: kInternal.
  [[nodiscard]] static Result<EngineProcess> start(const ProcessOptions& options);

  EngineProcess(EngineProcess&&) noexcept = default;
  EngineProcess& operator=(EngineProcess&&) noexcept = delete;
  ~EngineProcess();  // kills and reaps

  [[nodiscard]] pid_t pid() const { return pid_.value; }
  // Readable once the process has ended; -1 where the kernel has no pidfd.
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }
  [[nodiscard]] int socket() const { return socket_.get(); }
  [[nodiscard]] const SharedArea& input() const { return input_; }
  [[nodiscard]] const SharedArea& output() const { return output_; }

  // False when the engine no longer takes it.
  [[nodiscard]] bool send(std::string_view packet) const;
  // The next packet's size, its bytes in `buffer` of kPacketBytesMax; kUnavailable when there is none yet, kEngineCrash
  // when the engine closed its end.
  [[nodiscard]] Result<std::size_t> receive(std::span<char> buffer) const;

  void kill() const;
  // True once the process has ended and its status was taken. `wait` blocks until then; use it after kill().
  enum class Wait : std::uint8_t { kNo, kYes };
  bool reap(Wait wait);
  // After reap(): "signal 11 (Segmentation fault)", "exit code 70".
  [[nodiscard]] std::string how_it_ended() const;
  // The end of what it wrote to stderr, at most 4 kB, as one line.
  [[nodiscard]] std::string last_words() const;

 private:
  struct Pid {
    pid_t value = -1;
    Pid() = default;
    Pid(Pid&& other) noexcept : value(std::exchange(other.value, -1)) {}
    Pid& operator=(Pid&&) = delete;
  };
  EngineProcess() = default;

  Pid pid_;
  UniqueFd pidfd_;
  UniqueFd socket_;
  UniqueFd stderr_;
  SharedArea input_;
  SharedArea output_;
  int status_ = 0;
  bool reaped_ = false;
};

}  // namespace pixmill::engine
