# Compiles kernels with nvcc, where there is one. Its commands are written out rather than left to CMake's language CUDA: host
# flags stay those of the rest, and what the assembler says of registers is kept for test/cudaKernels.sh.

set(BRANCHMERGE_CUDA AUTO CACHE STRING "CUDA kernels: AUTO (where nvcc 12 or newer is found), ON or OFF")
set(BRANCHMERGE_NVCC "")
if(NOT BRANCHMERGE_CUDA STREQUAL OFF)
  find_program(BRANCHMERGE_NVCC_PROGRAM nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATH_SUFFIXES bin
    PATHS /usr/local/cuda/bin /opt/cuda/bin)
  if(BRANCHMERGE_NVCC_PROGRAM)
    execute_process(COMMAND ${BRANCHMERGE_NVCC_PROGRAM} --version OUTPUT_VARIABLE BRANCHMERGE_NVCC_TEXT)
    string(REGEX MATCH "release ([0-9.]+)" _ "${BRANCHMERGE_NVCC_TEXT}")
    set(BRANCHMERGE_NVCC_VERSION ${CMAKE_MATCH_1})
  endif()
  if(BRANCHMERGE_NVCC_PROGRAM AND BRANCHMERGE_NVCC_VERSION VERSION_GREATER_EQUAL 12.0)
    # Found as a script or a link, nvcc itself knows where its toolkit is.
    execute_process(COMMAND ${BRANCHMERGE_NVCC_PROGRAM} --dryrun -x cu -c /dev/null -o /dev/null
      ERROR_VARIABLE BRANCHMERGE_NVCC_TEXT OUTPUT_QUIET)
    string(REGEX MATCH "TOP=([^\n]+)" _ "${BRANCHMERGE_NVCC_TEXT}")
    get_filename_component(BRANCHMERGE_CUDA_ROOT "${CMAKE_MATCH_1}" REALPATH)
    find_library(BRANCHMERGE_CUDART cudart_static HINTS ${BRANCHMERGE_CUDA_ROOT}
      PATH_SUFFIXES lib64 lib targets/${CMAKE_SYSTEM_PROCESSOR}-linux/lib targets/sbsa-linux/lib)
    find_path(BRANCHMERGE_CUDA_INCLUDE cuda_runtime.h HINTS ${BRANCHMERGE_CUDA_ROOT}
      PATH_SUFFIXES include targets/${CMAKE_SYSTEM_PROCESSOR}-linux/include targets/sbsa-linux/include)
  endif()
  if(BRANCHMERGE_CUDART AND BRANCHMERGE_CUDA_INCLUDE)
    set(BRANCHMERGE_NVCC ${BRANCHMERGE_NVCC_PROGRAM})
  elseif(BRANCHMERGE_CUDA STREQUAL ON)
    message(FATAL_ERROR "Expected nvcc 12.0 or newer with its static runtime for BRANCHMERGE_CUDA=ON but found "
      "'${BRANCHMERGE_NVCC_PROGRAM}' of version '${BRANCHMERGE_NVCC_VERSION}'. Install the CUDA toolkit, or put it into PATH.")
  endif()
endif()
if(BRANCHMERGE_NVCC)
  message(STATUS "branchmerge: CUDA kernels by nvcc ${BRANCHMERGE_NVCC_VERSION}")
else()
  message(STATUS "branchmerge: CUDA kernels are left out")
endif()

# Machine code for A100, H100, B200 and RTX 50; and PTX, which a driver compiles for everything else from sm_80 on.
if(NOT BRANCHMERGE_CUDA_CODE)
  set(BRANCHMERGE_CUDA_CODE -gencode=arch=compute_80,code=[sm_80,compute_80] -gencode=arch=compute_90,code=sm_90)
  if(BRANCHMERGE_NVCC_VERSION VERSION_GREATER_EQUAL 12.8)
    list(APPEND BRANCHMERGE_CUDA_CODE
      -gencode=arch=compute_100,code=sm_100 -gencode=arch=compute_120,code=sm_120)
  endif()
endif()

# A static library of kernels. -fmad=false, as -ffp-contract=off for the CPU: only the source fuses.
function(branchmerge_cuda_kernels name)
  set(warnings -Wall,-Wextra)
  set(errors "")
  if(BRANCHMERGE_WERROR)
    set(warnings ${warnings},-Werror)
    set(errors -Werror all-warnings)
  endif()
  set(objects "")
  foreach(source ${ARGN})
    get_filename_component(stem ${source} NAME_WE)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/cuda/${stem}.o)
    set(command ${BRANCHMERGE_NVCC} -c ${PROJECT_SOURCE_DIR}/${source} -o ${object} -std=c++20 -O3 -fmad=false
      ${BRANCHMERGE_CUDA_CODE} -I${PROJECT_SOURCE_DIR}/native -ccbin ${CMAKE_CXX_COMPILER}
      -Xcompiler=${warnings},-ffp-contract=off,-fPIC,-fvisibility=hidden ${errors} -Xptxas=-v
      -MD -MF ${object}.d -MT ${object})
    string(JOIN " " command ${command})
    # The assembler's report goes to a file, and a failure to the terminal.
    add_custom_command(OUTPUT ${object} DEPENDS ${source} DEPFILE ${object}.d VERBATIM
      COMMENT "Compiling ${source} for every GPU"
      COMMAND sh -c "${command} 2> ${object}.log || { cat ${object}.log >&2; exit 1; }")
    list(APPEND objects ${object})
  endforeach()
  file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/cuda)
  add_library(${name} STATIC ${objects})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_link_libraries(${name} PUBLIC ${BRANCHMERGE_CUDART} Threads::Threads ${CMAKE_DL_LIBS} rt)
endfunction()
