// result.csv and images.csv, streamed from the store in pieces of at most 1,000 rows. Lives on the loop.
//
// result.csv: the input's columns and rows in the input's order, then
//   Output Image Urls  as many as the row has URLs, separated by ", ", empty where one failed
//   Status             succeeded, unchanged when the earlier results of all its images were used again,
//   partly_succeeded,
//                      failed, cancelled, pending, or invalid for a skipped row
//   Errors             "code: message" of each failed image, or what is wrong with the row
//   Bytes In, Bytes Out  of the row's succeeded images; empty when there is none
//   Recipe Used, Recipe Name  what was done, and the named recipe that it came from, if any
// images.csv: one line per image and rendition (one without output for a failed image): row, index, source, output,
// state, code, bytes, width, height, format, quality, ssim (empty until it is measured), sha256, fetch_ms,
// transform_ms, store_ms, attempts, rendition, bytes_in, error, note, recipe, recipe_name.
// gone.csv: one line per URL of the job that this one is compared with which this one does not have: row and index (in
// that job), source.
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
enum class ResultFile : std::uint8_t { kResultCsv, kImagesCsv, kGoneCsv };

// A pull function for http::StreamBody or a file: each call gives the next piece, empty at the end. `store` must
// outlive it.
[[nodiscard]] std::function<Task<Result<std::string>>()> stream_result_file(JobStore& store, Job job, ResultFile file,
                                                                            CellSafety safety, Links links);

// One record with its CRLF, quoted where RFC 4180 asks for it.
[[nodiscard]] std::string csv_record(const std::vector<std::string>& cells);
// `cell` as a spreadsheet may safely open it.
[[nodiscard]] std::string spreadsheet_safe(std::string_view cell);

}  // namespace pixmill::jobs
