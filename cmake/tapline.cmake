# What every target shares, and the function that makes a module: one folder, one static library.
#
#   tapline_module(sink SOURCES *.c DEPENDS tl_base PkgConfig::uring)   ->  library tl_sink
#
# A module sees engine/include, bpf/ (for tl_abi.h) where it says so, and its own folder: nothing
# else. That is how CMake enforces "who may include whom" (docs/architecture.md).

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
foreach(lib libbpf libxdp liburing libpcap libcrypto libzstd liblz4 zlib libcap-ng yajl jansson)
  string(REPLACE "lib" "" name ${lib})
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${lib})
endforeach()
find_library(NUMA_LIBRARY numa REQUIRED)

add_library(tapline_flags INTERFACE)
target_compile_options(tapline_flags INTERFACE
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -fno-strict-aliasing
  -fstack-protector-strong $<$<CONFIG:Release,RelWithDebInfo>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>)
target_compile_definitions(tapline_flags INTERFACE _GNU_SOURCE TAPLINE_VERSION="${PROJECT_VERSION}")
if(TAPLINE_WERROR)
  target_compile_options(tapline_flags INTERFACE -Werror)
endif()
if(TAPLINE_SANITIZE)
  target_compile_options(tapline_flags INTERFACE -fsanitize=${TAPLINE_SANITIZE}
    -fno-omit-frame-pointer -g)
  target_link_options(tapline_flags INTERFACE -fsanitize=${TAPLINE_SANITIZE})
endif()
target_link_options(tapline_flags INTERFACE -Wl,-z,relro,-z,now)

# Everything that sees the public headers.
add_library(tl_base INTERFACE)
target_include_directories(tl_base INTERFACE ${CMAKE_SOURCE_DIR}/engine/include)
target_link_libraries(tl_base INTERFACE tapline_flags)

function(tapline_module name)
  cmake_parse_arguments(ARG "CONVERSION" "" "DEPENDS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  if(NOT sources)
    add_library(tl_${name} INTERFACE)
    return()
  endif()
  add_library(tl_${name} STATIC ${sources})
  target_include_directories(tl_${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(tl_${name} PUBLIC tl_base ${ARG_DEPENDS})
  if(ARG_CONVERSION)
    target_compile_options(tl_${name} PRIVATE -Wconversion -Wno-sign-conversion)
  endif()
endfunction()
