#include "jobs/ingest.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <chrono>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/blocking_thread.h"
#include "base/text.h"
#include "base/wakeup.h"
#include "fetch/source_url.h"
#include "jobs/recipe_book.h"
#include "jobs/row_recipes.h"
#include "jobs/table_check.h"
#include "storage/object_name.h"
#include "storage/s3_address.h"

namespace pixmill::jobs {

namespace {

constexpr std::size_t kProblemsKept = 1'000;
constexpr std::size_t kChunkRowsMax = 500;
// A row may hold a megabyte and thousands of URLs; a chunk ends early when it has this much of either.
constexpr std::size_t kChunkItemsMax = 1'000;
constexpr std::size_t kChunkBytesMax = 4u << 20;
// Rows read before the thread turns to the next job's table.
constexpr std::uint64_t kStepRows = 5'000;

TableOptions table_options(const Job& job, std::vector<NamedRecipe> row_names) {
  return {.dialect = job.origin == JobOrigin::kLegacyUpload ? TableDialect::kOriginal : TableDialect::kAny,
          .url_column = job.url_column,
          .file_name = std::filesystem::path(job.source_path).filename().string(),
          .overrides = job.overrides,
          .recipe = {.text = job.recipe, .name = job.recipe_name},
          .recipes = std::make_shared<const RecipeBook>(std::move(row_names)),
          // The upload was checked against what may be named; what may be fetched is the fetcher's to say.
          .s3_buckets = {std::string(kEveryBucket)}};
}

// "photos/Blue shirt.final.jpg" ► "Blue shirt.final".
std::string stem_of(std::string_view path) {
  std::string name(path.substr(path.rfind('/') + 1));
  if (const auto dot = name.rfind('.'); dot != std::string::npos && dot > 0) name.resize(dot);
  return name.empty() ? "image" : name;
}

// "https://a.example/photos/Blue%20shirt.final.jpg?x=1" ► "Blue shirt.final".
std::string source_stem(const std::string& url) {
  if (const auto object = storage::parse_s3_location(url)) return stem_of(object->key);
  const auto parsed = fetch::parse_source_url(url);
  if (!parsed) return "image";
  const auto path = std::string_view(parsed->target).substr(0, parsed->target.find('?'));
  const auto name = path.substr(path.rfind('/') + 1);
  return stem_of(percent_decode(name).value_or(std::string(name)));
}

// Names of one job's pictures.
class NameMaker {
 public:
  NameMaker(storage::NameTemplate names, const JobId& job, const std::vector<std::string>& columns, int product_column)
      : names_(std::move(names)),
        with_base_(names_.with_base(kBase, false)),
        with_numbered_base_(names_.with_base(kBase, true)),
        job_(job.text()),
        product_column_(product_column) {
    for (const auto& placeholder : names_.placeholders()) {
      const auto is_it = [&](const std::string& column) { return equals_ignoring_case(trim(column), placeholder); };
      const auto column = std::ranges::find_if(columns, is_it);
      if (column != columns.end()) columns_[placeholder] = static_cast<std::size_t>(column - columns.begin());
    }
  }

  std::string stem(const TableRow& row, std::uint32_t index, const std::string& url) const {
    return names_for(row).expand([&](std::string_view placeholder) -> std::optional<std::string> {
      if (placeholder == kBase) return row.name;
      const std::string name = to_lower(placeholder);
      if (name == "product" && product_column_ >= 0) return row.cells[static_cast<std::size_t>(product_column_)];
      if (name == "index") return std::to_string(index);
      if (name == "row") return std::to_string(row.row);
      if (name == "job") return job_;
      if (name == "source_stem") return source_stem(url);
      if (const auto column = columns_.find(placeholder); column != columns_.end()) return row.cells[column->second];
      if (name == "product") return source_stem(url);
      return std::nullopt;
    });
  }

 private:
  // Which no template can name: its placeholders have no spaces around them.
  static constexpr std::string_view kBase = " base ";

  // A template that names the column itself says where it goes.
  [[nodiscard]] const storage::NameTemplate& names_for(const TableRow& row) const {
    const auto is_name = [](const auto& column) { return equals_ignoring_case(column.first, kNameColumn); };
    if (row.name.empty() || std::ranges::any_of(columns_, is_name)) return names_;
    return row.urls.size() > 1 ? with_numbered_base_ : with_base_;
  }

  storage::NameTemplate names_;
  storage::NameTemplate with_base_;
  storage::NameTemplate with_numbered_base_;
  std::string job_;
  int product_column_;
  std::map<std::string, std::size_t, std::less<>> columns_;  // by placeholder, as the template spells it
};

struct Chunk {
  std::vector<NewRow> rows;
  bool at_end = false;
};

// A job's table as chunks of rows. Used on the ingest thread alone.
class Chunker {
 public:
  static Result<std::unique_ptr<Chunker>> open(const Job& job, const std::string& path,
                                               std::vector<NamedRecipe> row_names) {
    PIXMILL_TRY(auto names, storage::NameTemplate::parse(job.name_template));
    PIXMILL_TRY(auto table,
                TableReader::open(path.empty() ? job.source_path : path, table_options(job, std::move(row_names))));
    NameMaker maker(std::move(names), job.id, table->columns(), table->product_column());
    return std::unique_ptr<Chunker>(new Chunker(std::move(table), std::move(maker), job));
  }

  [[nodiscard]] const std::vector<std::string>& columns() const { return table_->columns(); }

  // The next rows that are not in yet; perhaps none while those that are in are passed over.
  Result<Chunk> next() {
    Chunk chunk;
    std::size_t items = 0;
    std::size_t bytes = 0;
    for (std::uint64_t step = 0; step < kStepRows; ++step) {
      if (chunk.rows.size() >= kChunkRowsMax || items >= kChunkItemsMax || bytes >= kChunkBytesMax) break;
      PIXMILL_TRY(auto row, table_->next());
      if (!row) {
        if (rows_read_ == 0) return fail(ErrorCode::kInvalidArgument, std::string(kEmptyTableText));
        chunk.at_end = true;
        break;
      }
      ++rows_read_;
      if (row->row <= rows_in_) continue;
      if (!row->problems.empty() && invalid_rows_ == InvalidRows::kReject) {
        return fail(ErrorCode::kInvalidArgument, std::move(row->problems.front().message));
      }
      items += row->urls.size();
      for (const auto& cell : row->cells) bytes += cell.size();
      chunk.rows.push_back(new_row(std::move(*row)));
    }
    return chunk;
  }

 private:
  Chunker(std::unique_ptr<TableReader> table, NameMaker names, const Job& job)
      : table_(std::move(table)), names_(std::move(names)), invalid_rows_(job.invalid_rows), rows_in_(job.rows) {}

  NewRow new_row(TableRow row) const {
    NewRow made{.row = row.row, .cells = {}, .problem = {}, .items = {}};
    for (const auto& problem : row.problems) {
      if (!made.problem.empty()) made.problem += "; ";
      made.problem += problem.message;
    }
    std::uint32_t index = 0;
    for (auto& url : row.urls) {
      ++index;
      std::string stem = names_.stem(row, index, url);
      made.items.push_back({.index = index, .url = std::move(url), .output_stem = std::move(stem)});
    }
    if (row.recipe) made.recipe = *row.recipe;
    made.cells = std::move(row.cells);
    return made;
  }

  std::unique_ptr<TableReader> table_;
  NameMaker names_;
  InvalidRows invalid_rows_;
  std::uint64_t rows_in_;
  std::uint64_t rows_read_ = 0;
};

// Reads one chunk ahead of whoever takes them, so that the table is read while the database takes rows in. Shared with
// the read under way, which may outlive the taker.
class ReadAhead : public std::enable_shared_from_this<ReadAhead> {
 public:
  ReadAhead(const Executor& executor, BlockingThread& thread, std::shared_ptr<Chunker> table)
      : executor_(executor), thread_(thread), table_(std::move(table)), read_(executor) {}

  void begin() {
    asio::co_spawn(executor_, read(shared_from_this()),
                   [](const std::exception_ptr& error) { PIXMILL_CHECK(error == nullptr); });
  }
  // Of the read that was begun.
  static Task<Result<Chunk>> take(std::shared_ptr<ReadAhead> self) {
    while (!self->chunk_) co_await self->read_.wait(kUntilRead);
    Result<Chunk> chunk = std::move(*self->chunk_);
    self->chunk_.reset();
    co_return chunk;
  }

 private:
  static constexpr milliseconds kUntilRead = std::chrono::hours(1);

  static Task<void> read(std::shared_ptr<ReadAhead> self) {
    auto next = [table = self->table_] { return table->next(); };
    auto chunk = co_await self->thread_.run(std::move(next));
    self->chunk_ = std::move(chunk);
    self->read_.ring();
  }

  Executor executor_;
  BlockingThread& thread_;
  std::shared_ptr<Chunker> table_;
  Wakeup read_;
  std::optional<Result<Chunk>> chunk_;
};

// What will be wrong with the table however often it is read.
bool is_about_the_table(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kNotFound:
    case ErrorCode::kTooLarge:
    case ErrorCode::kTruncated:
    case ErrorCode::kDecodeFailed:
    case ErrorCode::kUnsupportedFormat:
      return true;
    default:
      return false;
  }
}

std::unexpected<Error> stopping() { return fail(ErrorCode::kCancelled, "Pixmill is stopping."); }

}  // namespace

struct Ingest::Impl {
  Task<Result<TableReport>> check(std::string path, TableOptions options, OnProgress on_progress) {
    auto open = [path = std::move(path), options = std::move(options)]() -> Result<std::shared_ptr<TableCheck>> {
      PIXMILL_TRY(auto check, TableCheck::open(path, options, kProblemsKept));
      return std::make_shared<TableCheck>(std::move(check));
    };
    PIXMILL_CO_TRY(const auto table, co_await thread.run(std::move(open)));
    while (!stopped) {
      // The thread's share keeps the table alive, whatever happens to this coroutine.
      auto read = [table] { return table->read(kStepRows); };
      PIXMILL_CO_TRY(const bool done, co_await thread.run(std::move(read)));
      if (done) co_return table->report();
      if (on_progress) on_progress(table->rows_read());
    }
    co_return stopping();
  }

  Task<Result<void>> run(IngestLease lease, std::string path, std::string source_path) {
    const JobId id = lease.job;
    PIXMILL_CO_TRY(const Job job, co_await store.job(id));
    if (!job.is_being_read) co_return Result<void>();
    if (!source_path.empty() && job.source_path != source_path) {
      co_return fail(ErrorCode::kConflict, "The job is read from another table.");
    }
    PIXMILL_CO_TRY(auto row_names, co_await store.row_names(id));
    auto open = [job, path, names = std::move(row_names)]() -> Result<std::shared_ptr<Chunker>> {
      return Chunker::open(job, path, names);
    };
    auto chunks = co_await thread.run(std::move(open));
    if (!chunks) co_return co_await give_up(lease, std::move(chunks).error());
    std::vector<std::string> columns = (*chunks)->columns();
    const auto table = std::make_shared<ReadAhead>(executor, thread, std::move(*chunks));
    table->begin();
    while (!stopped) {
      auto chunk = co_await ReadAhead::take(table);
      if (!chunk) co_return co_await give_up(lease, std::move(chunk).error());
      if (!chunk->at_end) table->begin();
      if (!chunk->rows.empty()) {
        // Waiting here is what keeps the reader from running ahead of the database by more than one chunk.
        auto appended = co_await store.append_rows(lease, std::move(columns), std::move(chunk->rows));
        if (!appended && appended.error().code == ErrorCode::kTooLarge) {
          co_return co_await store.reject_job(lease, std::move(appended).error());
        }
        if (!appended) co_return std::unexpected(std::move(appended).error());
        columns.clear();
        queue.announce(id);
      }
      if (!chunk->at_end) continue;
      PIXMILL_CO_RETURN_IF_ERROR(co_await store.finish_ingest(lease));
      queue.announce(id);
      co_return Result<void>();
    }
    co_return stopping();
  }

  Task<Result<void>> give_up(IngestLease lease, Error why) {
    if (is_about_the_table(why.code)) co_return co_await store.reject_job(lease, std::move(why));
    co_return std::unexpected(std::move(why));
  }

  Executor executor;
  JobStore& store;
  Queue& queue;
  bool stopped = false;
  BlockingThread thread{"ingest"};
};

Ingest::Ingest(Executor executor, JobStore& store, Queue& queue)
    : impl_(new Impl{.executor = std::move(executor), .store = store, .queue = queue}) {}
Ingest::~Ingest() = default;

Task<Result<TableReport>> Ingest::check(std::string path, TableOptions options, OnProgress on_progress) {
  return impl_->check(std::move(path), std::move(options), std::move(on_progress));
}
Task<Result<void>> Ingest::run(IngestLease lease, std::string path, std::string source_path) {
  return impl_->run(lease, std::move(path), std::move(source_path));
}
void Ingest::stop() { impl_->stopped = true; }

}  // namespace pixmill::jobs
