# Compiles shaders/*.comp and packs each kernel's variants into one generated C header.
#
#     include(tools/Shaders.cmake)
#     espy_shaders()
#     target_sources(espy_ops PRIVATE ${ESPY_SHADER_HEADERS})
#     target_include_directories(espy_ops PRIVATE ${ESPY_SHADER_INCLUDE_DIR})
#     add_dependencies(espy_ops espy_shader_headers)
#
# espy_shaders() builds the tool shader_pack and sets in the caller's scope
#     ESPY_SHADER_HEADERS      every <kernel>.spv.h
#     ESPY_SHADER_INCLUDE_DIR  what makes #include "shaders/<kernel>.spv.h" work
# and adds the target espy_shader_headers, on which every target depends that includes one of them.
#
# A source with the line `// variants: f32 f16` is compiled once per word with VARIANT_F32 and so on
# defined; a source without the line is compiled once.
#
# espy_shader_folder(FOLDER TARGET) does the same for the sources of another folder, which find their
# headers in generated/shaders of the calling folder's build; for benchmarks.

set(ESPY_SHADER_ROOT "${CMAKE_CURRENT_LIST_DIR}/..")
get_filename_component(ESPY_SHADER_ROOT "${ESPY_SHADER_ROOT}" ABSOLUTE)
set(ESPY_SHADER_VARIANTS f32 f16 i32 u32 i64 w16 w32 w64 t32)

find_program(ESPY_GLSLANG_VALIDATOR glslangValidator
    DOC "Compiles GLSL to SPIR-V (Debian package glslang-tools)")
if(NOT ESPY_GLSLANG_VALIDATOR)
    message(FATAL_ERROR "glslangValidator was not found. "
        "Install it (Debian: apt install glslang-tools) or set ESPY_GLSLANG_VALIDATOR to its path.")
endif()

# The words of the variants line, or "none".
function(espy_shader_variants source out)
    file(STRINGS "${source}" line REGEX "^// variants:" LIMIT_COUNT 1)
    if(NOT line)
        set(${out} none PARENT_SCOPE)
        return()
    endif()
    string(REGEX REPLACE "^// variants:" "" line "${line}")
    string(REGEX MATCHALL "[^ \t\r]+" variants "${line}")
    if(NOT variants)
        message(FATAL_ERROR "${source}: the line `// variants:` is empty")
    endif()
    foreach(variant IN LISTS variants)
        if(NOT variant IN_LIST ESPY_SHADER_VARIANTS)
            message(FATAL_ERROR
                "${source}: unknown variant ${variant}; known: ${ESPY_SHADER_VARIANTS}")
        endif()
    endforeach()
    set(${out} ${variants} PARENT_SCOPE)
endfunction()

# One variant of one source to SPIR-V. Names stay in the file: shader_pack reads them.
function(espy_shader_compile source variant output)
    set(define)
    if(NOT variant STREQUAL "none")
        string(TOUPPER "-DVARIANT_${variant}" define)
    endif()
    # glslang does not escape spaces in a depfile; such a path depends on all includes instead.
    set(depfile_flags)
    if("${output}${ESPY_SHADER_ROOT}" MATCHES "[ ]")
        file(GLOB depends CONFIGURE_DEPENDS "${ESPY_SHADER_ROOT}/shaders/include/*.glsl")
        set(dependency_options DEPENDS "${source}" ${depends})
    else()
        set(depfile_flags --depfile "${output}.d")
        set(dependency_options DEPENDS "${source}" DEPFILE "${output}.d")
    endif()
    file(RELATIVE_PATH label "${ESPY_SHADER_ROOT}" "${source}")
    add_custom_command(OUTPUT "${output}"
        COMMAND "${ESPY_GLSLANG_VALIDATOR}" --quiet --target-env vulkan1.2 -V ${define}
            "-I${ESPY_SHADER_ROOT}/shaders/include" ${depfile_flags} -o "${output}" "${source}"
        ${dependency_options}
        COMMENT "Compiling ${label} (${variant})"
        VERBATIM)
endfunction()

# Adds the target for the headers of the folder's sources, and sets the two variables.
function(espy_shader_folder folder target)
    if(NOT TARGET shader_pack)
        add_executable(shader_pack "${ESPY_SHADER_ROOT}/tools/shader_pack.c"
            "${ESPY_SHADER_ROOT}/tools/shader_matrix.c")
        target_include_directories(shader_pack PRIVATE "${ESPY_SHADER_ROOT}/runtime")
        set_target_properties(shader_pack PROPERTIES
            C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF)
    endif()

    set(include_dir "${CMAKE_CURRENT_BINARY_DIR}/generated")
    set(header_dir "${include_dir}/shaders")
    set(spirv_dir "${CMAKE_CURRENT_BINARY_DIR}/spirv")
    file(MAKE_DIRECTORY "${header_dir}" "${spirv_dir}")

    set(headers)
    file(GLOB sources CONFIGURE_DEPENDS "${folder}/*.comp")
    foreach(source IN LISTS sources)
        # Its variants line decides what is built, so an edit must configure again.
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${source}")
        get_filename_component(kernel "${source}" NAME_WE)
        espy_shader_variants("${source}" variants)

        set(files)
        set(arguments)
        foreach(variant IN LISTS variants)
            set(file "${spirv_dir}/${kernel}.${variant}.spv")
            espy_shader_compile("${source}" ${variant} "${file}")
            list(APPEND files "${file}")
            list(APPEND arguments "${variant}=${file}")
        endforeach()

        set(header "${header_dir}/${kernel}.spv.h")
        add_custom_command(OUTPUT "${header}"
            COMMAND shader_pack ${kernel} "${header}" ${arguments}
            DEPENDS shader_pack ${files}
            COMMENT "Packing ${kernel}.spv.h"
            VERBATIM)
        list(APPEND headers "${header}")
    endforeach()

    add_custom_target(${target} DEPENDS ${headers})
    set(ESPY_SHADER_HEADERS ${headers} PARENT_SCOPE)
    set(ESPY_SHADER_INCLUDE_DIR "${include_dir}" PARENT_SCOPE)
endfunction()

macro(espy_shaders)
    espy_shader_folder("${ESPY_SHADER_ROOT}/shaders" espy_shader_headers)
endmacro()
