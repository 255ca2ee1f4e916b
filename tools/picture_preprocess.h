// From a picture to the numbers of an input, as struct espy_preprocess says, and the heatmap back
// onto the picture. Resampling is that of Pillow's BILINEAR, bit for bit, because that is what
// most networks were trained with.
#ifndef TOOLS_PICTURE_PREPROCESS_H_
#define TOOLS_PICTURE_PREPROCESS_H_

#include "espy/espy.h"
#include "picture.h"

enum { PICTURE_PAD = 114 }; // the grey that "letterbox" pads with

// A rectangle of the picture, in pixels; may reach beyond it.
struct picture_area {
    double left, top, right, bottom;
};

// Anti-aliased: the triangle filter grows with the reduction.
bool espy_picture_resize(const struct picture *picture, uint32_t width, uint32_t height,
                         struct picture *result, struct cli_message *message);

// The same with Pillow's BICUBIC, for looking at: sharper where it is enlarged.
bool espy_picture_enlarge(const struct picture *picture, uint32_t width, uint32_t height,
                          struct picture *result, struct cli_message *message);

// The size that preprocess makes of a picture: its own height and width, or the picture's.
void espy_picture_input_size(const struct picture *picture,
                             const struct espy_preprocess *preprocess, uint32_t *width,
                             uint32_t *height);
// 1 for "gray", else 3.
uint32_t espy_picture_channels(const struct espy_preprocess *preprocess);
// Fills values[channels * height * width] and, unless NULL, the area of the picture that the
// network sees: what lies outside it was cropped away, or for "letterbox" is padding.
bool espy_picture_preprocess(const struct picture *picture,
                             const struct espy_preprocess *preprocess, float *values,
                             struct picture_area *area, struct cli_message *message);

// How many times as large a picture is drawn, so that it is at least PICTURE_OVERLAY_WIDTH_MIN
// pixels wide: 1 for most.
enum { PICTURE_OVERLAY_WIDTH_MIN = 256 };
uint32_t espy_picture_enlargement(const struct picture *picture);
// Lays a map of values 0..1 over the picture, enlarged where it is small, where area says.
bool espy_picture_overlay(const struct picture *picture, const float *map, uint32_t map_width,
                          uint32_t map_height, const struct picture_area *area,
                          struct picture *result, struct cli_message *message);
// Fills the picture with the colours of a map of values 0..1 that lies where area says.
void espy_picture_map(const float *map, uint32_t map_width, uint32_t map_height,
                      struct picture_area area, struct picture *picture);
// The colour of value 0..1: from near black over purple and orange to pale yellow, lightness
// growing evenly, so that it reads the same printed grey. rgb in 0..1.
void espy_picture_color(double value, double rgb[3]);

#endif // TOOLS_PICTURE_PREPROCESS_H_
