// How Attention's mask lies in memory, and what its fourth output shows; read by C and GLSL alike.
#define ATTENTION_MASK_NONE 0
#define ATTENTION_MASK_BOOL 1
#define ATTENTION_MASK_F32 2
#define ATTENTION_MASK_F16 3
#define ATTENTION_MASK_I32 4

// The values of qk_matmul_output_mode.
#define ATTENTION_EXPOSE_PRODUCT 0
#define ATTENTION_EXPOSE_CAPPED 1
#define ATTENTION_EXPOSE_MASKED 2
#define ATTENTION_EXPOSE_SOFTMAX 3
#define ATTENTION_EXPOSE_NOTHING 4
