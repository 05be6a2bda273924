#include "http/client.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "base/text.h"
#include "http/answer_collector.h"
#include "http/poll_set.h"

namespace pixmill::http {

namespace {

using asio::ip::address;
using std::chrono::steady_clock;

constexpr long kReceiveBufferBytes = 64L << 10;
constexpr std::size_t kIdleTransfersMax = 1'024;
constexpr std::size_t kRememberedAddressesMax = 4'096;

// What one try at one address came to.
struct Attempt {
  Result<ClientResponse> result;
  bool may_try_next = false;  // the address was not reached at all, so another one may be
};

struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using List = std::unique_ptr<curl_slist, ListDeleter>;

struct StoreDeleter {
  void operator()(X509_STORE* store) const { X509_STORE_free(store); }
};
using TrustStore = std::unique_ptr<X509_STORE, StoreDeleter>;

bool append(List& list, const std::string& line) {
  curl_slist* longer = curl_slist_append(list.get(), line.c_str());
  if (longer == nullptr) return false;
  static_cast<void>(list.release());
  list.reset(longer);
  return true;
}

class Core;
struct Transfer;
using Active = std::multimap<steady_clock::time_point, std::unique_ptr<Transfer>>;  // by deadline

// A request being made. Its easy handle is kept for later requests: making one costs nearly as much as a request
// itself.
struct Transfer {
  explicit Transfer(Core& owner) : core(&owner) {}
  ~Transfer() { curl_easy_cleanup(easy); }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  Core* core;
  CURL* easy = nullptr;
  std::array<char, CURL_ERROR_SIZE> error_text{};

  std::uint64_t id = 0;
  const ClientRequest* request = nullptr;  // in the frame of the coroutine that waits
  address peer;                            // the only address it may connect to
  List headers;
  List connect_to;
  AnswerCollector answer;
  bool blocked = false;
  bool rests = false;  // until there is memory for more
  steady_clock::time_point deadline;
  std::move_only_function<void(Attempt)> done;
  Active::iterator at;  // itself among the active ones
};

struct Peer {
  address host;
  std::uint16_t port = 0;
};

std::optional<Peer> peer_of(const curl_sockaddr& peer) {
  if (peer.family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &peer.addr, sizeof(in));
    return Peer{.host = asio::ip::address_v4(ntohl(in.sin_addr.s_addr)), .port = ntohs(in.sin_port)};
  }
  if (peer.family == AF_INET6) {
    sockaddr_in6 in6{};
    // curl_sockaddr ends in a sockaddr and has the room of a larger one behind it.
    std::memcpy(&in6, static_cast<const void*>(&peer.addr), std::min<std::size_t>(sizeof(in6), peer.addrlen));
    asio::ip::address_v6::bytes_type bytes{};
    std::memcpy(bytes.data(), &in6.sin6_addr, bytes.size());
    return Peer{.host = asio::ip::address_v6(bytes), .port = ntohs(in6.sin6_port)};
  }
  return std::nullopt;
}

// A peer that breaks off during the handshake is reported by curl as a TLS failure; that it broke off stands in the
// text alone.
bool broke_off_handshake(std::string_view text) {
  return text.find("SSL_ERROR_SYSCALL") != std::string_view::npos ||
         text.find("reset by peer") != std::string_view::npos || text.find("unexpected eof") != std::string_view::npos;
}

// The one funnel from curl's codes to our errors.
Error curl_error(CURLcode code, const Transfer& transfer) {
  const auto made = [&](ErrorCode ours, std::string_view what) {
    return Error{
        .code = ours,
        .message = fmt::format("{}: {}", transfer.request->host, what),
        .detail = fmt::format("curl {}: {}", static_cast<int>(code),
                              transfer.error_text[0] != '\0' ? transfer.error_text.data() : curl_easy_strerror(code))};
  };
  if (transfer.blocked) return made(ErrorCode::kBlockedAddress, "its address may not be connected to");
  if (transfer.rests) return made(ErrorCode::kUnavailable, "there was no memory for its answer in time");
  switch (code) {
    case CURLE_COULDNT_CONNECT:
      return made(ErrorCode::kConnect, "cannot connect");
    case CURLE_OPERATION_TIMEDOUT:
      return made(ErrorCode::kTimeout, "too slow to answer");
    case CURLE_SSL_CONNECT_ERROR:
      if (broke_off_handshake(transfer.error_text.data()))
        return made(ErrorCode::kConnect, "broke off the TLS handshake");
      return made(ErrorCode::kTls, "no TLS connection could be agreed on");
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
      return made(ErrorCode::kTls, "its certificate is not valid");
    case CURLE_PARTIAL_FILE:
      return made(ErrorCode::kTruncated, "broke off before the end of the file");
    case CURLE_FILESIZE_EXCEEDED:
      return made(ErrorCode::kTooLarge, "the file is too large");
    case CURLE_OUT_OF_MEMORY:  // also a header line above curl's own bound
      return made(ErrorCode::kProtocol, "the answer's headers are too long");
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return made(ErrorCode::kProtocol, "broke off the connection");
    default:
      return made(ErrorCode::kProtocol, "did not answer as HTTP does");
  }
}

bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

// Nothing of a request may end a line or a URL early; the callers' own checks are not relied on.
bool can_be_written(const ClientRequest& request) {
  const auto is_visible = [](char c) { return c > 0x20 && c < 0x7f; };
  const auto is_host_character = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_' || c == ':';
  };
  const bool is_line = (request.scheme == "http" || request.scheme == "https") && is_token(request.method) &&
                       request.port != 0 && !request.host.empty() &&
                       std::ranges::all_of(request.host, is_host_character) && request.target.starts_with('/') &&
                       std::ranges::all_of(request.target, is_visible);
  return is_line && !request.addresses.empty() && std::ranges::all_of(request.headers.all(), [](const auto& field) {
           return is_token(field.first) &&
                  field.second.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos;
         });
}

std::string bracketed(std::string_view host) {
  return host.find(':') == std::string_view::npos ? std::string(host) : fmt::format("[{}]", host);
}

std::optional<List> header_list(const ClientRequest& request, bool sends_body) {
  List list;
  bool fits = true;
  for (const auto& [name, value] : request.headers.all()) {
    if (equals_ignoring_case(name, "Content-Length")) continue;
    fits = fits && append(list, value.empty() ? name + ";" : fmt::format("{}: {}", name, value));
  }
  if (sends_body) {
    // What curl would add by itself: a wait for "100 Continue", and a form's type.
    fits = fits && append(list, "Expect:");
    if (!request.headers.get("Content-Type")) fits = fits && append(list, "Content-Type:");
  }
  if (!fits) return std::nullopt;
  return list;
}

// libcurl's multi handle on the loop, and everything its callbacks touch. Held by the client and by every coroutine
// that waits.
class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(Executor executor, ClientOptions options, TrustStore trust)
      : executor_(executor),
        options_(std::move(options)),
        trust_(std::move(trust)),
        curl_timer_(executor),
        deadline_timer_(executor) {}
  ~Core() { shut_down(); }
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  Result<void> start();
  void shut_down();

  struct Plan {
    const ClientRequest* request = nullptr;  // must live until the attempt is over
    address peer;
    milliseconds connect_timeout{0};
    steady_clock::time_point deadline;
  };
  [[nodiscard]] Task<Attempt> attempt(Plan plan);

  // The request's addresses, the one that answered last in front.
  [[nodiscard]] std::vector<address> ordered_addresses(const ClientRequest& request) const;
  void remember(const ClientRequest& request, const address& good);

 private:
  template <class Handler>
  void begin(const Plan& plan, Handler handler);
  void launch(std::unique_ptr<Transfer> transfer, const Plan& plan);
  std::unique_ptr<Transfer> idle_transfer();
  void set_lasting_options(Transfer& transfer);
  bool set_request_options(Transfer& transfer, const Plan& plan);
  void abort(std::uint64_t id);
  void rest(Transfer& transfer);
  void wake_soon(std::uint64_t id);
  void wake(std::uint64_t id);
  [[nodiscard]] Active::iterator find_active(std::uint64_t id);
  void move_deadline(Transfer& transfer, steady_clock::time_point at);
  void end(Transfer& ended, Attempt attempt);
  [[nodiscard]] static Attempt outcome(Transfer& transfer, CURLcode code);

  void act(curl_socket_t socket, int events);
  void collect_finished();
  void run_soon();
  void arm_curl_timer();
  void arm_deadline_timer();
  void end_overdue();

  static int on_socket(CURL* easy, curl_socket_t socket, int what, void* self, void* unused);
  static int on_timer(CURLM* multi, long wait_ms, void* self);
  static std::size_t on_header(char* line, std::size_t one, std::size_t bytes, void* transfer);
  static std::size_t on_body(char* piece, std::size_t one, std::size_t bytes, void* transfer);
  static curl_socket_t open_socket(void* transfer, curlsocktype purpose, curl_sockaddr* peer);
  static int close_socket(void* self, curl_socket_t socket);
  static CURLcode set_trust(CURL* easy, void* context, void* self);

  Executor executor_;
  ClientOptions options_;
  TrustStore trust_;
  CURLM* multi_ = nullptr;
  std::unique_ptr<PollSet> poll_;
  Active active_;
  std::vector<std::unique_ptr<Transfer>> idle_;
  std::unordered_map<std::string, address> good_addresses_;
  asio::steady_timer curl_timer_;
  std::optional<steady_clock::time_point> curl_wants_;  // when curl wants to run next
  std::optional<steady_clock::time_point>
      curl_armed_;  // when its timer is set; an earlier time than wanted is put right there
  asio::steady_timer deadline_timer_;
  std::optional<steady_clock::time_point> deadline_armed_;
  bool has_system_roots_ = false;
  bool will_run_ = false;
  bool stopped_ = false;
  std::uint64_t last_id_ = 0;
};

Result<void> Core::start() {
  const auto on_event = [this](const PollEvent& event) {
    act(event.descriptor, (event.readable ? CURL_CSELECT_IN : 0) | (event.writable ? CURL_CSELECT_OUT : 0));
  };
  PIXMILL_TRY(poll_, PollSet::create(executor_, on_event, [this] { collect_finished(); }));
  multi_ = curl_multi_init();
  if (multi_ == nullptr) return fail(ErrorCode::kUnavailable, "The HTTP client cannot start");
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &Core::on_socket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &Core::on_timer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_MAX_TOTAL_CONNECTIONS, static_cast<long>(options_.connections_max));
  curl_multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS, static_cast<long>(options_.connections_per_host_max));
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(options_.connections_max));
  return {};
}

void Core::shut_down() {
  if (stopped_) return;
  stopped_ = true;
  curl_timer_.cancel();
  deadline_timer_.cancel();
  while (!active_.empty()) {
    Attempt cancelled{.result = fail(ErrorCode::kCancelled, "The HTTP client is stopping")};
    end(*active_.begin()->second, std::move(cancelled));
  }
  idle_.clear();
  if (multi_ != nullptr) curl_multi_cleanup(multi_);  // closes the pooled connections
  multi_ = nullptr;
  poll_.reset();
}

Task<Attempt> Core::attempt(Plan plan) {
  auto begin_it = [self = shared_from_this(), plan = std::move(plan)](auto handler) {
    self->begin(plan, std::move(handler));
  };
  return asio::async_initiate<const asio::use_awaitable_t<>, void(Attempt)>(std::move(begin_it), asio::use_awaitable);
}

template <class Handler>
void Core::begin(const Plan& plan, Handler handler) {
  const auto executor = asio::get_associated_executor(handler, executor_);
  auto slot = asio::get_associated_cancellation_slot(handler);
  auto transfer = idle_transfer();
  transfer->id = ++last_id_;
  if (slot.is_connected()) {
    // Posted, because this runs inside the slot that ending the transfer lets go of.
    slot.assign([self = weak_from_this(), executor, id = transfer->id](asio::cancellation_type) {
      asio::post(executor, [self, id] {
        if (const auto core = self.lock()) core->abort(id);
      });
    });
  }
  transfer->done = [executor, handler = std::move(handler)](Attempt attempt) mutable {
    asio::post(executor,
               [handler = std::move(handler), attempt = std::move(attempt)]() mutable { handler(std::move(attempt)); });
  };
  launch(std::move(transfer), plan);
}

std::unique_ptr<Transfer> Core::idle_transfer() {
  if (!idle_.empty()) {
    auto transfer = std::move(idle_.back());
    idle_.pop_back();
    return transfer;
  }
  auto transfer = std::make_unique<Transfer>(*this);
  transfer->easy = curl_easy_init();
  PIXMILL_CHECK(transfer->easy != nullptr);
  set_lasting_options(*transfer);
  return transfer;
}

// What is the same for every request that this handle makes.
void Core::set_lasting_options(Transfer& transfer) {
  CURL* easy = transfer.easy;
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.error_text.data());
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Core::on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Core::on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &Core::open_socket);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, &Core::close_socket);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, this);
  curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, &Core::set_trust);
  curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, this);
  curl_easy_setopt(easy, CURLOPT_CAINFO, nullptr);
  curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");  // not even from the environment
  curl_easy_setopt(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, kReceiveBufferBytes);
  // It only ever sees literal addresses; nothing is worth remembering.
  curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
}

bool Core::set_request_options(Transfer& transfer, const Plan& plan) {
  const ClientRequest& request = *plan.request;
  CURL* easy = transfer.easy;
  const std::string_view body = request.body_view.empty() ? std::string_view(request.body) : request.body_view;
  const bool sends_body =
      !body.empty() || request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  auto headers = header_list(request, sends_body);
  if (!headers) return false;
  transfer.headers = std::move(*headers);
  // "Whatever the URL says, connect to this address": curl never sees a name to resolve, and pools the connection under
  // it.
  transfer.connect_to.reset();
  if (!append(transfer.connect_to, fmt::format("::{}:", bracketed(transfer.peer.to_string())))) return false;

  const std::string url = fmt::format("{}://{}:{}/", request.scheme, bracketed(request.host), request.port);
  const bool is_tls = request.scheme == "https";
  const bool is_set =
      curl_easy_setopt(easy, CURLOPT_URL, url.c_str()) == CURLE_OK &&
      curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET, request.target.c_str()) == CURLE_OK &&
      curl_easy_setopt(easy, CURLOPT_CONNECT_TO, transfer.connect_to.get()) == CURLE_OK &&
      curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer.headers.get()) == CURLE_OK &&
      // Without TLS there is no HTTP/2 to wait for, so requests do not queue behind the first connection.
      curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                       static_cast<long>(is_tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1)) == CURLE_OK;
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, std::max<long>(plan.connect_timeout.count(), 1));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, static_cast<long>(request.low_speed_bytes_per_second));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.low_speed_time.count()));
  curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);  // also forgets an earlier POST or HEAD
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, nullptr);
  curl_easy_setopt(easy, CURLOPT_POSTFIELDS, nullptr);
  if (sends_body) {
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.data());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  } else {
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
  }
  if (request.method == "HEAD") curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  if (request.method != "GET" && request.method != "HEAD") {
    return is_set && curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str()) == CURLE_OK;
  }
  return is_set;
}

void Core::launch(std::unique_ptr<Transfer> transfer, const Plan& plan) {
  transfer->request = plan.request;
  transfer->peer = plan.peer;
  transfer->answer.start(*plan.request);
  transfer->blocked = false;
  transfer->rests = false;
  transfer->deadline = plan.deadline;
  transfer->error_text[0] = '\0';
  Transfer& active = *transfer;
  active.at = active_.emplace(plan.deadline, std::move(transfer));
  if (stopped_ || !set_request_options(active, plan) || curl_multi_add_handle(multi_, active.easy) != CURLM_OK) {
    Attempt refused{.result = fail(ErrorCode::kCancelled, "The HTTP client is stopping")};
    end(active, std::move(refused));
    return;
  }
  arm_curl_timer();
  arm_deadline_timer();
}

void Core::end(Transfer& ended, Attempt attempt) {
  auto transfer = std::move(ended.at->second);
  active_.erase(ended.at);
  // Breaks the connection off when the answer is not complete.
  if (multi_ != nullptr) curl_multi_remove_handle(multi_, transfer->easy);
  auto done = std::exchange(transfer->done, nullptr);
  if (transfer->request->memory != nullptr) transfer->request->memory->forget_growth();
  transfer->request = nullptr;
  if (active_.empty()) {  // an idle client keeps no loop running
    deadline_timer_.cancel();
    deadline_armed_.reset();
    curl_timer_.cancel();
    curl_armed_.reset();
  }
  if (idle_.size() < kIdleTransfersMax && !stopped_) idle_.push_back(std::move(transfer));
  done(std::move(attempt));
}

// Without the time to connect, and without waiting for a connection.
milliseconds first_byte_of(CURL* easy) {
  curl_off_t sent_us = 0;
  curl_off_t began_us = 0;
  curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &sent_us);
  curl_easy_getinfo(easy, CURLINFO_STARTTRANSFER_TIME_T, &began_us);
  return std::chrono::duration_cast<milliseconds>(
      std::chrono::microseconds(std::max<curl_off_t>(began_us - sent_us, 0)));
}

Attempt Core::outcome(Transfer& transfer, CURLcode code) {
  if (const auto& broken = transfer.answer.broken()) return {.result = std::unexpected(*broken)};
  if (transfer.answer.has_head() && (code == CURLE_OK || transfer.answer.is_cut())) {
    Attempt whole{.result = transfer.answer.take()};
    if (whole.result) whole.result->first_byte = first_byte_of(transfer.easy);
    return whole;
  }
  Attempt failed{.result = std::unexpected(curl_error(code, transfer))};
  curl_off_t connected_us = 0;
  curl_easy_getinfo(transfer.easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
  const ErrorCode kind = failed.result.error().code;
  failed.may_try_next = kind == ErrorCode::kConnect || (kind == ErrorCode::kTimeout && connected_us == 0);
  return failed;
}

Active::iterator Core::find_active(std::uint64_t id) {
  return std::ranges::find_if(active_, [id](const auto& entry) { return entry.second->id == id; });
}

void Core::abort(std::uint64_t id) {
  const auto found = find_active(id);
  if (found == active_.end()) return;
  Attempt cancelled{.result = fail(ErrorCode::kCancelled, "The request was cancelled")};
  end(*found->second, std::move(cancelled));
}

void Core::move_deadline(Transfer& transfer, steady_clock::time_point at) {
  auto node = active_.extract(transfer.at);
  node.key() = at;
  transfer.at = active_.insert(std::move(node));
  arm_deadline_timer();
}

// There is no memory for what came: curl keeps that piece and reads no more.
void Core::rest(Transfer& transfer) {
  if (std::exchange(transfer.rests, true)) return;
  move_deadline(transfer, std::min(transfer.deadline, steady_clock::now() + kMemoryPatience));
}

// The memory may have been freed anywhere, curl's own callbacks included.
void Core::wake_soon(std::uint64_t id) {
  asio::post(executor_, [self = weak_from_this(), id] {
    if (const auto core = self.lock(); core && !core->stopped_) core->wake(id);
  });
}

void Core::wake(std::uint64_t id) {
  const auto found = find_active(id);
  if (found == active_.end() || !std::exchange(found->second->rests, false)) return;
  Transfer& transfer = *found->second;
  move_deadline(transfer, transfer.deadline);
  const CURLcode code = curl_easy_pause(transfer.easy, CURLPAUSE_CONT);  // offers the kept piece at once
  if (code != CURLE_OK) end(transfer, outcome(transfer, code));
}

void Core::act(curl_socket_t socket, int events) {
  int running = 0;
  curl_multi_socket_action(multi_, socket, events, &running);
}

void Core::collect_finished() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    char* transfer = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    auto& finished = *static_cast<Transfer*>(static_cast<void*>(transfer));
    end(finished, outcome(finished, message->data.result));
  }
}

// curl must not be called from inside its own callbacks.
void Core::run_soon() {
  if (will_run_) return;
  will_run_ = true;
  asio::post(executor_, [self = weak_from_this()] {
    const auto core = self.lock();
    if (!core) return;
    core->will_run_ = false;
    if (core->stopped_) return;
    core->act(CURL_SOCKET_TIMEOUT, 0);
    core->collect_finished();
  });
}

// curl moves its timer several times per request, nearly always to a later time; the armed one is left alone then.
void Core::arm_curl_timer() {
  if (stopped_ || !curl_wants_ || (curl_armed_ && *curl_armed_ <= *curl_wants_)) return;
  curl_armed_ = curl_wants_;
  curl_timer_.expires_at(*curl_wants_);
  curl_timer_.async_wait([self = weak_from_this()](const boost::system::error_code& error) {
    const auto core = self.lock();
    if (error || !core || core->stopped_) return;
    core->curl_armed_.reset();
    if (core->curl_wants_ && *core->curl_wants_ <= steady_clock::now()) {
      core->curl_wants_.reset();
      core->act(CURL_SOCKET_TIMEOUT, 0);
      core->collect_finished();
    }
    core->arm_curl_timer();
  });
}

// curl's own total timeout does not count while a request waits for a connection; this one does.
void Core::arm_deadline_timer() {
  if (stopped_ || active_.empty()) return;
  const auto earliest = active_.begin()->first;
  if (deadline_armed_ && *deadline_armed_ <= earliest) return;
  deadline_armed_ = earliest;
  deadline_timer_.expires_at(earliest);
  deadline_timer_.async_wait([self = weak_from_this()](const boost::system::error_code& error) {
    const auto core = self.lock();
    if (error || !core || core->stopped_) return;
    core->deadline_armed_.reset();
    core->end_overdue();
    core->arm_deadline_timer();
  });
}

void Core::end_overdue() {
  const auto now = steady_clock::now();
  while (!active_.empty() && active_.begin()->first <= now) {
    Transfer& overdue = *active_.begin()->second;
    end(overdue, {.result = std::unexpected(curl_error(CURLE_OPERATION_TIMEDOUT, overdue))});
  }
}

std::vector<address> Core::ordered_addresses(const ClientRequest& request) const {
  std::vector<address> addresses = request.addresses;
  if (addresses.size() < 2) return addresses;
  const auto good = good_addresses_.find(fmt::format("{}:{}", request.host, request.port));
  if (good == good_addresses_.end()) return addresses;
  const auto at = std::ranges::find(addresses, good->second);
  if (at != addresses.end()) std::rotate(addresses.begin(), at, at + 1);
  return addresses;
}

void Core::remember(const ClientRequest& request, const address& good) {
  if (request.addresses.size() < 2) return;
  if (good_addresses_.size() >= kRememberedAddressesMax) good_addresses_.clear();
  good_addresses_[fmt::format("{}:{}", request.host, request.port)] = good;
}

int Core::on_socket(CURL* /*easy*/, curl_socket_t socket, int what, void* self, void* /*unused*/) {
  const bool for_read = what == CURL_POLL_IN || what == CURL_POLL_INOUT;
  const bool for_write = what == CURL_POLL_OUT || what == CURL_POLL_INOUT;
  static_cast<Core*>(self)->poll_->watch(socket, for_read, for_write);
  return 0;
}

int Core::on_timer(CURLM* /*multi*/, long wait_ms, void* self) {
  auto& core = *static_cast<Core*>(self);
  core.curl_wants_.reset();
  if (wait_ms == 0) core.run_soon();
  if (wait_ms > 0) {
    core.curl_wants_ = steady_clock::now() + milliseconds(wait_ms);
    core.arm_curl_timer();
  }
  return 0;
}

std::size_t Core::on_header(char* line, std::size_t /*one*/, std::size_t bytes, void* transfer) {
  return static_cast<Transfer*>(transfer)->answer.take_line({line, bytes}) ? bytes : 0;
}

std::size_t Core::on_body(char* piece, std::size_t /*one*/, std::size_t bytes, void* transfer) {
  auto& self = *static_cast<Transfer*>(transfer);
  const auto when_room = [core = self.core, id = self.id] { core->wake_soon(id); };
  switch (self.answer.take_body({piece, bytes}, when_room)) {
    case AnswerCollector::Taken::kAll:
      return bytes;
    case AnswerCollector::Taken::kLater:
      self.core->rest(self);
      return CURL_WRITEFUNC_PAUSE;
    case AnswerCollector::Taken::kStop:
      break;
  }
  return bytes + 1;  // any other number than what came stops the transfer; an empty piece is none
}

// The last place before connect(2): whatever was said before, only the address that was checked is connected to.
curl_socket_t Core::open_socket(void* transfer, curlsocktype purpose, curl_sockaddr* peer) {
  auto& self = *static_cast<Transfer*>(transfer);
  Core& core = *self.core;
  const auto to = peer_of(*peer);
  const bool may = purpose == CURLSOCKTYPE_IPCXN && to && to->host == self.peer &&
                   (!core.options_.may_connect || core.options_.may_connect(to->host, to->port));
  if (!may) {
    self.blocked = true;
    return CURL_SOCKET_BAD;
  }
  return ::socket(peer->family, peer->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, peer->protocol);
}

int Core::close_socket(void* self, curl_socket_t socket) {
  static_cast<Core*>(self)->poll_->watch(socket, false, false);
  return ::close(socket);
}

// The system's roots are read once, for the first TLS connection, which takes 60 ms: left to itself, curl does it for
// each.
CURLcode Core::set_trust(CURL* /*easy*/, void* context, void* self) {
  auto& core = *static_cast<Core*>(self);
  if (!std::exchange(core.has_system_roots_, true)) X509_STORE_set_default_paths(core.trust_.get());
  SSL_CTX_set1_cert_store(static_cast<SSL_CTX*>(context), core.trust_.get());
  return CURLE_OK;
}

// A store with the operator's own roots; the system's come later.
Result<TrustStore> make_trust_store(const std::string& ca_file) {
  const std::string_view library = curl_version_info(CURLVERSION_NOW)->ssl_version;
  if (!library.starts_with("OpenSSL")) {
    return fail(ErrorCode::kUnavailable, fmt::format("libcurl must be the OpenSSL one; this is {}", library));
  }
  TrustStore store(X509_STORE_new());
  if (!store) return fail(ErrorCode::kUnavailable, "OpenSSL cannot make a store of certificates");
  if (!ca_file.empty() && X509_STORE_load_file(store.get(), ca_file.c_str()) != 1) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("{} holds no certificates that can be read", ca_file));
  }
  ERR_clear_error();
  return store;
}

void ignore_broken_pipes() {
  struct sigaction current {};
  if (::sigaction(SIGPIPE, nullptr, &current) == 0 && current.sa_handler == SIG_DFL) std::signal(SIGPIPE, SIG_IGN);
}

class CurlClient final : public Client {
 public:
  explicit CurlClient(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  ~CurlClient() override { core_->shut_down(); }
  CurlClient(const CurlClient&) = delete;
  CurlClient& operator=(const CurlClient&) = delete;

  Task<Result<ClientResponse>> send(ClientRequest request) override {
    const auto core = core_;
    if (!can_be_written(request)) {
      co_return fail(ErrorCode::kInvalidArgument, "The request cannot be written as HTTP", request.host);
    }
    const auto started = steady_clock::now();
    const std::vector<address> addresses = core->ordered_addresses(request);
    for (std::size_t i = 0;; ++i) {
      const bool is_last = i + 1 == addresses.size();
      const Core::Plan plan{.request = &request,
                            .peer = addresses[i],
                            .connect_timeout = is_last ? request.connect_timeout : request.connect_timeout / 4,
                            .deadline = started + request.total_timeout};
      Attempt attempt = co_await core->attempt(plan);
      if (attempt.result) {
        attempt.result->elapsed = std::chrono::duration_cast<milliseconds>(steady_clock::now() - started);
        core->remember(request, addresses[i]);
      }
      if (attempt.result || is_last || !attempt.may_try_next) co_return std::move(attempt.result);
    }
  }

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace

Result<std::unique_ptr<Client>> Client::create(Executor executor, ClientOptions options) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_ALL); });
  ignore_broken_pipes();
  PIXMILL_TRY(auto trust, make_trust_store(options.ca_file));
  auto core = std::make_shared<Core>(std::move(executor), std::move(options), std::move(trust));
  PIXMILL_RETURN_IF_ERROR(core->start());
  return std::make_unique<CurlClient>(std::move(core));
}

}  // namespace pixmill::http
