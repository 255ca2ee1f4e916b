// Reads of four neighbouring elements: READ4 declares a tensor, whose name must end in 4, and AT4 reads
// its vector `index`. Include after vectors.glsl.
#ifdef VARIANT_T32
#define READ4(number, name) layout(binding = number, rgba32f) readonly uniform imageBuffer name
#define AT4(name, index) imageLoad(name, int(index))
#else
#define READ4(number, name)                                                                        \
    layout(binding = number) readonly buffer Block_##name { STORED4 name[]; }
#define AT4(name, index) VALUE4(name[index])
#endif
