// How panel_product.comp reads B; read by C and GLSL alike.
#define PRODUCT_B_ANY 0     // an element at a time, through any strides
#define PRODUCT_B_COLUMNS 1 // four neighbouring columns of a row at a time
#define PRODUCT_B_DEPTH 2   // four neighbouring rows of a column at a time
