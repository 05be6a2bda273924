// Bytes read from a connection and not yet used: the end of a header read in one go is the beginning of a body, and the
// end of a body that of the next request. Memory is what room() was last asked for.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace pixmill::http {

class InputBuffer {
 public:
  [[nodiscard]] std::string_view view() const { return {data_.get() + begin_, end_ - begin_}; }
  [[nodiscard]] bool empty() const { return begin_ == end_; }

  void consume(std::size_t bytes) {
    begin_ += bytes;
    if (begin_ == end_) begin_ = end_ = 0;
  }

  // Free room behind view(), which moves to the front; `capacity` is of the whole and more than view() holds. Views
  // become stale.
  [[nodiscard]] std::span<char> room(std::size_t capacity) {
    const std::size_t used = end_ - begin_;
    if (capacity > capacity_) {
      auto larger = std::make_unique_for_overwrite<char[]>(capacity);
      std::copy_n(data_.get() + begin_, used, larger.get());
      data_ = std::move(larger);
      capacity_ = capacity;
    } else if (begin_ > 0) {
      std::copy(data_.get() + begin_, data_.get() + end_, data_.get());
    }
    begin_ = 0;
    end_ = used;
    return {data_.get() + end_, capacity - end_};
  }
  void added(std::size_t bytes) { end_ += bytes; }

  // Lets go of a large buffer between requests.
  void shrink_to(std::size_t capacity) {
    if (capacity_ <= capacity || end_ - begin_ >= capacity) return;
    InputBuffer smaller;
    const auto room = smaller.room(capacity);
    std::copy_n(data_.get() + begin_, end_ - begin_, room.data());
    smaller.added(end_ - begin_);
    *this = std::move(smaller);
  }

 private:
  std::unique_ptr<char[]> data_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace pixmill::http
