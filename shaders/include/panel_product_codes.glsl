// How panel_product.comp reads B, and of what it makes a softmax; read by C and GLSL alike.
#define PRODUCT_B_ANY 0     // an element at a time, through any strides
#define PRODUCT_B_COLUMNS 1 // four neighbouring columns of a row at a time
#define PRODUCT_B_DEPTH 2   // four neighbouring rows of a column at a time

#define PRODUCT_SOFTMAX_NONE 0
#define PRODUCT_SOFTMAX_OF_A 1 // A is scores, whose softmax is multiplied
#define PRODUCT_SOFTMAX_OF_Y 2 // the product is scores, whose softmax is the result
