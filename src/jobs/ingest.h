// Turns a spooled table into rows and items of a job, chunk by chunk, resumable after a kill. Parsing runs on a thread
// of its own, where the tables of several jobs take turns. Lives on the loop.
//
// What a job's name_template may use: {product} (the Product Name column, else a column called product, else
// {source_stem}), {index} of the URL in its row, {row}, {source_stem} (the URL's file name without its extension),
// {job}, and every column by its name, without case. {sha} {uuid} {rendition} {ext} are filled in when the picture is
// done.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/task.h"
#include "jobs/job_store.h"
#include "jobs/queue.h"
#include "jobs/table_reader.h"

namespace pixmill::jobs {

class Ingest {
 public:
  // store and queue must outlive it.
  Ingest(Executor executor, JobStore& store, Queue& queue);
  ~Ingest();

  // Reads `path` on the ingest thread and keeps the first 1,000 problems. `on_progress` is told now and then how many
  // rows have been read. Errors: as check_table, and kCancelled after stop().
  using OnProgress = std::function<void(std::uint64_t rows)>;
  [[nodiscard]] Task<Result<TableReport>> check(std::string path, TableOptions options, OnProgress on_progress = {});

  // Reads the job's table and appends what is not in yet, then finish_ingest. The table is `path`, or the job's
  // source_path when that is "": the same bytes may have another name by now. `source_path`, unless it is "", is what
  // the job must name: another request may have made a job of that id. What is wrong with the content rejects the job,
  // and so does a table that is gone or has more images than a job can hold; trouble with reading it does not. With
  // InvalidRows::kSkip bad rows are kept with their problem and without items; with kReject the first of them rejects
  // the job. A job that is not `ingesting` is left alone. Stops between chunks after stop(). Errors: the store's
  // (kCancelled also when the job was, kConflict when the lease is another's or the job names another table),
  // kCancelled, kIo and kInternal of reading.
  [[nodiscard]] Task<Result<void>> run(IngestLease lease, std::string path = {}, std::string source_path = {});

  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pixmill::jobs
