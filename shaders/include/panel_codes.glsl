// How panels of weights lie, shared by GLSL and C. 16-bit weights are pairs in words, and a texel
// has the four of two columns: bits that are read as floats and never computed with as such.
#define PANEL_FLOAT32 0
#define PANEL_FLOAT16 1
#define PANEL_BFLOAT16 2
