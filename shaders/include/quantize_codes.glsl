// How many scales or zero points an operand has; read by C and GLSL alike.
#define PER_NOTHING 0 // none
#define PER_TENSOR 1
#define PER_INDEX 2   // one per row of a left operand, column of a right operand, output channel
#define PER_BATCH 3   // those, different in each matrix
