/* The facade of libcudnn_adv.so.9: only its version node; the functions are those of libaccelmesh.so. */
int accelmesh_soname_cudnn_adv;
