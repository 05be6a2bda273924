// GET /v1/jobs/{id}/events: a job as it goes on, as Server-Sent Events (WHATWG HTML, section 9.2). Lives on the loop.
//
//   snapshot  the job document, its progress and its errors: first, unless Last-Event-ID says that nothing has changed
//   progress  at most four a second, when something has: counters, bytes, rate, and when it will be done
//   errors    failures by cause, most frequent first, when they have changed
//   state     when the state has changed
//   end       the job document, once it is final; then the stream ends. Whoever connects again with that id gets 204,
//             which keeps an EventSource from asking for ever
//   removed   the job is no longer there; then the stream ends
// A comment every kHeartbeat keeps proxies from closing the connection. What is shown is read from the store, once for
// all streams of a job, when word comes that it has moved on (jobs/progress_news.h) and once a second besides; so the
// streams of several servers show the same.
#pragma once

#include <memory>

#include "api/context.h"
#include "http/router.h"

namespace pixmill::api {

class Events {
 public:
  explicit Events(Context& context);
  ~Events();
  void add_routes(http::Router& router);
  // Streams end, and no more begin.
  void stop();

  static constexpr std::chrono::seconds kHeartbeat{15};

 private:
  [[nodiscard]] Task<Checked<http::Response>> open(http::Request& request);

  struct Hub;
  struct Watch;
  struct Stream;
  static Task<Result<std::string>> next(std::shared_ptr<Stream> stream);

  Context& context_;
  std::shared_ptr<Hub> hub_;
};

}  // namespace pixmill::api
