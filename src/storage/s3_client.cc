#include "storage/s3_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/log.h"

namespace pixmill::storage {

namespace {

using std::chrono::steady_clock;

constexpr std::uint64_t kSlowestBytesPerSecond = 256u << 10;  // a connection below it counts as broken
constexpr milliseconds kClockStepMin{1'000};                  // the Date header has whole seconds

milliseconds time_for(std::uint64_t bytes) { return milliseconds(bytes * 1'000 / kSlowestBytesPerSecond); }

milliseconds since(steady_clock::time_point began) {
  return std::chrono::duration_cast<milliseconds>(steady_clock::now() - began);
}

std::string_view result_name(S3Fault fault) {
  switch (fault) {
    case S3Fault::kAgain:
      return "again";
    case S3Fault::kClockWrong:
      return "clock_wrong";
    case S3Fault::kRefused:
      return "refused";
    case S3Fault::kNotFound:
    case S3Fault::kNoSuchUpload:
      return "not_found";
    default:
      return "failed";
  }
}

const std::vector<double> kBounds = {0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30};

}  // namespace

S3Client::S3Client(S3Parts parts, std::shared_ptr<S3Bucket> bucket, S3Patience patience)
    : parts_(parts), bucket_(std::move(bucket)), patience_(patience) {
  clock_offset_ = parts_.metrics.gauge("pixmill_s3_clock_offset_seconds",
                                       "How far the S3 server's clock is ahead of ours, once it has complained");
}

void S3Client::count(const S3Call& call, std::string_view result, steady_clock::time_point began) {
  const std::string operation(call.what);
  const std::string name = fmt::format("{} {}", operation, result);
  auto counter = counters_.find(name);
  if (counter == counters_.end()) {
    counter = counters_
                  .emplace(name, parts_.metrics.counter("pixmill_s3_requests_total", "Requests to the S3 server",
                                                        {{"operation", operation}, {"result", std::string(result)}}))
                  .first;
  }
  counter->second.add();
  auto histogram = seconds_.find(operation);
  if (histogram == seconds_.end()) {
    histogram = seconds_
                    .emplace(operation, parts_.metrics.histogram("pixmill_s3_request_seconds", "Time of one S3 request",
                                                                 kBounds, {{"operation", operation}}))
                    .first;
  }
  histogram->second.observe(std::chrono::duration<double>(steady_clock::now() - began).count());
}

Task<S3Client::Answer> S3Client::call(S3Call call) {
  const auto began = steady_clock::now();
  const milliseconds deadline = patience_.deadline + time_for(call.body.size() + call.answer_bytes_max);
  bool clock_was_set = false;
  std::optional<S3Failure> told;  // why there is no answer
  for (int attempt = 0;; ++attempt) {
    const auto sent = steady_clock::now();
    const milliseconds left = deadline - since(began);
    auto answer = co_await try_once(call, left);
    count(call, answer ? "ok" : result_name(answer.error().fault), sent);
    if (answer) co_return answer;
    const S3Failure& failure = answer.error();
    if (failure.fault == S3Fault::kClockWrong && !clock_was_set && set_clock(failure)) {
      clock_was_set = true;
      continue;
    }
    if (failure.fault != S3Fault::kAgain) co_return answer;
    // An attempt that the end of the time cut short says less than those before it.
    if (!told || left >= patience_.attempt) told = failure;
    const milliseconds pause = pause_after(attempt, failure);
    if (since(began) + pause >= deadline) co_return std::unexpected(std::move(*told));
    log::debug("s3_again", {{"operation", call.what}, {"attempt", attempt + 1}, {"detail", failure.error.detail}});
    co_await pause_for(pause);
  }
}

Task<S3Client::Answer> S3Client::try_once(const S3Call& call, milliseconds time_left) {
  http::ClientRequest request = bucket_->request(call);
  request.connect_timeout = patience_.connect;
  request.total_timeout = std::min(time_left, patience_.attempt + time_for(call.body.size() + call.answer_bytes_max));
  auto response = co_await send(std::move(request));
  if (!response) co_return std::unexpected(failure_of(std::move(response).error()));
  const S3Asked asked{
      .bucket = bucket_->address().bucket, .region = bucket_->address().region, .has_xml_answer = call.has_xml_answer};
  if (auto failure = failure_of(*response, asked)) co_return std::unexpected(std::move(*failure));
  co_return std::move(*response);
}

Task<Result<http::ClientResponse>> S3Client::send(http::ClientRequest request) {
  boost::system::error_code no_literal;
  const auto literal = asio::ip::make_address(request.host, no_literal);
  if (!no_literal) {
    request.addresses.push_back(literal);
  } else {
    PIXMILL_CO_TRY(request.addresses, co_await parts_.resolver.resolve(request.host));
  }
  co_return co_await parts_.client.send(std::move(request));
}

// False when the server's time explains nothing.
bool S3Client::set_clock(const S3Failure& failure) {
  if (!failure.server_time) return false;
  const milliseconds before = bucket_->clock_offset();
  const milliseconds offset = bucket_->set_clock(*failure.server_time);
  clock_offset_.set(std::chrono::duration<double>(offset).count());
  const milliseconds moved = offset > before ? offset - before : before - offset;
  if (moved < kClockStepMin) return false;
  log::warning("s3_clock_differs",
               {{"seconds", std::chrono::duration_cast<seconds>(offset).count()},
                {"message",
                 "this machine's clock differs from the S3 server's; its time is used for signatures. Set "
                 "this machine's clock right"}});
  return true;
}

// Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
milliseconds S3Client::pause_after(int attempt, const S3Failure& failure) {
  milliseconds ceiling = patience_.backoff_base;
  for (int i = 0; i < attempt && ceiling < patience_.backoff_ceiling; ++i) ceiling *= 2;
  ceiling = std::min(ceiling, patience_.backoff_ceiling);
  std::uniform_int_distribution<std::int64_t> jitter(0, ceiling.count());
  const milliseconds asked = failure.error.retry_after.value_or(std::chrono::seconds(0));
  return asked + milliseconds(jitter(random_));
}

}  // namespace pixmill::storage
