// Whole files in and out. What is written appears under its name only when it is complete.
#ifndef TOOLS_CLI_FILE_H_
#define TOOLS_CLI_FILE_H_

#include <stddef.h>

#include "cli_message.h"

struct cli_bytes {
    unsigned char *data; // malloc; never NULL after a read
    size_t size;
};

// Reads path, "-" for standard input, until its end; pipes are fine. Refuses more than size_max.
bool espy_file_read(const char *path, size_t size_max, struct cli_bytes *bytes,
                    struct cli_message *message);
void espy_file_free(struct cli_bytes *bytes); // zeroed is fine

struct cli_part {
    const void *data;
    size_t size;
};
// Writes the parts one after the other to a temporary file beside path and renames it. A path that
// exists and is not a regular file (a terminal, a pipe, /dev/null) is written directly.
bool espy_file_write(const char *path, const struct cli_part *parts, size_t part_count,
                     struct cli_message *message);
// Makes the folder unless it is there. Its parent must exist.
bool espy_file_make_dir(const char *path, struct cli_message *message);

#endif // TOOLS_CLI_FILE_H_
