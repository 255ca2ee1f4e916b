// Writes docs/operators.md from the operator table.
//
//     op_docs                    prints the page
//     op_docs --check FILE       fails unless FILE is that page
#include <stdlib.h>

#include "docs_page.h"
#include "op/op.h"

static const char *const intro =
    "# Operators\n"
    "\n"
    "Made by `op_docs`, a program of the build, from the table that the library itself reads:\n"
    "`build/tools/op_docs > docs/operators.md`. A test compares the two.\n"
    "\n"
    "Operators have the names and meanings of the newest ONNX opset that Espy knows; the "
    "converter\n"
    "rewrites older ones. An attribute that is not listed is refused.\n"
    "\n"
    "- *Kernel*: runs on the device. Single nodes may still run on the host, for types or sizes "
    "that\n"
    "  the kernel does not take; `espy inspect` says which do.\n"
    "- *Host*: computes shapes and the like, while a model is planned or between two parts of a "
    "run.\n"
    "- *Epilogue*: up to four operators marked *step* may follow in the same kernel.\n";

// Operators of ONNX's default domain that are not in the table, and why.
struct absent_op {
    const char *name, *reason;
};

#define STRINGS "works on strings; Espy has numbers only"
#define RANDOM "draws random numbers, so that no two runs agree"
#define SEQUENCES \
    "lists of tensors; the converter follows them where it is known which tensors they have"
#define OPTIONALS "works on tensors that may be absent; values are tensors"
#define TRAINING "a loss function, which training uses"

static const struct absent_op absent[] = {
    {"Bernoulli", RANDOM},
    {"ConcatFromSequence", SEQUENCES},
    {"Constant", "becomes a tensor of the file"},
    {"ImageDecoder", "reads compressed pictures; `espy run` and the application decode them"},
    {"Multinomial", RANDOM},
    {"NegativeLogLikelihoodLoss", TRAINING},
    {"Optional", OPTIONALS},
    {"OptionalGetElement", OPTIONALS},
    {"OptionalHasElement", OPTIONALS},
    {"RandomNormal", RANDOM},
    {"RandomNormalLike", RANDOM},
    {"RandomUniform", RANDOM},
    {"RandomUniformLike", RANDOM},
    {"RegexFullMatch", STRINGS},
    {"Scatter", "the converter makes ScatterElements of it"},
    {"SequenceAt", SEQUENCES},
    {"SequenceConstruct", SEQUENCES},
    {"SequenceEmpty", SEQUENCES},
    {"SequenceErase", SEQUENCES},
    {"SequenceInsert", SEQUENCES},
    {"SequenceLength", SEQUENCES},
    {"SequenceMap", "has a graph as an attribute, and works on lists of tensors"},
    {"SoftmaxCrossEntropyLoss", TRAINING},
    {"SplitToSequence", SEQUENCES},
    {"StringConcat", STRINGS},
    {"StringNormalizer", STRINGS},
    {"StringSplit", STRINGS},
    {"TfIdfVectorizer", "counts words and the like of texts"},
    {"Upsample", "the converter makes Resize of it"},
};
enum { ABSENT_COUNT = sizeof(absent) / sizeof(absent[0]) };

static void print_count(FILE *out, uint32_t low, uint32_t high, const char *what)
{
    if (high == OP_VARIADIC)
        fprintf(out, "%u or more %ss", low, what);
    else if (low != high)
        fprintf(out, "%u to %u %ss", low, high, what);
    else
        fprintf(out, "%u %s%s", low, what, low == 1 ? "" : "s");
}

// No default: a compiler says when a type is missing.
static const char *type_name(enum op_attr_type type)
{
    switch (type) {
    case OP_INT:
        return "integer";
    case OP_BOOL:
        return "0 or 1";
    case OP_FLOAT:
    case OP_DOUBLE:
        return "number";
    case OP_ENUM:
        return "name";
    case OP_DTYPE:
        return "type name";
    case OP_STRING:
        return "string";
    case OP_INTS:
        return "integers";
    case OP_FLOATS:
        return "numbers";
    case OP_STRINGS:
        return "strings";
    case OP_BODY:
        return "name of a body";
    }
    return "?";
}

static void print_values(FILE *out, const struct op_attr *attr)
{
    if (attr->type != OP_ENUM)
        fprintf(out, "%s", type_name(attr->type));
    for (uint32_t i = 0; attr->type == OP_ENUM && attr->choices[i] != NULL; i++)
        fprintf(out, "%s`%s`", i == 0 ? "" : ", ", attr->choices[i]);
    if (attr->min == 0 && attr->max == 0)
        return;
    if (attr->max >= INT32_MAX)
        fprintf(out, ", at least %.15g", attr->min);
    else
        fprintf(out, ", %.15g to %.15g", attr->min, attr->max);
}

static void print_fallback(FILE *out, const struct op_attr *attr)
{
    const bool list = attr->type == OP_STRING || attr->type == OP_INTS || attr->type == OP_FLOATS;
    const bool no_type = attr->type == OP_DTYPE && (int)attr->fallback == ESPY_DTYPE_NONE;
    if (attr->required)
        fprintf(out, "required");
    else if (list || no_type || attr->fallback != attr->fallback) // NaN stands for an absent number
        fprintf(out, "none");
    else if (attr->type == OP_ENUM)
        fprintf(out, "`%s`", attr->choices[(int)attr->fallback]);
    else if (attr->type == OP_DTYPE)
        fprintf(out, "`%s`", espy_dtype_name((espy_dtype)attr->fallback));
    else
        fprintf(out, "%.7g", attr->fallback);
}

static void print_attrs(FILE *out, const struct op *op)
{
    fprintf(out, "\n| attribute | value | default | meaning |\n|---|---|---|---|\n");
    for (uint32_t i = 0; i < op->attr_count; i++) {
        fprintf(out, "| %s | ", op->attrs[i].name);
        print_values(out, &op->attrs[i]);
        fprintf(out, " | ");
        print_fallback(out, &op->attrs[i]);
        fprintf(out, " | ");
        docs_page_cell(out, op->attrs[i].help);
        fprintf(out, " |\n");
    }
}

static void print_op(FILE *out, const struct op *op)
{
    fprintf(out, "\n## %s\n\n%s\n\n", op->name, op->summary);
    print_count(out, op->inputs_min, op->inputs_max, "input");
    fprintf(out, ", ");
    print_count(out, op->outputs_min, op->outputs_max, "output");
    fprintf(out, ". %s%s%s.\n", op->lower != NULL ? "Kernel" : "Host",
            (op->flags & OP_EPILOGUE) != 0 ? ", epilogue" : "",
            espy_step_find(op->name) != NULL ? ", step" : "");
    if (op->attr_count > 0)
        print_attrs(out, op);
}

static void print_absent(FILE *out)
{
    fputs(
        "\n# What of ONNX is not here\n\n"
        "Operators of ONNX's default domain that no .espy file has, and why. Operators of training "
        "have\ndomains of their own.\n\n"
        "| operator | why |\n|---|---|\n",
        out);
    for (uint32_t i = 0; i < ABSENT_COUNT; i++)
        fprintf(out, "| %s | %s |\n", absent[i].name, absent[i].reason);
}

static void print_page(FILE *out)
{
    const struct op *op;
    fputs(intro, out);
    for (uint32_t i = 0; (op = espy_op_at(i)) != NULL; i++)
        print_op(out, op);
    print_absent(out);
}

// The list must not name what is there.
static bool lists_only_absent(void)
{
    bool good = true;
    for (uint32_t i = 0; i < ABSENT_COUNT; i++)
        if (espy_op_find(absent[i].name) != NULL) {
            fprintf(stderr, "%s is in the table: take it out of op_docs.c\n", absent[i].name);
            good = false;
        }
    return good;
}

int main(int argc, char **argv)
{
    return lists_only_absent() ? docs_page_main(argc, argv, print_page) : EXIT_FAILURE;
}
