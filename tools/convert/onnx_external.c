// realpath and stat are POSIX, not C.
#define _XOPEN_SOURCE 700

#include "convert/convert_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// External data lies in files beside the model. A model is untrusted, so a path may not leave the
// model's folder: not by its text, and not through symbolic links either.

enum { LOCATION_SIZE_MAX = 4096 };

static espy_status bad(const struct importer *importer, const char *name, const char *what)
{
    return espy_fail(importer->host, ESPY_BAD_FORMAT, "%s: tensor '%s': external data: %s",
                     importer->model_path, name, what);
}

static const char *entry(const onnx_tensor *tensor, const char *key)
{
    for (size_t i = 0; i < tensor->n_external_data; i++) {
        const EspyOnnx__StringStringEntryProto *pair = tensor->external_data[i];
        if (pair->key != NULL && strcmp(pair->key, key) == 0)
            return pair->value;
    }
    return NULL;
}

// A decimal number without sign; absent is 0.
static bool parse_size(const char *text, size_t *size)
{
    *size = 0;
    if (text == NULL)
        return true;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        size_t next;
        if (*text < '0' || *text > '9' || !espy_checked_mul(*size, 10, &next) ||
            !espy_checked_add(next, (size_t)(*text - '0'), size))
            return false;
    }
    return true;
}

static bool is_inside(const char *location)
{
    if (location[0] == '\0' || location[0] == '/' || strchr(location, '\\') != NULL ||
        strchr(location, ':') != NULL)
        return false;
    for (const char *part = location; part != NULL;) {
        const char *slash = strchr(part, '/');
        const size_t length = slash == NULL ? strlen(part) : (size_t)(slash - part);
        if (length == 2 && memcmp(part, "..", 2) == 0)
            return false;
        part = slash == NULL ? NULL : slash + 1;
    }
    return true;
}

// Writes the real path of location, or says why not. *resolved is from malloc.
static const char *resolve(struct importer *importer, const char *location, char **resolved)
{
    const char *slash = strrchr(importer->model_path, '/');
    const size_t length = slash == NULL ? 0 : (size_t)(slash - importer->model_path) + 1;
    const char *folder = length == 0 ? "./"
                                     : espy_arena_format(&importer->scratch, "%.*s", (int)length,
                                                         importer->model_path);
    const char *path =
        folder == NULL ? NULL : espy_arena_format(&importer->scratch, "%s%s", folder, location);
    if (path == NULL)
        return "out of memory";
    char *root = realpath(folder, NULL);
    *resolved = realpath(path, NULL);
    const char *fault = NULL;
    struct stat info;
    if (root == NULL || *resolved == NULL) {
        fault = "the file is not there";
    } else {
        const size_t root_length = strlen(root);
        const bool at_top = root_length == 1; // "/" ends in the separator already
        if (strncmp(*resolved, root, root_length) != 0 ||
            (!at_top && (*resolved)[root_length] != '/'))
            fault = "the path leads out of the model's folder";
        else if (stat(*resolved, &info) != 0 || !S_ISREG(info.st_mode))
            fault = "not a regular file";
    }
    free(root);
    return fault;
}

static espy_status find_file(struct importer *importer, const char *name, const char *location,
                             const struct format_file **file)
{
    struct convert_model *model = importer->model;
    for (uint32_t i = 0; i < model->file_count; i++) {
        if (strcmp(model->files[i].location, location) == 0) {
            *file = &model->files[i].file;
            return ESPY_OK;
        }
    }
    if (strlen(location) > LOCATION_SIZE_MAX || !is_inside(location))
        return bad(importer, name, "the path leads out of the model's folder");
    if (model->file_count == IMPORT_FILES_MAX)
        return bad(importer, name, "too many files");
    TRY(espy_grow(model->host, &model->files, model->file_count, &model->file_capacity,
                  sizeof(*model->files)));
    char *resolved = NULL;
    const char *fault = resolve(importer, location, &resolved);
    struct external_file *slot = &model->files[model->file_count];
    *slot = (struct external_file){.location = espy_arena_string(&model->arena, location)};
    const espy_status status = slot->location == NULL ? ESPY_OUT_OF_MEMORY
                               : fault != NULL
                                   ? bad(importer, name, fault)
                                   : espy_format_file_open(model->host, resolved, &slot->file);
    free(resolved);
    if (status != ESPY_OK)
        return status;
    model->file_count++;
    *file = &slot->file;
    return ESPY_OK;
}

espy_status espy_onnx_external(struct importer *importer, const onnx_tensor *tensor,
                               const char *name, size_t size, const void **data)
{
    const char *location = entry(tensor, "location");
    const char *length_text = entry(tensor, "length");
    size_t offset, length, end;
    if (location == NULL)
        return bad(importer, name, "it names no file");
    if (!parse_size(entry(tensor, "offset"), &offset) || !parse_size(length_text, &length))
        return bad(importer, name, "offset or length is not a number");
    if (length_text != NULL && length != size)
        return bad(importer, name, "its length is not what shape and type say");
    const struct format_file *file = NULL;
    TRY(find_file(importer, name, location, &file));
    if (!espy_checked_add(offset, size, &end) || end > file->size)
        return bad(importer, name, "it reaches past the end of the file");
    *data = (const unsigned char *)file->bytes + offset;
    return ESPY_OK;
}
