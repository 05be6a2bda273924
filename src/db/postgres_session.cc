#include "db/postgres_session.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace pixmill::db::pg {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kFirstWait{10};
constexpr milliseconds kWaitMax{1'000};
constexpr milliseconds kUndecidedWait{50};
constexpr int kDoublingsMax = 7;
#define PIXMILL_TIME "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint::text"
#define PIXMILL_NUMBER_AND_TIME "SELECT pg_current_xact_id()::text, " PIXMILL_TIME
constexpr const char* kBegin = "BEGIN; " PIXMILL_NUMBER_AND_TIME;
constexpr const char* kBeginAsync = "BEGIN; SET LOCAL synchronous_commit = off; " PIXMILL_NUMBER_AND_TIME;
#undef PIXMILL_NUMBER_AND_TIME
// Changes when the server begins anew after a crash, which loses its statistics. Unlike the time of its start it also
// does when the server's first process survived.
constexpr const char* kLife = "SELECT coalesce(stats_reset::text, '') FROM pg_stat_bgwriter";
constexpr const char* kBeginSnapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT " PIXMILL_TIME;
#undef PIXMILL_TIME

// A moment between question and answer is the same moment.
milliseconds ahead_of(std::int64_t server_ms, std::chrono::system_clock::time_point asked_at,
                      std::chrono::system_clock::time_point answered_at) {
  const auto ms_of = [](auto at) { return std::chrono::floor<milliseconds>(at).time_since_epoch().count(); };
  if (server_ms < ms_of(asked_at)) return milliseconds(server_ms - ms_of(asked_at));
  if (server_ms > ms_of(answered_at)) return milliseconds(server_ms - ms_of(answered_at));
  return milliseconds(0);
}

std::unexpected<Error> unknown_fate() {
  return fail(ErrorCode::kUnavailable, "the database is away, and what became of the last change is not known");
}

std::unexpected<Error> closing() { return fail(ErrorCode::kUnavailable, "Pixmill is stopping"); }

}  // namespace

void StopSignal::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

bool StopSignal::stopped() {
  const std::lock_guard lock(mutex_);
  return stopped_;
}

bool StopSignal::pause(milliseconds duration) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, duration, [this] { return stopped_; });
}

// Full jitter: many processes that lost one server must not come back in step.
void Session::back_off() {
  const auto ceiling = std::min(kWaitMax, kFirstWait * (1 << std::min(failures_, kDoublingsMax)));
  ++failures_;
  std::uniform_int_distribution<std::int64_t> wait_ms(1, ceiling.count());
  static_cast<void>(stop_.pause(milliseconds(wait_ms(random_))));
}

Result<void> Session::reconnect() {
  connection_.reset();
  auto opened = Connection::open(options_.connect);
  if (!opened) return std::unexpected(std::move(opened).error());
  connection_.emplace(std::move(*opened));
  auto life = connection_->execute(kLife);
  if (!life) {
    connection_.reset();
    return std::unexpected(std::move(life).error());
  }
  server_life_ = (*life)[0].text(0);
  return {};
}

Result<void> Session::ensure_connected(Time give_up_at) {
  if (connection_ && connection_->trouble() != Trouble::kLost) return {};
  while (true) {
    if (stop_.stopped()) return closing();
    auto connected = reconnect();
    if (connected || connected.error().code == ErrorCode::kInvalidArgument) return connected;
    if (steady_clock::now() >= give_up_at) return connected;
    back_off();
  }
}

Result<Rows> Session::query(std::string_view sql, const Params& params) {
  PIXMILL_CHECK(connection_.has_value());
  auto rows = connection_->query(sql, params);
  if (rows || rows.error().code != ErrorCode::kConflict) return rows;
  Error error = std::move(rows).error();
  error.code = ErrorCode::kInternal;
  return std::unexpected(std::move(error));
}

std::unexpected<Error> Session::try_again() {
  wants_again_ = true;
  return fail(ErrorCode::kUnavailable, "the database is busy with the same rows");
}

Result<void> Session::begin(Durability durability, Time give_up_at) {
  while (true) {
    PIXMILL_RETURN_IF_ERROR(ensure_connected(give_up_at));
    forget_old_plans();
    const auto asked_at = options_.now();
    auto begun = connection_->execute(durability == Durability::kDurable ? kBegin : kBeginAsync);
    if (begun) {
      transaction_ = (*begun)[0].text(0);
      server_ahead_ = ahead_of(parse_integer((*begun)[0].view(1)).value_or(0), asked_at, options_.now());
      return {};
    }
    if (!recover(give_up_at)) return std::unexpected(std::move(begun).error());
  }
}

Result<void> Session::begin_snapshot(Time give_up_at) {
  while (true) {
    PIXMILL_RETURN_IF_ERROR(ensure_connected(give_up_at));
    forget_old_plans();
    const auto asked_at = options_.now();
    auto begun = connection_->execute(kBeginSnapshot);
    if (begun) {
      server_ahead_ = ahead_of(parse_integer((*begun)[0].view(0)).value_or(0), asked_at, options_.now());
      return {};
    }
    if (!recover(give_up_at)) return std::unexpected(std::move(begun).error());
  }
}

void Session::forget_old_plans() {
  const auto now = steady_clock::now();
  if (now - planned_at_ < options_.plans_last) return;
  planned_at_ = now;
  static_cast<void>(connection_->execute("DISCARD PLANS"));
}

bool Session::recover(Time give_up_at) {
  const auto trouble = connection_ ? connection_->trouble() : Trouble::kLost;
  if (trouble != Trouble::kLost && connection_) {
    // Its own failure is one of the connection, which the next begin finds.
    static_cast<void>(connection_->execute("ROLLBACK"));
  }
  const bool may_help = trouble == Trouble::kLost || trouble == Trouble::kTryAgain || wants_again_;
  wants_again_ = false;
  if (!may_help || stop_.stopped() || steady_clock::now() >= give_up_at) return false;
  if (trouble == Trouble::kLost) connection_.reset();
  back_off();
  return true;
}

Result<bool> Session::commit() {
  auto done = connection_->execute("COMMIT");
  if (done) {
    failures_ = 0;
    if (connection_->last_command() == "COMMIT") return true;
    return fail(ErrorCode::kInternal, "the transaction was rolled back by an earlier error");
  }
  if (connection_->trouble() == Trouble::kLost) return fate_of_commit();
  const bool may_help = connection_->trouble() == Trouble::kTryAgain;
  static_cast<void>(connection_->execute("ROLLBACK"));
  if (!may_help) return std::unexpected(std::move(done).error());
  back_off();
  return false;
}

// "in progress": the server has not yet noticed that its client is gone. A number that it does not know, after a
// failover that lost the last moments, is one that did not commit there.
//
// After a crash the number itself may be somebody else's: those of which nothing had reached the disk are given out
// again. So "committed" is then no answer; that ours did not is.
Result<bool> Session::fate_of_commit() {
  const auto end = steady_clock::now() + options_.commit_patience;
  const auto life_at_begin = server_life_;
  const auto question = fmt::format("SELECT pg_xact_status('{}'::xid8)", transaction_);
  while (true) {
    PIXMILL_RETURN_IF_ERROR(ensure_connected(end));
    const bool has_crashed = server_life_ != life_at_begin;
    auto answer = connection_->execute(question);
    if (answer) {
      const auto status = (*answer)[0].text(0);
      if (status == "committed" && has_crashed) return unknown_fate();
      if (status == "committed") return true;
      if (status != "in progress" || has_crashed) return false;
    } else if (connection_->trouble() == Trouble::kPermanent) {
      return false;
    }
    if (steady_clock::now() >= end || !stop_.pause(kUndecidedWait)) return unknown_fate();
  }
}

}  // namespace pixmill::db::pg
