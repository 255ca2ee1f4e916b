// What prefix_sums.comp adds up on its first level. C and GLSL read this one list.
#define RANKS_LEVEL 0   // the sums of the level before
#define RANKS_NUMBERS 1 // numbers
#define RANKS_MASKS 2   // the bits of words
