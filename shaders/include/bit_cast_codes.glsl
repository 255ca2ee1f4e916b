// How bit_cast.comp fills a 32-bit word from fewer bits; read by C and GLSL alike.
#define BIT_CAST_ZEROS 0
#define BIT_CAST_SIGN 1
#define BIT_CAST_BOOL 2 // whatever is not 0 is 1
