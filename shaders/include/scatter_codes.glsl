// How ScatterElements and ScatterND join an update with what is there; read by C and GLSL alike.
#define SCATTER_NONE 0
#define SCATTER_ADD 1
#define SCATTER_MUL 2
#define SCATTER_MAX 3
#define SCATTER_MIN 4
