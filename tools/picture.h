// Pictures as bytes: JPEG and PNG in, PNG out. Files may be hostile. Must not know models.
#ifndef TOOLS_PICTURE_H_
#define TOOLS_PICTURE_H_

#include <stddef.h>
#include <stdint.h>

#include "cli_message.h"

// Limits on what is decoded, looked at before memory is taken.
enum { PICTURE_SIDE_MAX = 65500, PICTURE_PIXELS_MAX = 1 << 27, PICTURE_FILE_SIZE_MAX = 1 << 29 };

struct picture {
    uint32_t width, height;
    uint8_t *rgb; // malloc, 3 bytes per pixel, rows from the top, packed
};

enum picture_format { PICTURE_NONE, PICTURE_JPEG, PICTURE_PNG };

// Looks at the content; names and extensions do not matter.
enum picture_format espy_picture_format(const void *bytes, size_t size);

// Decodes. Transparency is laid on white, 16 bit become 8, CMYK becomes RGB; EXIF orientation and
// colour profiles are not looked at. A file that ends early is an error. name is for messages.
bool espy_picture_parse(const char *name, const void *bytes, size_t size, struct picture *picture,
                        struct cli_message *message);
bool espy_picture_read(const char *path, struct picture *picture, struct cli_message *message);
// Uninitialised pixels; false with a message when too large or out of memory.
bool espy_picture_create(uint32_t width, uint32_t height, struct picture *picture,
                         struct cli_message *message);
void espy_picture_free(struct picture *picture); // zeroed is fine

bool espy_picture_write_png(const char *path, const struct picture *picture,
                            struct cli_message *message);

#endif // TOOLS_PICTURE_H_
