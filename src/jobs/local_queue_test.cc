#include "tests/conformance/queue_suite.h"

PIXMILL_INSTANTIATE_QUEUE_SUITE(Embedded, (pixmill::conformance::QueueFactory{
                                              .name = "Local", .make = [](pixmill::asio::io_context& io) {
                                                return pixmill::jobs::make_local_queue(io.get_executor());
                                              }}))
