// A question that may hang, asked without hanging: every caller gets an answer within its deadline, and at most one
// question is under way, however many ask and however long it takes. Lives on the loop.
#pragma once

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/task.h"

namespace pixmill::api {

template <class T>
class PatientQuestion {
 public:
  using Ask = std::function<Task<Result<T>>()>;

  // What `ask` refers to must outlive the question under way.
  PatientQuestion(Executor executor, Ask ask) : executor_(std::move(executor)), ask_(std::move(ask)) {}

  // Errors: those of the question, and kTimeout.
  [[nodiscard]] Task<Result<T>> answer(milliseconds within) {
    if (!open_ || open_->answer) {
      open_ = std::make_shared<Question>();
      auto task = put(ask_(), open_);
      asio::co_spawn(executor_, std::move(task), [question = open_](const std::exception_ptr&) {});
    }
    const auto question = open_;
    if (!question->answer) {  // it may have come at once
      const auto timer = question->waiting.emplace(question->waiting.end(), executor_, within);
      boost::system::error_code ignored;
      co_await timer->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      question->waiting.erase(timer);
    }
    if (question->answer) co_return *question->answer;
    co_return fail(ErrorCode::kTimeout, fmt::format("no answer within {} ms", within.count()));
  }

 private:
  // Shared with the coroutine that waits for the answer, because the one who asked goes on after the deadline.
  struct Question {
    std::optional<Result<T>> answer;
    std::list<asio::steady_timer> waiting;
  };

  static Task<void> put(Task<Result<T>> task, std::shared_ptr<Question> question) {
    question->answer = co_await std::move(task);
    for (auto& timer : question->waiting) timer.cancel();
  }

  Executor executor_;
  Ask ask_;
  std::shared_ptr<Question> open_;
};

}  // namespace pixmill::api
