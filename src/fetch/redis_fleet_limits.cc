#include <fmt/format.h>

#include <utility>
#include <vector>

#include "fetch/fleet_limits.h"
#include "fetch/host_pace.h"
#include "redis/script.h"

namespace pixmill::fetch {

namespace {

// One hash per host. Of each process ("m:<member>") it holds what it may have under way, what it wants, and until when
// that counts; "closed", "status" and "refusals" are everybody's. The time is Redis's own, for those of the processes
// may differ. The limit is dealt out one by one, beginning with another process every second, so that also more
// processes than places take turns. What a process still has under way counts until it is done with it, so a share
// that shrinks is given to another only then.
const redis::Script& agree_script() {
  static const redis::Script script(R"lua(
local me = ARGV[1]
local in_flight, wanted, limit = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local lasts, pause, status = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local closed, last_status, refusals = 0, 0, 0
local names, wants, held = {}, {}, 0
local fields = redis.call('HGETALL', KEYS[1])
for at = 1, #fields, 2 do
  local field, value = fields[at], fields[at + 1]
  if field == 'closed' then closed = tonumber(value)
  elseif field == 'status' then last_status = tonumber(value)
  elseif field == 'refusals' then refusals = tonumber(value)
  else
    local name = string.sub(field, 3)
    local holds, wishes, ends = string.match(value, '^(%d+) (%d+) (%d+)$')
    if tonumber(ends) <= now then redis.call('HDEL', KEYS[1], field)
    elseif name ~= me then
      names[#names + 1] = name
      wants[name] = tonumber(wishes)
      held = held + tonumber(holds)
    end
  end
end

if pause >= 0 then
  if closed <= now then refusals = refusals + 1 end
  closed = math.max(closed, now + pause)
  last_status = tonumber(status)
  redis.call('HSET', KEYS[1], 'closed', closed, 'status', last_status, 'refusals', refusals)
end

local share = 0
if wanted > 0 then
  names[#names + 1] = me
  wants[me] = wanted
  table.sort(names)
  local dealt, left, first = {}, limit, math.floor(now / 1000)
  repeat
    local given = false
    for at = 1, #names do
      local name = names[(first + at) % #names + 1]
      if left > 0 and (dealt[name] or 0) < wants[name] then
        dealt[name] = (dealt[name] or 0) + 1
        left = left - 1
        given = true
      end
    end
  until left == 0 or not given
  share = math.max(math.min(dealt[me] or 0, limit - held), 0)
end

if wanted == 0 and in_flight == 0 then
  redis.call('HDEL', KEYS[1], 'm:' .. me)
else
  redis.call('HSET', KEYS[1], 'm:' .. me, math.max(share, in_flight) .. ' ' .. wanted .. ' ' .. (now + lasts))
end
redis.call('PEXPIRE', KEYS[1], math.max(closed - now, 0) + 60000)
return {share, math.max(#names, 1), math.max(closed - now, 0), last_status, refusals}
)lua");
  return script;
}

class RedisFleetLimits final : public FleetLimits {
 public:
  RedisFleetLimits(std::shared_ptr<redis::Connection> connection, std::string key_prefix, std::string member)
      : connection_(std::move(connection)), key_prefix_(std::move(key_prefix)), member_(std::move(member)) {}

  Task<Result<HostShare>> agree(HostNeed need) override {
    const auto connection = connection_;
    const auto pause = need.refused ? std::min<milliseconds>(need.refused->pause, HostPace::kPauseMax).count() : -1;
    std::vector<std::string> keys(1, fmt::format("{{{}:host:{}}}", key_prefix_, need.origin));
    std::vector<std::string> arguments = {member_,
                                          std::to_string(need.in_flight),
                                          std::to_string(need.wanted),
                                          std::to_string(need.limit),
                                          std::to_string(kShareLasts.count()),
                                          std::to_string(pause),
                                          std::to_string(need.refused ? need.refused->http_status : 0)};
    PIXMILL_CO_TRY(const auto reply, co_await agree_script().run(*connection, std::move(keys), std::move(arguments)));
    const auto& values = reply.elements;
    if (values.size() != 5) co_return fail(ErrorCode::kProtocol, "Redis answers with what cannot be read");
    co_return HostShare{.requests = static_cast<std::uint32_t>(values[0].integer),
                        .processes = static_cast<std::uint32_t>(values[1].integer),
                        .closed_for = milliseconds(values[2].integer),
                        .refused_status = static_cast<int>(values[3].integer),
                        .refusals = static_cast<std::uint64_t>(values[4].integer)};
  }

 private:
  std::shared_ptr<redis::Connection> connection_;
  std::string key_prefix_;
  std::string member_;
};

}  // namespace

std::shared_ptr<FleetLimits> make_redis_fleet_limits(std::shared_ptr<redis::Connection> connection,
                                                     std::string key_prefix, std::string member) {
  return std::make_shared<RedisFleetLimits>(std::move(connection), std::move(key_prefix), std::move(member));
}

}  // namespace pixmill::fetch
