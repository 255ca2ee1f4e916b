// Writes docs/blocks.md from the table of blocks.
//
//     layer_docs                    prints the page
//     layer_docs --check FILE       fails unless FILE is that page
#include <math.h>

#include "docs_page.h"
#include "layers/layer.h"

static const char *const intro =
    "# Blocks\n"
    "\n"
    "Made by `layer_docs`, a program of the build, from the table "
    "that the converter itself reads:\n"
    "`build/tools/layer_docs > docs/blocks.md`. A test compares the "
    "two, and every example is a case\n"
    "of tests/layers, compared with what PyTorch computes. "
    "[layers.md](layers.md) says how layers are\n"
    "written.\n"
    "\n"
    "A name of weights is under the prefix of the layer; where all weights are under the name "
    "beside\n"
    "the block's, the names of the other members are under that one. Where a name may be left out, "
    "the\n"
    "first of the listed names that the weights have is taken.\n";

// No default: a compiler says when a type is missing.
static const char *type_name(enum layer_member_type type)
{
    switch (type) {
    case LAYER_INT:
        return "integer";
    case LAYER_INTS:
        return "integer or list";
    case LAYER_BOOL:
        return "true or false";
    case LAYER_FLOAT:
        return "number";
    case LAYER_CHOICE:
        return "word";
    case LAYER_TEXT:
        return "name";
    case LAYER_PATH:
        return "name of weights";
    case LAYER_VALUE:
        return "name of a value";
    case LAYER_VALUES:
        return "names of values";
    case LAYER_LAYERS:
        return "layers";
    case LAYER_NORM:
        return "name of weights, or layers";
    case LAYER_JSON:
        return "see there";
    }
    return "?";
}

static void print_type(FILE *out, const struct layer_member *member)
{
    if (member->type != LAYER_CHOICE)
        fprintf(out, "%s", type_name(member->type));
    for (uint32_t i = 0; member->choices != NULL && member->choices[i] != NULL; i++)
        fprintf(out, "%s`%s`", i > 0 || member->type != LAYER_CHOICE ? ", " : "",
                member->choices[i]);
    if (member->min == 0 && member->max == 0)
        return;
    if (member->max >= INT32_MAX && member->min <= -INT32_MAX)
        return;
    if (member->max >= INT32_MAX)
        fprintf(out, ", at least %.15g", member->min);
    else
        fprintf(out, ", %.15g to %.15g", member->min, member->max);
}

static void print_fallback(FILE *out, const struct layer_member *member)
{
    const bool number =
        member->type == LAYER_INT || member->type == LAYER_INTS || member->type == LAYER_FLOAT;
    if (member->required)
        fprintf(out, "required");
    else if (member->names != NULL)
        for (uint32_t i = 0; member->names[i] != NULL; i++)
            fprintf(out, "%s`%s`", i == 0 ? "" : ", ", member->names[i]);
    else if (member->type == LAYER_PATH && member->name[0] == '\0')
        fprintf(out, "the prefix");
    else if (member->type == LAYER_CHOICE)
        fprintf(out, "`%s`", member->choices[(int)member->fallback]);
    else if (member->type == LAYER_BOOL)
        fprintf(out, "%s", member->fallback != 0 ? "true" : "false");
    else if (number && !isnan(member->fallback))
        fprintf(out, "%.7g", member->fallback);
    else
        fprintf(out, "none");
}

static void print_member(FILE *out, const struct layer_member *member)
{
    if (member->name[0] == '\0')
        fprintf(out, "| *beside the name* | ");
    else
        fprintf(out, "| `%s` | ", member->name);
    print_type(out, member);
    fprintf(out, " | ");
    print_fallback(out, member);
    fprintf(out, " | ");
    docs_page_cell(out, member->help);
    fprintf(out, " |\n");
}

static void print_head(FILE *out)
{
    fprintf(out, "\n| member | value | default | meaning |\n|---|---|---|---|\n");
}

static void print_page(FILE *out)
{
    const struct layer_member *member;
    const struct layer_block *block;
    fputs(intro, out);
    fprintf(out, "\n## Every layer\n");
    print_head(out);
    for (uint32_t i = 0; (member = espy_layer_common_member(i)) != NULL; i++)
        print_member(out, member);
    for (uint32_t i = 0; (block = espy_layer_block_at(i)) != NULL; i++) {
        fprintf(out, "\n## %s\n\n%s\n\n```json\n%s\n```\n", block->name, block->summary,
                block->example);
        if (block->member_count > 0)
            print_head(out);
        for (uint32_t m = 0; m < block->member_count; m++)
            print_member(out, &block->members[m]);
    }
}

int main(int argc, char **argv)
{
    return docs_page_main(argc, argv, print_page);
}
