// A set of 64-bit keys with a small value each, in 8 bytes per slot: what ingest remembers of a million URLs and names
// (about 17 MB per million). Random inserts into an index of the database would cost a page of the log per row instead.
//
// The key is spread over 256 shards that grow one at a time, so that growing never stops the caller for long; within a
// shard 64 - value_bits bits of it are kept. Two different keys are taken for one with a probability of 2^-(72 -
// value_bits). Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace pixmill::jobs {

class KeyTable {
 public:
  // Values are from 1 to 2^value_bits - 1; 1 <= value_bits <= 32.
  explicit KeyTable(int value_bits);

  [[nodiscard]] std::optional<std::uint64_t> find(std::uint64_t key) const;
  // False when the key is there, whose value stays.
  bool insert(std::uint64_t key, std::uint64_t value);
  // Of a key that is there.
  void set(std::uint64_t key, std::uint64_t value);
  [[nodiscard]] std::uint64_t value_max() const { return value_mask_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] std::uint64_t memory_bytes() const;

 private:
  struct Shard {
    std::vector<std::uint64_t> slots;  // kept bits of the key above the value; 0 is empty; a power of two, or none
    std::uint64_t used = 0;
  };
  static constexpr int kShardBits = 8;

  [[nodiscard]] std::uint64_t kept(std::uint64_t key) const { return key << value_bits_; }
  // The slot that holds the key, or the empty one where it belongs.
  [[nodiscard]] std::size_t position(const Shard& shard, std::uint64_t kept_bits) const;
  void grow(Shard& shard);

  int value_bits_;
  std::uint64_t value_mask_;
  std::uint64_t size_ = 0;
  std::array<Shard, 1u << kShardBits> shards_;
};

}  // namespace pixmill::jobs
