// Memory that grows at its end and is never cleared: millions of small records are written once and read once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>

namespace pixmill::image::jpeg {

template <class T>
class GrowingArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  explicit GrowingArray(std::size_t capacity)
      : elements_(std::make_unique_for_overwrite<T[]>(capacity)), capacity_(capacity) {}

  // Room for `count` more elements at the end; valid until the next call. They belong to the array once commit() is
  // told where writing stopped. Throws std::bad_alloc.
  [[nodiscard]] T* tail(std::size_t count) {
    if (capacity_ - size_ < count) grow(count);
    return elements_.get() + size_;
  }
  void commit(const T* end) { size_ = static_cast<std::size_t>(end - elements_.get()); }
  void clear() { size_ = 0; }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] const T* data() const { return elements_.get(); }
  [[nodiscard]] std::span<const T> elements() const { return {elements_.get(), size_}; }

 private:
  void grow(std::size_t count) {
    const std::size_t capacity = std::max(size_ + count, capacity_ * 2);
    auto elements = std::make_unique_for_overwrite<T[]>(capacity);
    std::copy_n(elements_.get(), size_, elements.get());
    elements_ = std::move(elements);
    capacity_ = capacity;
  }

  std::unique_ptr<T[]> elements_;
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
};

}  // namespace pixmill::image::jpeg
