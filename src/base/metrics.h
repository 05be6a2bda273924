// Counters, gauges and histograms for /metrics (Prometheus text format 0.0.4). One Metrics per process, handed to those
// who count. Looking a handle up takes a lock and happens once, at construction; using a handle is lock-free.
// Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace pixmill {

using MetricLabels = std::map<std::string, std::string>;

// Handles are cheap to copy and valid as long as their Metrics. A default-constructed handle counts nothing.
class Counter {
 public:
  Counter() = default;
  void add(double amount = 1) const;
  [[nodiscard]] double value() const;

 private:
  friend class Metrics;
  explicit Counter(void* impl) : impl_(impl) {}
  void* impl_ = nullptr;
};

class Gauge {
 public:
  Gauge() = default;
  void set(double value) const;
  [[nodiscard]] double value() const;

 private:
  friend class Metrics;
  explicit Gauge(void* impl) : impl_(impl) {}
  void* impl_ = nullptr;
};

class Histogram {
 public:
  Histogram() = default;
  void observe(double value) const;

 private:
  friend class Metrics;
  explicit Histogram(void* impl) : impl_(impl) {}
  void* impl_ = nullptr;
};

class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // Names are pixmill_<what>_<unit>; counters end in _total. The same name and labels give the same handle.
  [[nodiscard]] Counter counter(const std::string& name, const std::string& help, const MetricLabels& labels = {});
  [[nodiscard]] Gauge gauge(const std::string& name, const std::string& help, const MetricLabels& labels = {});
  // `bounds` are the upper bounds of the buckets, ascending.
  [[nodiscard]] Histogram histogram(const std::string& name, const std::string& help, const std::vector<double>& bounds,
                                    const MetricLabels& labels = {});

  [[nodiscard]] std::string expose() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pixmill
