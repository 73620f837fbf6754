# pl_room(NAME SOURCES f.c ... PUBLIC h.h ... [DEPS targets ...] [LIBS private libraries ...])
#
# A room is a static library pl_<NAME> whose public headers, and only those, can be included by
# rooms that list it in DEPS, as "<NAME>/h.h": the include folder that it exports holds links to
# nothing else. Headers that are not PUBLIC are reached from the room's own folder only.
function(pl_room name)
    cmake_parse_arguments(R "" "" "SOURCES;PUBLIC;DEPS;LIBS" ${ARGN})
    set(exported "${CMAKE_BINARY_DIR}/rooms/${name}")
    file(MAKE_DIRECTORY "${exported}/${name}")
    foreach(header IN LISTS R_PUBLIC)
        file(CREATE_LINK "${CMAKE_CURRENT_SOURCE_DIR}/${header}" "${exported}/${name}/${header}"
             SYMBOLIC)
    endforeach()
    add_library(pl_${name} STATIC ${R_SOURCES})
    target_include_directories(pl_${name} PUBLIC "${exported}")
    target_link_libraries(pl_${name} PUBLIC polder::abi PRIVATE pl_flags ${R_LIBS})
    foreach(dep IN LISTS R_DEPS)
        target_link_libraries(pl_${name} PUBLIC pl_${dep})
    endforeach()
    if(PL_DEV)
        pl_headers_compile_alone(pl_${name} "${exported}/${name}" ${R_PUBLIC})
    endif()
endfunction()

# pl_program(NAME SOURCES ... DEPS rooms ... LIBS libraries ...): an executable.
function(pl_program name)
    cmake_parse_arguments(R "NOINSTALL" "" "SOURCES;DEPS;LIBS" ${ARGN})
    add_executable(${name} ${R_SOURCES})
    target_link_libraries(${name} PRIVATE pl_flags polder::abi ${R_LIBS})
    foreach(dep IN LISTS R_DEPS)
        target_link_libraries(${name} PRIVATE pl_${dep})
    endforeach()
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
    if(NOT R_NOINSTALL)
        install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
    endif()
endfunction()

# pl_backend(NAME SOURCES ... LIBS ...): an accelerator plugin polder-backend-<NAME>.so that sees
# include/polder and nothing else, and exports pl_backend_entry and nothing else.
set(PL_BACKEND_BUILD_DIR "${CMAKE_BINARY_DIR}/backends")
function(pl_backend name)
    cmake_parse_arguments(R "NOINSTALL" "DIRECTORY" "SOURCES;LIBS" ${ARGN})
    if(NOT R_DIRECTORY)
        set(R_DIRECTORY "${PL_BACKEND_BUILD_DIR}")
    endif()
    add_library(polder-backend-${name} MODULE ${R_SOURCES})
    target_link_libraries(polder-backend-${name} PRIVATE pl_flags polder::abi ${R_LIBS})
    set(script "${CMAKE_SOURCE_DIR}/cmake/backend.map")
    target_link_options(polder-backend-${name} PRIVATE "-Wl,--version-script=${script}")
    if(NOT PL_SANITIZE)
        target_link_options(polder-backend-${name} PRIVATE -Wl,--no-undefined)
    endif()
    set_target_properties(polder-backend-${name} PROPERTIES PREFIX ""
        LINK_DEPENDS "${script}" LIBRARY_OUTPUT_DIRECTORY "${R_DIRECTORY}")
    # The loader refuses what a group may write to: undo a umask of 002 in the build tree.
    add_custom_command(TARGET polder-backend-${name} POST_BUILD VERBATIM
        COMMAND chmod go-w "$<TARGET_FILE:polder-backend-${name}>"
                           "$<TARGET_FILE_DIR:polder-backend-${name}>")
    if(NOT R_NOINSTALL)
        install(TARGETS polder-backend-${name}
            LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/polder/backends COMPONENT backend_${name})
    endif()
endfunction()
