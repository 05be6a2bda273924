#include "http/resolver.h"

// Newer releases deprecate calls for which the one of Debian 12 has no other.
#define CARES_NO_DEPRECATED
#include <ares.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstring>
#include <deque>
#include <list>
#include <optional>
#include <unordered_map>

#include "base/text.h"
#include "http/hosts_file.h"
#include "http/poll_set.h"

namespace pixmill::http {

namespace {

using std::chrono::steady_clock;
using Addresses = std::vector<IpAddress>;
using Answer = Result<Addresses>;

// How long an IPv4 answer waits for the IPv6 one. Some name servers never answer AAAA; RFC 8305 section 3 waits 50 ms.
constexpr milliseconds kOtherFamilyPatience{200};
constexpr milliseconds kNotFoundTimeMax{5'000};
constexpr std::size_t kNameBytesMax = 253;
constexpr std::size_t kWaitingNamesMax = 65'536;

// The one funnel from c-ares to our errors.
Error ares_error(int status, const std::string& host) {
  const auto made = [&](ErrorCode code, std::string_view what) {
    return Error{.code = code, .message = fmt::format("{}: {}", host, what), .detail = ares_strerror(status)};
  };
  switch (status) {
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_EBADNAME:
    case ARES_SUCCESS:  // an answer without an address of this family
      return made(ErrorCode::kDnsNotFound, "no such host");
    case ARES_ETIMEOUT:
      return made(ErrorCode::kTimeout, "the name servers did not answer in time");
    case ARES_EDESTRUCTION:
    case ARES_ECANCELLED:
      return made(ErrorCode::kCancelled, "the resolver is stopping");
    default:
      return made(ErrorCode::kDns, "the name servers could not answer");
  }
}

// One name being asked for, and everyone who waits for it.
struct Lookup {
  Lookup(const Executor& executor, std::string name) : host(std::move(name)), done(executor), patience(executor) {}
  std::string host;
  asio::steady_timer done;  // expires at the deadline; cancelled when there is an answer
  asio::steady_timer patience;
  int families_open = 2;
  Addresses v4;
  Addresses v6;
  seconds time_to_live = std::chrono::hours(24);
  int failure = ARES_ENOTFOUND;  // the status to report when no family has an address
  std::optional<Answer> answer;
};

void collect(Lookup& lookup, int status, const ares_addrinfo* info) {
  if (status != ARES_SUCCESS || info == nullptr) {
    // "Could not be asked" outweighs "has none": the other family may have had one.
    if (status != ARES_ENODATA && status != ARES_ENOTFOUND && status != ARES_EBADNAME) lookup.failure = status;
    return;
  }
  for (const ares_addrinfo_cname* alias = info->cnames; alias != nullptr; alias = alias->next) {
    lookup.time_to_live = std::min(lookup.time_to_live, seconds(alias->ttl));
  }
  for (const ares_addrinfo_node* node = info->nodes; node != nullptr; node = node->ai_next) {
    lookup.time_to_live = std::min(lookup.time_to_live, seconds(node->ai_ttl));
    if (node->ai_family == AF_INET) {
      sockaddr_in in{};
      std::memcpy(&in, node->ai_addr, sizeof(in));
      lookup.v4.emplace_back(asio::ip::address_v4(ntohl(in.sin_addr.s_addr)));
    } else if (node->ai_family == AF_INET6) {
      sockaddr_in6 in6{};
      std::memcpy(&in6, node->ai_addr, sizeof(in6));
      asio::ip::address_v6::bytes_type bytes{};
      std::memcpy(bytes.data(), &in6.sin6_addr, bytes.size());
      lookup.v6.emplace_back(asio::ip::address_v6(bytes));
    }
  }
}

// Oldest out first, so that a CSV with a million hosts cannot grow it.
class Cache {
 public:
  explicit Cache(std::size_t entries_max) : entries_max_(entries_max) {}

  [[nodiscard]] std::optional<Answer> find(const std::string& host) {
    const auto found = index_.find(host);
    if (found == index_.end()) return std::nullopt;
    if (found->second->expires_at > steady_clock::now()) return found->second->answer;
    remove(found);
    return std::nullopt;
  }

  void put(const std::string& host, Answer answer, milliseconds for_time) {
    if (for_time <= milliseconds(0) || entries_max_ == 0) return;
    if (const auto found = index_.find(host); found != index_.end()) remove(found);
    if (entries_.size() >= entries_max_) remove(index_.find(entries_.front().host));
    entries_.push_back({.host = host, .answer = std::move(answer), .expires_at = steady_clock::now() + for_time});
    index_[host] = std::prev(entries_.end());
  }

 private:
  struct Entry {
    std::string host;
    Answer answer;
    steady_clock::time_point expires_at;
  };
  using Index = std::unordered_map<std::string, std::list<Entry>::iterator>;

  void remove(Index::iterator at) {
    entries_.erase(at->second);
    index_.erase(at);
  }

  std::size_t entries_max_;
  std::list<Entry> entries_;
  Index index_;
};

// c-ares and everything its callbacks touch. Held by the resolver and by every coroutine that waits, so that one that
// wakes after the resolver is gone finds it whole.
class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(Executor executor, ResolverOptions options)
      : executor_(executor),
        options_(std::move(options)),
        cache_(options_.cache_entries_max),
        hosts_(options_.hosts_file),
        ares_timer_(executor) {}
  ~Core() { shut_down(); }
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  Result<void> start();
  void shut_down();

  // What can be said without asking anyone.
  std::optional<Answer> known(const std::string& host);
  std::shared_ptr<Lookup> join(const std::string& host);
  // The deadline has passed.
  void expire(const std::shared_ptr<Lookup>& lookup);

 private:
  // Owned by c-ares from the call to its callback, which comes exactly once.
  struct Query {
    Core* core;
    std::shared_ptr<Lookup> lookup;
  };

  static void on_answer(void* query, int status, int timeouts, ares_addrinfo* info);
  void family_answered(const std::shared_ptr<Lookup>& lookup, int status, const ares_addrinfo* info);
  void finish(const std::shared_ptr<Lookup>& lookup, Answer answer);
  void ask(const std::shared_ptr<Lookup>& lookup);
  void ask_waiting();
  void arm_ares_timer();
  Result<void> open_channel(int server_count);

  Executor executor_;
  ResolverOptions options_;
  Cache cache_;
  HostsFile hosts_;
  ares_channel channel_ = nullptr;
  std::unique_ptr<PollSet> poll_;
  asio::steady_timer ares_timer_;
  std::unordered_map<std::string, std::shared_ptr<Lookup>> lookups_;  // without an answer yet
  std::deque<std::shared_ptr<Lookup>> waiting_;                       // of these, the ones not asked yet
  std::size_t under_way_ = 0;  // names c-ares is busy with, given up ones included
  bool stopped_ = false;
};

int count_servers(ares_channel channel) {
  ares_addr_port_node* servers = nullptr;
  if (ares_get_servers_ports(channel, &servers) != ARES_SUCCESS) return 1;
  int count = 0;
  for (const ares_addr_port_node* server = servers; server != nullptr; server = server->next) ++count;
  ares_free_data(servers);
  return std::max(count, 1);
}

Result<void> Core::open_channel(int server_count) {
  char lookups[] = "b";  // name servers alone: the hosts file is ours
  ares_options ares{};
  // Each server is asked twice, the second time with twice the patience, all within our deadline: a query that nobody
  // waits for any more must not hold its place.
  ares.timeout = std::max(static_cast<int>(options_.deadline.count() / (3L * server_count)), 20);
  ares.tries = 2;
  ares.lookups = lookups;
  ares.flags = options_.servers.empty() ? 0 : ARES_FLAG_NOSEARCH;
  ares.sock_state_cb = [](void* self, ares_socket_t socket, int readable, int writable) {
    static_cast<Core*>(self)->poll_->watch(socket, readable != 0, writable != 0);
  };
  ares.sock_state_cb_data = this;
  const int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_FLAGS | ARES_OPT_SOCK_STATE_CB;
  if (const int status = ares_init_options(&channel_, &ares, mask); status != ARES_SUCCESS) {
    return fail(ErrorCode::kUnavailable, "The name resolver cannot start", ares_strerror(status));
  }
  return {};
}

Result<void> Core::start() {
  ares_library_init(ARES_LIB_INIT_ALL);
  const auto on_event = [this](const PollEvent& event) {
    ares_process_fd(channel_, event.readable ? event.descriptor : ARES_SOCKET_BAD,
                    event.writable ? event.descriptor : ARES_SOCKET_BAD);
  };
  PIXMILL_TRY(poll_, PollSet::create(executor_, on_event, [this] {
                ask_waiting();
                arm_ares_timer();
              }));
  PIXMILL_RETURN_IF_ERROR(open_channel(1));
  if (!options_.servers.empty()) {
    if (ares_set_servers_ports_csv(channel_, options_.servers.c_str()) != ARES_SUCCESS) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("'{}' is not a list of name servers", options_.servers));
    }
    return {};
  }
  // The patience per server depends on how many /etc/resolv.conf names, and must be said before they are read.
  if (const int servers = count_servers(channel_); servers > 1) {
    ares_destroy(channel_);
    channel_ = nullptr;
    return open_channel(servers);
  }
  return {};
}

void Core::shut_down() {
  if (stopped_) return;
  stopped_ = true;
  ares_timer_.cancel();
  waiting_.clear();
  for (const auto lookups = std::exchange(lookups_, {}); const auto& [host, lookup] : lookups) {
    finish(lookup, std::unexpected(ares_error(ARES_ECANCELLED, host)));
  }
  // Calls back every query that is under way, and reports its sockets as closed.
  if (channel_ != nullptr) ares_destroy(channel_);
  channel_ = nullptr;
  poll_.reset();
  ares_library_cleanup();
}

std::optional<Answer> Core::known(const std::string& host) {
  if (stopped_) return std::unexpected(ares_error(ARES_ECANCELLED, host));
  boost::system::error_code not_literal;
  asio::ip::make_address(host, not_literal);
  if (!not_literal) return fail(ErrorCode::kInvalidArgument, fmt::format("{} is an address, not a name", host));
  if (host.empty() || host.size() > kNameBytesMax) return std::unexpected(ares_error(ARES_EBADNAME, host));
  if (auto cached = cache_.find(host)) return cached;
  if (const auto& listed = hosts_.find(host); !listed.empty()) return listed;
  if (host == "localhost" || host.ends_with(".localhost")) {  // RFC 6761 section 6.3
    return Addresses{asio::ip::address_v4::loopback(), asio::ip::address_v6::loopback()};
  }
  if (waiting_.size() >= kWaitingNamesMax && !lookups_.contains(host)) {
    return fail(ErrorCode::kUnavailable, "Too many host names wait to be resolved");
  }
  return std::nullopt;
}

std::shared_ptr<Lookup> Core::join(const std::string& host) {
  if (const auto found = lookups_.find(host); found != lookups_.end()) return found->second;
  auto lookup = std::make_shared<Lookup>(executor_, host);
  lookup->done.expires_after(options_.deadline);
  lookups_[host] = lookup;
  waiting_.push_back(lookup);
  ask_waiting();
  arm_ares_timer();
  return lookup;
}

void Core::ask_waiting() {
  while (!stopped_ && under_way_ < options_.queries_max && !waiting_.empty()) {
    const auto lookup = std::move(waiting_.front());
    waiting_.pop_front();
    if (!lookup->answer) ask(lookup);
  }
}

void Core::ask(const std::shared_ptr<Lookup>& lookup) {
  ++under_way_;
  for (const int family : {AF_INET, AF_INET6}) {
    ares_addrinfo_hints hints{};
    hints.ai_family = family;
    hints.ai_flags = ARES_AI_NOSORT;
    hints.ai_socktype = SOCK_STREAM;
    // The callback may run before this returns.
    ares_getaddrinfo(channel_, lookup->host.c_str(), nullptr, &hints, &Core::on_answer, new Query{this, lookup});
  }
}

void Core::on_answer(void* query, int status, int /*timeouts*/, ares_addrinfo* info) {
  const std::unique_ptr<Query> owned(static_cast<Query*>(query));
  owned->core->family_answered(owned->lookup, status, info);
  if (info != nullptr) ares_freeaddrinfo(info);
}

void Core::family_answered(const std::shared_ptr<Lookup>& lookup, int status, const ares_addrinfo* info) {
  if (--lookup->families_open == 0) --under_way_;
  if (lookup->answer) return;  // too late
  collect(*lookup, status, info);
  if (lookup->families_open > 0) {
    if (lookup->v4.empty()) return;
    lookup->patience.expires_after(kOtherFamilyPatience);
    lookup->patience.async_wait([self = weak_from_this(), lookup](const boost::system::error_code& error) {
      const auto core = self.lock();
      if (!error && core && !lookup->answer) core->expire(lookup);
    });
    return;
  }
  expire(lookup);
}

void Core::expire(const std::shared_ptr<Lookup>& lookup) {
  if (lookup->answer) return;
  Addresses addresses = lookup->v4;
  addresses.insert(addresses.end(), lookup->v6.begin(), lookup->v6.end());
  const int status = lookup->families_open > 0 ? ARES_ETIMEOUT : lookup->failure;
  if (!addresses.empty()) {
    const auto keep = std::min<milliseconds>(options_.cache_time_max, lookup->time_to_live);
    cache_.put(lookup->host, addresses, keep);
    finish(lookup, std::move(addresses));
    return;
  }
  Answer none = std::unexpected(ares_error(status, lookup->host));
  if (none.error().code == ErrorCode::kDnsNotFound) {
    cache_.put(lookup->host, none, std::min(options_.cache_time_max, kNotFoundTimeMax));
  }
  finish(lookup, std::move(none));
}

void Core::finish(const std::shared_ptr<Lookup>& lookup, Answer answer) {
  lookup->answer = std::move(answer);
  lookup->patience.cancel();
  lookup->done.cancel();
  if (const auto found = lookups_.find(lookup->host); found != lookups_.end() && found->second == lookup)
    lookups_.erase(found);
}

void Core::arm_ares_timer() {
  if (stopped_) return;
  timeval left{};
  if (ares_timeout(channel_, nullptr, &left) == nullptr) {
    ares_timer_.cancel();
    return;
  }
  ares_timer_.expires_after(seconds(left.tv_sec) + std::chrono::microseconds(left.tv_usec));
  ares_timer_.async_wait([self = weak_from_this()](const boost::system::error_code& error) {
    const auto core = self.lock();
    if (error || !core || core->stopped_) return;
    ares_process_fd(core->channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    core->ask_waiting();
    core->arm_ares_timer();
  });
}

class AresResolver final : public Resolver {
 public:
  explicit AresResolver(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  ~AresResolver() override { core_->shut_down(); }
  AresResolver(const AresResolver&) = delete;
  AresResolver& operator=(const AresResolver&) = delete;

  Task<Answer> resolve(std::string host) override {
    const auto core = core_;
    host = to_lower(host);
    if (auto known = core->known(host)) co_return std::move(*known);
    const auto lookup = core->join(host);
    boost::system::error_code error;
    if (!lookup->answer) co_await lookup->done.async_wait(asio::redirect_error(asio::use_awaitable, error));
    if (!lookup->answer && error) co_return std::unexpected(ares_error(ARES_ECANCELLED, host));
    core->expire(lookup);
    co_return *lookup->answer;
  }

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace

Result<std::unique_ptr<Resolver>> Resolver::create(Executor executor, ResolverOptions options) {
  auto core = std::make_shared<Core>(std::move(executor), std::move(options));
  PIXMILL_RETURN_IF_ERROR(core->start());
  return std::make_unique<AresResolver>(std::move(core));
}

}  // namespace pixmill::http
