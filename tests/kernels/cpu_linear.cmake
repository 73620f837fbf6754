# Tests and benchmark of backends/cpu/linear.h.
include("${CMAKE_SOURCE_DIR}/backends/cpu/linear.cmake")
set(here "${CMAKE_CURRENT_LIST_DIR}")
foreach(subject pack run)
    pl_test(cpu_linear_${subject} LABEL kernel TIMEOUT 240
        SOURCES "${here}/t_cpu_linear_${subject}.c" "${here}/linear_case.c"
                "${CMAKE_SOURCE_DIR}/backends/cpu/dequant.c"
        LIBS pl_cpu_linear m)
endforeach()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    pl_program(bench_linear NOINSTALL SOURCES "${CMAKE_SOURCE_DIR}/tests/bench/bench_linear.c"
        LIBS pl_cpu_linear Threads::Threads)
endif()
