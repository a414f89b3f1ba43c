/* The facade of libcublasLt.so.13: only its version node; the functions are those of libaccelmesh.so. */
int accelmesh_soname_cublasLt;
