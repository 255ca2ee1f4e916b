// What cast.comp does and how its operands lie: the one list that GLSL and C (ops/cast.c) share.
#define CAST_VALUE 0
#define CAST_NOT 1
#define CAST_BITWISE_NOT 2
#define CAST_IS_NAN 3
#define CAST_IS_INF 4

#define KIND_F32 0
#define KIND_F16 1
#define KIND_I32 2 // signed; narrower unsigned integers and bools are positive numbers; or packed
#define KIND_U32 3
#define KIND_I64 4
#define KIND_U64 5

// Integers wrap to a width (8, 16, 32 or 64), signed or not; these are the other targets.
#define TARGET_FLOAT 0
#define TARGET_BFLOAT16 1
#define TARGET_BOOL 2
#define TARGET_SIGNED 3
#define TARGET_UNSIGNED 4
#define TARGET_SMALL 5 // floats of at most 16 bits that lie in memory as 32
