# The one place where compiler options live: every target links pl_flags.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

find_program(PL_CCACHE ccache)
if(PL_CCACHE AND PL_DEV)
    set(CMAKE_C_COMPILER_LAUNCHER "${PL_CCACHE}")
endif()

add_library(pl_flags INTERFACE)
target_compile_definitions(pl_flags INTERFACE _GNU_SOURCE)
target_compile_options(pl_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wcast-qual -Wcast-align
    -Wformat=2 -Wundef -Wvla -Wpointer-arith -Wwrite-strings -Wstrict-prototypes
    -Wold-style-definition -Wmissing-prototypes -Wdouble-promotion -Wnull-dereference
    -Wimplicit-fallthrough -Wswitch-enum
    -Werror=implicit-function-declaration -Werror=incompatible-pointer-types
    -Werror=int-conversion -Werror=return-type
    -fno-common -fno-strict-overflow -fstack-protector-strong -fstack-clash-protection
    -ffp-contract=off) # the compiler fuses no multiply-add by itself: results equal across builds
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    target_compile_options(pl_flags INTERFACE
        -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wjump-misses-init)
elseif(CMAKE_C_COMPILER_ID MATCHES "Clang")
    target_compile_options(pl_flags INTERFACE
        -Wthread-safety -Wassign-enum -Wcomma -Wunreachable-code)
endif()
if(PL_DEV)
    target_compile_options(pl_flags INTERFACE -Werror)
endif()

if(PL_SANITIZE)
    target_compile_options(pl_flags INTERFACE
        -fsanitize=${PL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(pl_flags INTERFACE -fsanitize=${PL_SANITIZE})
    # With sanitizers on GCC sees phantom NULL paths in instrumented code.
    target_compile_options(pl_flags INTERFACE -Wno-null-dereference)
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    target_compile_options(pl_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
if(PL_FUZZ) # the rooms under test report coverage; the fuzzer itself is linked by pl_fuzz
    target_compile_options(pl_flags INTERFACE -fsanitize=fuzzer-no-link)
    target_link_options(pl_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
target_link_options(pl_flags INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
