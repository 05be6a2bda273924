#include "base/byte_budget.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
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

ByteBudget::Grant::Grant(Grant&& other) noexcept
    : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

ByteBudget::Grant& ByteBudget::Grant::operator=(Grant&& other) noexcept {
  Grant taken(std::move(other));
  std::swap(budget_, taken.budget_);
  std::swap(bytes_, taken.bytes_);
  return *this;
}

ByteBudget::Grant::~Grant() {
  if (budget_ != nullptr) budget_->give_back(bytes_);
}

void ByteBudget::Grant::resize(std::uint64_t bytes) {
  if (budget_ == nullptr) return;
  if (bytes > bytes_) {
    budget_->in_use_ += bytes - bytes_;
  } else {
    budget_->give_back(bytes_ - bytes);
  }
  bytes_ = bytes;
}

ByteBudget::ByteBudget(Executor executor, std::uint64_t limit_bytes)
    : executor_(std::move(executor)), limit_bytes_(limit_bytes) {
  PIXMILL_CHECK(limit_bytes > 0);
}

Task<Result<ByteBudget::Grant>> ByteBudget::take(std::uint64_t bytes) {
  if (stopped_) co_return fail(ErrorCode::kCancelled, "the process is stopping");
  if (waiters_.empty() && fits(bytes)) {
    in_use_ += bytes;
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
  serve_waiters();
  co_return fail(ErrorCode::kCancelled, "the wait for memory was cancelled");
}

void ByteBudget::stop() {
  stopped_ = true;
  for (const auto& waiter : std::exchange(waiters_, {})) {
    if (waiter->timer) waiter->timer->cancel();
  }
}

void ByteBudget::give_back(std::uint64_t bytes) {
  PIXMILL_CHECK(bytes <= in_use_);
  in_use_ -= bytes;
  serve_waiters();
}

void ByteBudget::serve_waiters() {
  while (!waiters_.empty()) {
    const auto waiter = waiters_.front();
    if (waiter->timer) {
      if (!fits(waiter->bytes)) return;
      in_use_ += waiter->bytes;
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
