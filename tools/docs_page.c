#include "docs_page.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool same_bytes(FILE *a, FILE *b)
{
    int byte;
    do {
        byte = fgetc(a);
        if (byte != fgetc(b))
            return false;
    } while (byte != EOF);
    return true;
}

static bool check(const char *program, const char *path, void (*print)(FILE *out))
{
    FILE *file = fopen(path, "rb"), *page = tmpfile();
    bool same = false;
    if (file != NULL && page != NULL) {
        print(page);
        rewind(page);
        same = same_bytes(file, page);
    }
    if (file != NULL)
        fclose(file);
    if (page != NULL)
        fclose(page);
    if (!same)
        fprintf(stderr, "%s is not what the table says; write it again with %s\n", path, program);
    return same;
}

int docs_page_main(int argc, char **argv, void (*print)(FILE *out))
{
    if (argc == 3 && strcmp(argv[1], "--check") == 0)
        return check(argv[0], argv[2], print) ? EXIT_SUCCESS : EXIT_FAILURE;
    if (argc != 1) {
        fprintf(stderr, "usage: %s [--check FILE]\n", argv[0]);
        return EXIT_FAILURE;
    }
    print(stdout);
    return EXIT_SUCCESS;
}

void docs_page_cell(FILE *out, const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        fprintf(out, *c == '|' ? "\\%c" : "%c", *c);
}
