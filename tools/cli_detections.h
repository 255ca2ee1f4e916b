// Found objects from the outputs that describe them together: boxes, scores, classes, keypoints,
// masks. Coordinates become pixels of the picture that the user gave.
#ifndef TOOLS_CLI_DETECTIONS_H_
#define TOOLS_CLI_DETECTIONS_H_

#include "cli_session.h"

// Indices of outputs; UINT32_MAX: there is none.
struct cli_group {
    uint32_t boxes, scores, classes, keypoints, masks;
};
// The group that an output belongs to; false: none. The nth group of a model is its nth boxes, or
// keypoints where it has no boxes, and what else comes nth.
bool espy_group_of(const struct cli_outputs *outputs, uint32_t output, struct cli_group *group);
// Of messages and where files are listed: the first output that there is.
uint32_t espy_group_first(const struct cli_group *group);

struct cli_detection {
    uint32_t row;            // of the outputs
    uint32_t index;          // of the class; UINT32_MAX: there are no classes
    const char *label;       // or NULL
    double score;            // NaN: there are no scores
    struct picture_area box; // in the picture; where it was not given, in the network's input
};

struct cli_detections {
    bool has_boxes;
    uint32_t count;
    struct cli_detection *items; // the best first
    uint32_t row_count, point_count;
    double *points; // x, y, score (or NaN) of point_count per row
};

// Rows that score less than threshold are left out, and those of a class "__background__".
// threshold below 0: the file's. input is the picture that they are of; NULL: unknown.
bool espy_detections_init(struct cli_detections *detections, const struct cli_outputs *outputs,
                          const struct cli_group *group, const struct cli_input *input,
                          double threshold, struct cli_message *message);
void espy_detections_finish(struct cli_detections *detections); // zeroed is fine

#endif // TOOLS_CLI_DETECTIONS_H_
