#include "tests/support/origin_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/ip/address.hpp>
#include <csignal>
#include <cstring>

#include "base/error.h"
#include "base/text.h"

namespace pixmill::testing {

namespace {

constexpr std::size_t kHeadBytesMax = 64u << 10;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t bytes = 0;
  [[nodiscard]] sockaddr* get() { return static_cast<sockaddr*>(static_cast<void*>(&storage)); }
};

SocketAddress socket_address(const std::string& host, std::uint16_t port) {
  const auto address = boost::asio::ip::make_address(host);
  SocketAddress result;
  if (address.is_v4()) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    in.sin_addr.s_addr = htonl(address.to_v4().to_uint());
    result.bytes = sizeof(in);
    std::memcpy(&result.storage, &in, sizeof(in));
  } else {
    sockaddr_in6 in6{};
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(port);
    const auto bytes = address.to_v6().to_bytes();
    std::memcpy(&in6.sin6_addr, bytes.data(), bytes.size());
    result.bytes = sizeof(in6);
    std::memcpy(&result.storage, &in6, sizeof(in6));
  }
  return result;
}

// A connection that is closed with unread data, or with this, is reset instead of ended.
void reset_on_close(int socket) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

OriginRequest parse_head(std::string_view head) {
  OriginRequest request;
  const auto lines = split(head, '\n');
  const auto words = split(trim(lines.front()), ' ');
  request.method = std::string(words.front());
  if (words.size() > 1) request.target = std::string(words[1]);
  request.path = request.target.substr(0, request.target.find('?'));
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::string_view line = trim(lines[i]);
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    request.headers.emplace_back(line.substr(0, colon), trim(line.substr(colon + 1)));
  }
  return request;
}

}  // namespace

std::optional<std::string> OriginRequest::header(std::string_view name) const {
  for (const auto& [field, value] : headers) {
    if (equals_ignoring_case(field, name)) return value;
  }
  return std::nullopt;
}

// A certificate that signs itself, made anew for each server.
struct OriginServer::Tls {
  explicit Tls(const std::vector<std::string>& names) : context(SSL_CTX_new(TLS_server_method())) {
    EVP_PKEY* key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
    X509* certificate = X509_new();
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3'600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86'400);
    X509_set_pubkey(certificate, key);
    const std::array<unsigned char, 9> common_name = {'t', 'e', 's', 't', ' ', 'c', 'e', 'r', 't'};
    X509_NAME* subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, common_name.data(), common_name.size(), -1, 0);
    X509_set_issuer_name(certificate, subject);
    std::string alternatives;
    for (const auto& name : names) {
      boost::system::error_code not_literal;
      boost::asio::ip::make_address(name, not_literal);
      alternatives += fmt::format("{}{}:{}", alternatives.empty() ? "" : ",", not_literal ? "DNS" : "IP", name);
    }
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, alternatives.c_str());
    PIXMILL_CHECK(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
    PIXMILL_CHECK(X509_sign(certificate, key, EVP_sha256()) != 0);
    PIXMILL_CHECK(SSL_CTX_use_certificate(context, certificate) == 1 && SSL_CTX_use_PrivateKey(context, key) == 1);

    BIO* text = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(text, certificate);
    char* data = nullptr;
    const auto bytes = BIO_get_mem_data(text, &data);
    pem.assign(data, static_cast<std::size_t>(bytes));
    BIO_free(text);
    X509_EXTENSION_free(extension);
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
  ~Tls() { SSL_CTX_free(context); }
  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;

  SSL_CTX* context;
  std::string pem;
};

// One connection's bytes, with or without TLS.
class OriginServer::Stream {
 public:
  Stream(int socket, SSL_CTX* context) : socket_(socket) {
    if (context == nullptr) return;
    ssl_ = SSL_new(context);
    SSL_set_fd(ssl_, socket);
    is_open_ = SSL_accept(ssl_) == 1;
  }
  ~Stream() { SSL_free(ssl_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  [[nodiscard]] bool is_open() const { return is_open_; }
  [[nodiscard]] int socket() const { return socket_; }

  // Appends what has come to `buffer`; false at the end.
  bool read(std::string& buffer) {
    std::array<char, 16'384> piece{};
    const auto bytes = ssl_ != nullptr ? SSL_read(ssl_, piece.data(), static_cast<int>(piece.size()))
                                       : static_cast<int>(::recv(socket_, piece.data(), piece.size(), 0));
    if (bytes <= 0) return false;
    buffer.append(piece.data(), static_cast<std::size_t>(bytes));
    return true;
  }

  bool write(std::string_view data) {
    while (!data.empty()) {
      const auto bytes = ssl_ != nullptr ? SSL_write(ssl_, data.data(), static_cast<int>(data.size()))
                                         : static_cast<int>(::send(socket_, data.data(), data.size(), MSG_NOSIGNAL));
      if (bytes <= 0) return false;
      data.remove_prefix(static_cast<std::size_t>(bytes));
    }
    return true;
  }

  std::string unread;  // what came after the request that was taken last

 private:
  int socket_;
  SSL* ssl_ = nullptr;
  bool is_open_ = true;
};

OriginServer::OriginServer(OriginOptions options) : options_(std::move(options)) {
  if (options_.tls) {
    tls_ = std::make_unique<Tls>(options_.tls_names);
    certificate_pem_ = tls_->pem;
  }
  listen();
  if (!options_.never_accepts) acceptor_ = std::thread([this] { accept_all(); });
}

OriginServer::~OriginServer() {
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
    for (const int socket : open_) ::shutdown(socket, SHUT_RDWR);
  }
  stopping_.notify_all();
  ::shutdown(listener_, SHUT_RDWR);  // ends accept()
  if (acceptor_.joinable()) acceptor_.join();
  for (auto& worker : workers_) worker.join();
  for (const int socket : queue_fillers_) ::close(socket);
  ::close(listener_);
}

void OriginServer::listen() {
  SocketAddress at = socket_address(options_.host, options_.port);
  listener_ = ::socket(at.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  PIXMILL_CHECK(::bind(listener_, at.get(), at.bytes) == 0);
  PIXMILL_CHECK(::listen(listener_, options_.never_accepts ? 0 : 512) == 0);
  PIXMILL_CHECK(::getsockname(listener_, at.get(), &at.bytes) == 0);
  std::uint16_t port = 0;  // sin_port and sin6_port lie at the same place
  std::memcpy(&port, static_cast<const char*>(static_cast<const void*>(&at.storage)) + 2, sizeof(port));
  port_ = ntohs(port);
  for (int i = 0; options_.never_accepts && i < 2; ++i) {
    const int filler = ::socket(at.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    static_cast<void>(::connect(filler, at.get(), at.bytes));
    queue_fillers_.push_back(filler);
  }
}

void OriginServer::accept_all() {
  while (true) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    const std::scoped_lock lock(mutex_);
    if (socket < 0 || stop_) {
      if (socket >= 0) ::close(socket);
      return;
    }
    const int yes = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    ++connections_;
    open_.push_back(socket);
    workers_.emplace_back([this, socket] { serve(socket); });
  }
}

void OriginServer::serve(int socket) {
  sigset_t pipe;  // TLS writes raise it when the client has left
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  if (options_.greeting) {
    Stream stream(socket, nullptr);
    static_cast<void>(stream.write(*options_.greeting));
  } else {
    Stream stream(socket, tls_ ? tls_->context : nullptr);
    while (stream.is_open() && answer_one(stream)) {
    }
  }
  const std::scoped_lock lock(mutex_);
  open_.remove(socket);
  ::close(socket);
}

bool OriginServer::answer_one(Stream& stream) {
  std::string& unread = stream.unread;
  std::size_t head_bytes = std::string::npos;
  while ((head_bytes = unread.find("\r\n\r\n")) == std::string::npos) {
    if (unread.size() > kHeadBytesMax || !stream.read(unread)) return false;
  }
  OriginRequest request = parse_head(std::string_view(unread).substr(0, head_bytes));
  unread.erase(0, head_bytes + 4);
  const auto length = parse_integer(request.header("Content-Length").value_or("0")).value_or(0);
  const auto body_bytes = static_cast<std::size_t>(std::max<std::int64_t>(length, 0));
  while (unread.size() < body_bytes) {
    if (!stream.read(unread)) return false;
  }
  request.body = unread.substr(0, body_bytes);
  unread.erase(0, body_bytes);
  const OriginAnswer answer = look_up(request);
  return send(stream, request, answer);
}

OriginAnswer OriginServer::look_up(const OriginRequest& request) {
  Script script;
  {
    const std::scoped_lock lock(mutex_);
    ++counts_[request.path];
    last_[request.path] = request;
    if (const auto found = routes_.find(request.path); found != routes_.end()) script = found->second;
  }
  if (script) return script(request);
  OriginAnswer missing;
  missing.status = 404;
  missing.body = "not here\n";
  return missing;
}

bool OriginServer::send(Stream& stream, const OriginRequest& request, const OriginAnswer& answer) {
  if (!answer.raw.empty()) {
    static_cast<void>(stream.write(answer.raw));
    return false;
  }
  if (answer.never) {
    std::string ignored;
    while (stream.read(ignored)) ignored.clear();  // until the client leaves or the server stops
    return false;
  }
  std::string head = fmt::format("HTTP/1.1 {} Scripted\r\n", answer.status);
  for (const auto& [name, value] : answer.headers) head += fmt::format("{}: {}\r\n", name, value);
  for (std::size_t i = 0; head.size() < answer.header_flood_bytes; ++i)
    head += fmt::format("X-Flood-{}: {:0>900}\r\n", i, i);
  if (answer.chunked) {
    head += "Transfer-Encoding: chunked\r\n";
  } else if (!answer.close_after && !answer.endless) {
    head += fmt::format("Content-Length: {}\r\n", answer.announced_bytes.value_or(answer.body.size()));
  }
  if (!stream.write(head + "\r\n")) return false;
  if (request.method != "HEAD" && !send_body(stream, answer)) return false;
  return !answer.close_after && !answer.announced_bytes;
}

bool OriginServer::send_body(Stream& stream, const OriginAnswer& answer) {
  const auto piece_of = [&](std::string_view piece) {
    return answer.chunked ? fmt::format("{:x}\r\n{}\r\n", piece.size(), piece) : std::string(piece);
  };
  if (answer.reset_after_bytes) {
    static_cast<void>(stream.write(piece_of(std::string_view(answer.body).substr(0, *answer.reset_after_bytes))));
    reset_on_close(stream.socket());
    return false;
  }
  if (answer.drip_interval.count() > 0) {
    for (const char byte : answer.body) {
      if (!stream.write(piece_of({&byte, 1})) || !wait(answer.drip_interval)) return false;
    }
  } else if (answer.endless) {
    const std::string piece = piece_of(answer.body);
    while (stream.write(piece)) {
    }
    return false;
  } else if (!answer.body.empty() && !stream.write(piece_of(answer.body))) {
    return false;
  }
  return !answer.chunked || stream.write("0\r\n\r\n");
}

bool OriginServer::wait(std::chrono::milliseconds at_most) {
  std::unique_lock lock(mutex_);
  return !stopping_.wait_for(lock, at_most, [this] { return stop_; });
}

void OriginServer::route(std::string path, OriginAnswer answer) {
  route(std::move(path), [answer = std::move(answer)](const OriginRequest&) { return answer; });
}

void OriginServer::route(std::string path, Script script) {
  const std::scoped_lock lock(mutex_);
  routes_[std::move(path)] = std::move(script);
}

std::string OriginServer::url(std::string_view path, std::string_view host) const {
  std::string name = host.empty() ? options_.host : std::string(host);
  if (name.find(':') != std::string::npos) name = fmt::format("[{}]", name);
  return fmt::format("{}://{}:{}{}", options_.tls ? "https" : "http", name, port_, path);
}

std::size_t OriginServer::requests() const {
  const std::scoped_lock lock(mutex_);
  std::size_t sum = 0;
  for (const auto& [path, count] : counts_) sum += count;
  return sum;
}

std::size_t OriginServer::requests(const std::string& path) const {
  const std::scoped_lock lock(mutex_);
  const auto found = counts_.find(path);
  return found == counts_.end() ? 0 : found->second;
}

std::optional<OriginRequest> OriginServer::last_request(const std::string& path) const {
  const std::scoped_lock lock(mutex_);
  const auto found = last_.find(path);
  if (found == last_.end()) return std::nullopt;
  return found->second;
}

}  // namespace pixmill::testing
