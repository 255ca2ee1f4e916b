// How the kernels of shaders/include/gemm.glsl find the right operand; read by C and GLSL alike.
#define GEMM_W_PACKED 0  // by gemm_pack.comp, tile by tile
#define GEMM_W_COLUMNS 1 // where it lies, four columns at once
#define GEMM_W_DEPTH 2   // where it lies, four of the depth at once
#define GEMM_W_SINGLE 3  // where it lies, one element at a time
