#include "http/resolver.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <fstream>
#include <optional>

#include "http/hosts_file.h"
#include "tests/support/dns_server.h"
#include "tests/support/run_task.h"
#include "tests/support/temp_folder.h"

namespace pixmill::http {
namespace {

using testing::DnsReply;
using testing::DnsServer;
using testing::run_task;

using Answer = Result<std::vector<IpAddress>>;

std::vector<IpAddress> addresses(const std::vector<std::string>& texts) {
  std::vector<IpAddress> result;
  for (const auto& text : texts) result.push_back(asio::ip::make_address(text));
  return result;
}

class ResolverTest : public ::testing::Test {
 protected:
  ResolverOptions options() const {
    ResolverOptions options;
    options.servers = dns_.address();
    options.hosts_file = "/nonexistent";
    return options;
  }
  Resolver& start(ResolverOptions options) {
    resolver_ = Resolver::create(io_.get_executor(), std::move(options)).value();
    return *resolver_;
  }
  Answer resolve(const std::string& host) {
    if (!resolver_) start(options());
    return run_task(io_, resolver_->resolve(host));
  }
  ErrorCode error_of(const std::string& host) {
    const auto answer = resolve(host);
    return answer ? ErrorCode::kInternal : answer.error().code;
  }
  // Starts a resolution whose answer is put into `answers_`.
  void ask(const std::string& host) {
    asio::co_spawn(io_, resolver_->resolve(host),
                   [this](const std::exception_ptr&, Answer answer) { answers_.push_back(std::move(answer)); });
  }
  void run_until_answered(std::size_t count) {
    io_.restart();
    while (answers_.size() < count && io_.run_one() > 0) {
    }
  }

  DnsServer dns_;
  asio::io_context io_;
  std::unique_ptr<Resolver> resolver_;
  std::vector<Answer> answers_;
};

TEST_F(ResolverTest, ReturnsAllAddressesIpv4First) {
  dns_.add("a.test", {"2001:db8::1", "192.0.2.1", "192.0.2.2", "2001:db8::2"});
  EXPECT_EQ(resolve("a.test"), addresses({"192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"}));
}

TEST_F(ResolverTest, ReturnsOneFamilyWhenThereIsOne) {
  dns_.add("four.test", {"192.0.2.1"});
  dns_.add("six.test", {"2001:db8::1"});
  EXPECT_EQ(resolve("four.test"), addresses({"192.0.2.1"}));
  EXPECT_EQ(resolve("six.test"), addresses({"2001:db8::1"}));
}

TEST_F(ResolverTest, SaysWhenANameDoesNotExist) {
  dns_.add("empty.test", std::vector<std::string>{});
  EXPECT_EQ(error_of("missing.test"), ErrorCode::kDnsNotFound);
  EXPECT_EQ(error_of("empty.test"), ErrorCode::kDnsNotFound);
  EXPECT_EQ(error_of(""), ErrorCode::kDnsNotFound);
  EXPECT_EQ(error_of(std::string(300, 'a')), ErrorCode::kDnsNotFound);
}

TEST_F(ResolverTest, RemembersThatANameDoesNotExist) {
  EXPECT_EQ(error_of("missing.test"), ErrorCode::kDnsNotFound);
  EXPECT_EQ(error_of("missing.test"), ErrorCode::kDnsNotFound);
  EXPECT_EQ(dns_.questions("missing.test"), 1u);
}

TEST_F(ResolverTest, SaysWhenTheServersFail) {
  dns_.add("broken.test", DnsReply{.kind = DnsReply::Kind::kServfail, .addresses = {}});
  EXPECT_EQ(error_of("broken.test"), ErrorCode::kDns);
}

TEST_F(ResolverTest, EndsAtItsDeadline) {
  dns_.add("silent.test", DnsReply{.kind = DnsReply::Kind::kSilent, .addresses = {}});
  ResolverOptions impatient = options();
  impatient.deadline = milliseconds(300);
  start(impatient);
  EXPECT_EQ(error_of("silent.test"), ErrorCode::kTimeout);
  dns_.add("silent.test", {"192.0.2.1"});
  EXPECT_EQ(resolve("silent.test"), addresses({"192.0.2.1"})) << "a late name is asked for again";
}

TEST_F(ResolverTest, DoesNotWaitLongForTheOtherFamily) {
  dns_.add("a.test", DnsReply{.addresses = {"192.0.2.1"}, .silent_about_ipv6 = true});
  ResolverOptions patient = options();
  patient.deadline = seconds(60);
  start(patient);
  EXPECT_EQ(resolve("a.test"), addresses({"192.0.2.1"}));
}

TEST_F(ResolverTest, RefusesLiteralAddresses) {
  EXPECT_EQ(error_of("192.0.2.1"), ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_of("::1"), ErrorCode::kInvalidArgument);
}

TEST_F(ResolverTest, KnowsThisMachineWithoutAsking) {
  EXPECT_EQ(resolve("localhost"), addresses({"127.0.0.1", "::1"}));
  EXPECT_EQ(resolve("a.LOCALHOST"), addresses({"127.0.0.1", "::1"}));
  EXPECT_EQ(dns_.questions("localhost"), 0u);
}

TEST_F(ResolverTest, ReadsTheHostsFileFirst) {
  const testing::TempFolder folder;
  ResolverOptions with_hosts = options();
  with_hosts.hosts_file = folder.path() + "/hosts";
  std::ofstream(with_hosts.hosts_file)
      << "# comment\n2001:db8::9 listed.test\n192.0.2.9\tListed.Test other.test # more\n";
  dns_.add("listed.test", {"192.0.2.1"});
  start(with_hosts);
  EXPECT_EQ(resolve("LISTED.test"), addresses({"192.0.2.9", "2001:db8::9"}));
  EXPECT_EQ(resolve("other.test"), addresses({"192.0.2.9"}));
  EXPECT_EQ(dns_.questions("listed.test"), 0u);
}

TEST(HostsFile, SkipsWhatItCannotRead) {
  const auto table =
      parse_hosts("127.0.0.1\nnonsense a\nfe80::1%lo b\n\n 10.0.0.1 c c\r\n999.0.0.1 d\n#10.0.0.2 e\n10.0.0.3 f#g");
  ASSERT_EQ(table.size(), 2u);
  EXPECT_EQ(table.at("c"), addresses({"10.0.0.1"}));
  EXPECT_EQ(table.at("f"), addresses({"10.0.0.3"}));
}

TEST(HostsFile, NoticesAChange) {
  const testing::TempFolder folder;
  const std::string path = folder.path() + "/hosts";
  EXPECT_TRUE(HostsFile(path).find("a").empty());
  std::ofstream(path) << "10.0.0.1 a\n";
  HostsFile file(path);
  EXPECT_EQ(file.find("a"), addresses({"10.0.0.1"}));
  EXPECT_TRUE(file.find("b").empty());
}

TEST_F(ResolverTest, RemembersAnAnswerForItsTimeToLive) {
  dns_.add("long.test", {"192.0.2.1"}, 60);
  dns_.add("zero.test", {"192.0.2.1"}, 0);
  dns_.add("second.test", {"192.0.2.1"}, 1);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(resolve("long.test"));
    EXPECT_TRUE(resolve("zero.test"));
    EXPECT_TRUE(resolve("second.test"));
  }
  EXPECT_EQ(dns_.questions("long.test"), 1u);
  EXPECT_EQ(dns_.questions("zero.test"), 3u);
  EXPECT_EQ(dns_.questions("second.test"), 1u);
  run_task(io_, pause_for(milliseconds(1'100)));
  EXPECT_TRUE(resolve("second.test"));
  EXPECT_EQ(dns_.questions("second.test"), 2u);
}

TEST_F(ResolverTest, NeverRemembersLongerThanAllowed) {
  dns_.add("a.test", {"192.0.2.1"}, 60);
  ResolverOptions brief = options();
  brief.cache_time_max = milliseconds(1);
  start(brief);
  EXPECT_TRUE(resolve("a.test"));
  run_task(io_, pause_for(milliseconds(5)));
  EXPECT_TRUE(resolve("a.test"));
  EXPECT_EQ(dns_.questions("a.test"), 2u);
}

TEST_F(ResolverTest, ForgetsTheOldestNameWhenFull) {
  ResolverOptions small = options();
  small.cache_entries_max = 2;
  start(small);
  for (const std::string name : {"a.test", "b.test", "c.test"}) {
    dns_.add(name, {"192.0.2.1"});
    EXPECT_TRUE(resolve(name));
  }
  EXPECT_TRUE(resolve("c.test"));
  EXPECT_TRUE(resolve("b.test"));
  EXPECT_TRUE(resolve("a.test"));
  EXPECT_EQ(dns_.questions("c.test"), 1u);
  EXPECT_EQ(dns_.questions("b.test"), 1u);
  EXPECT_EQ(dns_.questions("a.test"), 2u);
}

TEST_F(ResolverTest, AsksOnceForManyCallers) {
  dns_.add("a.test", {"192.0.2.1"}, 0);
  start(options());
  for (int i = 0; i < 100; ++i) ask("a.test");
  run_until_answered(100);
  ASSERT_EQ(answers_.size(), 100u);
  for (const auto& answer : answers_) EXPECT_EQ(answer, addresses({"192.0.2.1"}));
  EXPECT_EQ(dns_.questions("a.test"), 1u);
}

TEST_F(ResolverTest, QueuesNamesBeyondItsQueries) {
  ResolverOptions narrow = options();
  narrow.queries_max = 3;
  start(narrow);
  for (int i = 0; i < 100; ++i) {
    dns_.add(fmt::format("n{}.test", i), {fmt::format("192.0.2.{}", i)});
    ask(fmt::format("n{}.test", i));
  }
  run_until_answered(100);
  ASSERT_EQ(answers_.size(), 100u);
  for (const auto& answer : answers_) EXPECT_TRUE(answer);
}

TEST_F(ResolverTest, LetsOneCallerGoAndAnswersTheOthers) {
  dns_.add("silent.test", DnsReply{.kind = DnsReply::Kind::kSilent, .addresses = {}});
  ResolverOptions impatient = options();
  impatient.deadline = milliseconds(100);
  start(impatient);
  asio::cancellation_signal signal;
  asio::co_spawn(io_, resolver_->resolve("silent.test"),
                 asio::bind_cancellation_slot(signal.slot(), [this](const std::exception_ptr&, Answer answer) {
                   answers_.push_back(std::move(answer));
                 }));
  ask("silent.test");
  io_.poll();
  signal.emit(asio::cancellation_type::terminal);
  run_until_answered(2);
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_EQ(answers_[0].error().code, ErrorCode::kCancelled);
  EXPECT_EQ(answers_[1].error().code, ErrorCode::kTimeout);
}

TEST_F(ResolverTest, EndsWhatIsUnderWayWhenItIsDestroyed) {
  dns_.add("silent.test", DnsReply{.kind = DnsReply::Kind::kSilent, .addresses = {}});
  ResolverOptions narrow = options();
  narrow.queries_max = 1;
  start(narrow);
  ask("silent.test");
  ask("waiting.test");
  io_.poll();
  resolver_.reset();
  io_.restart();
  io_.run();
  ASSERT_EQ(answers_.size(), 2u);
  for (const auto& answer : answers_) EXPECT_EQ(answer.error().code, ErrorCode::kCancelled);
}

TEST_F(ResolverTest, KeepsNoLoopRunningWhenIdle) {
  dns_.add("a.test", {"192.0.2.1"});
  EXPECT_TRUE(resolve("a.test"));
  io_.restart();
  io_.run();
}

TEST_F(ResolverTest, RefusesServersItCannotRead) {
  const auto created = Resolver::create(io_.get_executor(), ResolverOptions{.servers = "not a server"});
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(ResolverTest, StartsWithTheMachinesOwnServers) {
  EXPECT_TRUE(Resolver::create(io_.get_executor(), ResolverOptions{}));
}

// Names that never resolve must not stop the loop, and must end.
TEST(P16, HangingNamesLeaveTheLoopFree) {
  asio::io_context io;
  DnsServer dns;
  ResolverOptions options;
  options.servers = dns.address();
  options.deadline = milliseconds(300);
  options.queries_max = 64;
  const auto resolver = Resolver::create(io.get_executor(), options).value();
  std::size_t timed_out = 0;
  for (int i = 0; i < 150; ++i) {
    const std::string name = fmt::format("hang{}.test", i);
    dns.add(name, DnsReply{.kind = DnsReply::Kind::kSilent, .addresses = {}});
    asio::co_spawn(io, resolver->resolve(name), [&](const std::exception_ptr&, const Answer& answer) {
      if (!answer && answer.error().code == ErrorCode::kTimeout) ++timed_out;
    });
  }
  // The loop ticks on meanwhile: names that blocked it would leave no room between their deadlines, which are three
  // rounds apart.
  std::size_t ticks = 0;
  asio::steady_timer timer(io);
  std::function<void(const boost::system::error_code&)> tick = [&](const boost::system::error_code&) {
    if (timed_out == 150) return;
    ++ticks;
    timer.expires_after(milliseconds(1));
    timer.async_wait(tick);
  };
  tick({});
  io.run();
  EXPECT_EQ(timed_out, 150u);
  EXPECT_GT(ticks, 20u);
}

}  // namespace
}  // namespace pixmill::http
