# Target accelmesh_private_zmq: the zmq plugin's own libzmq, static, PIC and hidden, with libsodium. scripts/setup.sh builds it
# once for all presets (scripts/fetch_libzmq.sh says how and why). It is not instrumented by the sanitizer presets.
set(ACCELMESH_PRIVATE_ZMQ ${CMAKE_SOURCE_DIR}/build/third_party/zmq)
if(NOT EXISTS ${ACCELMESH_PRIVATE_ZMQ}/lib/libzmq.a)
  message(FATAL_ERROR "The private libzmq is not in build/third_party/zmq. Run scripts/setup.sh (or only scripts/fetch_libzmq.sh).")
endif()
if(NOT TARGET accelmesh_private_zmq)
  find_package(Threads REQUIRED)
  add_library(accelmesh_private_zmq STATIC IMPORTED GLOBAL)
  set_target_properties(accelmesh_private_zmq PROPERTIES
    IMPORTED_LOCATION ${ACCELMESH_PRIVATE_ZMQ}/lib/libzmq.a
    INTERFACE_INCLUDE_DIRECTORIES ${ACCELMESH_PRIVATE_ZMQ}/include
    INTERFACE_COMPILE_DEFINITIONS ZMQ_STATIC
    INTERFACE_LINK_LIBRARIES "${ACCELMESH_PRIVATE_ZMQ}/lib/libsodium.a;Threads::Threads")
endif()
