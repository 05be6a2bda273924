// Errors as values. Used by every module, on every thread.
//
// A foreign error (errno, curl, sqlite, vips) becomes an Error in exactly one place, the adapter that met it; there its
// code is decided, and from then on nobody reads its text. Whether a retry can help is a function of the code.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pixmill {

enum class ErrorCode : std::uint8_t {
  // Requests and state.
  kInvalidArgument,  // the caller's input is wrong; saying it again will not help
  kNotFound,
  kConflict,  // the thing exists, is locked by another process, or is in a state that forbids this
  kCancelled,
  kUnavailable,  // this process is stopping, or a dependency is away
  kDiskFull,
  kIo,
  kInternal,  // a bug or a broken invariant; the detail goes to the log
  // Fetching.
  kInvalidUrl,
  kBlockedAddress,
  kDns,
  kDnsNotFound,  // the name does not exist, as opposed to a server that did not answer
  kConnect,
  kTls,
  kTimeout,
  kHttpPermanent,  // a status that will not change by asking again; see Error::http_status
  kHttpTransient,  // 408, 425, 429 and 5xx
  kTooManyRedirects,
  kRobotsDenied,  // robots.txt or X-Robots-Tag asks programs not to
  kTooLarge,
  kTruncated,
  kProtocol,  // the peer did not speak HTTP, or broke off in the middle of it
  // Images.
  kNotAnImage,
  kUnsupportedFormat,
  kDecodeFailed,
  kEngineCrash,
  kEngineTimeout,
  // Storing.
  kStoreFailed,
};

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;  // safe to show: no paths of this machine, no SQL, no secrets
  std::string detail;   // for the log alone
  int http_status = 0;  // with kHttpPermanent and kHttpTransient: what the peer answered
  std::optional<std::chrono::seconds> retry_after = std::nullopt;  // as the peer asked, already clamped to [0 s, 1 h]
};

template <class T>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(ErrorCode code, std::string message, std::string detail = {}) {
  return std::unexpected(Error{.code = code, .message = std::move(message), .detail = std::move(detail)});
}

// True where trying again later may succeed: transient network trouble, a crashed or timed-out engine, a failing store.
// How often and when is decided by jobs/retry_policy.
[[nodiscard]] bool is_transient(ErrorCode code);

// The stable text that users see in result files and APIs: "dns", "timeout", "http_404", "not_an_image" …
[[nodiscard]] std::string code_text(const Error& error);
[[nodiscard]] std::string_view code_name(ErrorCode code);  // the same without a status: "http"

// What the user can do about a picture that failed so, one sentence; `text` is what code_text() gave. Of pictures
// alone: a form or a table that is too large has the same code and needs other words.
[[nodiscard]] std::string_view advice(std::string_view text);

// Turns errno into ours: ENOSPC and EDQUOT ► kDiskFull, ENOENT ► kNotFound, EACCES and the rest ► kIo. `what` begins
// the message.
[[nodiscard]] Error errno_error(int errno_value, std::string_view what);

// Aborts with file and line: for programmer errors only, never for user input.
[[noreturn]] void check_failed(const char* file, int line, const char* condition);

}  // namespace pixmill

#define PIXMILL_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::pixmill::check_failed(__FILE__, __LINE__, #condition))

#define PIXMILL_CONCAT_INNER(a, b) a##b
#define PIXMILL_CONCAT(a, b) PIXMILL_CONCAT_INNER(a, b)
#define PIXMILL_TRY_WITH(return_word, result, declaration, ...)            \
  auto result = (__VA_ARGS__);                                             \
  if (!result) return_word ::std::unexpected(::std::move(result).error()); \
  declaration = ::std::move(*result)
#define PIXMILL_CHECKED_WITH(return_word, result, ...) \
  if (auto result = (__VA_ARGS__); !result) return_word ::std::unexpected(::std::move(result).error())

// PIXMILL_TRY(auto store, S3Store::create(config));  declares `store`, or returns the error from this function.
#define PIXMILL_TRY(declaration, ...) \
  PIXMILL_TRY_WITH(return, PIXMILL_CONCAT(result_, __COUNTER__), declaration, __VA_ARGS__)
// The same inside a coroutine; the expression may hold a co_await.
#define PIXMILL_CO_TRY(declaration, ...) \
  PIXMILL_TRY_WITH(co_return, PIXMILL_CONCAT(result_, __COUNTER__), declaration, __VA_ARGS__)
// For Result<void>: returns the error, or goes on.
#define PIXMILL_RETURN_IF_ERROR(...) PIXMILL_CHECKED_WITH(return, PIXMILL_CONCAT(result_, __COUNTER__), __VA_ARGS__)
#define PIXMILL_CO_RETURN_IF_ERROR(...) \
  PIXMILL_CHECKED_WITH(co_return, PIXMILL_CONCAT(result_, __COUNTER__), __VA_ARGS__)
