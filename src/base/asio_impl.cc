// Asio's non-template code, compiled once (BOOST_ASIO_SEPARATE_COMPILATION): saves about half a second in every other
// file.
#include <boost/asio/impl/src.hpp>
