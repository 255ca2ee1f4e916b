// Modes and paddings of grid_sample.comp, in the order of the attributes' names; for C and GLSL alike.
#define GRID_LINEAR 0
#define GRID_NEAREST 1
#define GRID_CUBIC 2
#define GRID_ZEROS 0
#define GRID_BORDER 1
#define GRID_REFLECTION 2
