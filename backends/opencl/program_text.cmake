# program_text(OUT FILE): a .cl file as the array of characters ocl_<name>_cl in C.
#
# The file must be ASCII: OpenCL C has no other characters but in comments, drivers differ about
# those, and a byte beyond 127 does not fit into the array's char.
function(program_text out file)
  get_filename_component(name ${file} NAME_WE)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  if(bytes MATCHES "0x([89a-f][0-9a-f]),")
    string(TOUPPER ${CMAKE_MATCH_1} byte)
    string(FIND "${bytes}" "${CMAKE_MATCH_0}" place)
    string(SUBSTRING "${bytes}" 0 ${place} before)
    string(REGEX MATCHALL "0x0a," ends "${before}")
    list(LENGTH ends line)
    math(EXPR line "${line} + 1")
    message(FATAL_ERROR "${file}:${line}: byte 0x${byte}: programs for OpenCL must be ASCII, "
                        "comments too")
  endif()
  # 16 bytes a line.
  set(five "0x..,0x..,0x..,0x..,0x..,")
  string(REGEX REPLACE "(${five}${five}${five}0x..,)" "\\1\n" bytes "${bytes}")
  set(${out} "const char ocl_${name}_cl[] = {\n${bytes}0};\n" PARENT_SCOPE)
endfunction()
