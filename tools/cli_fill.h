// What cli_inputs.c, cli_dims.c and cli_fill.c share: an input gets its shape, then its elements.
#ifndef TOOLS_CLI_FILL_H_
#define TOOLS_CLI_FILL_H_

#include "cli_inputs.h"

enum { SHAPE_TEXT_SIZE = 256 };

bool espy_inputs_role_is(const struct espy_value_info *info, const char *role);
// The input that something without a name is for: the only one, or the only picture; count: none.
uint32_t espy_inputs_only(const struct cli_inputs *inputs);
// The size of the picture that input i takes; false: it is none.
bool espy_inputs_frame(const struct cli_inputs *inputs, uint32_t i, uint32_t *width,
                       uint32_t *height);

// A dimension's size: the model's, what --shape made of it, or what its symbol got elsewhere; -1
// where nothing has said it yet.
int64_t espy_inputs_known_dim(const struct cli_inputs *inputs, uint32_t i, uint32_t d);
bool espy_inputs_is_batch(const char *symbol);
// Gives input i concrete dims; one leading 1 (the batch) may be left out. source is for messages.
bool espy_inputs_set_dims(struct cli_inputs *inputs, uint32_t i, uint32_t rank, const int64_t *dims,
                          const char *source, struct cli_message *message);
// Fills dims that no file gave from equal symbols elsewhere; a batch that nobody names is 1.
bool espy_inputs_resolve_dims(struct cli_inputs *inputs, uint32_t i, struct cli_message *message);
// Elements of a tensor whose dims are concrete; allocates its data.
bool espy_inputs_allocate(struct espy_tensor *tensor, size_t *count, struct cli_message *message);

// The values of the command line; and what is made up for inputs that are not given.
bool espy_inputs_take_values(struct cli_inputs *inputs, uint32_t i, struct cli_message *message);
bool espy_inputs_take_latent(struct cli_inputs *inputs, uint32_t i, uint32_t seed,
                             struct cli_message *message);
bool espy_inputs_take_image_size(struct cli_inputs *inputs, uint32_t i,
                                 struct cli_message *message);
bool espy_inputs_take_random(struct cli_inputs *inputs, uint32_t i, uint32_t seed,
                             struct cli_message *message);

#endif // TOOLS_CLI_FILL_H_
