# Compiler options of every target: accelmesh_options is linked PUBLIC by each library of ours.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

set(ACCELMESH_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize takes them: address,undefined | thread | undefined")
option(ACCELMESH_FUZZ "Build the fuzzers (clang with libFuzzer)" OFF)
# Functions and lines are what a backtrace and a profile need; the types of every variable are a quarter of a build.
set(ACCELMESH_DEBUG_INFO "1" CACHE STRING "Debug information of RelWithDebInfo, as -g takes it: 2 for a debugger")
add_compile_options($<$<CONFIG:RelWithDebInfo>:-g${ACCELMESH_DEBUG_INFO}>)

find_program(ACCELMESH_CCACHE ccache)
if(ACCELMESH_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${ACCELMESH_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${ACCELMESH_CCACHE})
endif()

add_library(accelmesh_options INTERFACE)
target_include_directories(accelmesh_options INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
target_compile_options(accelmesh_options INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Werror
                       -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  target_compile_options(accelmesh_options INTERFACE -Wthread-safety)
endif()
if(ACCELMESH_SANITIZE)
  add_compile_options(-fsanitize=${ACCELMESH_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${ACCELMESH_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND ACCELMESH_SANITIZE MATCHES thread)
    # GCC warns that the sanitizer does not model fences. Only the software GPU has any: they order accesses of the
    # kernel it runs, which the sanitizer does not watch.
    add_compile_options(-Wno-tsan)
  endif()
endif()
# The shared runtime of a sanitizer that must be the first object of the process: a sanitized shim, preloaded, brings it
# too late. Empty if there is none.
set(ACCELMESH_SANITIZER_RUNTIME "")
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND ACCELMESH_SANITIZE MATCHES "address|thread")
  string(REGEX REPLACE ".*address.*" "libasan.so" sanitizer_runtime "${ACCELMESH_SANITIZE}")
  string(REGEX REPLACE ".*thread.*" "libtsan.so" sanitizer_runtime "${sanitizer_runtime}")
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=${sanitizer_runtime} OUTPUT_VARIABLE sanitizer_runtime
                  OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  get_filename_component(ACCELMESH_SANITIZER_RUNTIME ${sanitizer_runtime} REALPATH)
endif()
if(ACCELMESH_FUZZ)
  # Coverage for all code of ours; only the fuzzers themselves link libFuzzer's main (accelmesh_fuzzer).
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()
find_package(Threads REQUIRED)
target_link_libraries(accelmesh_options INTERFACE Threads::Threads)
