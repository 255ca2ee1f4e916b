// Four elements at a time; include after types.glsl. STORED4 and VALUE4 are STORED's and VALUE's
// vectors: a buffer is bound a second time as STORED4[] where alignment allows it.
#if defined(VARIANT_F32) || defined(VARIANT_T32)
#define STORED4 vec4
#define VALUE4 vec4
#define STORED4_OF(v) (v)
#elif defined(VARIANT_F16)
#define STORED4 f16vec4
#define VALUE4 vec4
#define STORED4_OF(v) f16vec4(fit_half4(v))
vec4 fit_half4(vec4 v)
{
    return vec4(fit_half(v.x), fit_half(v.y), fit_half(v.z), fit_half(v.w));
}
#elif defined(VARIANT_I32)
#define STORED4 ivec4
#define VALUE4 ivec4
#define STORED4_OF(v) (v)
#elif defined(VARIANT_U32)
#define STORED4 uvec4
#define VALUE4 uvec4
#define STORED4_OF(v) (v)
#elif defined(VARIANT_I64)
#define STORED4 uvec2[4]
#define VALUE4 uvec2[4]
#define VALUE4_OF(v) (v)
#define VALUE4_ZERO uvec2[4](uvec2(0), uvec2(0), uvec2(0), uvec2(0))
#define STORED4_OF(v) (v)
#endif
#ifndef VALUE4_OF
#define VALUE4_OF(v) VALUE4(v)
#define VALUE4_ZERO VALUE4(0)
#endif
