// A JobStore whose answers a test writes down: for testing what stands above the store. Verbs without a script answer
// kInternal.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "jobs/job_store.h"

namespace pixmill::testing {

class ScriptedStore : public jobs::JobStore {
 public:
  std::function<Result<jobs::FinishReport>(const std::vector<jobs::ItemOutcome>&)> on_finish;
  std::function<Result<RescueReport>()> on_rescue;
  std::function<Result<jobs::Claim>(const jobs::ClaimRequest&)> on_claim;
  std::function<Result<std::vector<jobs::Lease>>(const std::vector<jobs::Lease>&)> on_renew;
  std::function<Result<void>(const std::vector<jobs::Lease>&, std::optional<TimePoint>)> on_release;
  std::function<Result<void>(const jobs::NewJob&)> on_create_job;
  std::function<Result<jobs::Job>(const JobId&)> on_job;
  std::function<Result<std::vector<jobs::OriginHeader>>(const JobId&)> on_headers = [](const JobId&) {
    return Result<std::vector<jobs::OriginHeader>>(std::vector<jobs::OriginHeader>{});
  };
  std::function<Result<jobs::JobPage>(const jobs::JobQuery&)> on_jobs;
  std::function<Result<std::vector<std::string>>(const std::vector<std::string>&)> on_unreferenced;

  std::function<Result<std::vector<jobs::TakenIngest>>(std::uint32_t)> on_claim_ingests;
  std::function<Result<std::vector<jobs::IngestLease>>(const std::vector<jobs::IngestLease>&)> on_renew_ingests;
  std::function<Result<std::optional<std::string>>(milliseconds)> on_claim_idle_mark;
  std::function<Result<void>(const std::string&)> on_forget_mark;
  std::function<Result<std::uint64_t>(std::optional<milliseconds>)> on_expire;
  std::function<Result<std::optional<jobs::Removal>>()> on_claim_removal;
  std::function<Result<bool>(const jobs::Removal&)> on_renew_removal;
  std::function<Result<jobs::RemovalStep>(const jobs::Removal&)> on_remove_slice;

  Task<Result<jobs::FinishReport>> finish(std::vector<jobs::ItemOutcome> outcomes) override {
    co_return on_finish ? on_finish(outcomes) : unscripted();
  }
  Task<Result<RescueReport>> rescue() override { co_return on_rescue ? on_rescue() : unscripted(); }
  Task<Result<jobs::Claim>> claim(jobs::ClaimRequest request) override {
    co_return on_claim ? on_claim(request) : unscripted();
  }
  Task<Result<std::vector<jobs::Lease>>> renew(std::vector<jobs::Lease> leases, milliseconds) override {
    co_return on_renew ? on_renew(leases) : unscripted();
  }
  Task<Result<void>> release(std::vector<jobs::Lease> leases, std::optional<TimePoint> ready_at) override {
    co_return on_release ? on_release(leases, ready_at) : unscripted();
  }
  Task<Result<jobs::Job>> job(JobId id) override { co_return on_job ? on_job(id) : unscripted(); }
  Task<Result<std::vector<jobs::OriginHeader>>> headers(JobId id) override {
    co_return on_headers ? on_headers(id) : unscripted();
  }
  Task<Result<jobs::JobPage>> jobs(jobs::JobQuery query) override { co_return on_jobs ? on_jobs(query) : unscripted(); }
  Task<Result<std::vector<std::string>>> unreferenced(std::vector<std::string> keys) override {
    co_return on_unreferenced ? on_unreferenced(keys) : unscripted();
  }

  Task<Result<std::uint64_t>> expire_jobs(std::optional<milliseconds> keep) override {
    co_return on_expire ? on_expire(keep) : unscripted();
  }
  Task<Result<std::optional<jobs::Removal>>> claim_removal(milliseconds) override {
    co_return on_claim_removal ? on_claim_removal() : unscripted();
  }
  Task<Result<bool>> renew_removal(jobs::Removal removal, milliseconds) override {
    co_return on_renew_removal ? on_renew_removal(removal) : unscripted();
  }
  Task<Result<jobs::RemovalStep>> remove_slice(jobs::Removal removal, milliseconds) override {
    co_return on_remove_slice ? on_remove_slice(removal) : unscripted();
  }

  Task<Result<void>> note_mark(std::string) override { co_return unscripted(); }
  Task<Result<std::optional<std::string>>> claim_idle_mark(milliseconds idle, milliseconds) override {
    co_return on_claim_idle_mark ? on_claim_idle_mark(idle) : unscripted();
  }
  Task<Result<void>> forget_mark(std::string digest) override {
    co_return on_forget_mark ? on_forget_mark(digest) : unscripted();
  }
  Task<Result<void>> create_job(jobs::NewJob job) override {
    co_return on_create_job ? on_create_job(job) : unscripted();
  }
  Task<Result<void>> append_rows(jobs::IngestLease, std::vector<std::string>, std::vector<jobs::NewRow>) override {
    co_return unscripted();
  }
  Task<Result<void>> finish_ingest(jobs::IngestLease) override { co_return unscripted(); }
  Task<Result<void>> reject_job(jobs::IngestLease, Error) override { co_return unscripted(); }
  Task<Result<std::vector<jobs::TakenIngest>>> claim_ingests(std::uint32_t limit, milliseconds) override {
    co_return on_claim_ingests ? on_claim_ingests(limit) : unscripted();
  }
  Task<Result<std::vector<jobs::IngestLease>>> renew_ingests(std::vector<jobs::IngestLease> leases,
                                                             milliseconds) override {
    co_return on_renew_ingests ? on_renew_ingests(leases) : unscripted();
  }
  Task<Result<jobs::Job>> remove_job(JobId, jobs::CancelFirst) override { co_return unscripted(); }
  Task<Result<jobs::Job>> cancel(JobId) override { co_return unscripted(); }
  Task<Result<jobs::Job>> pause(JobId) override { co_return unscripted(); }
  Task<Result<jobs::Job>> resume(JobId) override { co_return unscripted(); }
  Task<Result<void>> replace_headers(JobId, std::vector<jobs::OriginHeader>) override { co_return unscripted(); }
  Task<Result<jobs::Job>> retry(JobId, jobs::RetryFilter) override { co_return unscripted(); }
  Task<Result<std::vector<jobs::NamedRecipe>>> row_names(JobId) override { co_return unscripted(); }
  Task<Result<std::optional<jobs::Job>>> job_by_digest(std::string) override { co_return unscripted(); }
  Task<Result<std::vector<jobs::Job>>> unfinished_ingests() override { co_return unscripted(); }
  Task<Result<jobs::ItemPage>> items(JobId, jobs::ItemQuery) override { co_return unscripted(); }
  Task<Result<std::vector<jobs::Row>>> rows(JobId, std::uint64_t, std::uint32_t) override { co_return unscripted(); }
  Task<Result<std::vector<jobs::FailureGroup>>> failures(JobId) override { co_return unscripted(); }
  Task<Result<std::vector<jobs::GoneUrl>>> gone(JobId, std::uint64_t, std::uint32_t) override {
    co_return unscripted();
  }
  Task<Result<QueueDepth>> depth() override { co_return unscripted(); }
  Task<Result<void>> ping() override { co_return unscripted(); }

 private:
  static std::unexpected<Error> unscripted() { return fail(ErrorCode::kInternal, "this verb has no script"); }
};

}  // namespace pixmill::testing
