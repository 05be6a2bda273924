#include "engine/sandbox.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <memory>

namespace pixmill::engine {

namespace {

std::unexpected<Error> failed(std::string_view step, int errno_value) {
  return fail(ErrorCode::kInternal, fmt::format("sandbox: {}: {}", step, std::strerror(errno_value)));
}

Result<void> set_limit(__rlimit_resource resource, std::string_view name, rlim_t value) {
  const rlimit limit{.rlim_cur = value, .rlim_max = value};
  if (setrlimit(resource, &limit) != 0) return failed(name, errno);
  return {};
}

Result<void> set_limits(std::uint64_t memory_bytes_max) {
  PIXMILL_RETURN_IF_ERROR(set_limit(RLIMIT_CORE, "RLIMIT_CORE", 0));
  PIXMILL_RETURN_IF_ERROR(set_limit(RLIMIT_FSIZE, "RLIMIT_FSIZE", 0));
  constexpr rlim_t kDescriptorsMax = 6;  // those that are open
  PIXMILL_RETURN_IF_ERROR(set_limit(RLIMIT_NOFILE, "RLIMIT_NOFILE", kDescriptorsMax));
#if !defined(__SANITIZE_ADDRESS__)
  // AddressSanitizer's shadow memory is terabytes of address space. RLIMIT_DATA, not RLIMIT_AS: mappings that are only
  // reserved, and the two shared areas, must not count. It counts private memory alone, so no more of the other kind
  // can be had (allow_in_part).
  PIXMILL_RETURN_IF_ERROR(set_limit(RLIMIT_DATA, "RLIMIT_DATA", memory_bytes_max));
#else
  static_cast<void>(memory_bytes_max);
#endif
  return {};
}

// When the machine runs out of memory a picture goes first, and not the process that has all of them. Without /proc, or
// where it is read-only, the kernel decides.
void go_first_when_memory_ends() {
  const int descriptor = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  static_cast<void>(!write(descriptor, "1000", 4));
  close(descriptor);
}

Result<void> drop_capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
  if (syscall(SYS_capset, &header, none.data()) != 0) return failed("capset", errno);
  return {};
}

// ---- Landlock (Documentation/userspace-api/landlock.rst). The constants are here because installed headers are often
// older than the kernel.

struct LandlockAttributes {
  std::uint64_t handled_access_fs = 0;
  std::uint64_t handled_access_net = 0;  // since ABI 4
  std::uint64_t scoped = 0;              // since ABI 6
};

constexpr long kLandlockCreateRuleset = 444;
constexpr long kLandlockRestrictSelf = 446;
constexpr std::uint32_t kLandlockVersion = 1;

LandlockAttributes deny_all(int abi) {
  LandlockAttributes attributes;
  int file_rights = 13;            // EXECUTE to MAKE_SYM
  if (abi >= 2) file_rights = 14;  // REFER
  if (abi >= 3) file_rights = 15;  // TRUNCATE
  if (abi >= 5) file_rights = 16;  // IOCTL_DEV
  attributes.handled_access_fs = (std::uint64_t{1} << file_rights) - 1;
  if (abi >= 4) attributes.handled_access_net = 0x3;  // BIND_TCP, CONNECT_TCP
  if (abi >= 6) attributes.scoped = 0x3;              // ABSTRACT_UNIX_SOCKET, SIGNAL
  return attributes;
}

std::size_t attribute_bytes(int abi) {
  if (abi >= 6) return sizeof(LandlockAttributes);
  return abi >= 4 ? 2 * sizeof(std::uint64_t) : sizeof(std::uint64_t);
}

// A ruleset without rules denies everything it handles.
Result<int> restrict_by_landlock() {
  const long abi = syscall(kLandlockCreateRuleset, nullptr, 0, kLandlockVersion);
  if (abi < 1) return 0;  // not built in, or switched off at boot
  const LandlockAttributes attributes = deny_all(static_cast<int>(abi));
  const long ruleset = syscall(kLandlockCreateRuleset, &attributes, attribute_bytes(static_cast<int>(abi)), 0);
  if (ruleset < 0) return failed("landlock_create_ruleset", errno);
  const long restricted = syscall(kLandlockRestrictSelf, ruleset, 0);
  const int errno_value = errno;
  close(static_cast<int>(ruleset));
  if (restricted != 0) return failed("landlock_restrict_self", errno_value);
  return static_cast<int>(abi);
}

// ---- seccomp

struct FilterDeleter {
  void operator()(void* filter) const { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, FilterDeleter>;

// Computing, memory, threads, time, and talking over what is open. Names that an architecture lacks are skipped.
constexpr std::array kAllowed = {
    // The socket and stderr.
    "read", "readv", "write", "writev", "recvfrom", "recvmsg", "sendmsg", "poll", "ppoll", "close", "lseek",
    // Memory.
    "brk", "munmap", "mremap", "mprotect", "madvise",
    // Threads.
    "futex", "futex_waitv", "set_robust_list", "get_robust_list", "rseq", "sched_yield", "sched_getaffinity", "gettid",
    "getpid", "getppid", "membarrier", "exit", "exit_group", "restart_syscall",
    // Signals of its own: abort() raises one.
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
    // Time and chance.
    "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "getrandom",
    // Facts about the machine.
    "uname", "sysinfo", "getcpu", "getrusage"};

int allow(scmp_filter_ctx filter, const char* name) {
  const int number = seccomp_syscall_resolve_name(name);
  if (number < 0) return 0;  // this architecture has no such call
  return seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
}

// The rule that lets a call through when its argument number `index` is `value` under `mask`.
scmp_arg_cmp argument(unsigned index, scmp_datum_t value, scmp_datum_t mask = ~scmp_datum_t{0}) {
  return {.arg = index, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

// Calls that are needed in one form only.
int allow_in_part(scmp_filter_ctx filter) {
  int error = 0;
  const auto allow_if = [&](int number, std::initializer_list<scmp_arg_cmp> arguments) {
    const auto count = static_cast<unsigned>(arguments.size());
    if (error == 0) error = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, count, arguments.begin());
  };
  // Threads, not processes.
  allow_if(SCMP_SYS(clone), {argument(0, CLONE_THREAD, CLONE_THREAD)});
  // Both shared areas are mapped by now. What is mapped shared later would be outside of RLIMIT_DATA.
  allow_if(SCMP_SYS(mmap), {argument(3, MAP_PRIVATE, MAP_TYPE)});
  // send(), not sendto() with an address.
  allow_if(SCMP_SYS(sendto), {argument(4, 0)});
  // Threads have names, and that is all.
  allow_if(SCMP_SYS(prctl), {argument(0, PR_SET_NAME)});
  // abort() raises its signal in this process.
  allow_if(SCMP_SYS(tgkill), {argument(0, static_cast<scmp_datum_t>(getpid()))});
  // Libraries ask for limits; nobody sets them: the third argument, where a new one would stand, is null.
  allow_if(SCMP_SYS(prlimit64), {argument(0, 0), argument(2, 0)});
  // clone3 hides its flags behind a pointer; ENOSYS makes glibc use clone.
  if (error == 0) error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0U);
  return error;
}

// Everything else fails with EPERM rather than a signal, so that libraries that look for a file go on without it.
Result<void> restrict_by_seccomp() {
  const Filter filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)));
  if (!filter) return failed("seccomp_init", ENOMEM);
  // Without TSYNC a filter covers the calling thread alone.
  int error = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);
  if (error == 0) error = seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  for (const char* name : kAllowed) {
    if (error == 0) error = allow(filter.get(), name);
  }
  if (error == 0) error = allow_in_part(filter.get());
  if (error == 0) error = seccomp_load(filter.get());
  if (error != 0) return failed("seccomp", -error);
  return {};
}

}  // namespace

Result<void> tie_to_parent(pid_t parent) {
  // Ctrl-C and a service manager's SIGTERM reach the whole group; the parent decides when its engines end.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) std::signal(signal, SIG_IGN);
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return failed("PR_SET_PDEATHSIG", errno);
  // It may have died before the line above.
  if (getppid() != parent) return fail(ErrorCode::kInternal, "the parent process is gone");
  return {};
}

void close_descriptors_from(int first) {
#if defined(SYS_close_range)
  if (syscall(SYS_close_range, static_cast<unsigned>(first), ~0U, 0U) == 0) return;
#endif
  const long descriptors_max = sysconf(_SC_OPEN_MAX);
  for (int descriptor = first; descriptor < descriptors_max; ++descriptor) close(descriptor);
}

int count_threads() {
  std::error_code error;
  int threads = 0;
  for (std::filesystem::directory_iterator entry("/proc/self/task", error), end; !error && entry != end;
       entry.increment(error)) {
    ++threads;
  }
  return error ? -1 : threads;
}

Result<SandboxState> lock_down(std::uint64_t memory_bytes_max) {
  const int threads = count_threads();
  if (threads != 1) return fail(ErrorCode::kInternal, fmt::format("sandbox: the process has {} threads", threads));
  const pid_t parent = getppid();
  go_first_when_memory_ends();
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("PR_SET_NO_NEW_PRIVS", errno);
  PIXMILL_RETURN_IF_ERROR(drop_capabilities());
  if (prctl(PR_SET_DUMPABLE, 0) != 0) return failed("PR_SET_DUMPABLE", errno);
  PIXMILL_RETURN_IF_ERROR(tie_to_parent(parent));  // a change of capabilities may have undone it
  PIXMILL_TRY(const int abi, restrict_by_landlock());
  PIXMILL_RETURN_IF_ERROR(set_limits(memory_bytes_max));  // Landlock needed a descriptor more
  PIXMILL_RETURN_IF_ERROR(restrict_by_seccomp());
  return SandboxState{.landlock_abi = abi};
}

}  // namespace pixmill::engine
