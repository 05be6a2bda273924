// HTTP messages as plain values, shared by our server, our client and their users; no Beast, no curl here.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/task.h"

namespace pixmill::http {

// Field names compare without case; order and repetition are kept.
class Headers {
 public:
  void add(std::string name, std::string value);
  void set(std::string name, std::string value);                                   // replaces all of that name
  [[nodiscard]] std::optional<std::string_view> get(std::string_view name) const;  // the first
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& all() const { return fields_; }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

// A request's body, pulled piece by piece so that an upload never sits in memory. Lives on the loop, as long as its
// request.
class BodyReader {
 public:
  virtual ~BodyReader() = default;
  // The next piece, at most 64 kB, valid until the next call; empty at the end.
  // Errors: kTooLarge above the server's limit, kTimeout below the minimum rate, kTruncated when the client left,
  // kProtocol.
  [[nodiscard]] virtual Task<Result<std::string_view>> next() = 0;
};

struct Request {
  std::string method;                                      // "GET", "POST" …
  std::string target;                                      // as sent
  std::string path;                                        // percent-decoded, without the query
  std::vector<std::pair<std::string, std::string>> query;  // decoded, in order
  Headers headers;
  std::map<std::string, std::string> params;  // what the router bound: {id}, {path...}
  std::string peer_address;
  std::string request_id;      // ours, a UUID; also in the answer's X-Request-Id and in every log line
  BodyReader* body = nullptr;  // never null inside a handler

  [[nodiscard]] std::optional<std::string> query_value(std::string_view name) const;
};

// Reads a whole small body. Errors: kTooLarge above limit_bytes, and those of BodyReader::next.
[[nodiscard]] Task<Result<std::string>> read_all(BodyReader& body, std::size_t limit_bytes);

// A file of this machine; sent with sendfile or in 64 kB pieces; Range requests are honoured by the server.
struct FileBody {
  std::string path;
  std::uint64_t bytes = 0;
};

// Pulled until it yields an empty piece; sent chunked. An error breaks the connection off, so that the client sees it.
struct StreamBody {
  std::function<Task<Result<std::string>>()> next;
};

// What went out of one answer: `status` may differ from the handler's (206 and 416 of a Range request), `complete` is
// false when the client left or the stream failed.
struct Sent {
  int status = 0;
  std::uint64_t body_bytes = 0;
  bool complete = false;
};

struct Response {
  int status = 200;
  Headers headers;
  std::variant<std::string, FileBody, StreamBody> body;
  std::function<void(const Sent&)> on_sent =
      nullptr;  // called once, after the last byte or the failure; for logs and metrics
};

[[nodiscard]] Response text_response(int status, std::string body);  // text/plain; charset=utf-8
[[nodiscard]] Response html_response(int status, std::string body);
[[nodiscard]] Response json_response(int status, std::string json);  // application/json

}  // namespace pixmill::http
