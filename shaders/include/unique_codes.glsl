// What a dispatch of unique_sort.comp does. C and GLSL read this one list.
#define UNIQUE_SORT 0  // sorts blocks of items
#define UNIQUE_MERGE 1 // merges pairs of sorted lists
#define UNIQUE_HEADS 2 // finds where groups of equal items begin
