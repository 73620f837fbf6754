# The packed matrix products of the CPU plugin: a library of its own, so that its tests and benchmark
# link it without the plugin. Each level's files get that level's instructions; linear_run.c picks by
# the level that the caller has detected.
if(NOT TARGET pl_cpu_linear)
    set(dir "${CMAKE_CURRENT_LIST_DIR}")
    # linear_body.h hands 64-byte vectors to inlined functions; GCC notes that their ABI once changed.
    set_source_files_properties("${dir}/linear_scalar.c" PROPERTIES COMPILE_OPTIONS -Wno-psabi)
    set(sources linear_pack.c linear_run.c linear_scalar.c
        pack_plain.c pack_q8_0.c pack_q4_0.c pack_q4_1.c pack_q5.c pack_iq4.c pack_mxfp4.c
        pack_q2_k.c pack_q3_k.c pack_q4_k.c pack_q5_k.c pack_q6_k.c)
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
        set(avx2 linear_avx2.c linear_avx2_float.c linear_avx2_q32.c linear_avx2_k.c
            linear_avx2_pairs.c)
        set(avx512 linear_avx512.c linear_avx512_float.c linear_avx512_q32.c linear_avx512_k.c
            linear_avx512_pairs.c)
        set(avx512_bf16 linear_avx512_bf16.c)
        set(flags_avx2 -mavx2 -mfma -mf16c)
        set(flags_avx512 ${flags_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni)
        set(flags_avx512_bf16 ${flags_avx512} -mavx512bf16)
        set(optimise "$<$<NOT:$<CONFIG:Debug>>:-O3>")
        if(PL_SANITIZE)
            set(optimise -O1 -DLINEAR_SMALL)
        endif()
        foreach(level avx2 avx512 avx512_bf16)
            foreach(file ${${level}})
                set_source_files_properties("${dir}/${file}" PROPERTIES COMPILE_OPTIONS
                    "${flags_${level}};-Wno-psabi;${optimise}")
            endforeach()
            list(APPEND sources ${${level}})
        endforeach()
    endif()
    list(TRANSFORM sources PREPEND "${dir}/")
    add_library(pl_cpu_linear STATIC ${sources})
    target_link_libraries(pl_cpu_linear PUBLIC polder::abi PRIVATE pl_flags m)
    target_include_directories(pl_cpu_linear INTERFACE "${dir}")
endif()
