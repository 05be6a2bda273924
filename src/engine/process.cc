#include "engine/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/text.h"
#include "engine/child_main.h"
#include "engine/protocol.h"

namespace pixmill::engine {

namespace {

std::unexpected<Error> failed(std::string_view what, int errno_value) {
  return fail(ErrorCode::kInternal,
              fmt::format("an engine cannot be started: {}: {}", what, std::strerror(errno_value)));
}

// posix_spawn's two option objects, which must be destroyed.
class SpawnSetup {
 public:
  SpawnSetup() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnSetup() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

// A copy above all numbers that the child wants, so that moving one into place does not overwrite another.
Result<UniqueFd> copy_high(int descriptor) {
  constexpr int kHigh = 64;
  UniqueFd copy(fcntl(descriptor, F_DUPFD_CLOEXEC, kHigh));
  if (!copy) return failed("F_DUPFD_CLOEXEC", errno);
  return copy;
}

struct ChildDescriptors {
  UniqueFd socket;
  UniqueFd input;
  UniqueFd output;
  UniqueFd stderr_pipe;
};

void set_up(SpawnSetup& setup, const ChildDescriptors& descriptors) {
  auto* actions = &setup.actions;
  posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(actions, descriptors.stderr_pipe.get(), STDERR_FILENO);
  posix_spawn_file_actions_adddup2(actions, descriptors.socket.get(), kSocketDescriptor);
  posix_spawn_file_actions_adddup2(actions, descriptors.input.get(), kInputDescriptor);
  posix_spawn_file_actions_adddup2(actions, descriptors.output.get(), kOutputDescriptor);
  sigset_t signals;
  sigfillset(&signals);
  posix_spawnattr_setsigdefault(&setup.attributes, &signals);
  sigemptyset(&signals);
  posix_spawnattr_setsigmask(&setup.attributes, &signals);
  posix_spawnattr_setpgroup(&setup.attributes, 0);
  posix_spawnattr_setflags(&setup.attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
}

Result<pid_t> spawn(const ProcessOptions& options, const ChildDescriptors& descriptors) {
  SpawnSetup setup;
  set_up(setup, descriptors);
  std::vector<std::string> arguments = {options.executable, "engine", fmt::format("--parent={}", getpid()),
                                        fmt::format("--memory={}", options.memory_bytes_max)};
  arguments.insert(arguments.end(), options.extra_arguments.begin(), options.extra_arguments.end());
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  char* const empty_environment[] = {nullptr};
  pid_t pid = -1;
  // posix_spawn is vfork and exec: nothing of this process' memory is copied, and libvips here is never forked.
  const int error =
      posix_spawn(&pid, options.executable.c_str(), &setup.actions, &setup.attributes, argv.data(), empty_environment);
  if (error != 0) return failed("posix_spawn", error);
  return pid;
}

}  // namespace

Result<EngineProcess> EngineProcess::start(const ProcessOptions& options) {
  EngineProcess process;
  PIXMILL_TRY(process.input_, SharedArea::create("pixmill-input", options.input_bytes_max));
  PIXMILL_TRY(process.output_, SharedArea::create("pixmill-output", options.output_bytes_max));
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) return failed("socketpair", errno);
  process.socket_ = UniqueFd(sockets[0]);
  const UniqueFd child_socket(sockets[1]);
  int pipes[2];
  // Neither side waits for the other: what does not fit into the pipe is lost.
  if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) != 0) return failed("pipe2", errno);
  process.stderr_ = UniqueFd(pipes[0]);
  const UniqueFd child_stderr(pipes[1]);

  ChildDescriptors descriptors;
  PIXMILL_TRY(const UniqueFd read_only, process.input_.open_read_only());
  PIXMILL_TRY(descriptors.input, copy_high(read_only.get()));
  PIXMILL_TRY(descriptors.output, copy_high(process.output_.descriptor()));
  PIXMILL_TRY(descriptors.socket, copy_high(child_socket.get()));
  PIXMILL_TRY(descriptors.stderr_pipe, copy_high(child_stderr.get()));
  PIXMILL_TRY(process.pid_.value, spawn(options, descriptors));
  // Not reaped yet, so the number cannot have been given to another process.
  process.pidfd_ = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, process.pid(), 0)));
  return process;
}

EngineProcess::~EngineProcess() {
  if (pid() <= 0 || reaped_) return;
  kill();
  reap(Wait::kYes);
}

bool EngineProcess::send(std::string_view packet) const {
  return ::send(socket(), packet.data(), packet.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
         static_cast<ssize_t>(packet.size());
}

Result<std::size_t> EngineProcess::receive(std::span<char> buffer) const {
  const ssize_t received = recv(socket(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (received < 0 && (errno == EAGAIN || errno == EINTR)) return fail(ErrorCode::kUnavailable, "no answer yet");
  if (received <= 0) return fail(ErrorCode::kEngineCrash, "the engine closed its socket");
  return static_cast<std::size_t>(received);
}

void EngineProcess::kill() const {
  if (!reaped_ && pid() > 0) ::kill(pid(), SIGKILL);
}

bool EngineProcess::reap(Wait wait) {
  if (reaped_) return true;
  pid_t ended = -1;
  do {
    ended = waitpid(pid(), &status_, wait == Wait::kYes ? 0 : WNOHANG);
  } while (ended < 0 && errno == EINTR);
  reaped_ = ended != 0;  // an error means that there is nothing to wait for
  return reaped_;
}

std::string EngineProcess::how_it_ended() const {
  if (WIFSIGNALED(status_)) return fmt::format("signal {} ({})", WTERMSIG(status_), strsignal(WTERMSIG(status_)));
  return fmt::format("exit code {}", WEXITSTATUS(status_));
}

std::string EngineProcess::last_words() const {
  std::string text;
  char buffer[4096];
  ssize_t count = 0;
  while ((count = read(stderr_.get(), buffer, sizeof(buffer))) > 0)
    text.append(buffer, static_cast<std::size_t>(count));
  if (text.size() > sizeof(buffer)) text.erase(0, text.size() - sizeof(buffer));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return std::string(trim(text));
}

}  // namespace pixmill::engine
