// Where LinearAttention's state begins; read by C and GLSL alike.
#define LINEAR_PAST_ZEROS 0
#define LINEAR_PAST_GIVEN 1
#define LINEAR_PAST_IN_STATE 2 // what holds the state has it already

// What LinearAttention's decay and beta are given for.
#define LINEAR_DECAY_NONE 0
#define LINEAR_DECAY_HEAD 1
#define LINEAR_DECAY_KEY 2 // for every row of a head's state

#define LINEAR_BETA_NONE 0
#define LINEAR_BETA_HEAD 1
#define LINEAR_BETA_STEP 2 // for all heads alike

// Bits of what is written beside the state.
#define LINEAR_WRITES_Y 1
#define LINEAR_WRITES_PRESENT 2
