// A connection to PostgreSQL that comes back: transactions that are done again when they may be, and never twice.
// Blocking; one Session belongs to one thread. jobs/postgres_* runs its verbs on it.
//
// A COMMIT whose answer is lost with the connection may have taken place or not. Every transaction knows its number
// (pg_current_xact_id), so the next connection asks what became of it, and it is done again only when it did not.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/error.h"
#include "db/postgres.h"

namespace pixmill::db::pg {

// Ends the waits of sessions when the process stops. Thread-safe; outlives the sessions.
class StopSignal {
 public:
  void stop();
  // False when it was stopped.
  [[nodiscard]] bool pause(std::chrono::milliseconds duration);
  [[nodiscard]] bool stopped();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
};

struct SessionOptions {
  ConnectOptions connect;
  // A verb waits so long for a database that is away before it answers kUnavailable; its caller tries again.
  std::chrono::milliseconds patience{3'000};
  // For the fate of a COMMIT without an answer, which the caller must not have to guess.
  std::chrono::milliseconds commit_patience{60'000};
  // Statements are planned anew after so long: a plan is made for tables as large as they are then, and a table that
  // was empty may have a million rows a few seconds later.
  std::chrono::milliseconds plans_last{1'000};
  // What the server's clock is compared with.
  std::function<std::chrono::system_clock::time_point()> now = [] { return std::chrono::system_clock::now(); };
};

enum class Durability : std::uint8_t {
  kProgress,  // survives the end of this process; the server's crash may take the last half second
  kDurable,   // on the server's disk when it returns
};

class Session {
 public:
  Session(SessionOptions options, StopSignal& stop) : options_(std::move(options)), stop_(stop) {}

  // BEGIN … COMMIT around `work`, a callable () -> Result<T> that calls query(). It may run several times, each in a
  // transaction of its own, of which one takes effect. Errors: work's, kUnavailable.
  template <class Work>
  std::invoke_result_t<Work&> transact(Durability durability, Work work);
  // One read-only snapshot for several statements; done again when the connection was lost. Errors: as transact.
  template <class Work>
  std::invoke_result_t<Work&> snapshot(Work work);

  // Inside transact() or snapshot(). A broken constraint is a bug of the caller: kInternal.
  [[nodiscard]] Result<Rows> query(std::string_view sql, const Params& params);

  // What work returns when it met a race that another try decides: rolls back and begins anew.
  [[nodiscard]] std::unexpected<Error> try_again();

  // How far the server's clock was ahead of ours when the transaction began; 0 when it could not be told from it.
  [[nodiscard]] std::chrono::milliseconds server_ahead() const { return server_ahead_; }

  // For tests.
  [[nodiscard]] Connection* connection() { return connection_ ? &*connection_ : nullptr; }

 private:
  using Time = std::chrono::steady_clock::time_point;

  [[nodiscard]] Result<void> begin(Durability durability, Time give_up_at);
  [[nodiscard]] Result<void> begin_snapshot(Time give_up_at);
  // True: committed. False: nothing happened and it may be done again.
  [[nodiscard]] Result<bool> commit();
  // After an error of the work: true when it may be done again.
  [[nodiscard]] bool recover(Time give_up_at);
  [[nodiscard]] Result<void> ensure_connected(Time give_up_at);
  // Before a transaction; a failure is one of the connection, which the transaction finds.
  void forget_old_plans();
  [[nodiscard]] Result<void> reconnect();
  [[nodiscard]] Result<bool> fate_of_commit();
  void back_off();
  [[nodiscard]] Time give_up_at() const { return std::chrono::steady_clock::now() + options_.patience; }

  SessionOptions options_;
  StopSignal& stop_;
  std::optional<Connection> connection_;
  std::string transaction_;  // the number of the one under way
  std::chrono::milliseconds server_ahead_{0};
  Time planned_at_;
  std::string server_life_;  // the server's, from crash to crash, when connection_ was made
  bool wants_again_ = false;
  int failures_ = 0;  // in a row; what the back-off grows with
  std::minstd_rand random_{std::random_device{}()};
};

template <class Work>
std::invoke_result_t<Work&> Session::transact(Durability durability, Work work) {
  const auto end = give_up_at();
  while (true) {
    PIXMILL_RETURN_IF_ERROR(begin(durability, end));
    auto result = work();
    if (!result) {
      if (recover(end)) continue;
      return result;
    }
    PIXMILL_TRY(const bool committed, commit());
    if (committed) return result;
  }
}

template <class Work>
std::invoke_result_t<Work&> Session::snapshot(Work work) {
  const auto end = give_up_at();
  while (true) {
    PIXMILL_RETURN_IF_ERROR(begin_snapshot(end));
    auto result = work();
    // Reading takes no effect, so an end of the transaction that fails changes nothing.
    if (!result && recover(end)) continue;
    if (result && connection_) static_cast<void>(connection_->execute("COMMIT"));
    if (result) failures_ = 0;
    return result;
  }
}

}  // namespace pixmill::db::pg
