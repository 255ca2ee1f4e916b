// Shared by the files of format/ only.
#ifndef FORMAT_FORMAT_INTERNAL_H_
#define FORMAT_FORMAT_INTERNAL_H_

#include "format/format.h"

enum {
    FORMAT_TEXT_SHOWN_MAX = 96 // room for one quoted name in a message, NUL included
};

// Length in bytes of the UTF-8 sequence that text starts with; 0 when it is not valid UTF-8
// (overlong, surrogate, beyond U+10FFFF, cut off by end). text < end.
size_t espy_format_utf8(const char *text, const char *end);

// True where a control character (C0, DEL or C1) starts; text is valid UTF-8.
bool espy_format_control(const char *text);

// Copies text into buffer so that it can stand in a log line: without control characters or
// invalid UTF-8 (each such byte becomes '?'), and cut with "..." where it is long. NULL is "".
const char *espy_format_shown(const char *text, char buffer[FORMAT_TEXT_SHOWN_MAX]);

// espy_graph_check with a name for messages ("model.espy").
espy_status espy_format_check_graph(const struct graph *graph, const char *file);

// Where the data of tensors comes from: the weights chunk, or find for the hand-written form.
struct format_source {
    const unsigned char *weights; // NULL where the file has no weights chunk
    size_t weights_size;
    const struct format_hand *hand; // the hand-written form, without weights; NULL: a file
};

// Builds and checks the graph. On failure graph is zeroed.
espy_status espy_format_parse_json(const struct host *host, const char *file, const char *json,
                                   size_t size, const struct format_source *source,
                                   struct graph *graph);

// Adds the JSON of a checked graph to text, whose `failed` says whether memory ran out.
void espy_format_print_json(const struct graph *graph, struct text *text);

// The network's tensor that a body's constant is the same as, down to its place in memory: the file
// has such data once. GRAPH_NONE: there is none, and always in the network itself.
uint32_t espy_format_same_tensor(const struct graph *graph, const struct graph_value *value);

// Where a walk over all tensors of a network stands, in the order of the weights; starts zeroed.
struct tensor_cursor {
    uint32_t graph; // 0: the network; i + 1: body i
    uint32_t value;
};
// The next tensor that has data of its own in the weights; NULL after the last.
const struct graph_value *espy_format_next_tensor(const struct graph *network,
                                                  struct tensor_cursor *cursor);

// Offset of a tensor in the weights when the tensor before it ends at end.
static inline size_t espy_format_align(size_t end, size_t alignment)
{
    return (end + alignment - 1) / alignment * alignment;
}

#endif // FORMAT_FORMAT_INTERNAL_H_
