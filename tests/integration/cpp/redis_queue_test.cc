#include "jobs/redis_queue.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "jobs/progress_news.h"
#include "redis/stream.h"
#include "tests/conformance/queue_suite.h"
#include "tests/support/redis_world.h"

namespace pixmill {
namespace {

using redis::Note;
using redis::Stream;
using testing::run_task;

// What the conformance suite needs besides the queue lives as long as the program.
std::unique_ptr<jobs::Queue> make_queue_for_suite(asio::io_context& io) {
  static testing::RedisWorld world;
  const auto resolve = [](std::string) -> Task<Result<std::vector<asio::ip::address>>> {
    co_return std::vector<asio::ip::address>(1, asio::ip::make_address("127.0.0.1"));
  };
  const auto connect = [&] {
    auto connection = redis::Connection::create(io.get_executor(), world.options, resolve, world.metrics).value();
    connection->start();
    EXPECT_TRUE(run_task(io, connection->wait_until_up(seconds(10))));
    return connection;
  };
  jobs::RedisQueueOptions options;
  options.member = Uuid::random().text();
  options.key_prefix = "pixmill:" + options.member;
  return jobs::make_redis_queue(io.get_executor(), connect(), connect(), std::move(options));
}

class RedisStream : public ::testing::Test {
 protected:
  Stream member(const std::string& name) {
    redis::StreamOptions options{.key_prefix = world_.prefix, .group = "workers", .member = name};
    return Stream(world_.connect(), world_.connect(), std::move(options));
  }
  void add(Stream& stream, const std::string& subject) { EXPECT_TRUE(run_task(world_.io, stream.add(subject))); }
  std::optional<Note> next(Stream& stream, milliseconds at_most = milliseconds(1)) {
    return run_task(world_.io, stream.next(at_most)).value();
  }
  void settle(Stream& stream, Note note) { EXPECT_TRUE(run_task(world_.io, stream.settle(std::move(note)))); }
  std::int64_t length() { return world_.ask(*world_.connect(), {"XLEN", "{" + world_.prefix + ":hints}"}).integer; }

  testing::RedisWorld world_;
};

TEST_F(RedisStream, GivesEachNoteToOneMember) {
  auto a = member("a");
  auto b = member("b");
  auto c = member("c");
  add(a, "x");
  const auto note = next(b);
  ASSERT_TRUE(note);
  EXPECT_EQ(note->subject, "x");
  EXPECT_FALSE(note->is_own);
  EXPECT_FALSE(next(c));
  settle(b, *note);
  EXPECT_EQ(length(), 0);
}

TEST_F(RedisStream, KeepsOneUnreadNoteOfASubject) {
  auto a = member("a");
  auto b = member("b");
  for (int i = 0; i < 10; ++i) add(a, "x");
  add(a, "y");
  EXPECT_EQ(length(), 2);
  const auto own = next(a);
  ASSERT_TRUE(own);
  EXPECT_TRUE(own->is_own);
  add(a, "x");
  EXPECT_EQ(length(), 3) << "once it is read the next one says something new";
  add(b, "x");
  EXPECT_EQ(length(), 3);
  EXPECT_EQ(next(a)->subject, "y");
  const auto shared = next(a);
  ASSERT_TRUE(shared);
  EXPECT_EQ(shared->subject, "x");
  EXPECT_FALSE(shared->is_own) << "another member has said it too";
}

TEST_F(RedisStream, EndsAWaitWhenANoteComes) {
  auto a = member("a");
  auto b = member("b");
  std::optional<Note> note;
  asio::co_spawn(world_.io, b.next(seconds(30)), [&](const std::exception_ptr&, Result<std::optional<Note>> found) {
    note = std::move(found).value();
  });
  world_.io.restart();
  world_.io.poll();
  add(a, "x");
  EXPECT_TRUE(world_.run_until([&] { return note.has_value(); }));
}

TEST_F(RedisStream, P06GoesOnAfterEverythingWasDeleted) {
  auto a = member("a");
  auto b = member("b");
  add(a, "x");
  ASSERT_TRUE(next(b));
  const auto connection = world_.connect();
  world_.ask(*connection, {"DEL", "{" + world_.prefix + ":hints}"});
  EXPECT_FALSE(next(b));
  add(a, "x");
  EXPECT_TRUE(next(b)) << "what is remembered of a stream that is gone does not count";
  world_.ask(*connection, {"DEL", "{" + world_.prefix + ":hints}", "{" + world_.prefix + ":hints}:unread"});
  add(a, "x");
  EXPECT_TRUE(next(b));
}

TEST_F(RedisStream, TakesOverWhatTheDeadHaveRead) {
  auto dead = member("dead");
  auto b = member("b");
  add(b, "x");
  ASSERT_TRUE(next(dead));
  EXPECT_TRUE(run_task(world_.io, b.adopt(std::chrono::hours(1), 10)).value().empty());
  const auto adopted = run_task(world_.io, b.adopt(milliseconds(0), 10)).value();
  ASSERT_EQ(adopted.size(), 1u);
  EXPECT_EQ(adopted[0].subject, "x");
  settle(b, adopted[0]);
  EXPECT_EQ(length(), 0);
}

TEST_F(RedisStream, ForgetsMembersThatAreGone) {
  auto holder = member("holder");
  auto b = member("b");
  add(b, "x");
  ASSERT_TRUE(next(holder));
  const auto connection = world_.connect();
  for (const auto* name : {"gone", "b"}) {
    world_.ask(*connection, {"XGROUP", "CREATECONSUMER", "{" + world_.prefix + ":hints}", "workers", name});
  }
  const auto members = [&] {
    return world_.ask(*connection, {"XINFO", "CONSUMERS", "{" + world_.prefix + ":hints}", "workers"}).elements.size();
  };
  EXPECT_TRUE(run_task(world_.io, b.forget_members(std::chrono::hours(1))));
  EXPECT_EQ(members(), 3u);
  ASSERT_TRUE(world_.run_until([&] {
    EXPECT_TRUE(run_task(world_.io, b.forget_members(milliseconds(1))));
    return members() == 2u;
  })) << "the one with a note, and the one that asks, stay";
  EXPECT_TRUE(run_task(world_.io, b.leave()));
  EXPECT_EQ(members(), 1u);
}

class RedisQueue : public ::testing::Test {
 protected:
  std::unique_ptr<jobs::Queue> process(const std::string& name, bool is_started = true) {
    jobs::RedisQueueOptions options;
    options.member = name;
    options.key_prefix = world_.prefix;
    options.upkeep_every = milliseconds(30);
    options.adopt_after = adopt_after_;
    options.unfinished = unfinished_;
    auto commands = is_started ? world_.connect() : world_.not_started();
    auto blocking = is_started ? world_.connect() : world_.not_started();
    if (!is_started) later_ = {commands, blocking};
    return jobs::make_redis_queue(world_.io.get_executor(), commands, blocking, std::move(options));
  }
  static Task<void> wait_and_note(jobs::Queue& queue, std::shared_ptr<bool> returned) {
    co_await queue.wait(std::chrono::hours(1));
    *returned = true;
  }
  std::shared_ptr<bool> start_wait(jobs::Queue& queue) {
    auto returned = std::make_shared<bool>(false);
    asio::co_spawn(world_.io, wait_and_note(queue, returned), asio::detached);
    return returned;
  }
  bool soon(const std::shared_ptr<bool>& returned) {
    return world_.run_until([&] { return *returned; });
  }
  std::int64_t notes() { return world_.ask(*world_.connect(), {"XLEN", "{" + world_.prefix + ":hints}"}).integer; }

  testing::RedisWorld world_;
  const JobId job_{Uuid::random()};
  milliseconds adopt_after_ = std::chrono::hours(1);
  std::function<Task<Result<std::vector<JobId>>>()> unfinished_;
  std::vector<std::shared_ptr<redis::Connection>> later_;
};

TEST_F(RedisQueue, AnAnnouncementIsHeardInAnotherProcess) {
  const auto a = process("a");
  const auto b = process("b");
  const auto heard = start_wait(*b);
  a->announce(job_);
  EXPECT_TRUE(soon(heard));
  const auto again = start_wait(*b);  // the worker has looked
  EXPECT_TRUE(world_.run_until([&] { return notes() == 0; })) << "what has done its work is removed";
  EXPECT_FALSE(*again);
}

TEST_F(RedisQueue, WhoTakesAllItAskedForWakesTheNext) {
  const auto a = process("a");
  const auto b = process("b");
  const auto c = process("c");
  const auto of_b = start_wait(*b);
  const auto of_c = start_wait(*c);
  a->announce(job_);
  ASSERT_TRUE(world_.run_until([&] { return *of_b || *of_c; }));
  ASSERT_NE(*of_b, *of_c) << "one of them is woken";
  (*of_b ? *b : *c).share(job_);
  EXPECT_TRUE(soon(*of_b ? of_c : of_b));
}

TEST_F(RedisQueue, ABusyProcessLeavesNotesToOthers) {
  const auto a = process("a");
  const auto b = process("b");
  const auto of_b = start_wait(*b);
  b->announce(job_);  // ends the wait inside b; its question to Redis is still open
  ASSERT_TRUE(soon(of_b));
  const JobId other{Uuid::random()};
  a->announce(other);
  const auto c = process("c");
  EXPECT_TRUE(soon(start_wait(*c)));
}

TEST_F(RedisQueue, TakesOverTheNotesOfTheDead) {
  adopt_after_ = milliseconds(50);
  const auto a = process("a");
  redis::StreamOptions options{.key_prefix = world_.prefix, .group = "workers", .member = "dead"};
  Stream dead(world_.connect(), world_.connect(), std::move(options));
  a->announce(job_);
  ASSERT_TRUE(world_.run_until([&] { return run_task(world_.io, dead.next(milliseconds(10))).value().has_value(); }));
  const auto b = process("b");
  EXPECT_TRUE(soon(start_wait(*b)));
}

TEST_F(RedisQueue, P06SendsWhenRedisIsBackWhatWasAnnouncedMeanwhile) {
  const auto a = process("a", false);
  const auto own = start_wait(*a);
  a->announce(job_);
  EXPECT_TRUE(soon(own)) << "within the process Redis is not needed";
  const auto b = process("b");
  const auto heard = start_wait(*b);
  for (const auto& connection : later_) connection->start();
  EXPECT_TRUE(soon(heard));
}

TEST_F(RedisQueue, P06RepublishesWhatTheDatabaseHolds) {
  unfinished_ = [job = job_]() -> Task<Result<std::vector<JobId>>> { co_return std::vector<JobId>(1, job); };
  const auto a = process("a");
  unfinished_ = nullptr;
  const auto b = process("b");
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(soon(start_wait(*b)));
    world_.ask(*world_.connect(), {"DEL", "{" + world_.prefix + ":hints}", "{" + world_.prefix + ":hints}:unread"});
  }
}

TEST_F(RedisQueue, LeavesNothingBehindWhenItStops) {
  const auto a = process("a");
  auto b = process("b");
  const auto heard = start_wait(*b);
  a->announce(job_);
  ASSERT_TRUE(soon(heard));
  b->stop();
  const auto c = process("c");
  EXPECT_TRUE(soon(start_wait(*c))) << "what it had read goes to another";
  const auto connection = world_.connect();
  EXPECT_TRUE(world_.run_until([&] {
    const auto members =
        world_.ask(*connection, {"XINFO", "CONSUMERS", "{" + world_.prefix + ":hints}", "workers"}).elements;
    return std::ranges::none_of(members, [](const auto& member) { return member.elements.at(1).text == "b"; });
  }));
}

// A process: what it hears of the others is in `heard`.
struct NewsOfAProcess {
  NewsOfAProcess(testing::RedisWorld& world, const std::string& member) {
    const std::string channel = world.prefix + ":progress";
    news = jobs::make_redis_progress_news(world.io.get_executor(), world.connect(),
                                          {.channel = channel, .member = member});
    const auto before = world.options;
    world.options.channel = channel;
    world.options.on_message = [this](const std::string& message) { news->hear(message); };
    world.connect();
    world.options = before;
    news->listen([this](const JobId& job) { heard.push_back(job); });
  }
  std::unique_ptr<jobs::RedisProgressNews> news;
  std::vector<JobId> heard;
};

TEST(RedisProgressNews, TravelToTheOtherProcesses) {
  testing::RedisWorld world;
  NewsOfAProcess a(world, "a"), b(world, "b");
  const JobId one{Uuid::random()}, two{Uuid::random()};
  // A subscription is there some time after its connection.
  ASSERT_TRUE(world.run_until([&] {
    if (b.heard.empty()) a.news->tell(one);
    return !b.heard.empty();
  }));
  EXPECT_EQ(b.heard.back(), one);
  for (const auto& job : a.heard) EXPECT_EQ(job, one) << "at once, and not again from Redis";
  a.heard.clear();
  b.news->tell(two);
  ASSERT_TRUE(world.run_until([&] { return !a.heard.empty(); }));
  EXPECT_EQ(a.heard.back(), two);
  b.heard.clear();
  b.news->hear("a nonsense " + one.text() + " more");
  EXPECT_EQ(b.heard, std::vector<JobId>(1, one));
  a.news->stop();
  b.news->stop();
}

TEST(RedisConnectionThatListens, IsRefusedToAUserWithoutTheRight) {
  testing::RedisWorld world;
  const bool has_few_rights = !world.options.endpoint.username.empty();
  if (!has_few_rights) {
    world.ask(*world.connect(), {"ACL", "SETUSER", world.prefix, "on", ">secret", "~*", "resetchannels", "+@all"});
    world.options.endpoint.username = world.prefix;
    world.options.endpoint.password = "secret";
  }
  world.options.channel = "not:allowed";
  const auto refused = world.connect(false);
  ASSERT_TRUE(world.run_until([&] { return refused->trouble().has_value(); }));
  EXPECT_EQ(refused->trouble()->message, "Redis refuses to let this user listen to not:allowed");
}

}  // namespace
}  // namespace pixmill

PIXMILL_INSTANTIATE_QUEUE_SUITE(Redis, (pixmill::conformance::QueueFactory{.name = "Redis",
                                                                           .make = &pixmill::make_queue_for_suite}))
