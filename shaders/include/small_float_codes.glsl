// The forms of floats below 16 bits, as far as rounding to them goes; read by C and GLSL alike.
#define SMALL_IEEE 0               // infinities and NaN
#define SMALL_ONE_NAN 1            // NaN, no infinities
#define SMALL_NAN_FOR_MINUS_ZERO 2 // likewise, and no minus zero
#define SMALL_FINITE 3             // neither
