# Finds the CUDA 13 toolkit: $CUDA_HOME, /usr/local/cuda, else build/toolkit (NVIDIA's wheels, fetched by scripts/setup.sh).
# Only its headers, nvcc (for tests/apps), libcudart.so.13, libcublas.so.13, libcublasLt.so.13 and libcudnn.so.9 are needed;
# nothing of it is linked into what we ship.
#   ACCELMESH_CUDA_HOME     the toolkit's root
#   ACCELMESH_NVCC          its nvcc
#   ACCELMESH_CUDA_INCLUDE  folder with cuda_runtime_api.h
#   ACCELMESH_CUDART        path of libcudart.so.13
#   ACCELMESH_CUBLAS        path of libcublas.so.13
#   ACCELMESH_CUBLASLT      path of libcublasLt.so.13
#   ACCELMESH_CUDNN         path of libcudnn.so.9
include_guard(GLOBAL)

# Sets `result` to the reason why `home` is not a toolkit that we can use, or to nothing.
function(accelmesh_toolkit_fault home result)
  set(${result} "" PARENT_SCOPE)
  foreach(file bin/nvcc include/cuda_runtime_api.h include/cuda.h include/cuda_profiler_api.h
               include/cublas_api.h include/cublasLt.h include/cudnn.h)
    if(NOT EXISTS ${home}/${file})
      set(${result} "no ${file}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  file(STRINGS ${home}/include/cuda_runtime_api.h version REGEX "^#define CUDART_VERSION +13[0-9]+")
  if(NOT version)
    set(${result} "not CUDA 13" PARENT_SCOPE)
    return()
  endif()
  foreach(library libcudart.so.13 libcublas.so.13 libcublasLt.so.13 libcudnn.so.9)
    file(GLOB found ${home}/lib64/${library} ${home}/lib/${library} ${home}/targets/*/lib/${library})
    if(NOT found)
      set(${result} "no ${library}" PARENT_SCOPE)
    endif()
  endforeach()
endfunction()

set(ACCELMESH_CUDA_HOME "")
set(accelmesh_toolkit_faults "")
foreach(home "$ENV{CUDA_HOME}" /usr/local/cuda ${CMAKE_SOURCE_DIR}/build/toolkit)
  if(home AND NOT ACCELMESH_CUDA_HOME)
    accelmesh_toolkit_fault(${home} fault)
    if(fault)
      string(APPEND accelmesh_toolkit_faults "\n  ${home}: ${fault}")
    else()
      set(ACCELMESH_CUDA_HOME ${home})
    endif()
  endif()
endforeach()
if(NOT ACCELMESH_CUDA_HOME)
  message(FATAL_ERROR "No CUDA 13 toolkit:${accelmesh_toolkit_faults}\n"
                      "Set CUDA_HOME to one, or run scripts/setup.sh, which puts NVIDIA's wheels into build/toolkit.")
endif()
set(ACCELMESH_NVCC ${ACCELMESH_CUDA_HOME}/bin/nvcc)
# A find_path of an earlier configure may have left cache entries of these names; the ones below must win.
unset(ACCELMESH_CUDA_INCLUDE CACHE)
foreach(file libcudart.so.13 libcublas.so.13 libcublasLt.so.13 libcudnn.so.9)
  string(REGEX REPLACE "lib(.*)[.]so.*" "\\1" library ${file})
  string(TOUPPER ${library} library)
  unset(ACCELMESH_${library} CACHE)
  file(GLOB ACCELMESH_${library} ${ACCELMESH_CUDA_HOME}/lib64/${file} ${ACCELMESH_CUDA_HOME}/lib/${file}
       ${ACCELMESH_CUDA_HOME}/targets/*/lib/${file})
  list(GET ACCELMESH_${library} 0 ACCELMESH_${library})
endforeach()
set(ACCELMESH_CUDA_INCLUDE ${ACCELMESH_CUDA_HOME}/include)
message(STATUS "CUDA toolkit: ${ACCELMESH_CUDA_HOME}")
