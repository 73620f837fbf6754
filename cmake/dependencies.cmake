# Third-party libraries. All are optional at configure time: core, backends and polder-bench build
# with a compiler and libc alone (a bare GPU machine), and each room says what it lacks without one.
find_package(PkgConfig QUIET)
find_package(Threads REQUIRED)

# pl_find(NAME pkg-config-module): PL_HAVE_<NAME> and target PkgConfig::<NAME>
macro(pl_find name module)
    set(PL_HAVE_${name} FALSE)
    if(PkgConfig_FOUND)
        pkg_check_modules(${name} QUIET IMPORTED_TARGET ${module})
        if(${name}_FOUND)
            set(PL_HAVE_${name} TRUE)
        endif()
    endif()
endmacro()

pl_find(JSONC json-c)
pl_find(PCRE2 libpcre2-8)
pl_find(UTF8PROC libutf8proc)
pl_find(OPENSSL openssl)
pl_find(CURL libcurl)
pl_find(CMOCKA cmocka)

foreach(lib JSONC PCRE2 UTF8PROC OPENSSL CURL)
    if(NOT PL_HAVE_${lib})
        message(STATUS "${lib} not found: what needs it is left out")
    endif()
endforeach()
