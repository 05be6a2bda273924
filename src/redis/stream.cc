#include "redis/stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "redis/script.h"

namespace pixmill::redis {

namespace {

constexpr milliseconds kAnswerTime{2'000};  // beyond the time that Redis is asked to wait for

// Of each subject the hash holds the unread note's id and who added it, "*" once several have.
const Script& add_script() {
  static const Script script(R"lua(
local known = redis.call('HGET', KEYS[2], ARGV[1])
if known then
  local id, by = string.match(known, '^(%S+) (%S+)$')
  if id and #redis.call('XRANGE', KEYS[1], id, id, 'COUNT', 1) > 0 then
    if by ~= ARGV[2] then redis.call('HSET', KEYS[2], ARGV[1], id .. ' *') end
    return 0
  end
end
local id = redis.call('XADD', KEYS[1], '*', 'subject', ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], id .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[2], 86400000)
return 1
)lua");
  return script;
}

// From here on the subject may be added anew. Answers who had added it.
const Script& take_script() {
  static const Script script(R"lua(
local known = redis.call('HGET', KEYS[1], ARGV[1])
if not known then return '*' end
local id, by = string.match(known, '^(%S+) (%S+)$')
if id ~= ARGV[2] then return '*' end
redis.call('HDEL', KEYS[1], ARGV[1])
return by
)lua");
  return script;
}

const Script& settle_script() {
  static const Script script(R"lua(
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return redis.call('XDEL', KEYS[1], ARGV[2])
)lua");
  return script;
}

const Script& forget_script() {
  static const Script script(R"lua(
local gone = 0
for _, member in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local of = {}
  for at = 1, #member, 2 do of[member[at]] = member[at + 1] end
  if of.pending == 0 and of.idle > tonumber(ARGV[2]) and of.name ~= ARGV[3] then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], of.name)
    gone = gone + 1
  end
end
return gone
)lua");
  return script;
}

// An entry as XREADGROUP and XAUTOCLAIM show it: [id, [field, value, …]]. One that was deleted has no fields.
std::optional<Note> note_in(const Reply& entry) {
  if (entry.elements.size() != 2 || entry.elements[1].elements.size() < 2) return std::nullopt;
  const auto& fields = entry.elements[1].elements;
  for (std::size_t i = 0; i + 1 < fields.size(); i += 2) {
    if (fields[i].text == "subject") return Note{.id = entry.elements[0].text, .subject = fields[i + 1].text};
  }
  return std::nullopt;
}

// [[stream, [entry, …]]], or nil when the time was up.
std::optional<Note> first_note(const Reply& reply) {
  if (reply.elements.empty() || reply.elements[0].elements.size() != 2) return std::nullopt;
  const auto& entries = reply.elements[0].elements[1].elements;
  return entries.empty() ? std::nullopt : note_in(entries[0]);
}

bool is_group_missing(const Reply& reply) { return reply.is_error() && reply.refusal() == Refusal::kNoGroup; }

}  // namespace

Stream::Stream(std::shared_ptr<Connection> commands, std::shared_ptr<Connection> blocking, StreamOptions options)
    : commands_(std::move(commands)),
      blocking_(std::move(blocking)),
      options_(std::move(options)),
      stream_key_(fmt::format("{{{}:hints}}", options_.key_prefix)),
      unread_key_(fmt::format("{{{}:hints}}:unread", options_.key_prefix)) {}

Task<Result<void>> Stream::add(std::string subject) {
  std::vector<std::string> keys = {stream_key_, unread_key_};
  std::vector<std::string> arguments = {std::move(subject), options_.member};
  PIXMILL_CO_RETURN_IF_ERROR(co_await add_script().run(*commands_, std::move(keys), std::move(arguments)));
  co_return Result<void>();
}

Task<Result<void>> Stream::make_group() {
  // From the beginning, so that what was added before the first member came is read.
  Command command = {"XGROUP", "CREATE", stream_key_, options_.group, "0", "MKSTREAM"};
  PIXMILL_CO_TRY(const auto reply, co_await commands_->send(std::move(command)));
  if (reply.is_error() && reply.refusal() != Refusal::kBusyGroup) co_return std::unexpected(error_of(reply));
  co_return Result<void>();
}

Task<Result<std::optional<Note>>> Stream::next(milliseconds at_most) {
  for (int tries = 0; tries < 2; ++tries) {
    // BLOCK 0 would be for ever.
    Command command = {"XREADGROUP",
                       "GROUP",
                       options_.group,
                       options_.member,
                       "COUNT",
                       "1",
                       "BLOCK",
                       std::to_string(std::max<std::int64_t>(at_most.count(), 1)),
                       "STREAMS",
                       stream_key_,
                       ">"};
    PIXMILL_CO_TRY(const auto reply, co_await blocking_->send(std::move(command), at_most + kAnswerTime));
    if (is_group_missing(reply)) {
      PIXMILL_CO_RETURN_IF_ERROR(co_await make_group());
      continue;
    }
    if (reply.is_error()) co_return std::unexpected(error_of(reply));
    auto note = first_note(reply);
    if (!note) co_return std::nullopt;
    PIXMILL_CO_TRY(note, co_await take(std::move(*note)));
    co_return note;
  }
  co_return std::nullopt;
}

Task<Result<Note>> Stream::take(Note note) {
  std::vector<std::string> keys(1, unread_key_);
  std::vector<std::string> arguments = {note.subject, note.id};
  PIXMILL_CO_TRY(const auto by, co_await take_script().run(*commands_, std::move(keys), std::move(arguments)));
  note.is_own = by.text == options_.member;
  co_return note;
}

Task<Result<void>> Stream::settle(Note note) {
  std::vector<std::string> keys(1, stream_key_);
  std::vector<std::string> arguments = {options_.group, note.id};
  PIXMILL_CO_RETURN_IF_ERROR(co_await settle_script().run(*commands_, std::move(keys), std::move(arguments)));
  co_return Result<void>();
}

Task<Result<std::vector<Note>>> Stream::adopt(milliseconds idle, std::size_t count) {
  Command command = {"XAUTOCLAIM", stream_key_, options_.group,       options_.member, std::to_string(idle.count()),
                     "0-0",        "COUNT",     std::to_string(count)};
  PIXMILL_CO_TRY(const auto reply, co_await commands_->send(std::move(command)));
  std::vector<Note> notes;
  if (is_group_missing(reply)) co_return notes;
  if (reply.is_error()) co_return std::unexpected(error_of(reply));
  if (reply.elements.size() < 2) co_return fail(ErrorCode::kProtocol, "Redis answers with what cannot be read");
  for (const auto& entry : reply.elements[1].elements) {
    auto note = note_in(entry);
    if (!note) continue;
    PIXMILL_CO_TRY(auto taken, co_await take(std::move(*note)));
    taken.is_own = false;  // whoever added it has not dealt with it
    notes.push_back(std::move(taken));
  }
  co_return notes;
}

Task<Result<void>> Stream::forget_members(milliseconds idle) {
  std::vector<std::string> keys(1, stream_key_);
  std::vector<std::string> arguments = {options_.group, std::to_string(idle.count()), options_.member};
  PIXMILL_CO_RETURN_IF_ERROR(co_await forget_script().run(*commands_, std::move(keys), std::move(arguments)));
  co_return Result<void>();
}

Task<Result<void>> Stream::leave() {
  Command command = {"XGROUP", "DELCONSUMER", stream_key_, options_.group, options_.member};
  PIXMILL_CO_TRY(const auto reply, co_await commands_->send(std::move(command)));
  if (reply.is_error() && !is_group_missing(reply)) co_return std::unexpected(error_of(reply));
  co_return Result<void>();
}

}  // namespace pixmill::redis
