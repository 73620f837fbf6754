# pl_test(NAME SOURCES ... DEPS rooms ... LIBS ... LABEL unit|kernel|abi|integ|fuzz [ARGS ...]
#         [TIMEOUT s] [ENV VAR=value ...])
# One cmocka binary is one CTest; it prints TAP; exit code 77 means skipped.
function(pl_test name)
    cmake_parse_arguments(R "" "LABEL;TIMEOUT" "SOURCES;DEPS;LIBS;ARGS;ENV" ${ARGN})
    if(NOT PL_DEV)
        return()
    endif()
    if(NOT PL_HAVE_CMOCKA)
        message(FATAL_ERROR "PL_DEV=ON needs cmocka (libcmocka-dev)")
    endif()
    add_executable(t_${name} ${R_SOURCES})
    target_link_libraries(t_${name} PRIVATE pl_flags polder::abi PkgConfig::CMOCKA ${R_LIBS})
    target_include_directories(t_${name} PRIVATE "${CMAKE_SOURCE_DIR}/tests/lib")
    foreach(dep IN LISTS R_DEPS)
        target_link_libraries(t_${name} PRIVATE pl_${dep})
    endforeach()
    set_target_properties(t_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
    if(NOT R_TIMEOUT)
        set(R_TIMEOUT 60)
    endif()
    add_test(NAME ${R_LABEL}.${name} COMMAND t_${name} ${R_ARGS})
    set_tests_properties(${R_LABEL}.${name} PROPERTIES
        LABELS ${R_LABEL} TIMEOUT ${R_TIMEOUT} SKIP_RETURN_CODE 77
        ENVIRONMENT "CMOCKA_MESSAGE_OUTPUT=tap;PL_SHARED=${PL_SHARED};PL_DEMO_MODEL=${PL_DEMO_MODEL};POLDER_BACKEND_DIR=${PL_BACKEND_BUILD_DIR};${R_ENV}")
endfunction()

# Reference data beside the checkout; tests that need it skip with a reason where it is absent.
set(PL_SHARED "${CMAKE_SOURCE_DIR}/../shared" CACHE PATH "Folder with reference data for tests")
# The demo model of this repository: a real model with a real chat template, in every clone.
set(PL_DEMO_MODEL "${CMAKE_SOURCE_DIR}/packaging/demo-model/polder-demo.gguf" CACHE FILEPATH
    "Model that tests run where they need a chat template")

# Each public header is compiled alone, as the first include of an otherwise empty file.
function(pl_headers_compile_alone target folder)
    set(units "")
    foreach(header IN LISTS ARGN)
        string(MAKE_C_IDENTIFIER "${target}_${header}" id)
        set(unit "${CMAKE_BINARY_DIR}/alone/${id}.c")
        file(CONFIGURE OUTPUT "${unit}"
             CONTENT "#include \"${folder}/${header}\"\ntypedef int pl_alone_${id};\n" @ONLY)
        list(APPEND units "${unit}")
    endforeach()
    if(units)
        add_library(${target}_alone OBJECT ${units})
        target_link_libraries(${target}_alone PRIVATE pl_flags ${target})
    endif()
endfunction()

# pl_fuzz(NAME SOURCES ... DEPS rooms ...): a libFuzzer target fuzz_<NAME>; needs clang and PL_FUZZ=ON.
function(pl_fuzz name)
    cmake_parse_arguments(R "" "" "SOURCES;DEPS;LIBS" ${ARGN})
    add_executable(fuzz_${name} ${R_SOURCES})
    target_link_libraries(fuzz_${name} PRIVATE pl_flags polder::abi ${R_LIBS})
    foreach(dep IN LISTS R_DEPS)
        target_link_libraries(fuzz_${name} PRIVATE pl_${dep})
    endforeach()
    target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/fuzz")
endfunction()
