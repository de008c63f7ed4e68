# oneDNN 2.x with OpenMP threads, which are then the same pool as ours.
find_path(TENON_DNNL_INCLUDE oneapi/dnnl/dnnl.h)
find_library(TENON_DNNL_LIBRARY dnnl)
set(dnnl_version "")
if(TENON_DNNL_INCLUDE)
  file(STRINGS ${TENON_DNNL_INCLUDE}/oneapi/dnnl/dnnl_version.h dnnl_lines
       REGEX "define DNNL_VERSION_(MAJOR|MINOR) ")
  string(REGEX REPLACE "[^0-9;]" "" dnnl_version "${dnnl_lines}")
  string(REPLACE ";" "." dnnl_version "${dnnl_version}")
endif()
if(NOT TENON_DNNL_INCLUDE OR NOT TENON_DNNL_LIBRARY)
  set(TENON_SKIP "no oneDNN here (Debian: libdnnl-dev)")
elseif(dnnl_version VERSION_LESS 2.6 OR NOT dnnl_version VERSION_LESS 3)
  set(TENON_SKIP "oneDNN ${dnnl_version} is here, wanted 2.6 to 2.7")
else()
  target_include_directories(${target} SYSTEM PRIVATE ${TENON_DNNL_INCLUDE})
  target_link_libraries(${target} PRIVATE ${TENON_DNNL_LIBRARY} OpenMP::OpenMP_C)
  # Products are added in one instruction where the CPU has it.
  set_property(SOURCE ${CMAKE_CURRENT_LIST_DIR}/onednn_taps.c APPEND PROPERTY COMPILE_OPTIONS
                                                                  -ffp-contract=fast)
endif()
