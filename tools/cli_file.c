#define _POSIX_C_SOURCE 200809L

#include "cli_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_STEP = 1 << 20, WRITE_STEP = 1 << 30, PATH_ROOM = 4096 };

static bool read_all(int descriptor, const char *path, size_t size_max, struct cli_bytes *bytes,
                     struct cli_message *message)
{
    size_t room = 0;
    for (;;) {
        if (bytes->size == room) {
            room = room ? room * 2 : READ_STEP;
            unsigned char *grown = realloc(bytes->data, room);
            if (!grown)
                return espy_message_set(message, "%s: out of memory reading it", path);
            bytes->data = grown;
        }
        const size_t left = room - bytes->size;
        const ssize_t got =
            read(descriptor, bytes->data + bytes->size, left < WRITE_STEP ? left : WRITE_STEP);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return espy_message_set(message, "%s: cannot be read: %s", path, strerror(errno));
        if (got == 0)
            return true;
        bytes->size += (size_t)got;
        if (bytes->size > size_max)
            return espy_message_set(message, "%s: larger than the limit of %zu bytes", path,
                                    size_max);
    }
}

bool espy_file_read(const char *path, size_t size_max, struct cli_bytes *bytes,
                    struct cli_message *message)
{
    const bool standard = !strcmp(path, "-");
    *bytes = (struct cli_bytes){0};
    const int descriptor = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return espy_message_set(message, "%s: cannot be opened: %s", path, strerror(errno));
    const bool ok = read_all(descriptor, path, size_max, bytes, message);
    if (!standard)
        (void)close(descriptor);
    if (!ok)
        espy_file_free(bytes);
    return ok;
}

void espy_file_free(struct cli_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct cli_bytes){0};
}

static bool write_all(int descriptor, const char *path, const struct cli_part *part,
                      struct cli_message *message)
{
    for (size_t done = 0; done < part->size;) {
        const size_t left = part->size - done;
        const ssize_t put = write(descriptor, (const char *)part->data + done,
                                  left < WRITE_STEP ? left : WRITE_STEP);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            return espy_message_set(message, "%s: cannot write: %s", path,
                                    put < 0 ? strerror(errno) : "no progress");
        }
        done += (size_t)put;
    }
    return true;
}

// Opens the temporary file, whose name has the process number so that two runs do not meet.
static int open_temporary(const char *path, char name[PATH_ROOM], struct cli_message *message)
{
    for (unsigned attempt = 0; attempt < 100; attempt++) {
        const int length =
            snprintf(name, PATH_ROOM, "%s.tmp-%ld-%u", path, (long)getpid(), attempt);
        if (length < 0 || length >= PATH_ROOM) {
            (void)espy_message_set(message, "%.80s...: the path is too long", path);
            return -1;
        }
        const int descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor >= 0)
            return descriptor;
        if (errno != EEXIST)
            break;
    }
    (void)espy_message_set(message, "%s: cannot write there: %s", path, strerror(errno));
    return -1;
}

bool espy_file_write(const char *path, const struct cli_part *parts, size_t part_count,
                     struct cli_message *message)
{
    char name[PATH_ROOM];
    struct stat info;
    const bool direct = stat(path, &info) == 0 && !S_ISREG(info.st_mode);
    int descriptor;
    if (direct) {
        descriptor = open(path, O_WRONLY | O_CLOEXEC);
        if (descriptor < 0)
            return espy_message_set(message, "%s: cannot write there: %s", path, strerror(errno));
    } else {
        descriptor = open_temporary(path, name, message);
        if (descriptor < 0)
            return false;
    }
    bool ok = true;
    for (size_t i = 0; ok && i < part_count; i++)
        ok = write_all(descriptor, path, &parts[i], message);
    // A full disk may show only now.
    if (close(descriptor) != 0 && ok)
        ok = espy_message_set(message, "%s: cannot write: %s", path, strerror(errno));
    if (direct)
        return ok;
    if (ok && rename(name, path) != 0)
        ok = espy_message_set(message, "%s: cannot rename to it: %s", path, strerror(errno));
    if (!ok)
        (void)unlink(name);
    return ok;
}

bool espy_file_make_dir(const char *path, struct cli_message *message)
{
    struct stat info;
    if (mkdir(path, 0777) == 0)
        return true;
    const int error = errno;
    if (error == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return true;
    return espy_message_set(message, "%s: cannot make this folder: %s", path, strerror(error));
}
