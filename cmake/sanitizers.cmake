# Sanitizer and fuzzer flags for the whole build.
if(PIXMILL_SANITIZE)
  # Not vptr: it looks whether an object's memory is readable by writing it into a pipe, which the engines' sandbox denies, so that
  # every virtual call in an engine would be reported.
  add_compile_options(-O1 -fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()
if(PIXMILL_FUZZ)
  # clang 16 reads libstdc++ 12's <expected> only when it claims the concepts version of GCC 12.
  add_compile_options(-O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-sanitize=function
                      -D__cpp_concepts=202002L -Wno-macro-redefined)
  add_link_options(-fsanitize=address,undefined)
endif()
