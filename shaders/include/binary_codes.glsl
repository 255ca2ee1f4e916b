// Codes of the functions of two elements: the one list that GLSL (binary.glsl, compare.comp) and C
// (ops/broadcast.c) share.
#define BINARY_ADD 0
#define BINARY_SUB 1
#define BINARY_MUL 2
#define BINARY_DIV 3
#define BINARY_POW 4
#define BINARY_MOD 5 // the result has the divisor's sign
#define BINARY_FMOD 6 // the result has the dividend's sign
#define BINARY_MIN 7
#define BINARY_MAX 8
#define BINARY_MEAN 9 // a sum, scaled by push.scale
#define BINARY_PRELU 10
#define BINARY_SHIFT_LEFT 11
#define BINARY_SHIFT_RIGHT 12
#define BINARY_BITS_AND 13
#define BINARY_BITS_OR 14
#define BINARY_BITS_XOR 15
#define BINARY_EQUAL 16 // from here on the result is a bool
#define BINARY_GREATER 17
#define BINARY_GREATER_EQUAL 18
#define BINARY_LESS 19
#define BINARY_LESS_EQUAL 20
#define BINARY_AND 21
#define BINARY_OR 22
#define BINARY_XOR 23
