// Tables that came in, where every server of a fleet finds them: in pieces of 8 MB below a folder of the results' store
// that no link leads to. A server that reads one in has a copy in its spool. Lives on the loop.
//
// A job names its table as "shared:<bytes>[:<stamp>]/<job id><ending>" (Job::source_path).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/blocking_thread.h"
#include "base/error.h"
#include "base/ids.h"
#include "base/task.h"
#include "jobs/job_store.h"
#include "storage/blob_store.h"

namespace pixmill::api {

class TableDepot {
 public:
  // `files` reads and writes the spool. All must outlive the depot.
  TableDepot(storage::BlobStore& blobs, std::string spool_folder, BlockingThread& files)
      : blobs_(blobs), spool_folder_(std::move(spool_folder)), files_(files) {}

  // Stores the file of the spool; it is there when this returns. What Job::source_path is to be. Where several requests
  // may want to make the same job, each has a stamp of its own, and its table a folder. Errors: the store's, kIo.
  [[nodiscard]] Task<Result<std::string>> put(JobId job, std::string path, std::string stamp);
  // Makes a file of the spool out of what put() stored; its path, which no other `reader` of the table has. Errors: the
  // store's, kDiskFull, kIo, kUnavailable also when a piece is not there: another server may find it.
  [[nodiscard]] Task<Result<std::string>> fetch(std::string source_path, std::int64_t reader);
  // What put() stored as that. What cannot be removed now is removed by a sweep.
  [[nodiscard]] Task<void> remove(std::string source_path);
  // Removes tables of jobs that have read theirs in, and those that no job names by the second time at which they are
  // found so, `grace` after the first: an upload is stored before its job exists.
  [[nodiscard]] Task<void> sweep(jobs::JobStore& store, std::chrono::steady_clock::duration grace);

 private:
  using Time = std::chrono::steady_clock::time_point;

  [[nodiscard]] Task<Result<void>> fetch_into(std::string folder, std::uint64_t bytes, std::string path);
  // "<job id>/" and "<job id>.<stamp>/" of all tables here.
  [[nodiscard]] Task<Result<std::vector<std::string>>> folders();
  [[nodiscard]] Task<void> remove_folder(std::string folder);

  storage::BlobStore& blobs_;
  std::string spool_folder_;
  BlockingThread& files_;
  std::map<std::string, Time> idle_;  // folders that no job names, and since when that is known
};

}  // namespace pixmill::api
