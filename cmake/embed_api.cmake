# pixmill_embed_api(TARGET target): docs/openapi.yaml as JSON and as a page, so that one binary carries its description. Generates
# api_description.h for TARGET's sources; made anew when the document or the script has changed. The target api_description makes
# nothing else, for tools that read sources without building them.
function(pixmill_embed_api)
  cmake_parse_arguments(E "" "TARGET" "" ${ARGN})
  set(source "${CMAKE_SOURCE_DIR}/docs/openapi.yaml")
  set(script "${CMAKE_SOURCE_DIR}/cmake/embed_api.py")
  set(header "${CMAKE_BINARY_DIR}/generated/api_description.h")
  if(NOT EXISTS "${source}")
    message(FATAL_ERROR "${source} is not there")
  endif()
  add_custom_command(OUTPUT "${header}"
    COMMAND /usr/bin/python3 "${script}" "${source}" "${header}"
    DEPENDS "${source}" "${script}"
    COMMENT "Describing the API"
    VERBATIM)
  add_custom_target(api_description DEPENDS "${header}")
  add_dependencies(${E_TARGET} api_description)
  target_sources(${E_TARGET} PRIVATE "${header}")
  target_include_directories(${E_TARGET} PRIVATE "${CMAKE_BINARY_DIR}/generated")
endfunction()
