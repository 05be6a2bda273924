// One engine process, seen from its parent: what it may and may not do.
#include "engine/sandbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <boost/asio/detached.hpp>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "engine/engine.h"
#include "engine/probe.h"
#include "image/vips_runtime.h"
#include "tests/support/run_task.h"

namespace pixmill::engine {
namespace {

using testing::run_task;

ProcessOptions test_process(std::vector<std::string> extra_arguments = {}) {
  return {.executable = PIXMILL_TEST_ENGINE,
          .extra_arguments = std::move(extra_arguments),
          .memory_bytes_max = 512ULL << 20,
          .input_bytes_max = 1ULL << 20,
          .output_bytes_max = 1ULL << 20};
}

struct OneEngine {
  explicit OneEngine(const ProcessOptions& options = test_process()) {
    auto started = Engine::start(io.get_executor(), options);
    PIXMILL_CHECK(started.has_value());
    engine = *started;
  }
  ~OneEngine() { engine->stop(); }
  Result<ReadyAnswer> ready(milliseconds at_most = seconds(60)) {
    return run_task(io, engine->wait_until_ready(at_most));
  }
  Result<Answer> ask(const Request& request, milliseconds deadline = seconds(60)) {
    return run_task(io, engine->ask(encode(request), deadline));
  }
  // `text` as the picture.
  Result<Answer> ask_evil(std::string_view text, milliseconds deadline = seconds(60)) {
    std::copy(text.begin(), text.end(), engine->input().bytes().begin());
    return ask(RenderRequest{.recipe = "format=jpeg", .limits = {}, .source_bytes = text.size()}, deadline);
  }

  asio::io_context io;
  std::shared_ptr<Engine> engine;
};

// Waits for any process, our child or not, to end; false when it has not within a minute.
bool ends(pid_t pid) {
  const int descriptor = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (descriptor < 0) return errno == ESRCH;
  pollfd wait{.fd = descriptor, .events = POLLIN, .revents = 0};
  const bool ended = poll(&wait, 1, 60'000) == 1;
  close(descriptor);
  return ended;
}

TEST(P31, AnEngineIsDeniedEverythingOnEveryThread) {
  OneEngine one;
  const auto ready = one.ready();
  ASSERT_TRUE(ready) << ready.error().message;
  EXPECT_TRUE(ready->seccomp);
  const auto answer = one.ask(ProbeRequest{});
  ASSERT_TRUE(answer) << answer.error().message;
  const auto& probed = std::get<ProbedAnswer>(*answer);
  std::set<std::string> threads;
  std::set<std::string> names;
  for (const auto& attempt : probed.attempts) {
    threads.insert(attempt.thread);
    names.insert(attempt.name);
    EXPECT_EQ(attempt.errno_value, EPERM) << attempt.name << " on the " << attempt.thread << " thread";
  }
  EXPECT_EQ(threads, (std::set<std::string>{"main", "second", "libvips"}));
  for (const char* name :
       {"open", "environ", "socket", "connect", "execve", "fork", "ptrace", "kill", "read_memory", "shared_memory"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
  EXPECT_TRUE(all_denied(probed));
}

TEST(P31, TheSameAttemptsSucceedWithoutASandbox) {
  ASSERT_TRUE(image::start_vips());
  const ProbedAnswer probed = probe_sandbox(getpid());
  EXPECT_FALSE(all_denied(probed));
  std::set<std::string> allowed;
  for (const auto& attempt : probed.attempts) {
    if (attempt.errno_value == 0) allowed.insert(attempt.thread + " " + attempt.name);
  }
  for (const char* thread : {"main", "second", "libvips"}) {
    for (const char* name : {"open", "environ", "socket", "fork", "kill", "memfd", "shared_memory"}) {
      EXPECT_TRUE(allowed.contains(std::string(thread) + " " + name)) << thread << " " << name;
    }
  }
}

TEST(P31, AnEngineInheritsNeitherEnvironmentNorDescriptors) {
  setenv("PIXMILL_TEST_SECRET", "hunter2", 1);
  const int leaking = dup(STDERR_FILENO);  // without close-on-exec
  OneEngine one;
  ASSERT_TRUE(one.ready());
  const std::string proc = "/proc/" + std::to_string(one.engine->pid());
  // Unreadable for others than root since the engine is not dumpable; root sees that there is nothing.
  std::ifstream environment(proc + "/environ", std::ios::binary);
  std::stringstream content;
  content << environment.rdbuf();
  EXPECT_EQ(content.str().find("PIXMILL_TEST_SECRET"), std::string::npos);
  std::error_code error;
  for (std::filesystem::directory_iterator entry(proc + "/fd", error), end; !error && entry != end; ++entry) {
    EXPECT_LT(std::stoi(entry->path().filename().string()), 6);
  }
  close(leaking);
  unsetenv("PIXMILL_TEST_SECRET");
}

TEST(P31, AnEngineDiesWithItsParentInTheMiddleOfAPicture) {
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  const pid_t parent = fork();
  ASSERT_GE(parent, 0);
  if (parent == 0) {
    OneEngine one;
    const pid_t pid = one.ready() ? one.engine->pid() : -1;
    constexpr std::string_view kHang = "evil:hang";
    std::copy(kHang.begin(), kHang.end(), one.engine->input().bytes().begin());
    asio::co_spawn(
        one.io,
        one.engine->ask(encode(Request(RenderRequest{.recipe = "format=jpeg", .limits = {}, .source_bytes = 9})),
                        seconds(600)),
        asio::detached);
    one.io.poll();
    static_cast<void>(!write(pipes[1], &pid, sizeof(pid)));
    one.io.run();
    _exit(0);
  }
  pid_t engine = -1;
  ASSERT_EQ(read(pipes[0], &engine, sizeof(engine)), static_cast<ssize_t>(sizeof(engine)));
  ASSERT_GT(engine, 0);
  EXPECT_EQ(kill(engine, 0), 0);
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  EXPECT_TRUE(ends(engine));
  close(pipes[0]);
  close(pipes[1]);
}

TEST(Engine, EndsByItselfWhenItsParentClosesTheSocket) {
  auto process = EngineProcess::start(test_process());
  ASSERT_TRUE(process) << process.error().message;
  shutdown(process->socket(), SHUT_RDWR);
  EXPECT_TRUE(ends(process->pid()));
  EXPECT_TRUE(process->reap(EngineProcess::Wait::kNo));
}

TEST(Engine, IsKilledAndReapedWhenItsHandleGoes) {
  pid_t pid = -1;
  {
    auto process = EngineProcess::start(test_process());
    ASSERT_TRUE(process) << process.error().message;
    pid = process->pid();
    EXPECT_EQ(kill(pid, 0), 0);
  }
  EXPECT_EQ(kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(Engine, IgnoresTheSignalsMeantForItsParent) {
  OneEngine one;
  ASSERT_TRUE(one.ready());
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) kill(one.engine->pid(), signal);
  EXPECT_TRUE(one.ask(ProbeRequest{}));
}

TEST(Engine, SaysWhatItSaidWhenItDoesNotStart) {
  OneEngine one(test_process({"--evil=dead"}));
  const auto ready = one.ready();
  ASSERT_FALSE(ready);
  EXPECT_EQ(ready.error().code, ErrorCode::kInternal);
  EXPECT_THAT(ready.error().message, ::testing::HasSubstr("cannot go on"));
}

TEST(Engine, IsNotWaitedForWhenItNeverGetsReady) {
  OneEngine one(test_process({"--evil=silent"}));
  const auto ready = one.ready(milliseconds(50));
  ASSERT_FALSE(ready);
  EXPECT_TRUE(one.engine->ended());
}

TEST(Engine, RefusesToBeStartedByHand) {
  ProcessOptions options = test_process({"--memory=0"});
  OneEngine one(options);
  const auto ready = one.ready();
  ASSERT_FALSE(ready);
  EXPECT_THAT(ready.error().message, ::testing::HasSubstr("by pixmill itself"));
}

TEST(Engine, RefusesAParentThatIsNotItsOwn) {
  OneEngine one(test_process({"--parent=1"}));
  const auto ready = one.ready();
  ASSERT_FALSE(ready);
  EXPECT_THAT(ready.error().message, ::testing::HasSubstr("parent"));
}

TEST(EngineProcess, CannotBeStartedFromWhatIsNotThere) {
  ProcessOptions options = test_process();
  options.executable = "/nonexistent/pixmill";
  const auto process = EngineProcess::start(options);
  ASSERT_FALSE(process);
  EXPECT_EQ(process.error().code, ErrorCode::kInternal);
}

TEST(P33, APictureThatNeverEndsIsKilledAtItsDeadline) {
  for (const std::string_view deed : {"evil:hang", "evil:spin"}) {
    OneEngine one;
    ASSERT_TRUE(one.ready());
    const auto answer = one.ask_evil(deed, milliseconds(50));
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ErrorCode::kEngineTimeout);
    EXPECT_TRUE(one.engine->ended());
  }
}

#if !defined(__SANITIZE_ADDRESS__)  // which takes terabytes of address space itself
TEST(P32, MemoryIsBounded) {
  ProcessOptions options = test_process();
  options.memory_bytes_max = 128ULL << 20;
  OneEngine one(options);
  ASSERT_TRUE(one.ready());
  const auto answer = one.ask_evil("evil:eat-memory");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kEngineCrash);
}
#endif

TEST(P32, MemoryThatNoLimitCountsIsNotToBeHad) {
  OneEngine one;
  ASSERT_TRUE(one.ready());
  const auto answer = one.ask_evil("evil:eat-shared-memory");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kEngineCrash);
  EXPECT_THAT(answer.error().message, ::testing::HasSubstr("exit code 7")) << "not one page";
}

TEST(P32, AnEngineGoesFirstWhenTheMachineRunsOutOfMemory) {
  OneEngine one;
  ASSERT_TRUE(one.ready());
  std::ifstream file("/proc/" + std::to_string(one.engine->pid()) + "/oom_score_adj");
  int score = 0;
  file >> score;
  EXPECT_EQ(score, 1000);
}

TEST(SharedArea, IsReadOnlyForThoseWhoMayOnlyRead) {
  auto area = SharedArea::create("test", 8192);
  ASSERT_TRUE(area);
  area->bytes()[0] = 'x';
  auto descriptor = area->open_read_only();
  ASSERT_TRUE(descriptor);
  EXPECT_FALSE(SharedArea::map(UniqueFd(dup(descriptor->get())), SharedArea::Access::kReadWrite));
  const auto view = SharedArea::map(std::move(*descriptor), SharedArea::Access::kRead);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->size(), 8192U);
  EXPECT_EQ(view->bytes()[0], 'x');
  EXPECT_EQ(ftruncate(area->descriptor(), 4096), -1);  // sealed
}

TEST(SharedArea, GivesPagesBack) {
  constexpr std::size_t kBytes = 1 << 20;
  auto area = SharedArea::create("test", kBytes);
  ASSERT_TRUE(area);
  std::fill(area->bytes().begin(), area->bytes().end(), 'x');
  area->trim(4096);
  EXPECT_EQ(area->bytes()[4095], 'x');
  EXPECT_EQ(area->bytes()[8192], '\0');
}

}  // namespace
}  // namespace pixmill::engine
