// The segments of a JPEG file, appended to it one by one (ITU T.81 annex B). For write_file.h.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "image/jpeg/coded_picture.h"
#include "image/jpeg/huffman_code.h"
#include "image/jpeg/token.h"
#include "image/jpeg/write_file.h"

namespace pixmill::image::jpeg {

enum class Process : std::uint8_t { kSequential, kProgressive };

// From the beginning of the file to its frame.
void put_head(std::string& out, const CodedPicture& picture, const FileHead& head, Process process);

// Makes a code for every set of symbols that is used, writes it, and returns it at its number.
[[nodiscard]] std::array<HuffmanCode, kCodeCount> put_codes(std::string& out, const Frequencies& frequencies);

// Zigzag positions first to last.
struct Band {
  unsigned first = 0;
  unsigned last = 0;
};

// The head of a scan of all components with the codes of their channels.
void put_interleaved_scan(std::string& out, const CodedPicture& picture, Band band);
// The same for one component's AC coefficients.
void put_component_scan(std::string& out, unsigned component, Band band);

void put_end(std::string& out);

}  // namespace pixmill::image::jpeg
