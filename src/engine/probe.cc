#include "engine/probe.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <iterator>
#include <thread>

#include "image/vips_runtime.h"

namespace pixmill::engine {

namespace {

// Each returns what the system call does: below zero, with errno, when denied. Descriptors that open against all
// expectation are closed again.
long closing(int descriptor) {
  if (descriptor >= 0) close(descriptor);
  return descriptor;
}

long try_open(pid_t /*parent*/) { return closing(open("/etc/passwd", O_RDONLY | O_CLOEXEC)); }
long try_environ(pid_t /*parent*/) { return closing(open("/proc/self/environ", O_RDONLY | O_CLOEXEC)); }
long try_create(pid_t /*parent*/) {
  return closing(open("/tmp/pixmill-probe", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
}
long try_stat(pid_t /*parent*/) {
  struct stat status {};
  return stat("/etc/passwd", &status);
}
long try_unlink(pid_t /*parent*/) { return unlink("/tmp/pixmill-probe"); }
long try_socket(pid_t /*parent*/) { return closing(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }
long try_unix_socket(pid_t /*parent*/) { return closing(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }
long try_connect(pid_t /*parent*/) {
  constexpr int kOwnSocket = 3;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(9);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return connect(kOwnSocket, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}
long try_execve(pid_t /*parent*/) {
  // A path that does not exist: where execve is allowed this says ENOENT, which does not count as denied.
  char path[] = "/nonexistent/pixmill-probe";
  char* const arguments[] = {path, nullptr};
  char* const environment[] = {nullptr};
  return execve(path, arguments, environment);
}
long try_fork(pid_t /*parent*/) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  return child;
}
long try_ptrace(pid_t parent) { return ptrace(PTRACE_PEEKDATA, parent, nullptr, nullptr); }
long try_kill(pid_t parent) { return kill(parent, 0); }
long try_read_memory(pid_t parent) {
  char byte = 0;
  const iovec local{.iov_base = &byte, .iov_len = 1};
  const iovec remote{.iov_base = &byte, .iov_len = 1};
  return process_vm_readv(parent, &local, 1, &remote, 1, 0);
}
long try_memfd(pid_t /*parent*/) { return closing(memfd_create("probe", MFD_CLOEXEC)); }
// Memory that RLIMIT_DATA does not count.
long try_shared_memory(pid_t /*parent*/) {
  constexpr std::size_t kBytes = 4096;
  void* const mapped = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return mapped == MAP_FAILED ? -1 : munmap(mapped, kBytes);
}
long try_io_uring(pid_t /*parent*/) {
  io_uring_params parameters{};
  return closing(static_cast<int>(syscall(SYS_io_uring_setup, 1, &parameters)));
}
long try_unshare(pid_t /*parent*/) { return unshare(CLONE_NEWUSER); }

struct Probe {
  const char* name;
  long (*attempt)(pid_t parent);
};
constexpr std::array kProbes = {
    Probe{"open", try_open},
    Probe{"environ", try_environ},
    Probe{"create", try_create},
    Probe{"stat", try_stat},
    Probe{"unlink", try_unlink},
    Probe{"socket", try_socket},
    Probe{"unix_socket", try_unix_socket},
    Probe{"connect", try_connect},
    Probe{"execve", try_execve},
    Probe{"fork", try_fork},
    Probe{"ptrace", try_ptrace},
    Probe{"kill", try_kill},
    Probe{"read_memory", try_read_memory},
    Probe{"memfd", try_memfd},
    Probe{"shared_memory", try_shared_memory},
    Probe{"io_uring", try_io_uring},
    Probe{"unshare", try_unshare},
};

std::vector<Attempt> probe_from_here(const char* thread, pid_t parent) {
  std::vector<Attempt> attempts;
  for (const auto& probe : kProbes) {
    errno = 0;
    const long result = probe.attempt(parent);
    attempts.push_back({.thread = thread, .name = probe.name, .errno_value = result < 0 ? errno : 0});
  }
  return attempts;
}

}  // namespace

ProbedAnswer probe_sandbox(pid_t parent) {
  ProbedAnswer answer;
  answer.attempts = probe_from_here("main", parent);
  std::vector<Attempt> second;
  std::thread([&] { second = probe_from_here("second", parent); }).join();
  std::vector<Attempt> vips;
  if (!image::run_on_vips_thread([&] { vips = probe_from_here("libvips", parent); })) {
    vips = {{.thread = "libvips", .name = "no thread was started", .errno_value = 0}};
  }
  answer.attempts.insert(answer.attempts.end(), second.begin(), second.end());
  answer.attempts.insert(answer.attempts.end(), vips.begin(), vips.end());
  const auto open = image::open_loaders();
  const auto expected = image::expected_loaders();
  std::set_difference(open.begin(), open.end(), expected.begin(), expected.end(),
                      std::back_inserter(answer.unexpected_loaders));
  return answer;
}

bool all_denied(const ProbedAnswer& answer) {
  const bool denied = std::all_of(answer.attempts.begin(), answer.attempts.end(), [](const Attempt& attempt) {
    return attempt.errno_value == EPERM || attempt.errno_value == EACCES || attempt.errno_value == ENOSYS;
  });
  return denied && !answer.attempts.empty() && answer.unexpected_loaders.empty();
}

}  // namespace pixmill::engine
