// What channel_gate.comp has room for in shared memory, in quads of numbers; read by C and GLSL
// alike.
#define GATE_QUADS_MAX 512
#define GATE_HIDDEN_QUADS_MAX 128
