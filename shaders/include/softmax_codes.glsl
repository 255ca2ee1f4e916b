// What softmax.comp computes; read by C and GLSL alike.
#define SOFTMAX_PLAIN 0
#define SOFTMAX_LOG 1
#define SOFTMAX_HARD 2
