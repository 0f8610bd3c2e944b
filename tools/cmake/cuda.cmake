# SPDX-License-Identifier: Apache-2.0
# The CUDA backend: RWKV_WITH_CUDA says whether it is built, rwkv_cuda is its objects.
set(RWKV_CUDA AUTO CACHE STRING "Build the CUDA backend: AUTO (where there is nvcc), ON, OFF")
set_property(CACHE RWKV_CUDA PROPERTY STRINGS AUTO ON OFF)
set(RWKV_CUDA_ARCHITECTURES "75-real;80-real;86-real;89-real;90-real;120" CACHE STRING
  "Cards to compile for, as CMAKE_CUDA_ARCHITECTURES; the last without \"-real\", for later cards")
set(oldest_nvcc 12.8)  # the first one that knows sm_120

set(RWKV_WITH_CUDA OFF)
if(NOT RWKV_CUDA)
  return()
endif()
find_program(nvcc nvcc HINTS ENV CUDACXX ENV CUDA_PATH PATH_SUFFIXES bin PATHS /usr/local/cuda/bin)
if(nvcc)
  set(CMAKE_CUDA_COMPILER ${nvcc})
  set(CMAKE_CUDA_ARCHITECTURES ${RWKV_CUDA_ARCHITECTURES})
  enable_language(CUDA)
endif()
if(nvcc AND CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL ${oldest_nvcc})
  set(RWKV_WITH_CUDA ON)
elseif(NOT RWKV_CUDA STREQUAL AUTO)
  message(FATAL_ERROR "RWKV_CUDA=ON needs nvcc ${oldest_nvcc} or later; found: ${nvcc} ${CMAKE_CUDA_COMPILER_VERSION}")
else()
  message(STATUS "No CUDA backend, as there is no nvcc ${oldest_nvcc} or later; found: ${nvcc} ${CMAKE_CUDA_COMPILER_VERSION}; \
tools/get_cuda.sh gets one")
  return()
endif()
find_package(CUDAToolkit REQUIRED)

file(GLOB sources CONFIGURE_DEPENDS kernels/cuda/*.cu kernels/cuda/*.cpp)
block()
  # CMake 3.25 knows no C++20 for CUDA: this target has no standard but the option that both compilers take.
  unset(CMAKE_CXX_STANDARD)
  unset(CMAKE_CXX_STANDARD_REQUIRED)
  unset(CMAKE_CXX_EXTENSIONS)
  add_library(rwkv_cuda OBJECT ${sources})
endblock()
target_include_directories(rwkv_cuda PRIVATE ${kernels_include})
target_include_directories(rwkv_cuda SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
target_link_libraries(rwkv_cuda PRIVATE rwkv_warnings)
target_compile_options(rwkv_cuda PRIVATE -std=c++20 $<$<COMPILE_LANGUAGE:CUDA>:--compress-mode=size>
  # 20012: "__device__" on a function that is defaulted, in the toolkit's own headers. Memory of a thread's own, where registers
  # do not suffice or an array is indexed by what is not known, is as slow as the card's: an error that names the kernel.
  "$<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${RWKV_WERROR}>>:SHELL:-Werror all-warnings -diag-suppress 20012 \
-Xptxas --warn-on-spills,--warn-on-local-memory-usage>")
