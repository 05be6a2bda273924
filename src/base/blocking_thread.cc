#include "base/blocking_thread.h"

#include <pthread.h>

namespace pixmill {

BlockingThread::BlockingThread(const std::string& name) : pool_(1) {
  asio::post(pool_, [short_name = name.substr(0, 15)] { pthread_setname_np(pthread_self(), short_name.c_str()); });
}

BlockingThread::~BlockingThread() { pool_.join(); }

}  // namespace pixmill
