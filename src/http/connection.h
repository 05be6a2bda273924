// One connection of the server: requests read, handed to the handler, answered, one after the other, until it ends.
// Lives on the loop.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/blocking_thread.h"
#include "base/wakeup.h"
#include "http/file_reader.h"
#include "http/input_buffer.h"
#include "http/request_body.h"
#include "http/request_parser.h"
#include "http/response_head.h"
#include "http/server.h"
#include "http/timed_socket.h"

namespace pixmill::http {

class Connection;

// What the connections of one server share. Held by each of them, so that it lives as long as the last.
struct ConnectionHub {
  ConnectionHub(Executor executor_in, ServerOptions server_options, Server::RequestHandler request_handler)
      : executor(std::move(executor_in)),
        options(std::move(server_options)),
        handler(std::move(request_handler)),
        file_thread("http-files"),
        one_ended(executor) {}

  Executor executor;
  ServerOptions options;
  Server::RequestHandler handler;
  BlockingThread file_thread;
  Wakeup one_ended;
  bool stopping = false;
  std::list<Connection*> all;
  std::list<Connection*> idle;       // between two requests, longest first
  std::list<Connection*> beginning;  // in the middle of a head, longest first
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<ConnectionHub> hub, asio::ip::tcp::socket socket);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Spawns the connection's coroutine, which keeps it alive.
  static void start(std::shared_ptr<Connection> connection);

  // Closes when idle; otherwise the request under way is the last.
  void finish();
  // Closes at once and cancels the handler.
  void abort();

 private:
  struct Exchange;

  [[nodiscard]] static Task<void> run(std::shared_ptr<Connection> connection);
  [[nodiscard]] Task<bool> serve_one();
  [[nodiscard]] Task<Accepted<std::optional<std::string>>> read_head();
  [[nodiscard]] Task<Response> answer(Request& request);
  [[nodiscard]] Task<bool> refuse(Refusal refusal);
  [[nodiscard]] Task<void> linger();

  [[nodiscard]] Task<bool> send(Response response, Exchange exchange);
  [[nodiscard]] Task<Result<void>> send_text(const Response& response, const Exchange& exchange, Sent& sent);
  [[nodiscard]] Task<Result<void>> send_stream(const Response& response, const Exchange& exchange, Sent& sent);
  [[nodiscard]] Task<Result<void>> send_file(Response& response, const Exchange& exchange, Sent& sent);
  [[nodiscard]] Task<Result<void>> send_file_part(FileReader& file, std::string head, ByteRange part, Sent& sent);
  [[nodiscard]] Task<Result<void>> write_pieces(std::string_view head, std::string_view body, Sent& sent);

  void become_idle() { wait_in(hub_->idle); }
  void become_beginning() { wait_in(hub_->beginning); }
  void become_busy();
  void wait_in(std::list<Connection*>& list);

  std::shared_ptr<ConnectionHub> hub_;
  std::shared_ptr<TimedSocket> socket_;
  std::string peer_address_;
  InputBuffer buffer_;
  asio::cancellation_signal cancelled_;
  std::list<Connection*>::iterator place_;
  std::list<Connection*>* waits_in_ = nullptr;  // one of the hub's lists; null when busy
  std::list<Connection*>::iterator waiting_place_;
  bool closing_ = false;
  bool answered_ = false;  // at least once
};

}  // namespace pixmill::http
