// What a variant's tensors hold. STORED is the element in the buffer, VALUE what is computed with;
// VALUE_OF and STORED_OF convert. Arithmetic on float16 tensors is float32. Include it first.
#if defined(VARIANT_F32) || defined(VARIANT_T32)
#define STORED float
#define VALUE float
#define VALUE_OF(x) (x)
#define STORED_OF(x) (x)
#elif defined(VARIANT_F16)
#extension GL_EXT_shader_16bit_storage : require
#define STORED float16_t
#define VALUE float
#define VALUE_OF(x) float(x)
// Finite values stay finite: a sum slightly over the range must not become infinity. Infinity and
// NaN, for which the comparison fails, stay too.
float fit_half(float x)
{
    return abs(x) <= 3.402823466e38 ? clamp(x, -65504.0, 65504.0) : x;
}
#define STORED_OF(x) float16_t(fit_half(x))
#elif defined(VARIANT_I32)
#define STORED int
#define VALUE int
#define VALUE_OF(x) (x)
#define STORED_OF(x) (x)
#elif defined(VARIANT_U32)
#define STORED uint
#define VALUE uint
#define VALUE_OF(x) (x)
#define STORED_OF(x) (x)
#elif defined(VARIANT_I64)
#define STORED uvec2 // low word, high word
#define VALUE uvec2
#define VALUE_OF(x) (x)
#define STORED_OF(x) (x)
#elif defined(VARIANT_W16)
#extension GL_EXT_shader_16bit_storage : require
#define STORED float16_t
#define STORED_ZERO float16_t(0.0)
#elif defined(VARIANT_W32)
#define STORED uint
#define STORED_ZERO 0u
#elif defined(VARIANT_W64)
#define STORED uvec2
#define STORED_ZERO uvec2(0u)
#endif

#if defined(VARIANT_F32) || defined(VARIANT_F16) || defined(VARIANT_T32)
#define IS_FLOAT 1
#else
#define IS_FLOAT 0
#endif
