# Integer arithmetic of the reference backend wraps around; C leaves that open without this flag.
target_compile_options(${target} PRIVATE -fwrapv)
