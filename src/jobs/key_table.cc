#include "jobs/key_table.h"

#include <utility>

#include "base/error.h"

namespace pixmill::jobs {

namespace {

constexpr std::size_t kFirstSlots = 16;

}  // namespace

// The top 8 bits of a key choose its shard; the bits below value_bits from the top are lost to the value, so the kept
// ones are the low 64 - value_bits, of which the lowest choose the slot.
KeyTable::KeyTable(int value_bits) : value_bits_(value_bits), value_mask_((std::uint64_t{1} << value_bits) - 1) {
  PIXMILL_CHECK(value_bits >= 1 && value_bits <= 32);
}

std::size_t KeyTable::position(const Shard& shard, std::uint64_t kept_bits) const {
  const std::size_t mask = shard.slots.size() - 1;
  std::size_t at = (kept_bits >> value_bits_) & mask;
  while (shard.slots[at] != 0 && (shard.slots[at] & ~value_mask_) != kept_bits) at = (at + 1) & mask;
  return at;
}

void KeyTable::grow(Shard& shard) {
  const auto before = std::exchange(shard.slots, {});
  shard.slots.assign(before.empty() ? kFirstSlots : before.size() * 2, 0);
  for (const auto slot : before) {
    if (slot != 0) shard.slots[position(shard, slot & ~value_mask_)] = slot;
  }
}

std::optional<std::uint64_t> KeyTable::find(std::uint64_t key) const {
  const auto& shard = shards_[key >> (64 - kShardBits)];
  if (shard.slots.empty()) return std::nullopt;
  const auto slot = shard.slots[position(shard, kept(key))];
  if (slot == 0) return std::nullopt;
  return slot & value_mask_;
}

bool KeyTable::insert(std::uint64_t key, std::uint64_t value) {
  PIXMILL_CHECK(value >= 1 && value <= value_mask_);
  auto& shard = shards_[key >> (64 - kShardBits)];
  if ((shard.used + 1) * 5 > shard.slots.size() * 4) grow(shard);
  auto& slot = shard.slots[position(shard, kept(key))];
  if (slot != 0) return false;
  slot = kept(key) | value;
  ++shard.used;
  ++size_;
  return true;
}

void KeyTable::set(std::uint64_t key, std::uint64_t value) {
  PIXMILL_CHECK(value >= 1 && value <= value_mask_);
  auto& shard = shards_[key >> (64 - kShardBits)];
  PIXMILL_CHECK(!shard.slots.empty());
  auto& slot = shard.slots[position(shard, kept(key))];
  PIXMILL_CHECK(slot != 0);
  slot = kept(key) | value;
}

std::uint64_t KeyTable::memory_bytes() const {
  std::uint64_t bytes = sizeof(*this);
  for (const auto& shard : shards_) bytes += shard.slots.size() * sizeof(std::uint64_t);
  return bytes;
}

}  // namespace pixmill::jobs
