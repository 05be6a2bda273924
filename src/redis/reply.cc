#include "redis/reply.h"

#include <fmt/format.h>
#include <hiredis/hiredis.h>

#include <algorithm>
#include <array>
#include <utility>

namespace pixmill::redis {

namespace {

constexpr int kDepthMax = 7;

struct NamedRefusal {
  std::string_view word;
  Refusal refusal;
};

constexpr std::array kRefusals = std::to_array<NamedRefusal>({
    {"NOSCRIPT", Refusal::kNoScript},
    {"NOGROUP", Refusal::kNoGroup},
    {"UNBLOCKED", Refusal::kNoGroup},  // the stream was deleted while its next entry was waited for
    {"BUSYGROUP", Refusal::kBusyGroup},
    {"NOAUTH", Refusal::kNotLoggedIn},
    {"WRONGPASS", Refusal::kNotLoggedIn},
    {"NOPERM", Refusal::kNotAllowed},
    {"READONLY", Refusal::kReadOnly},
    {"LOADING", Refusal::kLoading},
    {"BUSY", Refusal::kLoading},
    {"MASTERDOWN", Refusal::kLoading},
    {"CLUSTERDOWN", Refusal::kLoading},
    {"TRYAGAIN", Refusal::kLoading},
    {"OOM", Refusal::kOutOfMemory},
});

// What one reply may still use, and where the pieces that hiredis finds are put: straight into a tree of Replies.
struct Builder {
  explicit Builder(const ReplyLimits& limits) : elements_left(limits.elements_max), bytes_left(limits.bytes_max) {}
  std::size_t elements_left;
  std::size_t bytes_left;
};

Reply* place_for(const redisReadTask* task) {
  if (task->parent == nullptr) return std::make_unique<Reply>().release();  // owned by the reader until it is whole
  auto& siblings = static_cast<Reply*>(task->parent->obj)->elements;
  const auto at = static_cast<std::size_t>(task->idx);
  return at < siblings.size() ? &siblings[at] : nullptr;
}

void* create_string(const redisReadTask* task, char* bytes, std::size_t count) {
  auto* builder = static_cast<Builder*>(task->privdata);
  if (count > builder->bytes_left) return nullptr;
  builder->bytes_left -= count;
  Reply* reply = place_for(task);
  if (reply == nullptr) return nullptr;
  reply->kind = task->type == REDIS_REPLY_ERROR ? Reply::Kind::kError : Reply::Kind::kText;
  reply->text.assign(bytes, count);
  return reply;
}

// The type of the count differs between the versions of hiredis.
template <class Count>
void* create_array(const redisReadTask* task, Count count) {
  auto* builder = static_cast<Builder*>(task->privdata);
  int depth = 0;
  for (const auto* above = task->parent; above != nullptr; above = above->parent) ++depth;
  const auto elements = static_cast<std::size_t>(count);
  if (depth > kDepthMax || elements > builder->elements_left) return nullptr;
  builder->elements_left -= elements;
  Reply* reply = place_for(task);
  if (reply == nullptr) return nullptr;
  reply->kind = Reply::Kind::kArray;
  reply->elements.resize(elements);
  return reply;
}

void* create_integer(const redisReadTask* task, long long value) {
  Reply* reply = place_for(task);
  if (reply == nullptr) return nullptr;
  reply->kind = Reply::Kind::kInteger;
  reply->integer = value;
  return reply;
}

void* create_nil(const redisReadTask* task) { return place_for(task); }

void free_reply(void* root) { std::unique_ptr<Reply> owned(static_cast<Reply*>(root)); }

// The kinds that RESP3 adds are refused: nobody asked for RESP3.
template <class Functions>
void refuse_newer_kinds(Functions& functions) {
  if constexpr (requires { functions.createDouble; }) {
    functions.createDouble = [](const redisReadTask*, double, char*, std::size_t) -> void* { return nullptr; };
    functions.createBool = [](const redisReadTask*, int) -> void* { return nullptr; };
  }
}

redisReplyObjectFunctions* functions() {
  static redisReplyObjectFunctions table = [] {
    redisReplyObjectFunctions made{};
    made.createString = &create_string;
    made.createArray = &create_array;
    made.createInteger = &create_integer;
    made.createNil = &create_nil;
    made.freeObject = &free_reply;
    refuse_newer_kinds(made);
    return made;
  }();
  return &table;
}

struct ReaderDeleter {
  void operator()(redisReader* reader) const { redisReaderFree(reader); }
};

}  // namespace

Refusal Reply::refusal() const {
  const std::string_view word = std::string_view(text).substr(0, text.find(' '));
  const auto found = std::ranges::find(kRefusals, word, &NamedRefusal::word);
  return found == kRefusals.end() ? Refusal::kOther : found->refusal;
}

Error error_of(const Reply& reply) {
  const auto made = [&](ErrorCode code, std::string message) {
    return Error{.code = code, .message = std::move(message), .detail = reply.text};
  };
  switch (reply.refusal()) {
    case Refusal::kNotLoggedIn:
      return made(ErrorCode::kInvalidArgument, "Redis refuses the user or the password");
    case Refusal::kNotAllowed:
      return made(ErrorCode::kInvalidArgument, "The Redis user may not do what is needed");
    case Refusal::kReadOnly:
    case Refusal::kLoading:
    case Refusal::kNoGroup:
    case Refusal::kNoScript:
      return made(ErrorCode::kUnavailable, "Redis cannot serve this now");
    case Refusal::kOutOfMemory:
      return made(ErrorCode::kUnavailable, "Redis has no memory left");
    case Refusal::kBusyGroup:
    case Refusal::kOther:
      break;
  }
  return made(ErrorCode::kInternal, "Redis refuses a command");
}

std::string encode(const Command& command) {
  std::vector<const char*> arguments;
  std::vector<std::size_t> sizes;
  for (const auto& argument : command) {
    arguments.push_back(argument.data());
    sizes.push_back(argument.size());
  }
  char* bytes = nullptr;
  const int count = redisFormatCommandArgv(&bytes, static_cast<int>(arguments.size()), arguments.data(), sizes.data());
  PIXMILL_CHECK(count > 0);
  std::string encoded(bytes, static_cast<std::size_t>(count));
  redisFreeCommand(bytes);
  return encoded;
}

struct ReplyReader::Impl {
  explicit Impl(ReplyLimits chosen) : limits(chosen), builder(chosen) {}
  ReplyLimits limits;
  Builder builder;
  std::unique_ptr<redisReader, ReaderDeleter> reader;
};

ReplyReader::ReplyReader(ReplyLimits limits) : impl_(std::make_unique<Impl>(limits)) {
  impl_->reader.reset(redisReaderCreateWithFunctions(functions()));
  PIXMILL_CHECK(impl_->reader != nullptr);
  impl_->reader->privdata = &impl_->builder;
}

ReplyReader::~ReplyReader() = default;

void ReplyReader::feed(std::string_view bytes) {
  // A failure stays in the reader, where next() finds it.
  static_cast<void>(redisReaderFeed(impl_->reader.get(), bytes.data(), bytes.size()));
}

Result<std::optional<Reply>> ReplyReader::next() {
  redisReader* reader = impl_->reader.get();
  void* root = nullptr;
  if (redisReaderGetReply(reader, &root) != REDIS_OK) {
    return fail(ErrorCode::kProtocol, "Redis answers with what cannot be read", reader->errstr);
  }
  if (root == nullptr) {
    if (reader->len - reader->pos <= impl_->limits.bytes_max) return std::nullopt;
    return fail(ErrorCode::kProtocol, "Redis answers with too much",
                fmt::format("more than {} bytes in one reply", impl_->limits.bytes_max));
  }
  const std::unique_ptr<Reply> whole(static_cast<Reply*>(root));
  impl_->builder = Builder(impl_->limits);
  return std::move(*whole);
}

}  // namespace pixmill::redis
