// result.csv and images.csv, streamed from the store in pieces of at most 1,000 rows. Lives on the loop.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/error.h"
#include "base/task.h"
#include "jobs/job_document.h"
#include "jobs/job_store.h"

namespace pixmill::jobs {

// kSpreadsheet: cells that a spreadsheet would run get a leading ' (PROMISES P39); kExact: byte for byte as they came.
enum class CellSafety : std::uint8_t { kSpreadsheet, kExact };
enum class ResultFile : std::uint8_t { kResultCsv, kImagesCsv };

// A pull function for http::StreamBody or a file: each call gives the next piece, empty at the end. `store` must outlive it.
[[nodiscard]] std::function<Task<Result<std::string>>()> stream_result_file(JobStore& store, Job job, ResultFile file,
                                                                            CellSafety safety, Links links);

// One record with its CRLF, quoted where RFC 4180 asks for it.
[[nodiscard]] std::string csv_record(const std::vector<std::string>& cells);
// `cell` as a spreadsheet may safely open it.
[[nodiscard]] std::string spreadsheet_safe(std::string_view cell);

}  // namespace pixmill::jobs
