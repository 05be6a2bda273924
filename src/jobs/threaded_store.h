// The verbs of a store, put on its threads: each is a plain function that returns the thread's task, whose work is a
// named closure that owns its arguments. Threads has intake(work), work(work) and read(work), which run work(Writer&)
// or work(Reader&) on a thread of its own; and look(work) and mend(work) for what Upkeep reads and writes. Private to
// src/jobs/{sqlite,postgres}_store.cc.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/task.h"
#include "jobs/job_store.h"
#include "jobs/outbox.h"
#include "jobs/recipe_store.h"
#include "jobs/stored_values.h"
#include "jobs/upkeep.h"

namespace pixmill::jobs {

template <class Threads>
class ThreadedStore final : public JobStore, public Outbox, public RecipeStore, public Upkeep {
 public:
  explicit ThreadedStore(std::unique_ptr<Threads> threads) : threads_(std::move(threads)) {}

  Task<Result<void>> create_job(NewJob job) override {
    return threads_->intake([job = std::move(job)](auto& writer) { return writer.create_job(job); });
  }
  Task<Result<void>> append_rows(IngestLease lease, std::vector<std::string> columns,
                                 std::vector<NewRow> rows) override {
    auto chunk = std::make_shared<const Chunk>(Chunk{lease, std::move(columns), std::move(rows)});
    return append(std::move(chunk));
  }
  Task<Result<void>> finish_ingest(IngestLease lease) override { return end_ingest(lease); }
  Task<Result<void>> reject_job(IngestLease lease, Error why) override {
    return threads_->intake([lease, why = std::move(why)](auto& writer) { return writer.reject_job(lease, why); });
  }
  Task<Result<std::vector<TakenIngest>>> claim_ingests(std::uint32_t limit, milliseconds lease) override {
    return threads_->intake([limit, lease](auto& writer) { return writer.claim_ingests(limit, lease); });
  }
  Task<Result<std::vector<IngestLease>>> renew_ingests(std::vector<IngestLease> leases, milliseconds lease) override {
    return threads_->intake(
        [leases = std::move(leases), lease](auto& writer) { return writer.renew_ingests(leases, lease); });
  }

  Task<Result<Claim>> claim(ClaimRequest request) override {
    return threads_->work([request = std::move(request)](auto& writer) { return writer.claim(request); });
  }
  Task<Result<std::vector<Lease>>> renew(std::vector<Lease> leases, milliseconds lease) override {
    return threads_->work([leases = std::move(leases), lease](auto& writer) { return writer.renew(leases, lease); });
  }
  Task<Result<void>> release(std::vector<Lease> leases, std::optional<TimePoint> ready_at) override {
    return threads_->work(
        [leases = std::move(leases), ready_at](auto& writer) { return writer.release(leases, ready_at); });
  }
  Task<Result<FinishReport>> finish(std::vector<ItemOutcome> outcomes) override {
    return threads_->work([outcomes = std::move(outcomes)](auto& writer) { return writer.finish(outcomes); });
  }
  Task<Result<RescueReport>> rescue() override {
    return threads_->work([](auto& writer) { return writer.rescue(); });
  }

  Task<Result<Job>> cancel(JobId job) override {
    return threads_->intake([job](auto& writer) { return writer.cancel(job); });
  }
  Task<Result<Job>> pause(JobId job) override {
    return threads_->intake([job](auto& writer) { return writer.pause(job); });
  }
  Task<Result<Job>> resume(JobId job) override {
    return threads_->intake([job](auto& writer) { return writer.resume(job); });
  }
  Task<Result<Job>> retry(JobId job, RetryFilter filter) override { return reopen(job, std::move(filter)); }

  Task<Result<void>> replace_headers(JobId job, std::vector<OriginHeader> headers) override {
    return threads_->intake(
        [job, headers = std::move(headers)](auto& writer) { return writer.replace_headers(job, headers); });
  }

  Task<Result<Job>> remove_job(JobId job, CancelFirst cancel) override {
    return threads_->intake([job, cancel](auto& writer) { return writer.remove_job(job, cancel); });
  }
  Task<Result<std::uint64_t>> expire_jobs(std::optional<milliseconds> keep) override {
    return threads_->intake([keep](auto& writer) { return writer.expire_jobs(keep); });
  }
  Task<Result<std::optional<Removal>>> claim_removal(milliseconds lease) override {
    return threads_->intake([lease](auto& writer) { return writer.claim_removal(lease); });
  }
  Task<Result<bool>> renew_removal(Removal removal, milliseconds lease) override {
    return threads_->intake(
        [removal = std::move(removal), lease](auto& writer) { return writer.renew_removal(removal, lease); });
  }
  Task<Result<RemovalStep>> remove_slice(Removal removal, milliseconds lease) override {
    return threads_->intake(
        [removal = std::move(removal), lease](auto& writer) { return writer.remove_slice(removal, lease); });
  }

  Task<Result<void>> note_mark(std::string digest) override {
    return threads_->intake([digest = std::move(digest)](auto& writer) { return writer.note_mark(digest); });
  }
  Task<Result<std::optional<std::string>>> claim_idle_mark(milliseconds idle, milliseconds lease) override {
    return threads_->intake([idle, lease](auto& writer) { return writer.claim_idle_mark(idle, lease); });
  }
  Task<Result<void>> forget_mark(std::string digest) override {
    return threads_->intake([digest = std::move(digest)](auto& writer) { return writer.forget_mark(digest); });
  }

  Task<Result<Job>> job(JobId job) override {
    return threads_->read([job](auto& reader) { return reader.job(job); });
  }
  Task<Result<std::vector<OriginHeader>>> headers(JobId job) override {
    return threads_->read([job](auto& reader) { return reader.headers(job); });
  }
  Task<Result<std::vector<NamedRecipe>>> row_names(JobId job) override {
    return threads_->read([job](auto& reader) { return reader.row_names(job); });
  }
  Task<Result<std::optional<Job>>> job_by_digest(std::string source_digest) override {
    return threads_->read([digest = std::move(source_digest)](auto& reader) { return reader.job_by_digest(digest); });
  }
  Task<Result<JobPage>> jobs(JobQuery query) override {
    return threads_->read([query = std::move(query)](auto& reader) { return reader.jobs(query); });
  }
  Task<Result<std::vector<Job>>> unfinished_ingests() override {
    return threads_->read([](auto& reader) { return reader.unfinished_ingests(); });
  }
  Task<Result<ItemPage>> items(JobId job, ItemQuery query) override {
    return threads_->read([job, query = std::move(query)](auto& reader) { return reader.items(job, query); });
  }
  Task<Result<std::vector<Row>>> rows(JobId job, std::uint64_t after_row, std::uint32_t limit) override {
    const RowRange range{.after_row = after_row, .rows_max = limit, .items_max = kItemsPerRowPage};
    return threads_->read([job, range](auto& reader) { return reader.rows(job, range); });
  }
  Task<Result<std::vector<FailureGroup>>> failures(JobId job) override {
    return threads_->read([job](auto& reader) { return reader.failures(job); });
  }
  Task<Result<std::vector<GoneUrl>>> gone(JobId job, std::uint64_t after, std::uint32_t limit) override {
    return threads_->read([job, after, limit](auto& reader) { return reader.gone(job, after, limit); });
  }
  Task<Result<std::vector<std::string>>> unreferenced(std::vector<std::string> keys) override {
    return threads_->read([keys = std::move(keys)](auto& reader) { return reader.unreferenced(keys); });
  }
  Task<Result<QueueDepth>> depth() override {
    return threads_->read([](auto& reader) { return reader.depth(); });
  }
  Task<Result<void>> ping() override {
    return threads_->read([](auto& reader) { return reader.ping(); });
  }

  Task<Result<Due>> claim_deliveries(DeliveryClaim claim) override {
    return threads_->work([claim = std::move(claim)](auto& writer) { return writer.claim_deliveries(claim); });
  }
  Task<Result<std::uint64_t>> open_deliveries() override {
    return threads_->read([](auto& reader) { return reader.open_deliveries(); });
  }
  Task<Result<void>> record_delivery(DeliveryResult result) override {
    return threads_->work([result = std::move(result)](auto& writer) { return writer.record_delivery(result); });
  }
  Task<Result<std::vector<Delivery>>> deliveries(JobId job) override {
    return threads_->read([job](auto& reader) { return reader.deliveries(job); });
  }
  Task<Result<void>> resend(std::string event_id) override {
    return threads_->work([event_id = std::move(event_id)](auto& writer) { return writer.resend(event_id); });
  }
  Task<Result<std::optional<std::string>>> setting(std::string name) override {
    return threads_->read([name = std::move(name)](auto& reader) { return reader.setting(name); });
  }
  Task<Result<void>> set_setting(std::string name, std::string value) override {
    return threads_->intake(
        [name = std::move(name), value = std::move(value)](auto& writer) { return writer.set_setting(name, value); });
  }

  Task<Result<RecipeSaved>> save_recipe(std::string name, std::string text) override {
    return threads_->intake(
        [name = std::move(name), text = std::move(text)](auto& writer) { return writer.save_recipe(name, text); });
  }
  Task<Result<void>> remove_recipe(std::string name) override {
    return threads_->intake([name = std::move(name)](auto& writer) { return writer.remove_recipe(name); });
  }
  Task<Result<std::vector<SavedRecipe>>> saved_recipes() override {
    return threads_->read([](auto& reader) { return reader.saved_recipes(); });
  }

  Task<Result<bool>> lead() override {
    return threads_->look([](auto& looker) { return looker.lead(); });
  }
  Task<Result<std::vector<Violation>>> violations(Invariant invariant, CheckRange range) override {
    return threads_->look([invariant, range](auto& looker) { return looker.violations(invariant, range); });
  }
  Task<Result<bool>> repair(Violation violation) override {
    return threads_->mend([violation = std::move(violation)](auto& mender) { return mender.repair(violation); });
  }
  Task<Result<JobRecord>> record(JobId job) override {
    return threads_->look([job](auto& looker) { return looker.record(job); });
  }
  Task<Result<JobTotals>> item_totals(CheckRange range) override {
    return threads_->look([range](auto& looker) { return looker.item_totals(range); });
  }
  Task<Result<JobTotals>> row_totals(CheckRange range) override {
    return threads_->look([range](auto& looker) { return looker.row_totals(range); });
  }
  Task<Result<std::map<std::string, std::uint64_t>>> failure_counts(std::int64_t job_no) override {
    return threads_->look([job_no](auto& looker) { return looker.failure_counts(job_no); });
  }
  Task<Result<bool>> correct(JobRecord record, JobTotals truth) override {
    return threads_->mend(
        [record = std::move(record), truth = std::move(truth)](auto& mender) { return mender.correct(record, truth); });
  }
  Task<Result<std::int64_t>> jobs_after(std::int64_t after, std::uint32_t count) override {
    return threads_->look([after, count](auto& looker) { return looker.jobs_after(after, count); });
  }
  Task<Result<std::vector<Review>>> due_reviews(TimePoint until, std::uint32_t limit) override {
    return threads_->look([until, limit](auto& looker) { return looker.due_reviews(until, limit); });
  }
  Task<Result<void>> end_review(Review review) override {
    return threads_->mend([review = std::move(review)](auto& mender) { return mender.end_review(review); });
  }
  Task<Result<bool>> begin_sweep(JobRecord record) override {
    return threads_->mend([record = std::move(record)](auto& mender) { return mender.begin_sweep(record); });
  }
  Task<Result<void>> end_sweep(JobRecord record) override {
    return threads_->mend([record = std::move(record)](auto& mender) { return mender.end_sweep(record); });
  }

 private:
  struct Chunk {
    IngestLease lease;
    std::vector<std::string> columns;
    std::vector<NewRow> rows;
  };

  // Several short transactions with other verbs between them.
  Task<Result<void>> append(std::shared_ptr<const Chunk> chunk) {
    std::size_t at = 0;
    do {
      PIXMILL_CO_RETURN_IF_ERROR(co_await remember(chunk->lease));
      auto some = threads_->intake(
          [chunk, at](auto& writer) { return writer.append_rows(chunk->lease, chunk->columns, chunk->rows, at); });
      PIXMILL_CO_TRY(at, co_await std::move(some));
    } while (at < chunk->rows.size());
    co_return Result<void>();
  }

  Task<Result<void>> remember(IngestLease lease) {
    bool more_names = true;
    while (more_names) {
      auto slice = threads_->intake([lease](auto& writer) { return writer.remember_names(lease); });
      PIXMILL_CO_TRY(more_names, co_await std::move(slice));
    }
    co_return Result<void>();
  }

  Task<Result<void>> end_ingest(IngestLease lease) {
    auto gone = GoneStep::kMore;
    while (gone != GoneStep::kDone) {
      auto step = threads_->intake([lease](auto& writer) { return writer.note_gone(lease); });
      PIXMILL_CO_TRY(gone, co_await std::move(step));
      if (gone == GoneStep::kForgotten) PIXMILL_CO_RETURN_IF_ERROR(co_await remember(lease));
    }
    auto finish = threads_->intake([lease](auto& writer) { return writer.finish_ingest(lease); });
    co_return co_await std::move(finish);
  }

  Task<Result<Job>> reopen(JobId job, RetryFilter filter) {
    auto first =
        threads_->intake([job, filter = std::move(filter)](auto& writer) { return writer.retry(job, filter); });
    PIXMILL_CO_TRY(bool more, co_await std::move(first));
    while (more) {
      auto next = threads_->intake([job](auto& writer) { return writer.reopen_more(job); });
      PIXMILL_CO_TRY(more, co_await std::move(next));
    }
    auto after = threads_->intake([job](auto& writer) { return writer.job(job); });
    co_return co_await std::move(after);
  }

  std::unique_ptr<Threads> threads_;
};

}  // namespace pixmill::jobs
