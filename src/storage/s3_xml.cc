#include "storage/s3_xml.h"

#include <expat.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <type_traits>

#include "base/text.h"

namespace pixmill::storage {

namespace {

constexpr std::size_t kDepthMax = 8;
constexpr std::size_t kElementsMax = 20'000;  // a page of 1,000 keys has about 7,000
constexpr std::size_t kTextBytesMax = 16u << 20;

struct Element {
  std::string name;  // without its prefix
  std::string text;
  std::vector<Element> children;

  [[nodiscard]] std::string_view text_of(std::string_view child) const {
    const auto found = std::ranges::find(children, child, &Element::name);
    return found == children.end() ? std::string_view() : std::string_view(found->text);
  }
};

struct ParserDeleter {
  void operator()(XML_Parser parser) const { XML_ParserFree(parser); }
};
using Parser = std::unique_ptr<std::remove_pointer_t<XML_Parser>, ParserDeleter>;

// Puts the tree together while expat reads.
struct Builder {
  XML_Parser parser = nullptr;
  Element root;                // its one child is the document
  std::vector<Element*> open;  // from the root to the element being read
  std::size_t elements = 0;

  void stop() const { XML_StopParser(parser, XML_FALSE); }

  static void on_start(void* self, const XML_Char* name, const XML_Char** /*attributes*/) {
    auto& builder = *static_cast<Builder*>(self);
    if (++builder.elements > kElementsMax || builder.open.size() > kDepthMax) return builder.stop();
    const std::string_view full(name);
    const auto colon = full.rfind(':');
    Element& parent = *builder.open.back();
    parent.children.push_back({.name = std::string(colon == std::string_view::npos ? full : full.substr(colon + 1)),
                               .text = {},
                               .children = {}});
    builder.open.push_back(&parent.children.back());
  }
  static void on_end(void* self, const XML_Char* /*name*/) { static_cast<Builder*>(self)->open.pop_back(); }
  static void on_text(void* self, const XML_Char* text, int length) {
    static_cast<Builder*>(self)->open.back()->text.append(text, static_cast<std::size_t>(length));
  }
  static void on_doctype(void* self, const XML_Char*, const XML_Char*, const XML_Char*, int) {
    static_cast<Builder*>(self)->stop();
  }
};

std::optional<Element> parse(std::string_view text) {
  // A server that takes its time sends blanks meanwhile, which must not stand before an XML declaration.
  text = trim(text);
  if (text.size() > kTextBytesMax) return std::nullopt;
  const Parser parser(XML_ParserCreate("UTF-8"));
  if (!parser) return std::nullopt;
  Builder builder;
  builder.parser = parser.get();
  builder.open.push_back(&builder.root);
  XML_SetUserData(parser.get(), &builder);
  XML_SetElementHandler(parser.get(), &Builder::on_start, &Builder::on_end);
  XML_SetCharacterDataHandler(parser.get(), &Builder::on_text);
  XML_SetStartDoctypeDeclHandler(parser.get(), &Builder::on_doctype);
  if (XML_Parse(parser.get(), text.data(), static_cast<int>(text.size()), XML_TRUE) != XML_STATUS_OK) {
    return std::nullopt;
  }
  if (builder.root.children.size() != 1) return std::nullopt;
  return std::move(builder.root.children.front());
}

std::unexpected<Error> unreadable(std::string_view what) {
  return fail(ErrorCode::kProtocol, fmt::format("The S3 server's {} cannot be read", what));
}

std::string without_quotes(std::string_view etag) {
  if (etag.size() >= 2 && etag.starts_with('"') && etag.ends_with('"')) etag = etag.substr(1, etag.size() - 2);
  return std::string(etag);
}

// With encoding-type=url a key is encoded as a form's value is: '+' is a space.
std::optional<std::string> decode_key(std::string text, bool is_encoded) {
  if (!is_encoded) return text;
  std::ranges::replace(text, '+', ' ');
  return percent_decode(text);
}

std::string xml_escape(std::string_view text) { return html_escape(text); }

}  // namespace

std::optional<S3ErrorText> parse_s3_error(std::string_view text) {
  // Most good answers are no XML at all, or not an error's.
  if (text.find("Error") == std::string_view::npos) return std::nullopt;
  const auto document = parse(text);
  if (!document || document->name != "Error") return std::nullopt;
  return S3ErrorText{.code = std::string(document->text_of("Code")),
                     .message = replace_invalid_utf8(document->text_of("Message")),
                     .region = std::string(document->text_of("Region"))};
}

Result<S3ListPage> parse_list_page(std::string_view text) {
  const auto document = parse(text);
  if (!document || document->name != "ListBucketResult") return unreadable("listing");
  const bool is_encoded = equals_ignoring_case(document->text_of("EncodingType"), "url");
  S3ListPage page;
  for (const auto& child : document->children) {
    if (child.name != "Contents") continue;
    auto key = decode_key(std::string(child.text_of("Key")), is_encoded);
    const auto bytes = parse_integer(child.text_of("Size"));
    if (!key || key->empty() || !bytes || *bytes < 0) return unreadable("listing");
    page.blobs.push_back({.key = std::move(*key), .bytes = static_cast<std::uint64_t>(*bytes)});
  }
  if (document->text_of("IsTruncated") != "true") return page;
  page.continuation_token = std::string(document->text_of("NextContinuationToken"));
  if (page.continuation_token.empty()) return unreadable("listing");
  return page;
}

Result<std::string> parse_upload_id(std::string_view text) {
  const auto document = parse(text);
  if (!document || document->name != "InitiateMultipartUploadResult" || document->text_of("UploadId").empty()) {
    return unreadable("answer about a new upload");
  }
  return std::string(document->text_of("UploadId"));
}

Result<std::string> parse_result_etag(std::string_view text) {
  const auto document = parse(text);
  const bool is_result = document && (document->name == "CopyObjectResult" || document->name == "CopyPartResult" ||
                                      document->name == "CompleteMultipartUploadResult");
  if (!is_result || document->text_of("ETag").empty()) return unreadable("answer about what it stored");
  return without_quotes(document->text_of("ETag"));
}

std::string complete_upload_xml(const std::vector<UploadedPart>& parts) {
  std::string text = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  for (const auto& part : parts) {
    text += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", part.number, xml_escape(part.etag));
  }
  return text + "</CompleteMultipartUpload>";
}

}  // namespace pixmill::storage
