#include "http/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <chrono>
#include <exception>

#include "base/ids.h"
#include "base/log.h"
#include "base/text.h"

namespace pixmill::http {

namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kHeadBufferBytes = 4u << 10;  // most heads fit, and idle connections hold no more
constexpr std::size_t kPieceBytes = 64u << 10;
// An unread body up to this size is read and dropped, which is cheaper than a new connection.
constexpr std::uint64_t kDrainBytesMax = 256u << 10;
// Before closing, what the client still sends is read and dropped for a while: closing over unread bytes would reset
// the connection and destroy an answer that the client has not read yet (RFC 9112 section 9.6).
constexpr milliseconds kLingerSilence{1'000};
constexpr milliseconds kLingerMax{10'000};
constexpr std::string_view kNothing;

std::int64_t unix_seconds_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Tells the response's owner how it went, however the sending ends.
struct SentReport {
  explicit SentReport(std::function<void(const Sent&)> callback) : on_sent(std::move(callback)) {}
  ~SentReport() {
    if (on_sent) on_sent(sent);
  }
  SentReport(const SentReport&) = delete;
  SentReport& operator=(const SentReport&) = delete;

  std::function<void(const Sent&)> on_sent;
  Sent sent;
};

bool may_send_range(const Response& response, const std::optional<std::string>& if_range) {
  if (response.status != 200) return false;
  if (!if_range) return true;
  const auto etag = response.headers.get("ETag");
  if (if_range->starts_with('"')) return etag == *if_range;
  return response.headers.get("Last-Modified") == *if_range;
}

std::optional<std::string> header_text(const Request& request, std::string_view name) {
  const auto value = request.headers.get(name);
  return value ? std::optional<std::string>(*value) : std::nullopt;
}

}  // namespace

// What sending an answer needs to know of its request.
struct Connection::Exchange {
  bool head_only = false;
  bool keep_alive = false;
  int minor_version = 1;
  std::string request_id;
  std::optional<std::string> range;
  std::optional<std::string> if_range;
};

Connection::Connection(std::shared_ptr<ConnectionHub> hub, asio::ip::tcp::socket socket)
    : hub_(std::move(hub)),
      socket_(std::make_shared<TimedSocket>(std::move(socket))),
      peer_address_(socket_->peer_address()) {
  place_ = hub_->all.insert(hub_->all.end(), this);
}

Connection::~Connection() {
  become_busy();
  hub_->all.erase(place_);
  hub_->one_ended.ring();
}

void Connection::start(std::shared_ptr<Connection> connection) {
  auto slot = connection->cancelled_.slot();
  auto executor = connection->hub_->executor;
  auto task = run(connection);
  // An exception that gets this far is the cancellation itself.
  asio::co_spawn(executor, std::move(task),
                 asio::bind_cancellation_slot(slot, [connection](const std::exception_ptr&) {}));
}

void Connection::finish() {
  closing_ = true;
  if (waits_in_ != &hub_->idle) return;
  become_busy();  // so that nobody counts on it to go a second time
  socket_->close();
}

void Connection::abort() {
  closing_ = true;
  socket_->close();
  cancelled_.emit(asio::cancellation_type::terminal);
}

void Connection::wait_in(std::list<Connection*>& list) {
  if (waits_in_ == &list) return;
  become_busy();
  waits_in_ = &list;
  waiting_place_ = list.insert(list.end(), this);
}

void Connection::become_busy() {
  if (auto* list = std::exchange(waits_in_, nullptr); list != nullptr) list->erase(waiting_place_);
}

Task<void> Connection::run(std::shared_ptr<Connection> connection) {
  // g++ 12 miscompiles a co_await as the condition of a loop.
  bool more = true;
  while (more) {
    more = co_await connection->serve_one();
  }
  if (!connection->socket_->closed()) {
    co_await connection->linger();
  }
  connection->socket_->close();
}

Task<bool> Connection::serve_one() {
  if (closing_) co_return false;
  auto head = co_await read_head();
  if (!head) co_return co_await refuse(head.error());
  if (!*head) {
    socket_->close();
    co_return false;
  }
  auto parsed = parse_request(**head);
  if (!parsed) co_return co_await refuse(parsed.error());

  Request& request = parsed->request;
  request.peer_address = peer_address_;
  request.request_id = Uuid::random().text();
  const BodyLimits limits{.bytes_max = hub_->options.body_bytes_max,
                          .bytes_per_second_min = hub_->options.body_bytes_per_second_min,
                          .rate_window = hub_->options.body_rate_window};
  RequestBody body(*socket_, buffer_, parsed->framing, limits);
  request.body = &body;

  Response response = co_await answer(request);
  if (body.refusal()) response = refusal_response(*body.refusal(), request.request_id);
  // A stream for HTTP/1.0 ends with the connection, for want of chunks.
  const bool ends_with_connection = parsed->minor_version == 0 && std::holds_alternative<StreamBody>(response.body);
  const bool handler_closes = equals_ignoring_case(response.headers.get("Connection").value_or(""), "close");
  Exchange exchange{.head_only = request.method == "HEAD",
                    .keep_alive = parsed->framing.keep_alive && !handler_closes && !ends_with_connection && !closing_ &&
                                  !hub_->stopping && body.drainable(kDrainBytesMax),
                    .minor_version = parsed->minor_version,
                    .request_id = request.request_id,
                    .range = request.method == "GET" ? header_text(request, "Range") : std::nullopt,
                    .if_range = header_text(request, "If-Range")};
  const bool keep_alive = exchange.keep_alive;
  const bool sent = co_await send(std::move(response), std::move(exchange));
  if (!sent || !keep_alive) co_return false;
  const bool drained = co_await body.drain(kDrainBytesMax);
  buffer_.shrink_to(kHeadBufferBytes);
  co_return drained;
}

// A client that sends nothing gets no answer; one that begins and does not end gets 408.
Task<Accepted<std::optional<std::string>>> Connection::read_head() {
  const milliseconds first_wait = answered_ ? hub_->options.idle_timeout : hub_->options.header_timeout;
  become_idle();
  std::optional<SteadyClock::time_point> deadline;
  if (!buffer_.empty()) deadline = SteadyClock::now() + hub_->options.header_timeout;
  bool skipped_empty_line = false;
  std::size_t scanned = 0;
  while (true) {
    // RFC 9112 section 2.2: one empty line in front of a request is forgiven.
    if (!skipped_empty_line && buffer_.view().starts_with("\r\n")) {
      skipped_empty_line = true;
      buffer_.consume(2);
      scanned = 0;
    }
    const auto end = find_head_end(buffer_.view(), scanned);
    if (!end) co_return std::unexpected(end.error());
    if (*end) {
      std::string head(buffer_.view().substr(0, **end));
      buffer_.consume(**end);
      become_busy();
      co_return head;
    }
    const auto room = buffer_.room(buffer_.view().size() < kHeadBufferBytes ? kHeadBufferBytes : kHeadBytesMax);
    const auto left = deadline ? std::chrono::ceil<milliseconds>(*deadline - SteadyClock::now()) : first_wait;
    const auto bytes = co_await socket_->read_some(room, std::max(left, milliseconds(1)));
    if (!bytes && bytes.error().code == ErrorCode::kTimeout && deadline) {
      co_return std::unexpected(Refusal{.status = 408, .why = "The header did not come in time"});
    }
    if (!bytes || *bytes == 0) co_return std::nullopt;
    buffer_.added(*bytes);
    if (!deadline) deadline = SteadyClock::now() + hub_->options.header_timeout;
    become_beginning();
  }
}

Task<Response> Connection::answer(Request& request) {
  answered_ = true;
  std::string what = "not a std::exception";
  try {
    co_return co_await hub_->handler(request);
  } catch (const std::exception& exception) {
    what = exception.what();
  } catch (...) {
  }
  if (!closing_) log::error("http_handler_threw", {{"request_id", request.request_id}, {"what", what}});
  const Refusal refusal{.status = 500, .why = "Something unexpected happened here"};
  co_return refusal_response(refusal, request.request_id);
}

Task<bool> Connection::refuse(Refusal refusal) {
  Exchange exchange{.request_id = Uuid::random().text(), .range = {}, .if_range = {}};
  log::info(
      "http_refused",
      {{"peer", peer_address_}, {"status", refusal.status}, {"why", refusal.why}, {"request_id", exchange.request_id}});
  auto response = refusal_response(refusal, exchange.request_id);
  static_cast<void>(co_await send(std::move(response), std::move(exchange)));
  co_return false;
}

Task<void> Connection::linger() {
  become_idle();
  socket_->shutdown_send();
  const auto end = SteadyClock::now() + kLingerMax;
  while (SteadyClock::now() < end && !closing_) {
    buffer_.consume(buffer_.view().size());
    const auto room = buffer_.room(kHeadBufferBytes);
    const auto bytes = co_await socket_->read_some(room, kLingerSilence);
    if (!bytes || *bytes == 0) break;
  }
}

Task<bool> Connection::send(Response response, Exchange exchange) {
  SentReport report(std::move(response.on_sent));
  response.headers.set("X-Request-Id", exchange.request_id);
  report.sent.status = response.status;
  Result<void> sent;
  if (std::holds_alternative<FileBody>(response.body)) {
    sent = co_await send_file(response, exchange, report.sent);
  } else if (std::holds_alternative<StreamBody>(response.body)) {
    sent = co_await send_stream(response, exchange, report.sent);
  } else {
    sent = co_await send_text(response, exchange, report.sent);
  }
  report.sent.complete = sent.has_value();
  // The client must not take half an answer for a whole one.
  if (!sent) socket_->reset();
  co_return sent.has_value();
}

Task<Result<void>> Connection::send_text(const Response& response, const Exchange& exchange, Sent& sent) {
  const std::string& text = std::get<std::string>(response.body);
  ResponseFraming framing{.content_bytes = std::nullopt, .chunked = false, .close = !exchange.keep_alive};
  const bool body = has_body(response.status);
  if (body) framing.content_bytes = text.size();
  const std::string head = response_head(response, framing, unix_seconds_now());
  co_return co_await write_pieces(head, body && !exchange.head_only ? std::string_view(text) : std::string_view(),
                                  sent);
}

Task<Result<void>> Connection::send_stream(const Response& response, const Exchange& exchange, Sent& sent) {
  const StreamBody& stream = std::get<StreamBody>(response.body);
  const bool chunked = exchange.minor_version == 1;
  const ResponseFraming framing{.content_bytes = std::nullopt, .chunked = chunked, .close = !exchange.keep_alive};
  const std::string head = response_head(response, framing, unix_seconds_now());
  PIXMILL_CO_RETURN_IF_ERROR(co_await write_pieces(head, kNothing, sent));
  if (exchange.head_only || !has_body(response.status)) co_return Result<void>();
  while (true) {
    auto piece = co_await stream.next();
    if (!piece) {
      log::warning("http_stream_broke", {{"request_id", exchange.request_id},
                                         {"code", code_text(piece.error())},
                                         {"message", piece.error().message}});
      co_return std::unexpected(piece.error());
    }
    if (piece->empty()) break;
    const std::string size = chunked ? fmt::format("{:x}\r\n", piece->size()) : std::string();
    if (chunked) piece->append("\r\n");
    PIXMILL_CO_RETURN_IF_ERROR(co_await write_pieces(size, *piece, sent));
    if (chunked) sent.body_bytes -= 2;
  }
  if (!chunked) co_return Result<void>();
  co_return co_await socket_->write("0\r\n\r\n", kNothing, hub_->options.idle_timeout);
}

Task<Result<void>> Connection::send_file(Response& response, const Exchange& exchange, Sent& sent) {
  const FileBody wanted = std::get<FileBody>(response.body);
  auto file = FileReader::open(wanted.path, hub_->file_thread);
  if (!file) {
    const bool gone = file.error().code == ErrorCode::kNotFound;
    log::warning("http_file_unreadable", {{"request_id", exchange.request_id}, {"message", file.error().message}});
    const Refusal refusal = gone ? Refusal{.status = 404, .why = "The file is gone"}
                                 : Refusal{.status = 500, .why = "The file cannot be read"};
    response = refusal_response(refusal, exchange.request_id);
    response.headers.set("X-Request-Id", exchange.request_id);
    sent.status = response.status;
    co_return co_await send_text(response, exchange, sent);
  }
  const std::uint64_t whole = std::min(file->bytes(), wanted.bytes);
  ByteRange part{.first = 0, .bytes = whole};
  response.headers.set("Accept-Ranges", "bytes");
  if (!response.headers.get("Last-Modified")) {
    response.headers.set("Last-Modified", http_date(file->modified_unix_seconds()));
  }
  if (exchange.range && may_send_range(response, exchange.if_range)) {
    const RangeChoice choice = choose_range(*exchange.range, whole);
    if (choice.kind == RangeKind::kUnsatisfiable) {
      const Refusal refusal{.status = 416, .why = "The range lies behind the end of the file"};
      Response problem = refusal_response(refusal, exchange.request_id);
      response.status = sent.status = 416;
      response.headers.set("Content-Type", "application/problem+json");
      response.headers.set("Cache-Control", "no-store");
      response.headers.set("Content-Range", fmt::format("bytes */{}", whole));
      response.body = std::move(problem.body);
      co_return co_await send_text(response, exchange, sent);
    }
    if (choice.kind == RangeKind::kPart) {
      part = choice.part;
      response.status = sent.status = 206;
      response.headers.set("Content-Range",
                           fmt::format("bytes {}-{}/{}", part.first, part.first + part.bytes - 1, whole));
    }
  }
  const bool body = has_body(response.status);
  ResponseFraming framing{.content_bytes = std::nullopt, .chunked = false, .close = !exchange.keep_alive};
  if (body) framing.content_bytes = part.bytes;
  std::string head = response_head(response, framing, unix_seconds_now());
  if (!body || exchange.head_only) part.bytes = 0;
  co_return co_await send_file_part(*file, std::move(head), part, sent);
}

Task<Result<void>> Connection::send_file_part(FileReader& file, std::string head, ByteRange part, Sent& sent) {
  while (!head.empty() || part.bytes > 0) {
    std::string piece;
    if (part.bytes > 0) {
      const std::size_t wanted = std::min<std::uint64_t>(part.bytes, kPieceBytes);
      auto read = co_await file.read(part.first, wanted);
      if (!read) co_return std::unexpected(read.error());
      if (read->empty()) co_return fail(ErrorCode::kIo, "The file became shorter while it was sent");
      piece = std::move(*read);
    }
    PIXMILL_CO_RETURN_IF_ERROR(co_await write_pieces(head, piece, sent));
    head.clear();
    part.first += piece.size();
    part.bytes -= piece.size();
  }
  co_return Result<void>();
}

// Each piece has a deadline of its own, so that a slow but steady reader is served to the end.
Task<Result<void>> Connection::write_pieces(std::string_view head, std::string_view body, Sent& sent) {
  do {
    const std::string_view piece = body.substr(0, kPieceBytes);
    PIXMILL_CO_RETURN_IF_ERROR(co_await socket_->write(head, piece, hub_->options.idle_timeout));
    head = {};
    sent.body_bytes += piece.size();
    body.remove_prefix(piece.size());
  } while (!body.empty());
  co_return Result<void>();
}

}  // namespace pixmill::http
