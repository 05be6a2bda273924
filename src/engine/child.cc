#include "engine/child.h"

#include <fmt/format.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <optional>
#include <type_traits>

#include "base/error.h"
#include "base/text.h"
#include "engine/child_main.h"
#include "engine/mark_shelf.h"
#include "engine/probe.h"
#include "engine/protocol.h"
#include "engine/sandbox.h"
#include "engine/shared_area.h"
#include "image/recipe.h"
#include "image/render.h"
#include "image/vips_runtime.h"

namespace pixmill::engine {

namespace {

constexpr int kExitBroken = 70;  // sysexits.h: EX_SOFTWARE
// What a JPEG of 12 megapixels needs and frees again.
constexpr std::size_t kHeapKept = 64U << 20;

struct ChildOptions {
  pid_t parent = 0;
  std::uint64_t memory_bytes_max = 0;
};

Result<ChildOptions> parse_arguments(const std::vector<std::string>& arguments) {
  ChildOptions options;
  for (const std::string_view argument : arguments) {
    constexpr std::string_view kParent = "--parent=";
    constexpr std::string_view kMemory = "--memory=";
    if (argument.starts_with(kParent)) {
      options.parent = static_cast<pid_t>(parse_integer(argument.substr(kParent.size())).value_or(0));
    } else if (argument.starts_with(kMemory)) {
      options.memory_bytes_max = static_cast<std::uint64_t>(parse_integer(argument.substr(kMemory.size())).value_or(0));
    }
  }
  if (options.parent <= 0 || options.memory_bytes_max == 0) {
    return fail(ErrorCode::kInvalidArgument, "an engine is started by pixmill itself, not by hand");
  }
  return options;
}

// One picture at a time needs one arena, and its large buffers are wanted again for the next picture: giving them back
// to the kernel each time costs a page fault per 4 kB (1 ms of 10 at 1600×1200).
void tune_memory() {
  constexpr int kMegabyte = 1 << 20;
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_MMAP_THRESHOLD, 32 * kMegabyte);
  mallopt(M_TRIM_THRESHOLD, 64 * kMegabyte);
  mallopt(M_TOP_PAD, kMegabyte);
  // Stacks count as memory too.
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) == 0) {
    pthread_attr_setstacksize(&attributes, 2 * kMegabyte);
    pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
  }
}

class Child {
 public:
  Child(const ChildOptions& options, const ChildHooks& hooks, SharedArea input, SharedArea output)
      : options_(options), hooks_(hooks), input_(std::move(input)), output_(std::move(output)) {}

  // Until the parent closes the socket. Returns the exit code.
  int serve() {
    std::string packet(kPacketBytesMax, '\0');
    while (true) {
      const ssize_t received = recv(kSocketDescriptor, packet.data(), packet.size(), 0);
      if (received < 0 && errno == EINTR) continue;
      if (received <= 0) return received == 0 ? 0 : kExitBroken;
      const auto request = decode_request({packet.data(), static_cast<std::size_t>(received)}, input_.size());
      if (!request) return kExitBroken;
      if (!send_packet(answer(*request))) return kExitBroken;
      image::release_memory_above(kHeapKept);
    }
  }

  static bool send_packet(const std::string& packet) {
    return send(kSocketDescriptor, packet.data(), packet.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(packet.size());
  }

 private:
  std::string answer(const Request& request) {
    if (std::holds_alternative<ProbeRequest>(request)) return encode(Answer(probe_sandbox(options_.parent)));
    if (const auto* mark = std::get_if<MarkRequest>(&request)) return encode(keep_mark(*mark));
    const auto& render = std::get<RenderRequest>(request);
    const std::string_view source(input_.bytes().data(), static_cast<std::size_t>(render.source_bytes));
    if (hooks_.on_picture) {
      if (auto packet = hooks_.on_picture(source)) return *packet;
    }
    if (hooks_.stand_in) {
      if (const auto rendered = hooks_.stand_in(source)) return encode(hand_over(*rendered));
    }
    const auto marks = marks_.marks_for(render.marks);
    if (!marks) return encode(Answer(MarksWantedAnswer{}));
    auto rendered = render_with_marks(source, *marks, render);
    marks_.tidy();
    if (!rendered) return encode(Answer(FailedAnswer{std::move(rendered.error())}));
    return encode(hand_over(*rendered));
  }

  Answer keep_mark(const MarkRequest& request) {
    const std::string_view file(input_.bytes().data(), static_cast<std::size_t>(request.bytes));
    if (hooks_.on_mark) hooks_.on_mark(file);
    auto kept = safely("it", [&] { return marks_.add(request.sha256, file, request.limits); });
    if (kept) return MarkKeptAnswer{};
    marks_.tidy();  // no picture follows
    return FailedAnswer{std::move(kept.error())};
  }

  static Result<image::Rendered> render_with_marks(std::string_view source, const image::Marks& marks,
                                                   const RenderRequest& request) {
    auto rendered = safely("the picture", [&] { return render(source, request, marks, request.measure); });
    const bool measured = request.measure == image::Measure::kYes;
    if (!rendered && measured && rendered.error().code == ErrorCode::kTooLarge) {
      // Measuring takes memory that the picture alone might do without.
      rendered = safely("the picture", [&] { return render(source, request, marks, image::Measure::kNo); });
      if (rendered) {
        for (auto& rendition : rendered->renditions) rendition.scored = image::Scored::kTooLarge;
      }
    }
    return rendered;
  }

  static Result<image::Rendered> render(std::string_view source, const RenderRequest& request,
                                        const image::Marks& marks, image::Measure measure) {
    PIXMILL_TRY(const image::Recipe recipe, image::parse_recipe(request.recipe, kPacketBytesMax));
    return image::render(source, recipe, request.limits, marks, measure);
  }

  // The libraries below do not throw, but memory ends, and the standard library says so by an exception.
  template <class Function>
  static std::invoke_result_t<Function> safely(std::string_view what, const Function& function) {
    try {
      return function();
    } catch (const std::bad_alloc&) {
      return fail(ErrorCode::kTooLarge, fmt::format("{} needs more memory than an engine may use", what));
    } catch (const std::exception& thrown) {
      return fail(ErrorCode::kInternal, fmt::format("the engine failed on {}", what), thrown.what());
    }
  }

  // Puts the outputs into the shared area, one after another.
  Answer hand_over(const image::Rendered& rendered) {
    RenderedAnswer answer{.source = rendered.source, .renditions = {}, .times = rendered.times};
    std::size_t used = 0;
    for (const auto& rendition : rendered.renditions) {
      if (rendition.bytes.size() > output_.size() - used) {
        return FailedAnswer{Error{.code = ErrorCode::kTooLarge,
                                  .message = fmt::format("the result is above {}; choose a smaller size or quality",
                                                         format_bytes(output_.size())),
                                  .detail = {}}};
      }
      std::memcpy(output_.bytes().data() + used, rendition.bytes.data(), rendition.bytes.size());
      used += rendition.bytes.size();
      answer.renditions.push_back({.format = rendition.format,
                                   .width_px = rendition.width_px,
                                   .height_px = rendition.height_px,
                                   .quality = static_cast<std::uint8_t>(rendition.quality),
                                   .source_kept = rendition.source_kept,
                                   .first_frame = rendition.first_frame,
                                   .fitted = rendition.fitted,
                                   .bytes = rendition.bytes.size(),
                                   .scored = rendition.scored,
                                   .score = rendition.score});
    }
    return answer;
  }

  ChildOptions options_;
  const ChildHooks& hooks_;
  SharedArea input_;
  SharedArea output_;
  MarkShelf marks_;
};

// Everything that needs the file system comes before the sandbox closes, and nothing that starts a thread.
Result<int> run(const std::vector<std::string>& arguments, const ChildHooks& hooks) {
  PIXMILL_TRY(const ChildOptions options, parse_arguments(arguments));
  PIXMILL_RETURN_IF_ERROR(tie_to_parent(options.parent));
  close_descriptors_from(kFirstUnusedDescriptor);
  tune_memory();
  PIXMILL_TRY(SharedArea input, SharedArea::map(UniqueFd(kInputDescriptor), SharedArea::Access::kRead));
  PIXMILL_TRY(SharedArea output, SharedArea::map(UniqueFd(kOutputDescriptor), SharedArea::Access::kReadWrite));
  PIXMILL_RETURN_IF_ERROR(image::start_vips());
  PIXMILL_TRY(const SandboxState sandbox, lock_down(options.memory_bytes_max));

  const ReadyAnswer ready{.seccomp = true, .landlock_abi = static_cast<std::uint32_t>(sandbox.landlock_abi)};
  if (!Child::send_packet(encode(Answer(ready)))) return kExitBroken;
  return Child(options, hooks, std::move(input), std::move(output)).serve();
}

}  // namespace

int run_child_with_hooks(const std::vector<std::string>& arguments, const ChildHooks& hooks) {
  if (hooks.at_start) hooks.at_start(arguments);
  const auto code = run(arguments, hooks);
  if (!code) {
    const std::string line =
        code.error().message + (code.error().detail.empty() ? "" : ": " + code.error().detail) + "\n";
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
  }
  // Without destructors and exit handlers: libraries' clean-up wants things that the sandbox denies, and the kernel
  // frees all.
  _exit(code.value_or(kExitBroken));
}

int run_child(const std::vector<std::string>& arguments) { return run_child_with_hooks(arguments, ChildHooks{}); }

}  // namespace pixmill::engine
