# SPDX-License-Identifier: Apache-2.0
# Finds Python and pybind11 (pybind11_FOUND), for python/ and the package on the emulator of tests/cuemu.
find_package(Python 3.10 QUIET COMPONENTS Interpreter Development.Module)
if(Python_FOUND)
  find_package(pybind11 3 QUIET CONFIG)
  if(NOT pybind11_FOUND)
    # pip's pybind11 knows where its CMake files are.
    execute_process(COMMAND ${Python_EXECUTABLE} -m pybind11 --cmakedir OUTPUT_VARIABLE pybind11_DIR
      OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    find_package(pybind11 3 QUIET CONFIG)
  endif()
endif()

# rwkv_link_package(FOLDER): what is in the package beside its compiled module and programs.
function(rwkv_link_package folder)
  file(MAKE_DIRECTORY ${folder})
  file(GLOB files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/python/rwkvcpp/*)
  list(FILTER files EXCLUDE REGEX __pycache__)
  foreach(file ${files} ${PROJECT_SOURCE_DIR}/tools/demo_model/demo.safetensors)
    cmake_path(GET file FILENAME name)
    file(CREATE_LINK ${file} ${folder}/${name} SYMBOLIC)
  endforeach()
endfunction()
