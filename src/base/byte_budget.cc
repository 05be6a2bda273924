#include "base/byte_budget.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <optional>
#include <utility>

namespace pixmill {

// One coroutine in the line. The line and the coroutine share it: whoever is left finds out what the other did.
struct ByteBudget::Waiter {
  Waiter(const Executor& executor, std::uint64_t wanted_bytes) : bytes(wanted_bytes) {
    timer.emplace(executor).expires_at(asio::steady_timer::time_point::max());
  }
  // Never expires; cancelled to wake. Empty once its coroutine is gone, because the loop may be gone then, too.
  std::optional<asio::steady_timer> timer;
  std::uint64_t bytes;
  std::optional<Grant> grant;
};

ByteBudget::Grant::Grant(Grant&& other) noexcept {
  other.forget_growth();
  budget_ = std::exchange(other.budget_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  may_pass_limit_ = std::exchange(other.may_pass_limit_, false);
}

ByteBudget::Grant& ByteBudget::Grant::operator=(Grant&& other) noexcept {
  forget_growth();
  Grant taken(std::move(other));
  std::swap(budget_, taken.budget_);
  std::swap(bytes_, taken.bytes_);
  std::swap(may_pass_limit_, taken.may_pass_limit_);
  return *this;
}

ByteBudget::Grant::~Grant() {
  if (budget_ == nullptr) return;
  forget_growth();
  if (may_pass_limit_) budget_->limit_may_be_passed_ = true;
  budget_->give_back(bytes_);
}

void ByteBudget::Grant::resize(std::uint64_t bytes) {
  if (budget_ == nullptr) return;
  const std::uint64_t before = std::exchange(bytes_, bytes);
  if (bytes > before) {
    budget_->hold(bytes - before);
  } else {
    budget_->give_back(before - bytes);
  }
}

bool ByteBudget::Grant::grow(Growth growth, std::move_only_function<void()> when_granted) {
  if (budget_ == nullptr || growth.wanted_bytes <= bytes_) return true;
  forget_growth();
  // Those who wait longer go first, but who holds nothing must not stand in the way of who does.
  const auto holds = [](const Grower& grower) { return grower.growth.held_bytes > 0; };
  const bool is_next =
      growth.held_bytes > 0 ? std::ranges::none_of(budget_->growers_, holds) : budget_->growers_.empty();
  if ((is_next || may_pass_limit_) && budget_->try_grow(*this, growth)) return true;
  const auto is_this = [this](const Grower& grower) { return grower.grant == this; };
  ByteBudget& budget = *budget_;
  budget.growers_.push_back({.grant = this, .growth = growth, .when_granted = {}});
  if (growth.held_bytes < bytes_) resize(growth.held_bytes);
  // What was just given back may have served everyone, this one included.
  const auto self = std::ranges::find_if(budget.growers_, is_this);
  if (self == budget.growers_.end()) return true;
  self->when_granted = std::move(when_granted);
  return false;
}

void ByteBudget::Grant::forget_growth() {
  if (budget_ != nullptr)
    std::erase_if(budget_->growers_, [this](const Grower& grower) { return grower.grant == this; });
}

ByteBudget::ByteBudget(Executor executor, std::uint64_t limit_bytes)
    : executor_(std::move(executor)), limit_bytes_(limit_bytes) {
  PIXMILL_CHECK(limit_bytes > 0);
}

Task<Result<ByteBudget::Grant>> ByteBudget::take(std::uint64_t bytes) {
  if (stopped_) co_return fail(ErrorCode::kCancelled, "the process is stopping");
  if (growers_.empty() && waiters_.empty() && fits(bytes)) {
    hold(bytes);
    co_return Grant(this, bytes);
  }
  const auto waiter = std::make_shared<Waiter>(executor_, bytes);
  waiters_.push_back(waiter);
  // Marks the place as empty however this frame ends, also when the loop is destroyed around it.
  const std::unique_ptr<Waiter, void (*)(Waiter*)> leave(waiter.get(), [](Waiter* gone) { gone->timer.reset(); });
  boost::system::error_code ignored;
  co_await waiter->timer->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  if (waiter->grant) co_return std::move(*waiter->grant);
  // Nobody granted anything: the budget stopped, or this task alone was cancelled and must not hold up those behind it.
  waiter->timer.reset();
  serve();
  co_return fail(ErrorCode::kCancelled, "the wait for memory was cancelled");
}

void ByteBudget::stop() {
  stopped_ = true;
  for (const auto& waiter : std::exchange(waiters_, {})) {
    if (waiter->timer) waiter->timer->cancel();
  }
}

void ByteBudget::hold(std::uint64_t bytes) {
  in_use_ += bytes;
  peak_ = std::max(peak_, in_use_);
}

void ByteBudget::give_back(std::uint64_t bytes) {
  PIXMILL_CHECK(bytes <= in_use_);
  in_use_ -= bytes;
  serve();
}

void ByteBudget::serve() {
  serve_growers();
  if (growers_.empty()) serve_waiters();
}

bool ByteBudget::try_grow(Grant& grant, const Grant::Growth& growth) {
  const std::uint64_t others = in_use_ - grant.bytes_;
  const bool fits_in =
      others == 0 || (growth.wanted_bytes <= limit_bytes_ && others <= limit_bytes_ - growth.wanted_bytes);
  if (!fits_in && !grant.may_pass_limit_) {
    if (growth.held_bytes == 0 || !limit_may_be_passed_) return false;
    limit_may_be_passed_ = false;
    grant.may_pass_limit_ = true;
  }
  hold(growth.wanted_bytes - grant.bytes_);
  grant.bytes_ = growth.wanted_bytes;
  return true;
}

void ByteBudget::serve_growers() {
  bool is_blocked = false;  // by one that came earlier and holds nothing
  for (auto grower = growers_.begin(); grower != growers_.end();) {
    const bool holds = grower->growth.held_bytes > 0;
    if (is_blocked && !holds) {
      ++grower;
      continue;
    }
    if (!try_grow(*grower->grant, grower->growth)) {
      if (holds) return;
      is_blocked = true;
      ++grower;
      continue;
    }
    auto when_granted = std::move(grower->when_granted);
    grower = growers_.erase(grower);
    if (when_granted) when_granted();
  }
}

void ByteBudget::serve_waiters() {
  while (!waiters_.empty()) {
    const auto waiter = waiters_.front();
    if (waiter->timer) {
      if (!fits(waiter->bytes)) return;
      hold(waiter->bytes);
      waiter->grant = Grant(this, waiter->bytes);
      waiter->timer->cancel();
    }
    waiters_.pop_front();
  }
}

bool ByteBudget::fits(std::uint64_t bytes) const {
  return in_use_ == 0 || (bytes <= limit_bytes_ && in_use_ <= limit_bytes_ - bytes);
}

}  // namespace pixmill
