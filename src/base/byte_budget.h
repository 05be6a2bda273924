// ByteBudget limits the memory that images in flight may hold, in bytes. One per process; lives on the loop.
// First come, first served, so a large image is not starved by small ones.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>

#include "base/error.h"
#include "base/task.h"

namespace pixmill {

class ByteBudget {
 public:
  // Gives its bytes back when destroyed. Movable; an empty Grant holds nothing.
  class Grant {
   public:
    Grant() = default;
    Grant(Grant&& other) noexcept;
    Grant& operator=(Grant&& other) noexcept;
    ~Grant();
    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
    // Makes an estimate true, without waiting: what was held too much is free at once; holding more may pass the limit
    // for a while, and then nobody else is served. An empty Grant stays empty.
    void resize(std::uint64_t bytes);

    struct Growth {
      std::uint64_t held_bytes = 0;    // in memory already
      std::uint64_t wanted_bytes = 0;  // in all
    };
    // For who learns only on the way how much is coming. True: the Grant holds the wanted bytes now (an empty one holds
    // nothing, and always may). False: it holds what is in memory already, and `when_granted` is called once the rest
    // is there, from inside whatever freed it, so it may do no more than wake somebody; not after the Grant is gone or
    // forget_growth(). Those who grow come before those who begin. Nobody blocks the others by holding a part while
    // waiting for the rest: one Grant at a time that holds something may pass the limit. One growth at a time.
    [[nodiscard]] bool grow(Growth growth, std::move_only_function<void()> when_granted);
    void forget_growth();

   private:
    friend class ByteBudget;
    Grant(ByteBudget* budget, std::uint64_t bytes) : budget_(budget), bytes_(bytes) {}
    ByteBudget* budget_ = nullptr;
    std::uint64_t bytes_ = 0;
    bool may_pass_limit_ = false;
  };

  // limit_bytes > 0 and never changes.
  ByteBudget(Executor executor, std::uint64_t limit_bytes);

  // Waits until `bytes` are free; the Grant gives them back when destroyed. A request above the limit is served alone,
  // when everything else has been returned. Errors: kCancelled once stop() was called, or when the waiting
  // task was cancelled. The budget must outlive the Grant.
  [[nodiscard]] Task<Result<Grant>> take(std::uint64_t bytes);

  // Everyone who waits, and who asks later, gets kCancelled.
  void stop();

  // For metrics; stale as soon as it returns.
  [[nodiscard]] std::uint64_t bytes_in_use() const { return in_use_; }
  [[nodiscard]] std::uint64_t bytes_peak() const { return peak_; }

 private:
  struct Waiter;
  // A Grant that waits to become larger.
  struct Grower {
    Grant* grant = nullptr;
    Grant::Growth growth;
    std::move_only_function<void()> when_granted;
  };
  void hold(std::uint64_t bytes);
  void give_back(std::uint64_t bytes);
  void serve();
  void serve_growers();
  void serve_waiters();
  [[nodiscard]] bool try_grow(Grant& grant, const Grant::Growth& growth);
  [[nodiscard]] bool fits(std::uint64_t bytes) const;

  Executor executor_;
  std::uint64_t limit_bytes_;
  std::uint64_t in_use_ = 0;
  std::uint64_t peak_ = 0;
  bool stopped_ = false;
  bool limit_may_be_passed_ = true;  // false while a Grant has that right
  std::list<Grower> growers_;
  std::deque<std::shared_ptr<Waiter>> waiters_;
};

}  // namespace pixmill
