// Jobs whose tables are being read into the store, a few at a time, in the background. Lives on the loop.
//
// What waits here is in the database too: a kill loses nothing, resume() finds it again.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "api/upload.h"
#include "base/task.h"
#include "base/wakeup.h"
#include "jobs/ingest.h"
#include "jobs/job_store.h"

namespace pixmill::api {

struct IngestQueueOptions {
  std::uint32_t at_once = 2;
  std::size_t waiting_max = 1'000;
  milliseconds retry_pause{5'000};  // after a store or a disk that is away
};

class IngestQueue : public std::enable_shared_from_this<IngestQueue> {
 public:
  // `spool` removes files that have been read. `on_ended` is called when a job may have an event for the outbox.
  // All must outlive the queue.
  IngestQueue(Executor executor, jobs::JobStore& store, jobs::Ingest& ingest, UploadReceiver& spool,
              std::function<void()> on_ended, IngestQueueOptions options);

  // False when too many wait already, or the process is stopping: then the job must not be created.
  [[nodiscard]] bool has_room() const { return !stopping_ && waiting_.size() < options_.waiting_max; }
  // A job that is in the store, and the spool file it names.
  void add(JobId job, std::string source_path);

  // Adds what a previous process left unfinished; says which spool files that needs. Errors: the store's.
  [[nodiscard]] Task<Result<std::vector<std::string>>> resume();

  // Starts no more and waits until those under way have stopped.
  [[nodiscard]] Task<void> stop();

 private:
  struct Entry {
    JobId job;
    std::string source_path;
  };
  void start_next();
  [[nodiscard]] static Task<void> run(std::shared_ptr<IngestQueue> self, Entry entry);
  [[nodiscard]] Task<bool> read_in(const Entry& entry);
  [[nodiscard]] Task<void> pause();

  Executor executor_;
  jobs::JobStore& store_;
  jobs::Ingest& ingest_;
  UploadReceiver& spool_;
  std::function<void()> on_ended_;
  IngestQueueOptions options_;
  std::deque<Entry> waiting_;
  std::uint32_t running_ = 0;
  bool stopping_ = false;
  Wakeup one_ended_;
  std::list<asio::steady_timer> pauses_;  // of those that wait to try again
};

}  // namespace pixmill::api
