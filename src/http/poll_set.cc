#include "http/poll_set.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <cstdint>
#include <unordered_map>
#include <utility>

namespace pixmill::http {

namespace {

// Events taken from the kernel at once; what is beyond comes with the next turn of the loop, so that other work gets in
// between.
constexpr int kBatchEvents = 64;

struct Watch {
  std::uint32_t events = 0;
  // Tells a descriptor from a later one with the same number, for events that were already taken from the kernel.
  std::uint32_t generation = 0;
};

std::uint64_t pack(int descriptor, std::uint32_t generation) {
  return std::uint64_t{generation} << 32 | static_cast<std::uint32_t>(descriptor);
}

}  // namespace

struct PollSet::State : std::enable_shared_from_this<PollSet::State> {
  State(const Executor& executor, int epoll_descriptor, OnEvent each, OnBatchEnd end)
      : epoll(executor, epoll_descriptor), on_event(std::move(each)), on_batch_end(std::move(end)) {}

  // Waits while something is watched, and only then: an idle set keeps no loop running.
  void wait() {
    if (waiting || closed || watches.empty()) return;
    waiting = true;
    epoll.async_wait(asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       self->waiting = false;
                       if (!error && !self->closed) self->take_batch();
                       self->wait();
                     });
  }

  void take_batch() {
    std::array<epoll_event, kBatchEvents> ready{};
    const int count = ::epoll_wait(epoll.native_handle(), ready.data(), kBatchEvents, 0);
    for (int i = 0; i < count && !closed; ++i) {
      const epoll_event& event = ready[static_cast<std::size_t>(i)];
      const int descriptor = static_cast<int>(event.data.u64 & 0xffff'ffffU);
      const auto found = watches.find(descriptor);
      if (found == watches.end() || found->second.generation != event.data.u64 >> 32) continue;
      PollEvent said{.descriptor = descriptor,
                     .readable = (event.events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0,
                     .writable = (event.events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0};
      // A broken descriptor is reported for what was asked, so that whoever waits learns of it.
      said.readable = said.readable && (found->second.events & EPOLLIN) != 0;
      said.writable = said.writable && (found->second.events & EPOLLOUT) != 0;
      if (said.readable || said.writable) on_event(said);
    }
    if (!closed) on_batch_end();
  }

  asio::posix::stream_descriptor epoll;  // closes the epoll instance
  OnEvent on_event;
  OnBatchEnd on_batch_end;
  std::unordered_map<int, Watch> watches;
  std::uint32_t last_generation = 0;
  bool waiting = false;
  bool closed = false;
};

Result<std::unique_ptr<PollSet>> PollSet::create(Executor executor, OnEvent on_event, OnBatchEnd on_batch_end) {
  const int descriptor = ::epoll_create1(EPOLL_CLOEXEC);
  if (descriptor < 0) return std::unexpected(errno_error(errno, "Cannot make an epoll instance"));
  auto state = std::make_shared<State>(executor, descriptor, std::move(on_event), std::move(on_batch_end));
  return std::unique_ptr<PollSet>(new PollSet(std::move(state)));
}

PollSet::PollSet(std::shared_ptr<State> state) : state_(std::move(state)) {}

PollSet::~PollSet() {
  state_->closed = true;
  boost::system::error_code ignored;
  state_->epoll.close(ignored);
}

bool PollSet::watch(int descriptor, bool for_read, bool for_write) {
  const std::uint32_t wanted = (for_read ? std::uint32_t{EPOLLIN} : 0U) | (for_write ? std::uint32_t{EPOLLOUT} : 0U);
  const int epoll = state_->epoll.native_handle();
  const auto found = state_->watches.find(descriptor);
  if (wanted == 0) {
    if (found == state_->watches.end()) return true;
    state_->watches.erase(found);
    if (state_->watches.empty() && state_->waiting) {
      boost::system::error_code ignored;
      state_->epoll.cancel(ignored);
    }
    return ::epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, nullptr) == 0;
  }
  const bool is_new = found == state_->watches.end();
  if (!is_new && found->second.events == wanted) return true;
  Watch watch{.events = wanted, .generation = is_new ? ++state_->last_generation : found->second.generation};
  epoll_event event{};
  event.events = wanted;
  event.data.u64 = pack(descriptor, watch.generation);
  if (::epoll_ctl(epoll, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, descriptor, &event) != 0) return false;
  state_->watches[descriptor] = watch;
  state_->wait();
  return true;
}

}  // namespace pixmill::http
