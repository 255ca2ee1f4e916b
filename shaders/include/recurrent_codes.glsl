// What recurrent_step.comp computes, and activations beyond unary_codes.glsl; read by C and GLSL alike.
#define RECURRENT_RNN 0
#define RECURRENT_LSTM 1
#define RECURRENT_GRU_GATES 2  // update gates, and the state as the reset gates leave it
#define RECURRENT_GRU 3        // the state, after RECURRENT_GRU_GATES
#define RECURRENT_GRU_LINEAR 4 // everything, where the reset gates come after the weights

// Bits of what a step writes beside the state.
#define RECURRENT_WRITES_Y 1
#define RECURRENT_WRITES_H 2
#define RECURRENT_WRITES_C 4

#define RECURRENT_AFFINE 100 // a x + b
#define RECURRENT_SCALED_TANH 101 // a tanh(b x)
