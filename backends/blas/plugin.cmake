# The OpenMP build of OpenBLAS, from its own directory: not whichever build the system's
# alternatives point to. The plugin looks there first when it is loaded.
find_library(TENON_OPENBLAS_LIBRARY openblas PATH_SUFFIXES openblas-openmp
             PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE} /usr/lib64 /usr/lib NO_DEFAULT_PATH)
find_path(TENON_OPENBLAS_INCLUDE cblas.h PATH_SUFFIXES openblas-openmp
          PATHS /usr/include/${CMAKE_LIBRARY_ARCHITECTURE} /usr/include NO_DEFAULT_PATH)
if(TENON_OPENBLAS_LIBRARY AND TENON_OPENBLAS_INCLUDE)
  get_filename_component(openblas_dir ${TENON_OPENBLAS_LIBRARY} DIRECTORY)
  target_include_directories(${target} SYSTEM PRIVATE ${TENON_OPENBLAS_INCLUDE})
  target_link_libraries(${target} PRIVATE ${TENON_OPENBLAS_LIBRARY} OpenMP::OpenMP_C)
  set_target_properties(${target} PROPERTIES BUILD_RPATH ${openblas_dir}
                                             INSTALL_RPATH ${openblas_dir})
  # Loops may be vectorised as they are written: integers wrap around, no trap is looked for,
  # a * b + c may be one operation. Nothing here allows sums to be reordered.
  target_compile_options(${target} PRIVATE -fwrapv -fno-trapping-math -ffp-contract=fast
                                           -fopenmp-simd)
  if(CMAKE_C_COMPILER_ID MATCHES Clang)
    # Clang warns of each loop that it leaves scalar (erfinv, …): slower, and no mistake.
    target_compile_options(${target} PRIVATE -Wno-pass-failed)
  endif()
  # Overlaps and edges decide, as they do on the reference: a * b + c is rounded twice.
  foreach(name boxes detection proposal roi target)
    set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/blas_${name}.c
                                PROPERTIES COMPILE_OPTIONS -ffp-contract=off)
  endforeach()
  if(TENON_SANITIZE STREQUAL "")
    target_compile_options(${target} PRIVATE -O3) # whatever the build type
  endif()
else()
  set(TENON_SKIP "no OpenBLAS with OpenMP here (Debian: libopenblas-openmp-dev)")
endif()
