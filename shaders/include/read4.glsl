// Reading what is read often, as elements (READ declares a tensor, AT reads one) or as four
// neighbouring ones (READ4, whose name must end in 4, and AT4). As t32 through texel buffers, which
// software drivers compile to a plain load. Include after vectors.glsl where there are other variants
// than f32 and t32.
#ifdef VARIANT_T32
#define READ(number, name) layout(binding = number, r32f) readonly uniform imageBuffer name
#define READ4(number, name) layout(binding = number, rgba32f) readonly uniform imageBuffer name
#define AT(name, index) imageLoad(name, int(index)).x
#define AT4(name, index) imageLoad(name, int(index))
#else
#ifndef STORED4
#define STORED float
#define STORED4 vec4
#define VALUE4 vec4
#endif
#define READ(number, name) layout(binding = number) readonly buffer Block_##name { STORED name[]; }
#define READ4(number, name)                                                                        \
    layout(binding = number) readonly buffer Block_##name { STORED4 name[]; }
#define AT(name, index) name[index]
#define AT4(name, index) VALUE4(name[index])
#endif
