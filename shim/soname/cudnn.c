/* The facade of libcudnn.so.9: only its version node; the functions are those of libaccelmesh.so. */
int accelmesh_soname_cudnn;
