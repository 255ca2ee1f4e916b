// Boxes with labels. Labels may not lie over one another, and keep off the boxes of others where
// they can: of the places around its box each takes the one that hides the least.
#include "draw.h"

#include <math.h>
#include <stdlib.h>

struct label {
    const char *text;
    double size;
    struct picture_area plate;
};

struct scene {
    struct picture *picture;
    const struct draw_box *boxes;
    uint32_t count;
    double unit;
    struct label *labels; // of the boxes before this one; text NULL: left out
};

static double area_of(struct picture_area area)
{
    const double width = area.right - area.left, height = area.bottom - area.top;
    return width > 0 && height > 0 ? width * height : 0;
}

static double shared(struct picture_area a, struct picture_area b)
{
    return area_of((struct picture_area){fmax(a.left, b.left), fmax(a.top, b.top),
                                         fmin(a.right, b.right), fmin(a.bottom, b.bottom)});
}

// The size at which a text is not much wider than its box, between half and all of what the picture
// asks for.
static double fit_size(const struct scene *scene, const struct draw_box *box, const char *text)
{
    const double full = 1.15 * scene->unit, dots = espy_draw_text_width(text, 1) + 4;
    const double fits = 1.3 * (box->box.right - box->box.left) / dots;
    return fmax(1, fmin(full, fmax(full / 2, fits)));
}

// What a label at this place would hide: infinite where that is another label.
static double cost_of(const struct scene *scene, uint32_t index, struct picture_area plate)
{
    double cost = 0;
    if (plate.left < 0 || plate.top < 0 || plate.right > scene->picture->width ||
        plate.bottom > scene->picture->height)
        return (double)INFINITY;
    for (uint32_t i = 0; i < scene->count; i++) {
        if (i < index && scene->labels[i].text && shared(scene->labels[i].plate, plate) > 0)
            return (double)INFINITY;
        // A small box is hidden sooner than a large one.
        const double share =
            shared(scene->boxes[i].box, plate) / (area_of(scene->boxes[i].box) + area_of(plate));
        cost += scene->boxes[i].has_box ? (i == index ? share / 2 : share) : 0;
    }
    return cost;
}

// Finds room for the text around box index; false: there is none.
static bool place(const struct scene *scene, uint32_t index, const char *text, struct label *label)
{
    const struct picture_area *box = &scene->boxes[index].box;
    const double size = fit_size(scene, &scene->boxes[index], text);
    const double height = DRAW_LINE_DOTS * size;
    const double width = ceil(espy_draw_text_width(text, size) + 4 * size);
    const double right = box->right - width, inside = scene->picture->width - width;
    const double left = fmax(0, fmin(box->left, inside));
    const double places[][2] = {{left, box->top - height},  {left, box->top},
                                {right, box->top - height}, {left, box->bottom},
                                {right, box->bottom},       {left, box->bottom - height},
                                {box->right, box->top},     {box->left - width, box->top}};
    double best = (double)INFINITY;
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
        const double x = floor(places[i][0]), y = floor(places[i][1]);
        const struct picture_area plate = {x, y, x + width, y + ceil(height)};
        const double cost = cost_of(scene, index, plate) + 0.02 * i;
        if (cost < best) {
            best = cost;
            *label = (struct label){text, size, plate};
        }
    }
    return isfinite(best);
}

static void find_label(const struct scene *scene, uint32_t index)
{
    const struct draw_box *box = &scene->boxes[index];
    struct label *label = &scene->labels[index];
    const double width = box->box.right - box->box.left;
    const double longest = fmax(2.5 * width, 30 * scene->unit);
    *label = (struct label){0};
    if (!box->has_box || !box->text)
        return;
    const bool fits = espy_draw_text_width(box->text, fit_size(scene, box, box->text)) <= longest;
    if ((fits || !box->short_text) && place(scene, index, box->text, label))
        return;
    if (box->short_text && place(scene, index, box->short_text, label))
        return;
    *label = (struct label){0};
}

static void draw_lines(const struct scene *scene, const struct draw_box *box)
{
    static const struct draw_color dark = {{0, 0, 0}};
    const double side = fmin(box->box.right - box->box.left, box->box.bottom - box->box.top);
    const double width = fmax(1, fmin(1.6 * scene->unit, side / 10));
    const double rim = width / 3;
    const struct picture_area around = {box->box.left - rim, box->box.top - rim,
                                        box->box.right + rim, box->box.bottom + rim};
    if (box->has_box) {
        espy_draw_frame(scene->picture, around, rim, dark); // against a ground of its colour
        espy_draw_frame(scene->picture, box->box, width, box->color);
    }
    const double radius =
        box->has_box ? fmax(1, fmin(2.2 * scene->unit, side / 24)) : 1.6 * scene->unit;
    for (uint32_t i = 0; i < box->point_count; i++) {
        const double *at = box->points + (size_t)i * 2;
        espy_draw_disc(scene->picture, at[0], at[1], radius + fmax(0.6, radius / 3), dark);
        espy_draw_disc(scene->picture, at[0], at[1], radius, espy_draw_color(i));
    }
}

static void draw_label(const struct scene *scene, uint32_t index)
{
    const struct label *label = &scene->labels[index];
    const struct draw_color color = scene->boxes[index].color;
    const double size = label->size;
    if (!label->text)
        return;
    espy_draw_fill(scene->picture, label->plate, color, 0.9);
    espy_draw_text(scene->picture, label->plate.left + 2 * size, label->plate.top, size,
                   label->text, espy_draw_ink(color));
}

bool espy_draw_boxes(struct picture *picture, const struct draw_box *boxes, uint32_t count,
                     struct cli_message *message)
{
    struct scene scene = {picture, boxes, count, espy_draw_unit(picture), NULL};
    scene.labels = calloc((size_t)count + 1, sizeof *scene.labels);
    if (!scene.labels)
        return espy_message_set(message, "out of memory for labels");
    for (uint32_t i = 0; i < count; i++)
        find_label(&scene, i);
    for (uint32_t i = count; i-- > 0;) // the best on top
        draw_lines(&scene, &boxes[i]);
    for (uint32_t i = count; i-- > 0;)
        draw_label(&scene, i);
    free(scene.labels);
    return true;
}
