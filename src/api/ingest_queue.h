// Jobs whose tables are being read into the store, a few at a time, in the background. Lives on the loop.
//
// What is read here is held by a lease (JobStore::claim_ingests), which is renewed while the job waits or is read: a
// kill loses nothing, this process or another finds it again.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "api/table_depot.h"
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
  milliseconds lease{30'000};
  milliseconds look_every{2'000};  // for tables that nobody reads, and to renew leases
  milliseconds sweep_every = std::chrono::minutes(10);
  // Longer than an upload may take to be stored: until then no job names it.
  milliseconds table_grace = std::chrono::hours(6);
};

// All must outlive the queue.
struct IngestQueueParts {
  jobs::JobStore& store;
  jobs::Ingest& ingest;
  UploadReceiver& spool;             // removes files that have been read
  TableDepot* depot = nullptr;       // null: tables stay in the spool
  std::function<void()> on_ended{};  // a job may have an event for the outbox
};

class IngestQueue : public std::enable_shared_from_this<IngestQueue> {
 public:
  IngestQueue(Executor executor, IngestQueueParts parts, IngestQueueOptions options);

  // False when too many wait already, or the process is stopping: then the job must not be created.
  [[nodiscard]] bool has_room() const { return !stopping_ && waiting_.size() < options_.waiting_max; }
  // A job that this process has just created in the store with NewJob::ingest_lease, and its table in the spool.
  void add(JobId job, std::string source_path, std::string path);

  // Which files of the spool unfinished jobs need. Errors: the store's.
  [[nodiscard]] Task<Result<std::vector<std::string>>> spooled();
  // Goes on with what another process, or this one before, left unfinished, now and from time to time.
  void start();
  // Claims now what there is room for.
  [[nodiscard]] Task<void> take_over();

  // Starts no more and waits until those under way have stopped.
  [[nodiscard]] Task<void> stop();

 private:
  struct Entry {
    jobs::IngestLease lease;
    std::string source_path;
    std::string path;  // in the spool; "": it has to be fetched first
    bool is_lost = false;
  };
  using EntryPtr = std::shared_ptr<Entry>;
  enum class End : std::uint8_t { kOver, kStopped, kLeft };

  void enqueue(Entry entry);
  void start_next();
  [[nodiscard]] static Task<void> run(std::shared_ptr<IngestQueue> self, EntryPtr entry);
  [[nodiscard]] static Task<void> tend(std::shared_ptr<IngestQueue> self);
  [[nodiscard]] Task<void> renew();
  [[nodiscard]] Task<void> sweep();
  [[nodiscard]] Task<End> read_in(EntryPtr entry);
  [[nodiscard]] Task<bool> bring(EntryPtr entry);
  [[nodiscard]] Task<void> clean_up(EntryPtr entry, End end);
  [[nodiscard]] Task<void> pause();

  Executor executor_;
  IngestQueueParts parts_;
  IngestQueueOptions options_;
  std::deque<EntryPtr> waiting_;
  std::list<EntryPtr> running_;
  bool stopping_ = false;
  bool tending_ = false;
  std::chrono::steady_clock::time_point sweep_at_;
  Wakeup one_ended_;
  Wakeup look_;
  std::list<asio::steady_timer> pauses_;  // of those that wait to try again
};

}  // namespace pixmill::api
