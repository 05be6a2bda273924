// Keys that signing, percent-encoding, XML and file systems like to get wrong; all of them are valid for every store.
#pragma once

#include <string>
#include <vector>

namespace pixmill::testing {

inline std::vector<std::string> awkward_keys() {
  std::vector<std::string> keys = {
      "plain.jpg",
      "dir/sub/file.jpg",
      "with space.jpg",
      " leading space.jpg",
      "trailing space ",
      "two  spaces.jpg",
      "plus+plus.jpg",
      "a+b c%20d.jpg",
      "%",
      "%2",
      "%zz.jpg",
      "100%.jpg",
      "pct%41.jpg",
      "pct%2fslash.jpg",
      "pct%252F.jpg",
      "%00.jpg",
      "%F0%9F.jpg",
      "amp&eq=1.jpg",
      "a=b=c",
      "=leading",
      "&leading",
      "?x.jpg",
      "q?x=1&y=2.jpg",
      "hash#1.jpg",
      "#",
      "~",
      "tilde~ok.jpg",
      "~user/file",
      "paren(1)!*'.jpg",
      "'quoted'.jpg",
      "\"double\".jpg",
      "<tag>.jpg",
      "&amp;&lt;.jpg",
      "]]>.jpg",
      "colon:at@.jpg",
      "https:/example.jpg",
      "comma,semi;.jpg",
      ";leading",
      "dollar$.jpg",
      "br[1]{2}.jpg",
      "pipe|caret^tick`.jpg",
      "back\\slash.jpg",
      "dot.",
      "dots...",
      "trailing./file",
      ".hidden",
      "..hidden",
      "a..b/c...d",
      "...",
      "-",
      "_",
      "-dash-first",
      "--",
      "*",
      "!",
      "@",
      "(",
      ")",
      ",",
      "+",
      " ",
      "UPPER/lower/MiXeD.JPG",
      "SKU1.JPG",
      "sku1.jpg",
      "0",
      "00012",
      "null",
      "undefined",
      "nan",
      "uploads",
      "acl",
      "list-type=2",
      "x-amz-meta-a",
      "X-Amz-Signature=1",
      "index.html",
      "favicon.ico",
      "caf\xc3\xa9.jpg",
      "cafe\xcc\x81.jpg",  // the same to the eye, another key
      "uml\xc3\xa4\xe2\x82\xac.jpg",
      "\xe6\x97\xa5\xe6\x9c\xac/\xf0\x9f\x98\x80.png",
      "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x94\xac.webp",
      "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d/\xd8\xb3\xd9\x84\xd8\xa7\xd9\x85.jpg",
      "nbsp\xc2\xa0here.jpg",
      "wide\xe3\x80\x80space.jpg",
      "zero\xe2\x80\x8bwidth.jpg",
      "bom\xef\xbb\xbf.jpg",
      "line\xe2\x80\xa8separator.jpg",
      "\xef\xbf\xbd.jpg",
      "\xc3\x9f.jpg",
      "tab\there.jpg",
      "deep/1/2/3/4/5/6/7/8/9/10/11/12/file.jpg",
  };
  keys.push_back(std::string(250, 'l'));
  keys.push_back(std::string(125, 'l') + "/" + std::string(60, '+') + "/" + std::string(60, ' ') + "x");
  std::string umlauts;
  for (int i = 0; i < 100; ++i) umlauts += "\xc3\xbc";
  keys.push_back(umlauts + "/" + umlauts + "/" + umlauts);
  std::string longest;
  while (longest.size() < 1'000) longest += "segment of it/";
  keys.push_back(longest.substr(0, 970) + "/end");  // stores that have a prefix need room for it
  return keys;
}

}  // namespace pixmill::testing
