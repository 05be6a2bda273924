#include "app/run_session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "api/intake.h"
#include "app/descriptors.h"
#include "app/earlier_run.h"
#include "app/local_files.h"
#include "app/run_plan.h"
#include "app/s3_setup.h"
#include "app/secrets.h"
#include "app/small_file.h"
#include "base/blocking_thread.h"
#include "base/log.h"
#include "base/text.h"
#include "storage/local_store.h"
#include "storage/object_key.h"
#include "storage/put_file.h"

namespace pixmill::app {

namespace {

namespace fs = std::filesystem;

constexpr milliseconds kProgressEvery{250};
constexpr milliseconds kDrainGrace{30'000};
constexpr std::size_t kBadRowsShown = 20;
constexpr std::size_t kAppendRows = 500;

void say_error(const Error& error) {
  std::fprintf(stderr, "pixmill: %s\n", error.message.c_str());
  if (!error.detail.empty()) log::debug("error_detail", {{"detail", error.detail}});
}

// One input set on its way, shared by the coroutines at work on it.
struct SetWork {
  const InputSet& set;  // the session's
  SetPlan plan;
  std::string digest;
  std::optional<Error> ingest_error;
  std::vector<jobs::NamedRecipe> row_names = {};  // that a new table's rows ask for
  const jobs::Job* since = nullptr;               // what a new job is compared with
};

// The job whose results a folder holds: the newest that may have some.
const jobs::Job* newest_in(const std::vector<jobs::Job>& newest_first, const std::string& blob_prefix) {
  const auto found = std::ranges::find_if(newest_first, [&](const jobs::Job& job) {
    const bool was_given_up = job.state == jobs::JobState::kCancelling || job.state == jobs::JobState::kCancelled ||
                              job.state == jobs::JobState::kRejected;
    return job.blob_prefix == blob_prefix && !was_given_up;
  });
  return found == newest_first.end() ? nullptr : &*found;
}

// The job that did the same before, unless another has taken its folder since.
const jobs::Job* same_work(const std::vector<jobs::Job>& newest_first, const std::string& digest) {
  const auto found = std::ranges::find_if(newest_first, [&](const jobs::Job& job) {
    return job.source_digest == digest && newest_in(newest_first, job.blob_prefix) == &job;
  });
  return found == newest_first.end() ? nullptr : &*found;
}

// The process's share in one `pixmill run`.
class RunSession {
 public:
  RunSession(asio::io_context& io, Settings settings, RunOptions options, std::vector<InputSet> sets)
      : io_(io),
        settings_(std::move(settings)),
        options_(std::move(options)),
        sets_(std::move(sets)),
        reporter_(options_.progress),
        signals_(io, SIGINT, SIGTERM) {}

  Task<void> main();
  [[nodiscard]] ExitCode exit_code() const { return exit_code_; }
  // True when coroutines may still hold parts of the runtime: then the process ends without destroying it.
  [[nodiscard]] bool left_work_behind() const { return runtime_ != nullptr && runtime_->worker().in_flight() > 0; }

 private:
  Task<Result<void>> run_all();
  Result<std::vector<SetPlan>> plan_all();
  Task<Result<void>> run_set(const InputSet& set, SetPlan plan);
  Task<Result<std::vector<jobs::Job>>> jobs_of_folder();
  Task<Result<jobs::Job>> find_or_create(SetWork& work);
  Task<Result<bool>> is_outdated(const jobs::Job& job);
  Result<void> find_since(SetWork& work, const std::vector<jobs::Job>& known);
  void set_since(const jobs::Job& earlier, jobs::NewJob& job) const;
  // The new job takes the place of what it is compared with.
  [[nodiscard]] bool renews() const { return since_ && since_->folder.empty(); }
  Task<Result<void>> keep_watermark(const SetWork& work);
  Task<Result<jobs::Job>> resume(jobs::Job job, const SetWork& work);
  Task<Result<void>> abandon(jobs::Job job);
  Task<Result<jobs::Job>> create(const SetWork& work);
  Task<Result<void>> check_rows(SetWork& work);
  Task<void> ingest(JobId job, std::shared_ptr<SetWork> work);
  Task<Result<void>> ingest_pictures(JobId job, const InputSet& set, const SetPlan& plan);
  Task<Result<jobs::Job>> watch(JobId job, const SetWork& work);
  Task<ProgressView> view_of(const jobs::Job& job);
  Task<Result<void>> write_results(const jobs::Job& job, const std::string& folder);
  Task<Result<void>> upload_result(const std::string& path);
  Result<void> find_bucket();
  [[nodiscard]] jobs::Links links() const;
  [[nodiscard]] std::string shown(const std::string& path) const;
  void summarise(const jobs::Job& job, const std::string& folder);
  void on_signal();
  void worsen(ExitCode code);
  Result<void> input_error(Error why);

  asio::io_context& io_;
  Settings settings_;
  RunOptions options_;
  SystemClock clock_;
  std::shared_ptr<storage::S3Bucket> s3_bucket_;  // null: results go to the output folder
  std::string s3_prefix_;
  std::vector<InputSet> sets_;
  std::optional<EarlierPlace> since_;
  Reporter reporter_;
  asio::signal_set signals_;
  RateMeter meter_;
  std::unique_ptr<Runtime> runtime_;
  std::stop_source stop_;
  BlockingThread thread_{"run"};
  bool interrupted_ = false;
  int signals_seen_ = 0;
  ExitCode exit_code_ = ExitCode::kOk;
};

void RunSession::worsen(ExitCode code) {
  if (exit_code_ == ExitCode::kOk || code == ExitCode::kInterrupted) exit_code_ = code;
}

// What is wrong with a table is the input's fault, whatever code the same trouble has with a picture: exit 6, and no
// advice that was written for pictures.
Result<void> RunSession::input_error(Error why) {
  const bool rejected =
      why.code == ErrorCode::kInvalidArgument || why.code == ErrorCode::kTooLarge || why.code == ErrorCode::kTruncated;
  if (rejected) {
    worsen(ExitCode::kInputRejected);
    why.code = ErrorCode::kInvalidArgument;
  }
  return std::unexpected(std::move(why));
}

void RunSession::on_signal() {
  signals_.async_wait([this](const boost::system::error_code& error, int) {
    if (error) return;
    if (++signals_seen_ > 1) {
      std::fputs("\npixmill: stopped; what was finished is kept, run the same command to go on\n", stderr);
      ::_exit(static_cast<int>(ExitCode::kInterrupted));
    }
    interrupted_ = true;
    stop_.request_stop();
    if (runtime_) runtime_->ingest().stop();
    const bool busy = runtime_ && runtime_->worker().in_flight() > 0;
    reporter_.note(busy ? "finishing the pictures under way; press Ctrl-C again to stop at once" : "stopping");
    on_signal();
  });
}

Task<void> RunSession::main() {
  on_signal();
  const auto done = co_await run_all();
  if (!done && !(interrupted_ && done.error().code == ErrorCode::kCancelled)) {
    say_error(done.error());
    worsen(exit_code_for(done.error().code));
  }
  if (runtime_) co_await runtime_->drain(kDrainGrace);
  if (interrupted_) worsen(ExitCode::kInterrupted);
  signals_.cancel();
}

Task<Result<void>> RunSession::run_all() {
  const auto shares = share_descriptors(raise_descriptor_limit(), settings_.engines.engines);
  PIXMILL_CO_TRY(auto plans, plan_all());
  if (!options_.since.empty()) {
    PIXMILL_CO_TRY(since_, find_earlier_place(options_.since, options_.output_folder));
  }
  PIXMILL_CO_RETURN_IF_ERROR(find_bucket());
  RuntimeOptions options{.folder = options_.output_folder,
                         .database_path = options_.output_folder + "/.pixmill.db",
                         .files_root = options_.output_folder,
                         .marks_root = options_.output_folder + "/.pixmill/watermarks",
                         .master_key = {},
                         .links = links(),
                         .own_ports = {},
                         .connections_max = shares.client_connections,
                         .local_files = true,
                         .shared_queue = false,
                         .s3_bucket = s3_bucket_,
                         .s3_prefix = s3_prefix_,
                         .s3_source_buckets = options_.s3_source_buckets};
  PIXMILL_CO_TRY(options.master_key, load_master_key(options_.output_folder + "/.pixmill", settings_.master_key));
  PIXMILL_CO_TRY(runtime_, co_await Runtime::create(io_, settings_, std::move(options)));
  runtime_->worker().claim_only(JobId{});  // none, until a set's job is known
  co_await runtime_->start();
  for (std::size_t i = 0; i < sets_.size() && !interrupted_; ++i) {
    PIXMILL_CO_RETURN_IF_ERROR(co_await run_set(sets_[i], std::move(plans[i])));
  }
  co_return Result<void>{};
}

// What is wrong with the last table's header is said before the first one's pictures are fetched.
Result<std::vector<SetPlan>> RunSession::plan_all() {
  std::vector<SetPlan> plans;
  PIXMILL_TRY(const RunRecipe recipe, plan_recipe(options_));
  for (const auto& set : sets_) {
    if (const auto readable = check_table_header(set, options_); !readable) {
      auto why = readable.error();
      if (sets_.size() > 1) why.message = fmt::format("{}: {}", set.name, why.message);
      PIXMILL_RETURN_IF_ERROR(input_error(std::move(why)));
    }
    PIXMILL_TRY(plans.emplace_back(), plan_set(set, options_, recipe, sets_.size() > 1));
  }
  return plans;
}

Task<Result<void>> RunSession::run_set(const InputSet& set, SetPlan plan) {
  auto work = std::make_shared<SetWork>(SetWork{.set = set, .plan = std::move(plan), .digest = {}, .ingest_error = {}});
  const auto& folder = work->plan.result_folder;
  std::error_code made;
  fs::create_directories(folder, made);
  if (made) co_return fail(ErrorCode::kIo, fmt::format("cannot create {}: {}", folder, made.message()));
  PIXMILL_CO_TRY(auto job, co_await find_or_create(*work));
  meter_ = {};
  // Others may lie unfinished in the folder; they have another recipe, other names, or their turn to come.
  runtime_->worker().claim_only(job.id);
  if (job.state == jobs::JobState::kIngesting) asio::co_spawn(io_, ingest(job.id, work), asio::detached);
  PIXMILL_CO_TRY(job, co_await watch(job.id, *work));
  if (job.state == jobs::JobState::kRejected) {
    worsen(ExitCode::kInputRejected);
    co_return fail(ErrorCode::kInvalidArgument, job.error_message);
  }
  PIXMILL_CO_RETURN_IF_ERROR(co_await write_results(job, folder));
  summarise(job, folder);
  co_return Result<void>{};
}

// Newest first.
Task<Result<std::vector<jobs::Job>>> RunSession::jobs_of_folder() {
  std::vector<jobs::Job> all;
  jobs::JobQuery query{.state = std::nullopt, .limit = 500, .before = std::nullopt};
  do {
    PIXMILL_CO_TRY(auto page, co_await runtime_->store().jobs(query));
    std::ranges::move(page.jobs, std::back_inserter(all));
    query.before = page.next;
  } while (query.before);
  co_return all;
}

Task<Result<jobs::Job>> RunSession::find_or_create(SetWork& work) {
  auto digest = [&work, this] { return set_digest(work.set, work.plan, options_, stop_.get_token()); };
  PIXMILL_CO_TRY(work.digest, co_await thread_.run(std::move(digest)));
  PIXMILL_CO_TRY(const auto known, co_await jobs_of_folder());
  const auto* same = same_work(known, work.digest);
  // A job that was killed goes on even so: the command that started anew is repeated to resume.
  if (same != nullptr) {
    PIXMILL_CO_TRY(const bool outdated, co_await is_outdated(*same));
    const bool anew = jobs::is_terminal(same->state) && (options_.replace || outdated || renews());
    if (!anew) co_return co_await resume(*same, work);
  }
  const auto* other = newest_in(known, work.plan.blob_prefix);
  if (other != nullptr && !options_.replace && !renews()) {
    co_return fail(
        ErrorCode::kConflict,
        fmt::format("{} holds the results of another job ({}, {} pictures, recipe '{}'): the input, a recipe or the "
                    "names have changed since. Choose another folder, or say --replace to start anew in this one",
                    shown(options_.output_folder), other->name, format_count(other->total), other->recipe));
  }
  PIXMILL_CO_RETURN_IF_ERROR(find_since(work, known));
  if (!work.set.table_path.empty()) PIXMILL_CO_RETURN_IF_ERROR(co_await check_rows(work));
  for (const auto& job : known) {
    const bool unfinished = job.blob_prefix == work.plan.blob_prefix && !jobs::is_terminal(job.state);
    if (unfinished) PIXMILL_CO_RETURN_IF_ERROR(co_await abandon(job));
  }
  co_return co_await create(work);
}

Result<void> RunSession::find_since(SetWork& work, const std::vector<jobs::Job>& known) {
  if (!since_) return {};
  work.since = choose_earlier(since_->folder.empty() ? known : since_->jobs, since_->job, work.plan.blob_prefix);
  if (work.since != nullptr) return {};
  // What is repeated every night has a first time.
  if (since_->folder.empty() && !since_->job) {
    reporter_.note(fmt::format("{}: nothing to compare with yet", work.set.name));
    return {};
  }
  return fail(ErrorCode::kNotFound, fmt::format("--since {}: no such run has ended there", since_->named));
}

void RunSession::set_since(const jobs::Job& earlier, jobs::NewJob& job) const {
  job.since = earlier.id;
  job.since_folder = since_->folder;
  if (!since_->folder.empty()) job.since_files = earlier.results_at.empty() ? since_->folder : earlier.results_at;
}

// Whether what its rows named stands for something else today. A job that is under way goes on as it began.
Task<Result<bool>> RunSession::is_outdated(const jobs::Job& job) {
  if (!jobs::is_terminal(job.state)) co_return false;
  PIXMILL_CO_TRY(const auto names, co_await runtime_->store().row_names(job.id));
  co_return std::ranges::any_of(names, [this](const jobs::NamedRecipe& then) {
    const auto today = options_.recipes->resolve(then.written);
    return !today || today->text != then.recipe.text;
  });
}

Task<Result<void>> RunSession::keep_watermark(const SetWork& work) {
  if (!work.plan.recipe.watermark) co_return Result<void>();
  co_return co_await runtime_->watermarks().keep(work.plan.recipe.watermark);
}

Task<Result<jobs::Job>> RunSession::resume(jobs::Job job, const SetWork& work) {
  auto& store = runtime_->store();
  // It may be gone from the folder's state, and pictures may still be to do.
  const bool may_go_on = !jobs::is_terminal(job.state) || options_.retry_failed;
  if (may_go_on) PIXMILL_CO_RETURN_IF_ERROR(co_await keep_watermark(work));
  if (!work.plan.headers.empty()) {
    // Those that cannot be read any more, for want of their key, are replaced too.
    const auto headers = co_await store.headers(job.id);
    if (!headers || *headers != work.plan.headers) {
      PIXMILL_CO_RETURN_IF_ERROR(co_await store.replace_headers(job.id, work.plan.headers));
      runtime_->worker().job_changed(job.id);
    }
  }
  const bool finished = jobs::is_terminal(job.state);
  if (finished && options_.retry_failed && job.failed > 0) {
    const jobs::RetryFilter every_failure;
    co_return co_await store.retry(job.id, every_failure);
  }
  if (!finished) {
    reporter_.note(fmt::format("{}: going on where it stopped", work.set.name));
  } else if (options_.retry_failed) {
    reporter_.note(
        fmt::format("{}: already finished here, and no picture failed; there is nothing to try again", work.set.name));
  } else {
    reporter_.note(fmt::format("{}: already finished here; nothing is fetched again", work.set.name));
  }
  co_return job;
}

// The job's pictures are about to be replaced: it must not go on at any time.
Task<Result<void>> RunSession::abandon(jobs::Job job) {
  reporter_.note(fmt::format("giving up the unfinished job {} ({} pictures)", job.name, format_count(job.total)));
  PIXMILL_CO_TRY(job, co_await runtime_->store().cancel(job.id));
  while (!jobs::is_terminal(job.state)) {
    if (interrupted_) co_return fail(ErrorCode::kCancelled, "stopped");
    PIXMILL_CO_TRY([[maybe_unused]] const auto moved, co_await runtime_->store().rescue());
    PIXMILL_CO_TRY(job, co_await runtime_->store().job(job.id));
  }
  co_return Result<void>{};
}

Task<Result<jobs::Job>> RunSession::create(const SetWork& work) {
  const auto& plan = work.plan;
  jobs::NewJob job{.id = JobId{Uuid::random()},
                   .origin = jobs::JobOrigin::kRun,
                   .name = work.set.name,
                   .recipe = plan.recipe.choice.text,
                   .webhook_url = {},
                   .headers = plan.headers,
                   .name_template = plan.name_template,
                   .blob_prefix = plan.blob_prefix,
                   .source_path = work.set.table_path,
                   .source_digest = work.digest,
                   .url_column = options_.url_column,
                   .invalid_rows = options_.skip_invalid ? jobs::InvalidRows::kSkip : jobs::InvalidRows::kReject,
                   .priority = 0,
                   .recipe_name = plan.recipe.choice.name,
                   .overrides = options_.overrides,
                   .row_names = work.row_names};
  if (work.since != nullptr) set_since(*work.since, job);
  if (s3_bucket_) job.results_at = shown(options_.output_folder);
  const JobId id = job.id;
  PIXMILL_CO_RETURN_IF_ERROR(co_await keep_watermark(work));
  PIXMILL_CO_RETURN_IF_ERROR(co_await runtime_->store().create_job(std::move(job)));
  co_return co_await runtime_->store().job(id);
}

// Names every bad row before anything is fetched.
Task<Result<void>> RunSession::check_rows(SetWork& work) {
  const auto& set = work.set;
  const auto show = [this, &set](std::uint64_t rows) { reporter_.checking(set.name, rows); };
  auto checked = co_await runtime_->ingest().check(set.table_path, work.plan.table, show);
  if (!checked) co_return input_error(checked.error());
  PIXMILL_CO_RETURN_IF_ERROR(
      co_await api::check_row_watermarks(nullptr, runtime_->watermarks(), runtime_->policy(), *checked));
  const auto& report = *checked;
  work.row_names = std::move(checked->named_recipes);
  if (report.bad_rows == 0 || options_.skip_invalid) co_return Result<void>{};
  for (std::size_t i = 0; i < std::min(kBadRowsShown, report.problems.size()); ++i) {
    std::fprintf(stderr, "  %s\n", report.problems[i].message.c_str());
  }
  if (report.bad_rows > kBadRowsShown) {
    std::fprintf(stderr, "  … and more; `pixmill validate %s` lists them all\n", set.table_path.c_str());
  }
  worsen(ExitCode::kInputRejected);
  co_return fail(ErrorCode::kInvalidArgument,
                 fmt::format("{} of {} rows are invalid; correct them, or say --skip-invalid to do the others",
                             format_count(report.bad_rows), format_count(report.rows)));
}

// Detached: it holds a share of what it works on, however the others end.
Task<void> RunSession::ingest(JobId job, std::shared_ptr<SetWork> work) {
  auto reading = work->set.table_path.empty() ? ingest_pictures(job, work->set, work->plan)
                                              : runtime_->ingest_until_done(job, work->set.table_path);
  const auto done = co_await std::move(reading);
  if (!done) work->ingest_error = done.error();
}

Task<Result<void>> RunSession::ingest_pictures(JobId job, const InputSet& set, const SetPlan& plan) {
  const std::vector<std::string> columns(1, "File");
  std::vector<jobs::NewRow> rows;
  for (std::size_t i = 0; i < set.pictures.size() && !interrupted_; ++i) {
    PIXMILL_CO_TRY(auto row, picture_row(set.pictures[i], i + 1, plan.name_template));
    rows.push_back(std::move(row));
    if (rows.size() < kAppendRows && i + 1 < set.pictures.size()) continue;
    PIXMILL_CO_RETURN_IF_ERROR(co_await runtime_->store().append_rows(job, columns, std::move(rows)));
    rows.clear();
    runtime_->queue().announce(job);
  }
  if (!interrupted_) PIXMILL_CO_RETURN_IF_ERROR(co_await runtime_->store().finish_ingest(job));
  co_return Result<void>{};
}

Task<Result<jobs::Job>> RunSession::watch(JobId id, const SetWork& work) {
  for (;;) {
    if (work.ingest_error) co_return std::unexpected(*work.ingest_error);
    PIXMILL_CO_TRY(const auto job, co_await runtime_->store().job(id));
    const auto view = co_await view_of(job);
    if (jobs::is_terminal(job.state)) {
      reporter_.finish(view);
      co_return job;
    }
    if (interrupted_) {
      co_await runtime_->drain(kDrainGrace);
      PIXMILL_CO_TRY(const auto last, co_await runtime_->store().job(id));
      reporter_.finish(co_await view_of(last));
      co_return last;
    }
    reporter_.show(view);
    co_await pause_for(kProgressEvery);
  }
}

Task<ProgressView> RunSession::view_of(const jobs::Job& job) {
  ProgressView view{.job_name = job.name,
                    .ingesting = job.state == jobs::JobState::kIngesting,
                    .total = job.total,
                    .done = job.total - job.remaining,
                    .failed = job.failed,
                    .unchanged = job.unchanged,
                    .bytes_in = job.bytes_in,
                    .bytes_out = job.bytes_out,
                    .images_per_second = 0,
                    .eta_seconds = std::nullopt,
                    .failures = {},
                    .limited_by = {},
                    .trouble = {}};
  meter_.add(std::chrono::steady_clock::now(), view.done);
  view.images_per_second = meter_.per_second();
  view.eta_seconds = meter_.eta_seconds(job.remaining);
  if (job.failed > 0) {
    auto failures = co_await runtime_->store().failures(job.id);
    if (failures) view.failures = std::move(*failures);
  }
  if (!jobs::is_terminal(job.state)) view.trouble = runtime_->worker().trouble();
  if (const auto busy = runtime_->hosts().busiest()) {
    view.limited_by = fmt::format("{} ({} at once, {} waiting)", busy->origin, busy->running, busy->waiting);
  }
  co_return view;
}

Result<void> RunSession::find_bucket() {
  if (!options_.s3_output) return {};
  s3_prefix_ = options_.s3_output->key;
  while (s3_prefix_.ends_with('/')) s3_prefix_.pop_back();
  if (!s3_prefix_.empty()) {
    PIXMILL_RETURN_IF_ERROR(storage::check_key(s3_prefix_));
    s3_prefix_ += '/';
  }
  PIXMILL_TRY(s3_bucket_, make_s3_bucket(settings_.s3, options_.s3_output->bucket, clock_));
  return {};
}

jobs::Links RunSession::links() const {
  jobs::Links links{.base_url = {}, .files_base = fs::absolute(options_.output_folder).string()};
  if (!s3_bucket_) return links;
  S3Settings settings = settings_.s3;
  // There is no server whose address they could have.
  if (settings.links == S3Links::kServer) settings.links = S3Links::kPublic;
  links.address_of = s3_links(settings, s3_bucket_, s3_prefix_);
  return links;
}

// A path of the output folder as the user knows it.
std::string RunSession::shown(const std::string& path) const {
  if (!s3_bucket_) return path;
  std::string_view below(path);
  below.remove_prefix(options_.output_folder.size());
  while (below.starts_with('/')) below.remove_prefix(1);
  std::string address = fmt::format("s3://{}/{}{}", options_.s3_output->bucket, s3_prefix_, below);
  if (address.ends_with('/')) address.pop_back();
  return address;
}

Task<Result<void>> RunSession::upload_result(const std::string& path) {
  if (!s3_bucket_) co_return Result<void>{};
  co_return co_await storage::put_file(runtime_->blobs(), path.substr(options_.output_folder.size() + 1), path,
                                       "text/csv; charset=utf-8; header=present");
}

Task<Result<void>> RunSession::write_results(const jobs::Job& job, const std::string& folder) {
  std::vector<std::pair<jobs::ResultFile, std::string>> files = {
      {jobs::ResultFile::kResultCsv, folder + "/result.csv"}, {jobs::ResultFile::kImagesCsv, folder + "/images.csv"}};
  if (job.since) files.emplace_back(jobs::ResultFile::kGoneCsv, folder + "/gone.csv");
  for (const auto& [file, path] : files) {
    const auto next = jobs::stream_result_file(runtime_->store(), job, file, options_.cells, links());
    PIXMILL_CO_TRY(auto writer, FileWriter::create(path, 0644));
    for (;;) {
      PIXMILL_CO_TRY(const auto piece, co_await next());
      if (piece.empty()) break;
      PIXMILL_CO_RETURN_IF_ERROR(writer.write(piece));
    }
    PIXMILL_CO_RETURN_IF_ERROR(writer.commit());
    PIXMILL_CO_RETURN_IF_ERROR(co_await upload_result(path));
  }
  co_return Result<void>{};
}

void RunSession::summarise(const jobs::Job& job, const std::string& folder) {
  if (!jobs::is_terminal(job.state)) {
    worsen(ExitCode::kInterrupted);
    reporter_.note(fmt::format("stopped after {} of {} pictures; run the same command again to go on",
                               format_count(job.total - job.remaining), format_count(job.total)));
  } else if (job.state == jobs::JobState::kFailed || job.state == jobs::JobState::kCancelled) {
    worsen(ExitCode::kJobFailed);
  } else if (job.failed > 0 || job.invalid > 0) {
    worsen(ExitCode::kSomeFailed);
  }
  if (options_.json) {
    std::printf("%s\n", jobs::job_document(job, links()).c_str());
    return;
  }
  std::string text =
      fmt::format("{}: {} of {} pictures done", job.name, format_count(job.succeeded), format_count(job.total));
  const auto savings = savings_text(job.bytes_in, job.bytes_out);
  if (!savings.empty()) text += ", " + savings;
  if (job.since) text += ", " + since_text(job);
  if (job.failed > 0) text += fmt::format(", {} failed (--retry-failed tries them again)", format_count(job.failed));
  if (job.invalid > 0) text += fmt::format(", {} invalid rows skipped", format_count(job.invalid));
  std::printf("%s\n  pictures  %s/%s\n  results   %s\n            %s\n", text.c_str(),
              shown(options_.output_folder).c_str(), job.blob_prefix.c_str(), shown(folder + "/result.csv").c_str(),
              shown(folder + "/images.csv").c_str());
}

Result<void> check_output_folder(const std::string& folder) {
  std::error_code error;
  const auto status = fs::status(folder, error);
  if (!fs::exists(status) || fs::is_directory(status)) return {};
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("-o {}: there is a file of that name, and the results need a folder. Name another one; it "
                          "is made if it does not exist",
                          folder));
}

}  // namespace

ExitCode run_job_here(Settings settings, RunOptions options) {
  while (options.output_folder.size() > 1 && options.output_folder.ends_with('/')) options.output_folder.pop_back();
  const std::string state_folder = options.output_folder + "/.pixmill";
  const auto refuse = [](const Error& error) {
    say_error(error);
    return exit_code_for(error.code);
  };
  if (const auto usable = check_output_folder(options.output_folder); !usable) return refuse(usable.error());
  // The lock comes first: the spool below it belongs to whoever holds it.
  const auto lock = FolderLock::take(state_folder);
  if (!lock) {
    Error error = lock.error();
    error.message = fmt::format("{}: {}", options.output_folder, error.message);
    return refuse(error);
  }
  const auto free = storage::free_bytes(options.output_folder);
  if (!free) return refuse(free.error());
  if (*free < settings.disk_free_bytes_min) {
    return refuse(
        Error{.code = ErrorCode::kDiskFull,
              .message = fmt::format("{} has only {} free; at least {} are needed to start", options.output_folder,
                                     format_bytes(*free), format_bytes(settings.disk_free_bytes_min)),
              .detail = {}});
  }
  InputOptions input;
  input.spool_folder = state_folder;
  input.output_folder = options.output_folder;
  input.free_bytes_min = settings.disk_free_bytes_min;
  auto sets = collect_inputs(options.inputs, input);
  if (!sets) return refuse(sets.error());

  asio::io_context io(1);
  auto session = std::make_unique<RunSession>(io, std::move(settings), std::move(options), std::move(*sets));
  asio::co_spawn(io, session->main(), [](const std::exception_ptr& error) { PIXMILL_CHECK(error == nullptr); });
  io.run();
  const ExitCode code = session->exit_code();
  if (session->left_work_behind()) {
    std::fflush(nullptr);
    ::_exit(static_cast<int>(code));
  }
  return code;
}

}  // namespace pixmill::app
