// Writes outcomes to the store in batches: up to 64, or what came within 50 ms, in one transaction. Lives on the loop.
//
// Nothing is lost here: an outcome stays until the store took it or said that its lease is gone. While the store is
// away or the disk is full it tries again; the number of outcomes is bounded by the worker's items in flight. When the
// store refuses a batch for good, its outcomes are recorded one by one, and the one it cannot take is recorded as a
// failure; a store that refuses even that is broken, and the process should end and say so.
#pragma once

#include <deque>
#include <functional>
#include <vector>

#include "base/metrics.h"
#include "base/task.h"
#include "base/wakeup.h"
#include "jobs/job_store.h"

namespace pixmill::worker {

class Recorder {
 public:
  // Called after each transaction with what was in it.
  using OnRecorded = std::function<void(const std::vector<jobs::ItemOutcome>&, const jobs::FinishReport&)>;

  struct Callbacks {
    OnRecorded on_recorded;
    std::function<void(const Error&)> on_trouble = nullptr;  // a batch has to wait
    std::function<void(const Error&)> on_broken = nullptr;   // nothing can be recorded any more; run() returns
  };

  // store and metrics must outlive it.
  Recorder(Executor executor, jobs::JobStore& store, Metrics& metrics, Callbacks callbacks);

  void add(jobs::ItemOutcome outcome);

  // Runs until stop() was called and everything is written, or until give_up().
  [[nodiscard]] Task<void> run();
  void stop();     // write what is there, then return
  void give_up();  // return soon, written or not: the leases bring the items back

 private:
  [[nodiscard]] Task<void> write(std::vector<jobs::ItemOutcome> batch);
  // Waits while the store is away. Errors: what it will say again.
  [[nodiscard]] Task<Result<void>> try_to_write(std::vector<jobs::ItemOutcome> batch);
  [[nodiscard]] Task<Result<void>> write_one_by_one(std::vector<jobs::ItemOutcome> batch);

  jobs::JobStore& store_;
  Callbacks callbacks_;
  Wakeup wakeup_;
  std::deque<jobs::ItemOutcome> pending_;
  bool stopping_ = false;
  bool given_up_ = false;
  Counter fenced_;
  Counter retries_;
};

}  // namespace pixmill::worker
