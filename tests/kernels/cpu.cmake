# Plugin-level tests of the CPU backend: they link its objects, so that allocations can be made to fail.
set(here "${CMAKE_CURRENT_LIST_DIR}")
foreach(subject blocks ops attn attn_split device)
    pl_test(cpu_${subject} LABEL kernel TIMEOUT 240
        SOURCES "${here}/t_cpu_${subject}.c" "${here}/cpu_rig.c"
                "${CMAKE_SOURCE_DIR}/tests/lib/fault.c"
                "${CMAKE_SOURCE_DIR}/backends/cpu/backend.c"
        LIBS pl_cpu -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)
endforeach()
if(PL_DEV AND NOT PL_SANITIZE)
    add_test(NAME kernel.cpu_aarch64 COMMAND "${here}/aarch64.sh" "${CMAKE_SOURCE_DIR}"
        "${CMAKE_BINARY_DIR}/aarch64")
    set_tests_properties(kernel.cpu_aarch64 PROPERTIES LABELS "kernel;slow" TIMEOUT 600
        SKIP_RETURN_CODE 77 ENVIRONMENT "PL_SHARED=${PL_SHARED}")
endif()
if(PL_DEV)
    pl_program(bench_attn NOINSTALL SOURCES "${CMAKE_SOURCE_DIR}/tests/bench/bench_attn.c"
        "${CMAKE_SOURCE_DIR}/backends/cpu/backend.c" LIBS pl_cpu)
endif()
