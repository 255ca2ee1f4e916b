// What layer_normalization.comp divides a row by; read by C and GLSL alike.
#define NORMALIZE_DEVIATION 0 // after the mean was taken off
#define NORMALIZE_ROOT_MEAN_SQUARE 1
#define NORMALIZE_L1 2
#define NORMALIZE_L2 3
