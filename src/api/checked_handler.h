// Handlers of /v1 return Checked<Response>: a Problem becomes problem+json here, once.
#pragma once

#include <utility>

#include "api/errors.h"
#include "http/router.h"

namespace pixmill::api {

[[nodiscard]] inline Task<http::Response> answer_or_problem(Task<Checked<http::Response>> task,
                                                            http::Request& request) {
  auto answer = co_await std::move(task);
  if (!answer) co_return problem_response(answer.error(), request);
  co_return std::move(*answer);
}

// A handler that calls `method` of `resource`, which outlives it.
template <class Resource>
[[nodiscard]] http::Handler checked(Resource* resource,
                                    Task<Checked<http::Response>> (Resource::*method)(http::Request&)) {
  return
      [resource, method](http::Request& request) { return answer_or_problem((resource->*method)(request), request); };
}

}  // namespace pixmill::api
